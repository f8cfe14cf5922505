//! Answers queries: Lumitrace's own API, Jaeger's, and the web interface, on one port.
//!
//! Modules in reading order: `params` reads what was asked, `traces`, `runs`, `live` and
//! `status` answer for our own pages, `jaeger` answers tools that speak to Jaeger, `json`
//! spells values, `error` says what went wrong.

mod duration_text;
mod error;
mod jaeger;
mod json;
mod live;
mod params;
mod runs;
mod status;
mod traces;

use crate::config::{self, Config};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ops::{self, Ops};
use crate::serve::Endpoints;
use crate::ui;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use error::ApiError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use lumitrace_query::QueryEngine;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What the answers are made from.
pub struct Api {
    engine: QueryEngine,
    live: Live,
    metrics: Arc<Metrics>,
    started_unix_nano: u64,
    data_dir: PathBuf,
    endpoints: Endpoints,
}

impl Api {
    /// Answers from `engine`, with news from `live`.
    pub fn new(
        engine: QueryEngine,
        live: Live,
        metrics: Arc<Metrics>,
        config: &Config,
        endpoints: &Endpoints,
    ) -> Self {
        let data_dir =
            std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        let started_unix_nano = now_unix_nano();
        Self {
            engine,
            live,
            metrics,
            started_unix_nano,
            data_dir,
            endpoints: endpoints.clone(),
        }
    }
}

/// The service of the web interface's port.
pub fn router(api: Arc<Api>, ops: Arc<Ops>, ui: &config::Ui) -> Router {
    let own = Router::new()
        .route("/status", get(status::status))
        .route("/services", get(traces::services))
        .route("/services/{service}/operations", get(traces::operations))
        .route("/traces", get(traces::search))
        .route("/traces/{trace_id}", get(traces::trace))
        .route("/traces/{trace_id}/spans/{span_id}", get(traces::span))
        .route("/runs", get(runs::list))
        .route("/runs/{run_id}", get(runs::run))
        .route("/runs/{run_id}/series", get(runs::series))
        .route(
            "/runs/{run_id}/epochs/{span_id}/batches",
            get(runs::batches),
        )
        .route("/live/traces", get(live::traces))
        .route("/live/runs", get(live::runs))
        .route("/live/runs/{run_id}", get(live::run));
    let jaeger = Router::new()
        .route("/services", get(jaeger::services))
        .route(
            "/services/{service}/operations",
            get(jaeger::operation_names),
        )
        .route("/operations", get(jaeger::operations))
        .route("/traces", get(jaeger::search))
        .route("/traces/{trace_id}", get(jaeger::trace))
        .route("/dependencies", get(jaeger::dependencies))
        .route("/metrics/{kind}", get(jaeger::metrics));
    let queries = Router::new()
        .nest("/api/lumitrace/v1", own)
        .nest("/api", jaeger)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), count))
        .with_state(api);
    queries
        .merge(ops::router(ops))
        .fallback_service(ui::router(ui))
}

/// Counts a query by its route's pattern, which no sender can widen.
async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(String::new, |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    api.metrics
        .api_request(route, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Computes an answer and writes it as JSON, on a thread that may block.
async fn answer<T, F>(question: F) -> Result<Response, ApiError>
where
    T: Serialize,
    F: FnOnce() -> Result<T, ApiError> + Send + 'static,
{
    let bytes = tokio::task::spawn_blocking(move || {
        serde_json::to_vec(&question()?).map_err(|error| ApiError::internal(&error))
    });
    let bytes = bytes.await.map_err(|error| ApiError::internal(&error))??;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn now_unix_nano() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // 64 bits of nanoseconds reach to the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
