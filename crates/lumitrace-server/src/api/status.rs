//! How the server itself is doing.

use super::json::nano;
use super::{Api, ApiError, answer};
use crate::ops;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// `GET /status`.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        let stats = api.engine.store().stats();
        let totals = api.metrics.ingest_totals();
        let problem = ops::problem(&stats);
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started_unix_nano": nano(api.started_unix_nano),
            "data_dir": api.data_dir.to_string_lossy(),
            "spans": stats.records,
            "blocks": stats.blocks,
            "disk_bytes": stats.disk_bytes,
            "memtable_spans": stats.memtable_records,
            "endpoints": api.endpoints,
            "otlp": {
                "requests": totals.requests,
                "spans": totals.spans,
                "rejected_spans": totals.rejected_spans,
                "refused_requests": totals.refused_requests,
                "posts_to_root": totals.posts_to_root,
            },
            "healthy": problem.is_none(),
            "problem": problem,
        }))
    })
    .await
}
