//! Jaeger's v1 JSON API (`/api/services`, `/api/traces` and so on), as Jaeger up to 2.20 and
//! Grafana's data source speak it.
//!
//! `params` reads what is asked, `trace_json` writes traces, `dependency` counts calls between
//! services. Times are microseconds in
//! searches and spans, milliseconds in dependencies. Lists are never null. Errors are JSON sent as
//! text, as Jaeger does.

mod dependency;
mod params;
mod trace_json;

use super::error::ApiError;
use super::params::Params;
use super::{Api, compute, now_unix_nano};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use lumitrace_model::TraceId;
use lumitrace_query::{QueryEngine, TraceQuery};
use lumitrace_store::{Corruption, QueryBudget, SpanParts, TraceSpans};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use trace_json::Trace;

/// Spans in one answer at most: whole traces are many times larger than their summaries.
const MAX_SPANS: usize = 500_000;

/// `GET /api/services`.
pub(super) async fn services(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    answer(api, query, move |api, _, _| {
        let names = api
            .engine
            .services()
            .into_iter()
            .map(|service| Value::from(service.name));
        Ok(names.collect::<Vec<_>>().into())
    })
    .await
}

/// `GET /api/services/{service}/operations`.
pub(super) async fn operation_names(
    State(api): State<Arc<Api>>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(api, query, move |api, _, _| {
        let operations = api.engine.operations(&service);
        let names: BTreeSet<String> = operations.into_iter().map(|each| each.name).collect();
        Ok(names
            .into_iter()
            .map(Value::from)
            .collect::<Vec<_>>()
            .into())
    })
    .await
}

/// `GET /api/operations`.
pub(super) async fn operations(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    answer(api, query, move |api, params, _| {
        let service = params::required_service(params)?;
        let kind = params.text("spanKind");
        let operations = api.engine.operations(service);
        let asked = operations
            .iter()
            .filter(|each| kind.is_none_or(|kind| kind == each.kind.as_str()));
        let operations =
            asked.map(|each| json!({"name": each.name, "spanKind": each.kind.as_str()}));
        Ok(operations.collect::<Vec<_>>().into())
    })
    .await
}

/// `GET /api/traces`: a search, or with `traceID` several traces by their ids.
pub(super) async fn search(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    answer(api, query, move |api, params, budget| {
        let now = now_unix_nano();
        let trace_ids: Vec<TraceId> = params
            .all("traceID")
            .map(params::trace_id)
            .collect::<Result<_, _>>()?;
        if trace_ids.is_empty() {
            let query = params::search(params, now)?;
            find(&api.engine, &query, budget, now)
        } else {
            fetch(&api.engine, &trace_ids, budget, now)
        }
    })
    .await
}

/// `GET /api/traces/{trace_id}`.
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    // The parameters start and end only narrow down where Jaeger has to look: here a trace is found
    // by its id whatever its age.
    answer(api, query, move |api, _, budget| {
        let trace_id = params::trace_id(&trace_id)?;
        let found = fetch(&api.engine, &[trace_id], budget, now_unix_nano())?;
        if found.data.is_empty() {
            return Err(ApiError::not_found("trace_not_found", "trace not found"));
        }
        Ok(found)
    })
    .await
}

/// `POST /api/archive/{trace_id}`: keeps a trace for ever.
pub(super) async fn archive(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(api, query, move |api, _, budget| {
        let trace_id = params::trace_id(&trace_id)?;
        match api.engine.archive_trace(trace_id, budget)? {
            Some(copied) => {
                let mut found = Found::from(Vec::new());
                found.errors.extend(copied.damaged.iter().map(left_out));
                Ok(found)
            }
            None => Err(ApiError::not_found("trace_not_found", "trace not found")),
        }
    })
    .await
}

