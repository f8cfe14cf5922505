//! The engine that answers questions about what a store holds.

mod live;
mod runs;

pub use runs::Readable;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{MetricKind, SpanId, SpanKind, TraceId, names};
use lumitrace_store::{
    ArchiveError, Corruption, Damaged, Exhausted, LogEntry, LookupError, QueryBudget, QueryLimits,
    QueryMemory, ReadError, SpanParts, SpanRecord, Store, StoredBatch, TraceSpans,
};

use crate::assembly::{Assembly, TraceTree};
use crate::facts::{SpanState, service_name};
use crate::logs::{LogCursor, LogPage, LogQuery, find_log, find_logs};
use crate::metrics::{
    MetricAnswer, MetricList, MetricListQuery, MetricQuery, list_metrics, metric_series,
};
use crate::search::cache::DigestCache;
use crate::search::{
    TracePage, TraceQuery, TraceSummary, distinct_traces, matching_traces, search,
};
use crate::statistics::{OperationQuery, OperationStatistics, operation_statistics};
use crate::training::RunId;
use crate::training::recognition::TrainingNames;
use live::LiveRuns;

/// Limits of an engine, and the names by which it knows training spans.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// What one question may cost.
    pub query_limits: QueryLimits,
    /// Most memory that all questions together may keep at one time, in bytes.
    pub query_memory_bytes: u64,
    /// Most rows (batches, epochs, validations) of opened runs kept in memory, in total.
    pub run_row_limit: usize,
    /// The names by which training spans are recognised.
    pub training_names: TrainingNames,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            query_limits: QueryLimits {
                max_time: Duration::from_secs(30),
                max_spans: 1_000_000_000,
                max_memory_bytes: 384 << 20,
            },
            query_memory_bytes: 512 << 20,
            run_row_limit: 4_000_000,
            training_names: TrainingNames::default(),
        }
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It would have cost more than it may.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(ArchiveError),
    /// What is asked for is nowhere where the store can be read, and it cannot everywhere.
    #[error("it is not in what can be read, but may be where it cannot: {0}")]
    LeftOut(Corruption),
    /// The answer would be too large.
    #[error(
        "{operations} operations in {steps} steps are more than the {limit} figures of one answer; \
         ask for one service or operation, a shorter time or fewer steps"
    )]
    TooManySteps {
        /// Operations that are asked about.
        operations: usize,
        /// Steps of each.
        steps: usize,
        /// The most that their product may be.
        limit: usize,
    },
    /// A rate is asked for of something that is not counted up.
    #[error("only a sum has a rate, and this metric is a {}; ask for its values", .0.as_str())]
    NoRate(MetricKind),
}

impl From<ArchiveError> for QueryError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read(error) => error.into(),
            error => Self::Archive(error),
        }
    }
}

impl From<LookupError> for QueryError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Read(error) => Self::Read(error),
            LookupError::Exhausted(error) => Self::Exhausted(error),
        }
    }
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
    /// Damage that was met: there may be a later record of it.
    pub damaged: Damaged,
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
    options: Arc<EngineOptions>,
    memory: Arc<QueryMemory>,
    runs: Arc<LiveRuns>,
    digests: Arc<DigestCache>,
}

impl QueryEngine {
    /// An engine over `store` with default limits. Reads nothing yet.
    pub fn new(store: Store) -> Self {
        Self::with_options(store, EngineOptions::default())
    }

    /// An engine over `store` with these limits. Reads nothing yet.
    pub fn with_options(store: Store, options: EngineOptions) -> Self {
        let runs = LiveRuns::new(
            store.clone(),
            options.training_names.clone(),
            options.run_row_limit,
        );
        let digests = DigestCache::new(options.training_names.clone());
        Self {
            store,
            memory: Arc::new(QueryMemory::new(options.query_memory_bytes)),
            options: Arc::new(options),
            runs: Arc::new(runs),
            digests: Arc::new(digests),
        }
    }

    /// The store it reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What a question may cost that is asked now.
    pub fn budget(&self) -> QueryBudget {
        QueryBudget::new(self.options.query_limits, &self.memory)
    }

