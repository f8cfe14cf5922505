//! Tells open pages what changed: follows every stored batch, keeps the query engine's caches up to
//! date with it, and passes it on to the live streams.

use crate::metrics::Metrics;
use lumitrace_model::TraceId;
use lumitrace_query::{QueryEngine, RunId, TraceQuery};
use lumitrace_store::StoredBatch;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

/// Updates kept for a stream that falls behind, before it is told that it missed some.
const UPDATES_KEPT: usize = 64;
/// Batches that make one update, where more than one is waiting.
const BATCHES_PER_UPDATE: usize = 16;

/// Changed traces that one search is told of in one update; of more, the newest.
pub(crate) const MAX_TRACES: usize = 200;

type Batch = Arc<StoredBatch>;

/// What is new since the update before. It holds ids alone: updates wait for the slowest stream,
/// and must not keep its spans in memory meanwhile.
#[derive(Clone)]
pub(crate) enum Update {
    /// Spans were stored that changed these traces, by search, and these training runs.
    Stored {
        traces: Arc<HashMap<SearchId, Vec<TraceId>>>,
        run_ids: Arc<[RunId]>,
    },
    /// The server itself fell behind by this many batches: anything may have changed.
    Missed(u64),
}

/// The source of updates. Clones share it.
#[derive(Clone)]
pub struct Live {
    updates: broadcast::Sender<Update>,
    searches: Arc<Mutex<Searches>>,
    closing: CancellationToken,
    metrics: Arc<Metrics>,
}

/// The searches of the open streams.
#[derive(Default)]
struct Searches {
    next_id: SearchId,
    open: HashMap<SearchId, Arc<TraceQuery>>,
}

type SearchId = u64;

/// A search whose matches are among the updates until this is dropped.
pub(crate) struct Search {
    id: SearchId,
    searches: Arc<Mutex<Searches>>,
}

impl Search {
    /// Its matches in an update, oldest first.
    pub(crate) fn matches<'a>(&self, traces: &'a HashMap<SearchId, Vec<TraceId>>) -> &'a [TraceId] {
        traces.get(&self.id).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        lock(&self.searches).open.remove(&self.id);
    }
}

fn lock(searches: &Mutex<Searches>) -> MutexGuard<'_, Searches> {
    // Nothing panics while it holds the lock.
    searches.lock().unwrap_or_else(PoisonError::into_inner)
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
            searches: Arc::default(),
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

    /// Has the traces that match `query` in every update from now on.
    pub(crate) fn search(&self, query: TraceQuery) -> Search {
        let mut searches = lock(&self.searches);
        let id = searches.next_id;
        searches.next_id += 1;
        searches.open.insert(id, Arc::new(query));
        Search {
            id,
            searches: Arc::clone(&self.searches),
        }
    }

    /// Cancelled when the server ends; streams end then.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    async fn follow(self, engine: QueryEngine) {
        let mut stored = engine.store().subscribe();
        warm(engine.clone());
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
                    self.absorb(engine.clone(), batches).await
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

    async fn absorb(&self, engine: QueryEngine, batches: Vec<Batch>) -> Option<Update> {
        let open = lock(&self.searches).open.clone();
        let absorbed = spawn_blocking(move || {
            let mut run_ids: Vec<RunId> = batches
                .iter()
                .flat_map(|batch| engine.absorb(batch).run_ids)
                .collect();
            run_ids.sort_unstable();
            run_ids.dedup();
            let matches = |query: &TraceQuery| newest_matches(&engine, query, &batches);
            let traces: HashMap<_, _> = open
                .into_iter()
                .map(|(id, query)| (id, matches(&query)))
                .collect();
            Update::Stored {
                traces: traces.into(),
                run_ids: run_ids.into(),
            }
        });
        absorbed
            .await
            .inspect_err(|error| tracing::error!(%error, "following new spans failed"))
            .ok()
    }
}

fn newest_matches(engine: &QueryEngine, query: &TraceQuery, batches: &[Batch]) -> Vec<TraceId> {
    let mut seen = HashSet::new();
    let mut trace_ids: Vec<TraceId> = batches
        .iter()
        .flat_map(|batch| engine.matching_traces(query, batch))
        .filter(|trace_id| seen.insert(*trace_id))
        .collect();
    // The newest are at the end.
    trace_ids.drain(..trace_ids.len().saturating_sub(MAX_TRACES));
    trace_ids
}

/// Asks for the training runs once, in the background. The first to ask waits until all training
/// spans are read, which takes seconds in a large store: that should be nobody who looks at a page.
/// Only after the subscription, so that no run falls in between; and nobody waits for it here.
fn warm(engine: QueryEngine) {
    spawn_blocking(move || {
        if let Err(error) = engine.warm_up() {
            tracing::warn!(%error, "the training runs could not be read at the start");
        }
    });
}
