//! Answers requests before the store is open: the process lives, and everything else comes later.
//!
//! Opening the store replays its log, which takes seconds where gigabytes are in it. A supervisor that
//! got no answer meanwhile would take the server for dead, end it, and have it begin anew.

use crate::admit::Refusal;
use crate::metrics::Metrics;
use crate::{ops, receive};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method};
use serde_json::json;
use std::sync::{Arc, OnceLock};
use tower_service::Service;

/// What stands before the services of a port. Clones share it.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Arc<Metrics>,
    /// The service behind, once there is one.
    service: OnceLock<Router>,
}

impl Gate {
    /// One that is closed.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let service = OnceLock::new();
        Self {
            shared: Arc::new(Shared { metrics, service }),
        }
    }

    /// Lets every request through to `service` from now on, also on connections that are open already.
    pub(crate) fn open(&self, service: Router) {
        // It is opened once.
        let _ = self.shared.service.set(service);
    }

    /// The service of a port: what is behind the gate, or refusals.
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(State(gate): State<Gate>, request: Request) -> Response {
    match gate.shared.service.get() {
        Some(service) => service.clone().call(request).await.into_response(),
        None => starting(&gate.shared.metrics, request).await,
    }
}

/// The answer while the store is being opened.
async fn starting(metrics: &Metrics, request: Request) -> Response {
    let path = request.uri().path();
    if path == ops::HEALTHZ {
        return ops::healthz().await.into_response();
    }
    let refusal = Refusal::Starting;
    let answer = refusal.answer();
    let is_sent = request.method() == Method::POST;
    if is_sent {
        metrics.refused(answer.reason);
    }
    if is_sent || !path.starts_with("/api/") {
        return receive::refuse(request, &refusal).await;
    }
    // As all errors of the API, which our own pages show.
    let error = json!({"error": {"code": answer.reason, "message": refusal.to_string()}});
    let wait = answer.retry_after.unwrap_or_default().as_secs();
    let retry_after = [(RETRY_AFTER, HeaderValue::from(wait))];
    (answer.http, retry_after, Json(error)).into_response()
}