    /// A trace as a tree; `None` if no span of it is stored.
    ///
    /// # Errors
    /// When the store cannot be read, or no span was found where it can and a block is damaged; or the
    /// budget is exhausted.
    pub fn trace(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<Option<TraceTree>, QueryError> {
        let parts = SpanParts {
            links: false,
            large_values: false,
            ..SpanParts::ALL
        };
        let mut assembly = Assembly::new(&self.options.training_names);
        let mut keep = |record| {
            let node = assembly.node(record);
            budget.hold(node.memory_bytes())?;
            Ok(node)
        };
        let nodes = self.store.trace_with(trace_id, parts, budget, &mut keep)?;
        let run_id = self.runs.run_of(assembly.stage());
        let tree = assembly.tree(nodes.spans, run_id, now_unix_nano);
        let tree = found_or_left_out(tree, &nodes.damaged)?;
        Ok(tree.map(|tree| TraceTree {
            damaged: nodes.damaged,
            ..tree
        }))
    }

    /// One span; of two that share an id, the client's.
    ///
    /// # Errors
    /// When the store cannot be read, or it was not found where it can and a block is damaged.
    pub fn span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
        now_unix_nano: u64,
    ) -> Result<Option<SpanDetail>, QueryError> {
        let TraceSpans { spans, damaged } = self.store.span(trace_id, span_id)?;
        let twins = spans.into_iter();
        let record = twins.min_by_key(|record| (record.span.kind != SpanKind::Client, record.seq));
        let record = found_or_left_out(record, &damaged)?;
        Ok(record.map(|record| SpanDetail {
            service_name: service_name(&record.resource, &record.span).to_owned(),
            state: SpanState::of(&record.span, now_unix_nano),
            label: self.options.training_names.label(&record.span),
            record,
            damaged,
        }))
    }

