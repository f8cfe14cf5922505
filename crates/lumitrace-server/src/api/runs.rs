//! Training runs for our own pages.

use super::error::ApiError;
use super::json::{attributes, nano, number, optional_number, with_damage};
use super::params::{Params, parse};
use super::traces::status_word;
use super::{Api, answer, now_unix_nano};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use lumitrace_model::SpanId;
use lumitrace_query::series::SeriesPoint;
use lumitrace_query::training::{
    BatchRow, EpochView, ErrorView, PhaseView, RunQuery, StepTime, ValidationView,
    metrics::SeriesInfo,
};
use lumitrace_query::{RunId, RunSummary, RunView, Series};
use serde_json::{Value, json};
use std::sync::Arc;

const DEFAULT_RUNS: usize = 100;
const MAX_RUNS: usize = 1000;
const DEFAULT_POINTS: usize = 1000;
const MAX_POINTS: usize = 100_000;
const DEFAULT_BATCHES: usize = 200;
const MAX_BATCHES: usize = 10_000;

/// `GET /runs`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = run_query(query.as_deref())?;
    answer(api, move |api, budget| {
        let runs = api.engine.runs(&query, budget, now_unix_nano())?;
        let answer = json!({"runs": runs.answer.iter().map(summary).collect::<Value>()});
        Ok(with_damage(answer, &runs.damaged))
    })
    .await
}

/// What the parameters of a list of runs ask for.
pub(super) fn run_query(query: Option<&str>) -> Result<RunQuery, ApiError> {
    let params = Params::only(query, &["service", "limit"])?;
    Ok(RunQuery {
        service: params.text("service").map(str::to_owned),
        limit: params.limit("limit", DEFAULT_RUNS, MAX_RUNS)?,
    })
}

/// `GET /runs/{run_id}`.
pub(super) async fn run(
    State(api): State<Arc<Api>>,
    Path(run_id): Path<String>,
) -> Result<Response, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    answer(api, move |api, budget| {
        let run = api.engine.run(run_id, budget, now_unix_nano())?;
        let run = run.ok_or_else(|| run_not_found(run_id))?;
        Ok(with_damage(view(&run.answer), &run.damaged))
    })
    .await
}

