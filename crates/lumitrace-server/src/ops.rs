//! What operators ask: is it alive, is it ready, what does it count.

use crate::metrics::{self, Metrics};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use lumitrace_store::{ShelfName, ShelfStats, Store};
use std::sync::Arc;

/// What the answers are made from.
pub struct Ops {
    /// The store, asked for its health.
    pub store: Store,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Where to ask whether the process lives.
pub(crate) const HEALTHZ: &str = "/healthz";

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(ops: Arc<Ops>) -> Router {
    Router::new()
        .route(HEALTHZ, get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

/// Why the server cannot do its work at the moment; `None` if all is well.
pub(crate) fn problem(store: &Store) -> Option<String> {
    let mut shelves = ShelfName::ALL.into_iter();
    shelves.find_map(|shelf| problem_of(shelf, &store.stats_of(shelf)?))
}

fn problem_of(shelf: ShelfName, stats: &ShelfStats) -> Option<String> {
    let refused = match shelf {
        ShelfName::Spans => "spans are refused",
        ShelfName::Archive => "nothing can be archived",
        ShelfName::Logs => "log records are refused",
        ShelfName::Metrics => "metrics are refused",
    };
    let failure = stats.failure.as_ref().map(|reason| {
        format!("{refused}: {reason}; after the repair restart the server if this stays")
    });
    let refusing = stats.refusing.as_ref();
    let refusing = refusing.map(|reason| format!("{refused}: {reason}"));
    let flush = stats.flush_problem.as_ref();
    failure.or(refusing).or_else(|| {
        let shelf = shelf.as_str();
        flush.map(|reason| format!("blocks cannot be written ({shelf}): {reason}"))
    })
}

/// The process lives and answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// What is sent is taken. A refusal counts until the next request is stored, since only writing shows
/// whether the disk has space again; senders retry, so that follows soon.
async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    match problem(&ops.store) {
        None => "ready\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    match ops.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