    /// Traces that match `query`, newest first. Where time is over, or too many spans were looked
    /// at, the page says that it is not certain.
    ///
    /// # Errors
    /// When the store cannot be read, nobody waits any more, or memory does not suffice.
    pub fn search(
        &self,
        query: &TraceQuery,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<TracePage, QueryError> {
        let mut damaged = Damaged::default();
        let mut summarize =
            |trace_id| self.summary(trace_id, query, &budget.part(), now_unix_nano, &mut damaged);
        let mut page = search(&self.store, query, budget, &mut summarize)?;
        page.damaged.extend(damaged);
        Ok(page)
    }

    /// Summaries of those of these traces that match `query`, newest first, for live updates.
    ///
    /// # Errors
    /// When the store cannot be read, or the budget is exhausted.
    pub fn summaries(
        &self,
        trace_ids: &[TraceId],
        query: &TraceQuery,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<Vec<TraceSummary>, QueryError> {
        let mut summaries = Vec::with_capacity(trace_ids.len());
        // A live view shows what arrives; the search that it follows said what is damaged.
        let mut damaged = Damaged::default();
        for trace_id in trace_ids {
            let budget = budget.part();
            let summary = self.summary(*trace_id, query, &budget, now_unix_nano, &mut damaged);
            summaries.extend(summary?);
        }
        summaries.sort_by_key(|summary| Reverse(summary.cursor()));
        Ok(summaries)
    }

    fn summary(
        &self,
        trace_id: TraceId,
        query: &TraceQuery,
        budget: &QueryBudget,
        now_unix_nano: u64,
        damaged: &mut Damaged,
    ) -> Result<Option<TraceSummary>, LookupError> {
        let read = || self.read_for_summary(trace_id, query, budget);
        let digest = self.digests.digest(trace_id, query, damaged, read)?;
        let digest = digest.lock();
        let run_id = self.runs.run_of(digest.stage());
        Ok(digest.summary(run_id, now_unix_nano))
    }

    /// The spans of a trace, with attributes only if the summary depends on them.
    fn read_for_summary(
        &self,
        trace_id: TraceId,
        query: &TraceQuery,
        budget: &QueryBudget,
    ) -> Result<TraceSpans<Arc<SpanRecord>>, LookupError> {
        let attributes = SpanParts {
            attributes: true,
            // Conditions are on whole values.
            large_values: query.needs_attributes(),
            ..SpanParts::NONE
        };
        if query.needs_attributes() {
            return self.store.trace_parts(trace_id, attributes, budget);
        }
        let records = self.store.trace_parts(trace_id, SpanParts::NONE, budget)?;
        // Such spans may name their service themselves.
        let is_nameless =
            |record: &Arc<SpanRecord>| record.service_name().starts_with(names::UNKNOWN_SERVICE);
        if records.spans.iter().any(is_nameless) {
            return self.store.trace_parts(trace_id, attributes, budget);
        }
        Ok(records)
    }

    /// Traces with a span in `batch` that meets the conditions of `query`, each once: what a live
    /// view passes on to [`QueryEngine::summaries`]. Reads nothing.
    pub fn matching_traces(&self, query: &TraceQuery, batch: &StoredBatch) -> Vec<TraceId> {
        matching_traces(query, batch)
    }

    /// Log records that match `query`, newest first. Where time is over, or too many were looked at,
    /// the page says that it is not certain.
    ///
    /// # Errors
    /// When the store cannot be read, nobody waits any more, or memory does not suffice.
    pub fn logs(&self, query: &LogQuery, budget: &QueryBudget) -> Result<LogPage, QueryError> {
        find_logs(&self.store, query, budget)
    }

    /// The log record in this place of the list, with all of its body and attributes; `None` if it is
    /// not stored.
    ///
    /// # Errors
    /// When the store cannot be read, nobody waits any more, or the budget does not suffice.
    pub fn log(
        &self,
        place: LogCursor,
        budget: &QueryBudget,
    ) -> Result<Option<Arc<LogEntry>>, QueryError> {
        find_log(&self.store, place, budget)
    }

    /// The services that said something in log records, by name. Reads nothing from disk.
    pub fn log_services(&self) -> Vec<String> {
        self.store.log_services()
    }

    /// Metrics that match `query`, by name and kind. Which there are is known without reading; what
    /// they are is read from one point of each.
    ///
    /// # Errors
    /// When the store cannot be read, or nobody waits any more.
    pub fn metrics(
        &self,
        query: &MetricListQuery,
        budget: &QueryBudget,
    ) -> Result<MetricList, QueryError> {
        list_metrics(&self.store, query, budget)
    }

    /// Series of a metric, as curves.
    ///
    /// # Errors
    /// When the store cannot be read, the budget is exhausted, or the metric has no rate.
    pub fn metric_series(
        &self,
        query: &MetricQuery,
        budget: &QueryBudget,
    ) -> Result<MetricAnswer, QueryError> {
        metric_series(&self.store, query, budget)
    }

    /// The services, by name. Reads nothing from disk.
    pub fn services(&self) -> Vec<ServiceInfo> {
        let services = self.store.services().into_iter();
        services
            .map(|service| ServiceInfo {
                name: service.name,
                last_seen_unix_nano: service.last_start_unix_nano,
            })
            .collect()
    }

    /// The operations of a service, by name and kind. Reads nothing from disk.
    pub fn operations(&self, service: &str) -> Vec<OperationInfo> {
        let operations = self.store.operations(service).into_iter();
        operations
            .map(|operation| OperationInfo {
                name: operation.name,
                kind: operation.kind,
            })
            .collect()
    }

    /// How often operations are called and fail, and how long they take. Most of it comes from
    /// rollups; see [`Store::span_rollup`] for what is exact.
    ///
    /// # Errors
    /// When the store cannot be read, or more steps of more operations are asked for than fit into an
    /// answer.
    pub fn operation_statistics(
        &self,
        query: &OperationQuery,
        budget: &QueryBudget,
    ) -> Result<OperationStatistics, QueryError> {
        operation_statistics(&self.store, query, budget)
    }

    /// Reads what the first question about training runs would have to read: to be called in the
    /// background after a start. Batches may be absorbed, and questions asked, meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read; the next question tries again.
    pub fn warm_up(&self) -> Result<(), QueryError> {
        Ok(self.runs.warm_up()?)
    }

    /// Copies the spans of a trace into the archive, where retention does not remove them, and says
    /// how many were not there yet; `None` if no span of it is stored. What is damaged is left out, as the
    /// answer says.
    ///
    /// # Errors
    /// When the store cannot be read, or no span was found where it can and a block is damaged; when the
    /// archive cannot be written; or the budget is exhausted. What was copied by then stays.
    pub fn archive_trace(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Option<Readable<usize>>, QueryError> {
        let archived = self.store.archive_trace(trace_id, budget)?;
        let is_there =
            archived.copied_spans > 0 || self.store.archived_spans(trace_id, budget)? > 0;
        let copied = is_there.then_some(archived.copied_spans);
        let copied = found_or_left_out(copied, &archived.damaged)?;
        Ok(copied.map(|answer| Readable {
            answer,
            damaged: archived.damaged,
        }))
    }

    /// Whether a trace has spans in the archive.
    ///
    /// # Errors
    /// When the store cannot be read, or the budget is exhausted.
    pub fn is_archived(&self, trace_id: TraceId, budget: &QueryBudget) -> Result<bool, QueryError> {
        Ok(self.store.archived_spans(trace_id, budget)? > 0)
    }

    /// Takes in a batch of new spans, as [`Store::subscribe`] gives them, and says what it changed.
    /// Runs are named only once [`QueryEngine::runs`] or a question about one was asked.
    pub fn absorb(&self, batch: &StoredBatch) -> LiveChanges {
        // A trace that is followed only from now on is read from the store, which has the batch.
        let followed = self.digests.followed();
        if !followed.is_empty() {
            let wanted = batch
                .spans()
                .filter(|span| followed.contains(&span.trace_id()));
            let records: Vec<_> = wanted
                .map(|span| Arc::new(span.record(SpanParts::ALL)))
                .collect();
            self.digests.absorb(&records);
        }
        LiveChanges {
            trace_ids: distinct_traces(batch.spans()),
            run_ids: self.runs.absorb(batch),
        }
    }

    /// Notes that batches were missed: the next question about training runs reads what was stored
    /// since the last one absorbed, and one about a large trace reads that anew.
    pub fn lagged(&self) {
        self.runs.lagged();
        self.digests.forget();
    }
}

/// What was found, or the error of nothing where a part of the store could not be read.
pub(crate) fn found_or_left_out<T>(
    found: Option<T>,
    damaged: &Damaged,
) -> Result<Option<T>, QueryError> {
    match (found, damaged.first()) {
        (None, Some(damage)) => Err(QueryError::LeftOut(damage.clone())),
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests;
