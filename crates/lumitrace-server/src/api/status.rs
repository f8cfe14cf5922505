//! How the server itself is doing.

use super::json::{nano, with_damage};
use super::{Api, ApiError, answer};
use crate::ops;
use axum::extract::State;
use axum::response::Response;
use lumitrace_store::{Damaged, ShelfName, ShelfStats};
use serde_json::json;
use std::sync::Arc;

/// `GET /status`.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        let store = api.engine.store();
        let stats = store.stats();
        let shelves = ShelfName::ALL.into_iter();
        let shelves: Vec<ShelfStats> = shelves.filter_map(|shelf| store.stats_of(shelf)).collect();
        let records_of = |shelf| store.stats_of(shelf).map_or(0, |stats| stats.records);
        let totals = api.metrics.ingest_totals();
        let problem = ops::problem(store);
        let damages = shelves.iter().flat_map(|shelf| &shelf.damages);
        let mut damaged = Damaged::default();
        damages.for_each(|damage| damaged.add(damage.clone()));
        let answer = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started_unix_nano": nano(api.started_unix_nano),
            "data_dir": api.data_dir.to_string_lossy(),
            "spans": stats.records,
            "log_records": records_of(ShelfName::Logs),
            "metric_points": records_of(ShelfName::Metrics),
            "blocks": shelves.iter().map(|shelf| shelf.blocks).sum::<u64>(),
            "disk_bytes": shelves.iter().map(|shelf| shelf.disk_bytes).sum::<u64>(),
            "memtable_spans": stats.memtable_records,
            "merging": shelves.iter().any(|shelf| shelf.is_merging),
            "endpoints": api.endpoints,
            "otlp": {
                "requests": totals.requests,
                "spans": totals.spans,
                "log_records": totals.log_records,
                "metric_points": totals.metric_points,
                "rejected_spans": totals.rejected_spans,
                "rejected_metric_points": totals.rejected_metric_points,
                "refused_requests": totals.refused_requests,
                "posts_to_root": totals.posts_to_root,
            },
            "healthy": problem.is_none(),
            "problem": problem,
        });
        Ok(with_damage(answer, &damaged))
    })
    .await
}
