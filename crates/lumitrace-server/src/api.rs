//! Answers queries: Lumitrace's own API, Jaeger's, and the web interface, on one port.
//!
//! Modules in reading order: `params` reads what was asked, `traces`, `logs`, `metrics`, `operations`,
//! `runs`, `live` and `status` answer for our own pages, `jaeger` answers tools that speak to Jaeger, `json`
//! spells values, `chunks` sends long answers, `error` says what went wrong.

mod archive;
mod chunks;
mod duration_text;
mod error;
mod jaeger;
mod json;
mod live;
mod logs;
mod metrics;
mod operations;
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
use axum::routing::{get, post};
use error::ApiError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use lumitrace_query::QueryEngine;
use lumitrace_store::QueryBudget;
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
        .route("/operations/statistics", get(operations::statistics))
        .route("/traces", get(traces::search))
        .route("/traces/{trace_id}", get(traces::trace))
        .route("/traces/{trace_id}/spans/{span_id}", get(traces::span))
        .route("/traces/{trace_id}/logs", get(logs::of_trace))
        .route(
            "/traces/{trace_id}/archive",
            get(archive::is_archived).post(archive::trace),
        )
        .route("/logs", get(logs::search))
        .route("/logs/services", get(logs::services))
        .route("/logs/{id}", get(logs::one))
        .route("/metrics", get(metrics::list))
        .route("/metrics/series", get(metrics::series))
        .route("/runs", get(runs::list))
        .route("/runs/{run_id}", get(runs::run))
        .route("/runs/{run_id}/series", get(runs::series))
        .route("/runs/{run_id}/archive", post(archive::run))
        .route(
            "/runs/{run_id}/epochs/{span_id}/batches",
            get(runs::batches),
        )
        .route("/live/traces", get(live::traces))
        .route("/live/runs", get(live::runs))
        .route("/live/runs/{run_id}", get(live::run))
        .route("/live/logs", get(live::logs))
        .route("/live/metrics", get(live::metrics));
    let jaeger = Router::new()
        .route("/services", get(jaeger::services))
        .route(
            "/services/{service}/operations",
            get(jaeger::operation_names),
        )
        .route("/operations", get(jaeger::operations))
        .route("/traces", get(jaeger::search))
        .route("/traces/{trace_id}", get(jaeger::trace))
        .route("/archive/{trace_id}", post(jaeger::archive))
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

/// Computes an answer and writes it as JSON.
async fn answer<T, F>(api: Arc<Api>, question: F) -> Result<Response, ApiError>
where
    T: Serialize,
    F: FnOnce(&Api, &QueryBudget) -> Result<T, ApiError> + Send + 'static,
{
    let bytes = compute(api, move |api, budget| {
        serde_json::to_vec(&question(api, budget)?).map_err(|error| ApiError::internal(&error))
    });
    let bytes = bytes.await?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Answers a question on a thread that may block, within a budget of its own. When the client goes
/// away, this future is dropped, and with it the budget is cancelled.
async fn compute<T, F>(api: Arc<Api>, question: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&Api, &QueryBudget) -> Result<T, ApiError> + Send + 'static,
{
    let budget = api.engine.budget();
    let _cancel = budget.cancel_on_drop();
    let work = tokio::task::spawn_blocking(move || ask(&api, &budget, question));
    work.await.map_err(|error| ApiError::internal(&error))?
}

/// Asks, and counts if that is given up.
fn ask<T>(
    api: &Api,
    budget: &QueryBudget,
    question: impl FnOnce(&Api, &QueryBudget) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let answer = question(api, budget);
    if let Err(error) = &answer
        && error.is_given_up
    {
        api.metrics.query_given_up(error.code);
    }
    answer
}

fn now_unix_nano() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // 64 bits of nanoseconds reach to the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use lumitrace_store::{Store, StoreOptions};
    use std::io::Write;
    use std::net::TcpStream;
    use std::sync::mpsc;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    fn api(store: &Store) -> Arc<Api> {
        let engine = QueryEngine::new(store.clone());
        let metrics = Arc::new(Metrics::new());
        let (live, _task) = Live::start(
            engine.clone(),
            Arc::clone(&metrics),
            CancellationToken::new(),
        );
        let address = "127.0.0.1:0".parse().unwrap();
        let endpoints = Endpoints {
            otlp_grpc: address,
            otlp_http: address,
            ui: address,
        };
        Arc::new(Api::new(
            engine,
            live,
            metrics,
            &Config::default(),
            &endpoints,
        ))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_is_given_up_when_its_client_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(dir.path())).unwrap();
        let api = api(&store);
        let (begun, has_begun) = mpsc::sync_channel(1);
        let ask = {
            let api = Arc::clone(&api);
            move || async move {
                compute(api, move |_, budget| -> Result<(), ApiError> {
                    begun.send(()).unwrap();
                    loop {
                        let waiting = budget.check().map_err(lumitrace_query::QueryError::from);
                        waiting?;
                        std::thread::yield_now();
                    }
                })
                .await
                .map(|()| StatusCode::OK)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let router = Router::new().route("/", get(ask));
            axum::serve(listener, router).await
        });
        tokio::task::spawn_blocking(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client
                .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .unwrap();
            has_begun.recv().unwrap();
        })
        .await
        .unwrap();
        let given_up = "lumitrace_queries_given_up_total{reason=\"cancelled\"} 1";
        let is_counted = async {
            while !api.metrics.encode().unwrap().contains(given_up) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), is_counted);
        in_time.await.unwrap();
        server.abort();
    }
}
