//! Streams of what is stored of logs and metrics. Each has a subscription of its own, and looks through
//! what comes for what it wants.

use super::super::error::ApiError;
use super::super::{Api, logs as log_json, metrics as metric_json};
use super::{EventStream, Feed, Message, News, Source, blocking, events};
use crate::metrics::Metrics;
use axum::extract::{RawQuery, State};
use lumitrace_store::{StoredLogs, StoredPoints, Subscription};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Log records of one event; of more, those that were stored last.
const MAX_LOGS: usize = 200;
/// Batches of one event at most, since they stay in memory until it is sent.
const MAX_BATCHES: usize = 64;

/// `GET /live/logs`: log records that match, as soon as they are stored.
pub(in super::super) async fn logs(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let wanted = Arc::new(log_json::tail_filter(query.as_deref())?);
    let tail = Tail::new(&api, api.engine.store().subscribe_to_logs());
    let answer = move |news: Batches<StoredLogs>| {
        let wanted = Arc::clone(&wanted);
        async move {
            let message = blocking(move || {
                let logs = news.batches.iter().flat_map(|batch| batch.logs());
                let found: Vec<_> = logs.filter(|log| wanted.matches(*log)).collect();
                let (older, newest) = found.split_at(found.len().saturating_sub(MAX_LOGS));
                // Newest first, like pages of a search.
                let newest_first = newest.iter().rev();
                let logs = newest_first.map(|log| log_json::log_record(&log.entry()));
                Ok((!found.is_empty()).then(|| Message {
                    name: "logs",
                    data: json!({"logs": logs.collect::<Value>(), "left_out": older.len()}),
                }))
            });
            message.await.flatten()
        }
    };
    Ok(events(Feed::new(&api, tail), None, answer))
}

/// `GET /live/metrics`: names of the metrics of which points that match were stored.
pub(in super::super) async fn metrics(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let wanted = Arc::new(metric_json::tail_filter(query.as_deref())?);
    let tail = Tail::new(&api, api.engine.store().subscribe_to_metrics());
    let answer = move |news: Batches<StoredPoints>| {
        let wanted = Arc::clone(&wanted);
        async move {
            let message = blocking(move || {
                let points = news.batches.iter().flat_map(|batch| batch.points());
                let found = points.filter(|point| wanted.matches_stored(*point));
                let names: BTreeSet<&str> = found.map(|point| &*point.metric().name).collect();
                Ok((!names.is_empty()).then(|| Message {
                    name: "metrics",
                    data: json!({"names": names}),
                }))
            });
            message.await.flatten()
        }
    };
    Ok(events(Feed::new(&api, tail), None, answer))
}

/// What was stored, oldest first.
struct Batches<B> {
    batches: Vec<Arc<B>>,
    missed: u64,
}

impl<B> Default for Batches<B> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            missed: 0,
        }
    }
}

impl<B: Send + Sync> News for Batches<B> {
    fn missed(&self) -> u64 {
        self.missed
    }

    fn is_full(&self) -> bool {
        self.batches.len() >= MAX_BATCHES
    }
}

/// What one stream hears of a shelf.
struct Tail<B> {
    stored: Subscription<B>,
    metrics: Arc<Metrics>,
}

impl<B> Tail<B> {
    fn new(api: &Api, stored: Subscription<B>) -> Self {
        Self {
            stored,
            metrics: Arc::clone(&api.metrics),
        }
    }
}

impl<B: Send + Sync> Source for Tail<B> {
    type News = Batches<B>;

    async fn take(&mut self, news: &mut Batches<B>) -> Option<()> {
        match self.stored.recv().await {
            Ok(batch) => news.batches.push(batch),
            Err(RecvError::Lagged(missed)) => {
                self.metrics.live_missed(missed);
                news.missed += missed;
            }
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }
}
