//! How the server itself is doing.

use super::json::nano;
use super::{Api, ApiError, answer};
use crate::ops;
use axum::extract::State;
use axum::response::Response;
use lumitrace_store::{ShelfName, ShelfStats};
use serde_json::json;
use std::sync::Arc;

/// `GET /status`.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        let store = api.engine.store();
        let stats = store.stats();
        let shelves = ShelfName::ALL.into_iter();
        let shelves: Vec<ShelfStats> = shelves.filter_map(|shelf| store.stats_of(shelf)).collect();
        let log_records = store
            .stats_of(ShelfName::Logs)
            .map_or(0, |logs| logs.records);
        let totals = api.metrics.ingest_totals();
        let problem = ops::problem(store);
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started_unix_nano": nano(api.started_unix_nano),
            "data_dir": api.data_dir.to_string_lossy(),
            "spans": stats.records,
            "log_records": log_records,
            "blocks": shelves.iter().map(|shelf| shelf.blocks).sum::<u64>(),
            "disk_bytes": shelves.iter().map(|shelf| shelf.disk_bytes).sum::<u64>(),
            "memtable_spans": stats.memtable_records,
            "endpoints": api.endpoints,
            "otlp": {
                "requests": totals.requests,
                "spans": totals.spans,
                "log_records": totals.log_records,
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
