//! Keeping chosen traces and runs, whatever the retention.
//!
//! These are the only requests that change something. Nothing is lost by them, and ids of traces and
//! runs cannot be guessed by a page of another site, which cannot read ours.

use super::error::ApiError;
use super::json::with_damage;
use super::params::parse;
use super::runs::run_not_found;
use super::traces::trace_not_found;
use super::{Api, answer};
use axum::extract::{Path, State};
use axum::response::Response;
use lumitrace_model::TraceId;
use lumitrace_query::{Readable, RunId};
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /traces/{trace_id}/archive`: keeps a trace for ever; `copied_spans` were not kept yet. It is
/// `archived` if all of it could be read; otherwise what could be is kept.
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
) -> Result<Response, ApiError> {
    let trace_id: TraceId = parse("trace_id", &trace_id)?;
    answer(api, move |api, budget| {
        let copied = api.engine.archive_trace(trace_id, budget)?;
        let copied = copied.ok_or_else(|| trace_not_found(trace_id))?;
        Ok(archived(&copied))
    })
    .await
}

/// `GET /traces/{trace_id}/archive`: whether a trace is kept for ever.
pub(super) async fn is_archived(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
) -> Result<Response, ApiError> {
    let trace_id: TraceId = parse("trace_id", &trace_id)?;
    answer(api, move |api, budget| {
        Ok(json!({"archived": api.engine.is_archived(trace_id, budget)?}))
    })
    .await
}

/// `POST /runs/{run_id}/archive`: keeps all traces of a run for ever, as far as they can be read.
pub(super) async fn run(
    State(api): State<Arc<Api>>,
    Path(run_id): Path<String>,
) -> Result<Response, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    answer(api, move |api, budget| {
        let copied = api.engine.archive_run(run_id, budget)?;
        let copied = copied.ok_or_else(|| run_not_found(run_id))?;
        Ok(archived(&copied))
    })
    .await
}

fn archived(copied: &Readable<usize>) -> Value {
    let is_whole = copied.damaged.is_empty();
    let answer = json!({"archived": is_whole, "copied_spans": copied.answer});
    with_damage(answer, &copied.damaged)
}
