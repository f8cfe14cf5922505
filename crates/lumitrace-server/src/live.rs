//! Tells open pages what changed: follows every stored batch, keeps the query engine's caches up to
//! date with it, and passes it on to the live streams.

use crate::metrics::Metrics;
use lumitrace_query::{QueryEngine, RunId};
use lumitrace_store::SpanRecord;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

/// Updates kept for a stream that falls behind, before it is told that it missed some.
const UPDATES_KEPT: usize = 64;
/// Batches that make one update, where more than one is waiting.
const BATCHES_PER_UPDATE: usize = 16;

/// What was stored.
pub(crate) type Batch = Arc<[Arc<SpanRecord>]>;

/// What is new since the update before.
#[derive(Clone)]
pub(crate) enum Update {
    /// These spans were stored, and these training runs changed by them.
    Stored {
        batches: Arc<[Batch]>,
        run_ids: Arc<[RunId]>,
    },
    /// The server itself fell behind by this many batches: anything may have changed.
    Missed(u64),
}

/// The source of updates. Clones share it.
#[derive(Clone)]
pub struct Live {
    updates: broadcast::Sender<Update>,
    closing: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Live {
    /// Follows the store of `engine` on a task of its own, until `closing` is cancelled.
    pub fn start(
        engine: QueryEngine,
        metrics: Arc<Metrics>,
        closing: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (updates, _) = broadcast::channel(UPDATES_KEPT);
        let live = Self {
            updates,
            closing,
            metrics,
        };
        let task = tokio::spawn(live.clone().follow(engine));
        (live, task)
    }

    /// Every update from now on.
    pub(crate) fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// Cancelled when the server ends; streams end then.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    async fn follow(self, engine: QueryEngine) {
        let mut stored = engine.store().subscribe();
        loop {
            let received = tokio::select! {
                () = self.closing.cancelled() => return,
                received = stored.recv() => received,
            };
            let update = match received {
                Ok(first) => {
                    let mut batches = vec![first];
                    while batches.len() < BATCHES_PER_UPDATE
                        && let Ok(batch) = stored.try_recv()
                    {
                        batches.push(batch);
                    }
                    absorb(engine.clone(), batches).await
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "live updates fell behind");
                    self.metrics.live_missed(missed);
                    engine.lagged();
                    Some(Update::Missed(missed))
                }
                Err(RecvError::Closed) => return,
            };
            if let Some(update) = update {
                // Without an open stream there is nobody to tell.
                let _ = self.updates.send(update);
            }
        }
    }
}

async fn absorb(engine: QueryEngine, batches: Vec<Batch>) -> Option<Update> {
    let absorbed = spawn_blocking(move || {
        let mut run_ids: Vec<RunId> = batches
            .iter()
            .flat_map(|batch| engine.absorb(batch).run_ids)
            .collect();
        run_ids.sort_unstable();
        run_ids.dedup();
        Update::Stored {
            batches: batches.into(),
            run_ids: run_ids.into(),
        }
    });
    absorbed
        .await
        .inspect_err(|error| tracing::error!(%error, "following new spans failed"))
        .ok()
}