/// `GET /runs/{run_id}/series`.
pub(super) async fn series(
    State(api): State<Arc<Api>>,
    Path(run_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    let params = Params::only(query.as_deref(), &["name", "max_points"])?;
    let names: Vec<String> = params.all("name").map(str::to_owned).collect();
    let max_points = params.limit("max_points", DEFAULT_POINTS, MAX_POINTS)?;
    answer(api, move |api, budget| {
        let engine = &api.engine;
        let series = engine.run_series(run_id, &names, max_points, budget)?;
        let series = series.ok_or_else(|| run_not_found(run_id))?;
        let answer = json!({"series": series.answer.iter().map(curve).collect::<Value>()});
        Ok(with_damage(answer, &series.damaged))
    })
    .await
}

/// `GET /runs/{run_id}/epochs/{span_id}/batches`.
pub(super) async fn batches(
    State(api): State<Arc<Api>>,
    Path((run_id, span_id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    let span_id: SpanId = parse("span_id", &span_id)?;
    let params = Params::only(query.as_deref(), &["offset", "limit"])?;
    let offset = params.parsed("offset")?.unwrap_or(0);
    let limit = params.limit("limit", DEFAULT_BATCHES, MAX_BATCHES)?;
    answer(api, move |api, budget| {
        let (engine, now) = (&api.engine, now_unix_nano());
        let page = engine.run_batches(run_id, span_id, (offset, limit), budget, now)?;
        let page = page.ok_or_else(|| {
            let message = format!("run {run_id} is not stored, or has no epoch {span_id}");
            ApiError::not_found("epoch_not_found", message)
        })?;
        let batches = page.answer.batches.iter().map(batch).collect::<Value>();
        let answer = json!({"total": page.answer.total, "batches": batches});
        Ok(with_damage(answer, &page.damaged))
    })
    .await
}

/// The answer where there is no such run.
pub(super) fn run_not_found(run_id: RunId) -> ApiError {
    ApiError::not_found(
        "run_not_found",
        format!("no training span of run {run_id} is stored; it may not have arrived yet"),
    )
}

/// A run, in one line of the list.
pub(super) fn summary(run: &RunSummary) -> Value {
    json!({
        "run_id": run.run_id.to_string(),
        "service_name": run.service_name,
        "environment": run.environment,
        "host": run.host,
        "pid": run.pid,
        "instance": run.instance,
        "state": run.state.as_str(),
        "start_unix_nano": nano(run.start_unix_nano),
        "last_seen_unix_nano": nano(run.last_seen_unix_nano),
        "end_unix_nano": run.end_unix_nano.map(nano),
        "epoch": run.epoch,
        "total_epochs": run.total_epochs,
        "batch_count": run.batch_count,
        "last_loss": optional_number(run.last_loss),
        "last_train_loss": optional_number(run.last_train_loss),
        "last_val_loss": optional_number(run.last_val_loss),
        "last_val_metric": optional_number(run.last_val_metric),
        "best_val_loss": optional_number(run.best_val_loss),
        "error_count": run.error_count,
        "trace_ids": run.trace_ids.iter().map(|id| Value::from(id.to_string())).collect::<Value>(),
    })
}

fn view(run: &RunView) -> Value {
    json!({
        "summary": summary(&run.summary),
        "revision": run.revision,
        "attributes": attributes(&run.attributes),
        "parameters": attributes(&run.parameters),
        "epochs": run.epochs.iter().map(epoch).collect::<Value>(),
        "phases": run.phases.iter().map(phase).collect::<Value>(),
        "errors": run.errors.iter().map(error).collect::<Value>(),
        "series": run.series.iter().map(series_info).collect::<Value>(),
        "step_time": run.step_time.map(step_time),
        "samples_per_second": optional_number(run.samples_per_second),
        "eta_nano": run.eta_nano.map(nano),
    })
}

fn epoch(epoch: &EpochView) -> Value {
    json!({
        "epoch": epoch.epoch,
        "label": epoch.label,
        "trace_id": epoch.trace_id.to_string(),
        "span_id": epoch.span_id.to_string(),
        "state": epoch.state.as_str(),
        "start_unix_nano": nano(epoch.start_unix_nano),
        "duration_nano": nano(epoch.duration_nano),
        "train_loss": optional_number(epoch.train_loss),
        "val_loss": optional_number(epoch.val_loss),
        "val_metric": optional_number(epoch.val_metric),
        "batch_count": epoch.batch_count,
        "batch_p50_nano": epoch.batch_p50_nano.map(nano),
        "batch_p95_nano": epoch.batch_p95_nano.map(nano),
        "samples_per_second": optional_number(epoch.samples_per_second),
        "error_count": epoch.error_count,
        "validations": epoch.validations.iter().map(validation).collect::<Value>(),
    })
}

fn validation(validation: &ValidationView) -> Value {
    let metrics = validation.metrics.iter();
    let metrics = metrics.map(|metric| json!({"name": metric.name, "value": number(metric.value)}));
    json!({
        "span_id": validation.span_id.to_string(),
        "trace_id": validation.trace_id.to_string(),
        "start_unix_nano": nano(validation.start_unix_nano),
        "duration_nano": nano(validation.duration_nano),
        "state": validation.state.as_str(),
        "val_loss": optional_number(validation.val_loss),
        "val_metric": optional_number(validation.val_metric),
        "metrics": metrics.collect::<Value>(),
    })
}

fn phase(phase: &PhaseView) -> Value {
    json!({
        "name": phase.name,
        "trace_id": phase.trace_id.to_string(),
        "span_id": phase.span_id.to_string(),
        "start_unix_nano": nano(phase.start_unix_nano),
        "duration_nano": nano(phase.duration_nano),
        "state": phase.state.as_str(),
        "attributes": attributes(&phase.attributes),
    })
}

fn error(error: &ErrorView) -> Value {
    json!({
        "trace_id": error.trace_id.to_string(),
        "span_id": error.span_id.to_string(),
        "name": error.name,
        "label": error.label,
        "type": error.error_type,
        "message": error.message,
        "time_unix_nano": nano(error.time_unix_nano),
    })
}

fn series_info(series: &SeriesInfo) -> Value {
    json!({
        "name": series.name,
        "group": series.group.as_str(),
        "better": series.better.map(|better| better.as_str()),
        "x": series.x.as_str(),
        "point_count": series.point_count,
        "last": number(series.last),
        "min": optional_number(series.min),
        "max": optional_number(series.max),
    })
}

fn step_time(time: StepTime) -> Value {
    json!({
        "p50_nano": nano(time.p50_nano),
        "p95_nano": nano(time.p95_nano),
        "between_p50_nano": time.between_p50_nano.map(nano),
    })
}

fn curve(series: &Series) -> Value {
    let points = series.points.iter().map(point).collect::<Value>();
    json!({"name": series.name, "x": series.x.as_str(), "points": points})
}

fn point(point: &SeriesPoint) -> Value {
    json!({
        "step": point.step,
        "time_unix_nano": nano(point.time_unix_nano),
        "last": number(point.last),
        "min": number(point.min),
        "max": number(point.max),
        "count": point.count,
    })
}

fn batch(batch: &BatchRow) -> Value {
    json!({
        "trace_id": batch.trace_id.to_string(),
        "span_id": batch.span_id.to_string(),
        "label": batch.label,
        "step": batch.step,
        "start_unix_nano": nano(batch.start_unix_nano),
        "duration_nano": nano(batch.duration_nano),
        "state": batch.state.as_str(),
        "status": status_word(batch.status),
        "loss": optional_number(batch.loss),
        "batch_size": optional_number(batch.batch_size),
    })
}