/// `GET /api/dependencies`.
pub(super) async fn dependencies(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(api, query, move |api, params, budget| {
        let window = params::dependency_window(params, now_unix_nano())?;
        let mut calls = dependency::Calls::default();
        let scanned = dependency::scan(api.engine.store(), window, budget, &mut calls)?;
        let service = params.text("service");
        let edges = calls.edges().into_iter();
        let edges = edges
            .filter(|edge| service.is_none_or(|name| edge.parent == name || edge.child == name));
        let data = edges
            .map(|edge| {
                json!({"parent": edge.parent, "child": edge.child, "callCount": edge.call_count})
            })
            .collect();
        let mut errors: Vec<Value> = scanned.damaged.iter().map(left_out).collect();
        if scanned.stopped {
            let message = "too many spans in this time; the counts are of the newest ones";
            errors.push(json!({"code": 200, "msg": message}));
        }
        Ok(Found { data, errors })
    })
    .await
}

/// `GET /api/metrics/...`: figures by service, which Jaeger computes only with a metrics backend.
pub(super) async fn metrics() -> Response {
    refuse(&ApiError {
        status: StatusCode::NOT_IMPLEMENTED,
        code: "not_implemented",
        message: "metrics by service are not computed here".to_owned(),
        is_given_up: false,
    })
}

/// What goes into the envelope of an answer.
struct Found {
    data: Vec<Value>,
    errors: Vec<Value>,
}

impl From<Vec<Value>> for Found {
    fn from(data: Vec<Value>) -> Self {
        Self {
            data,
            errors: Vec::new(),
        }
    }
}

fn find(
    engine: &QueryEngine,
    query: &TraceQuery,
    budget: &QueryBudget,
    now: u64,
) -> Result<Found, ApiError> {
    let page = engine.search(query, budget, now)?;
    let trace_ids: Vec<TraceId> = page.traces.iter().map(|trace| trace.trace_id).collect();
    let mut found = fetch(engine, &trace_ids, budget, now)?;
    found.errors.extend(page.damaged.iter().map(left_out));
    Ok(found)
}

/// The entry among the errors of an answer for damage that was met.
fn left_out(damage: &Corruption) -> Value {
    json!({"code": 500, "msg": damage.to_string()})
}

fn fetch(
    engine: &QueryEngine,
    trace_ids: &[TraceId],
    budget: &QueryBudget,
    now: u64,
) -> Result<Found, ApiError> {
    let mut found = Found::from(Vec::new());
    let mut span_count = 0;
    for trace_id in trace_ids {
        let error = |code: u16, message: &str| json!({"code": code, "msg": message, "traceID": trace_id.to_string()});
        if span_count >= MAX_SPANS {
            let message = "left out: the answer is too large already; ask for fewer traces";
            found.errors.push(error(413, message));
            continue;
        }
        let store = engine.store();
        let TraceSpans {
            spans: records,
            damaged,
        } = store.trace_parts(*trace_id, SpanParts::ALL, budget)?;
        let of_trace = |damage: &Corruption| error(500, &damage.to_string());
        found.errors.extend(damaged.iter().map(of_trace));
        if records.is_empty() {
            found.errors.push(error(404, "trace not found"));
            continue;
        }
        span_count += records.len();
        let trace = Trace::new(*trace_id, &records, now);
        let trace = serde_json::to_value(trace).map_err(|error| ApiError::internal(&error))?;
        found.data.push(trace);
    }
    Ok(found)
}

/// Computes an answer and puts it into Jaeger's envelope.
async fn answer<F>(api: Arc<Api>, query: Option<String>, question: F) -> Response
where
    F: FnOnce(&Api, &Params, &QueryBudget) -> Result<Found, ApiError> + Send + 'static,
{
    let answer = compute(api, move |api, budget| {
        let params = Params::new(query.as_deref());
        let found = question(api, &params, budget)?;
        let errors = if found.errors.is_empty() {
            Value::Null
        } else {
            found.errors.into()
        };
        let total = found.data.len();
        let envelope = json!({
            "data": found.data, "total": total, "limit": 0, "offset": 0, "errors": errors,
        });
        let pretty = params
            .text("prettyPrint")
            .is_some_and(|value| value != "false");
        Ok(if pretty {
            format!("{envelope:#}")
        } else {
            envelope.to_string()
        })
    });
    match answer.await {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &ApiError) -> Response {
    let status: StatusCode = error.status;
    let body = json!({
        "data": null, "total": 0, "limit": 0, "offset": 0,
        "errors": [{"code": status.as_u16(), "msg": error.message}],
    });
    (
        status,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        body.to_string(),
    )
        .into_response()
}
