//! The engine that answers questions about what a store holds.

use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{SpanId, SpanKind, TraceId};
use lumitrace_store::{ReadError, SpanRecord, Store};

use crate::assembly::TraceTree;
use crate::facts::SpanState;
use crate::search::{TracePage, TraceQuery, TraceSummary};
use crate::series::Series;
use crate::training::{BatchPage, RunId, RunQuery, RunSummary, RunView};

/// Limits of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Longest time that one search may take.
    pub search_time_limit: Duration,
    /// Most spans that one search may look at.
    pub search_span_limit: u64,
    /// Most rows (batches, epochs, validations) of opened runs kept in memory, in total.
    pub run_row_limit: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            search_time_limit: Duration::from_secs(10),
            search_span_limit: 20_000_000,
            run_row_limit: 4_000_000,
        }
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A service of which spans are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// When its latest span started, in nanoseconds since the Unix epoch.
    pub last_seen_unix_nano: u64,
}

/// An operation of a service: spans of one name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationInfo {
    /// The spans' name.
    pub name: String,
    /// The spans' kind.
    pub kind: SpanKind,
}

/// A span with all that was sent about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanDetail {
    /// The span, its resource and its scope.
    pub record: Arc<SpanRecord>,
    /// The service that made it.
    pub service_name: String,
    /// How far it has come.
    pub state: SpanState,
    /// What tells it from its siblings, such as `(1/3)` or `(37)`.
    pub label: Option<String>,
}

/// What a batch of new spans changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveChanges {
    /// Traces that have new spans, each once.
    pub trace_ids: Vec<TraceId>,
    /// Training runs that have new spans, each once.
    pub run_ids: Vec<RunId>,
}

/// Answers questions about what a store holds. Clones share their caches.
///
/// Every call blocks while it reads, so an async caller wraps it in `spawn_blocking`. To keep the
/// caches right, whoever owns the engine hands it every batch of [`Store::subscribe`] through
/// [`QueryEngine::absorb`], and says with [`QueryEngine::lagged`] when it missed some.
#[derive(Clone)]
pub struct QueryEngine {
    store: Store,
}

impl QueryEngine {
    /// An engine over `store` with default limits. Reads nothing yet.
    pub fn new(store: Store) -> Self {
        Self::with_options(store, EngineOptions::default())
    }

    /// An engine over `store` with these limits. Reads nothing yet.
    pub fn with_options(store: Store, options: EngineOptions) -> Self {
        let _ = options;
        Self { store }
    }

    /// The store it reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A trace as a tree; `None` if no span of it is stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trace(
        &self,
        trace_id: TraceId,
        now_unix_nano: u64,
    ) -> Result<Option<TraceTree>, QueryError> {
        let _ = (trace_id, now_unix_nano);
        todo!()
    }

    /// One span; of two that share an id, the client's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
        now_unix_nano: u64,
    ) -> Result<Option<SpanDetail>, QueryError> {
        let _ = (trace_id, span_id, now_unix_nano);
        todo!()
    }

    /// Traces that match `query`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search(&self, query: &TraceQuery, now_unix_nano: u64) -> Result<TracePage, QueryError> {
        let _ = (query, now_unix_nano);
        todo!()
    }

    /// Summaries of those of these traces that match `query`, newest first, for live updates.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn summaries(
        &self,
        trace_ids: &[TraceId],
        query: &TraceQuery,
        now_unix_nano: u64,
    ) -> Result<Vec<TraceSummary>, QueryError> {
        let _ = (trace_ids, query, now_unix_nano);
        todo!()
    }

    /// Traces with a span in `batch` that meets the conditions of `query`, each once: what a live
    /// view passes on to [`QueryEngine::summaries`]. Reads nothing.
    pub fn matching_traces(&self, query: &TraceQuery, batch: &[Arc<SpanRecord>]) -> Vec<TraceId> {
        let _ = (query, batch);
        todo!()
    }

    /// The services, by name. Reads nothing from disk.
    pub fn services(&self) -> Vec<ServiceInfo> {
        todo!()
    }

    /// The operations of a service, by name and kind. Reads nothing from disk.
    pub fn operations(&self, service: &str) -> Vec<OperationInfo> {
        let _ = service;
        todo!()
    }

    /// Training runs, newest first.
    ///
    /// The first call reads the spans of every service that trains; later ones read nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs(
        &self,
        query: &RunQuery,
        now_unix_nano: u64,
    ) -> Result<Vec<RunSummary>, QueryError> {
        let _ = (query, now_unix_nano);
        todo!()
    }

    /// All of one run but its curves' points; `None` if there is no such run.
    ///
    /// The first call for a run reads its spans; later ones read nothing while it stays cached.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run(&self, run_id: RunId, now_unix_nano: u64) -> Result<Option<RunView>, QueryError> {
        let _ = (run_id, now_unix_nano);
        todo!()
    }

    /// The revision of one run without computing its view; `None` if there is no such run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_revision(&self, run_id: RunId) -> Result<Option<u64>, QueryError> {
        let _ = run_id;
        todo!()
    }

    /// Curves of a run by name, each thinned to at most `max_points` (at least 4); `None` if there
    /// is no such run. Names that the run does not have are left out; no names means all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_series(
        &self,
        run_id: RunId,
        names: &[String],
        max_points: usize,
    ) -> Result<Option<Vec<Series>>, QueryError> {
        let _ = (run_id, names, max_points);
        todo!()
    }

    /// A page of the batches of an epoch, which `epoch_span_id` of its view names; `None` if there
    /// is no such run or epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_batches(
        &self,
        run_id: RunId,
        epoch_span_id: SpanId,
        offset: usize,
        limit: usize,
        now_unix_nano: u64,
    ) -> Result<Option<BatchPage>, QueryError> {
        let _ = (run_id, epoch_span_id, offset, limit, now_unix_nano);
        todo!()
    }

    /// Takes in a batch of new spans, as [`Store::subscribe`] gives them, and says what it changed.
    pub fn absorb(&self, batch: &[Arc<SpanRecord>]) -> LiveChanges {
        let _ = batch;
        todo!()
    }

    /// Forgets what was cached of training runs, because batches were missed: the next question
    /// reads them anew.
    pub fn lagged(&self) {
        todo!()
    }
}
