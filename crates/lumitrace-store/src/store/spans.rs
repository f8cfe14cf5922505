//! What the handle does with spans: appending, following, traces by id, searches, and counts.

use std::convert;
use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

use super::Store;
use crate::engine::Engine;
use crate::rollup::roll_up;
use crate::scan::walk;
use crate::shelf::Shelf;
use crate::spans::Spans;
use crate::summary::Summaries;
use crate::trace::{self, SpansThatCount, TraceLookup};
use crate::{
    Append, Damaged, Exhausted, LookupError, OperationSummary, QueryBudget, ReadError,
    RollupRequest, ScanRequest, ScanStats, ServiceSummary, SpanBatch, SpanDigest, SpanParts,
    SpanRecord, SpanRollup, Subscription, TraceSpans, digest,
};

impl Store {
    /// Hands over a batch. The answer comes when it is durable and searchable, or refused. A batch of the
    /// same bytes as one that was acknowledged within the last ten minutes is answered as that was.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use lumitrace_store::SpanBatch;
    ///
    /// # let resource_spans = example::spans();
    /// let receipt = store.append(SpanBatch::from_resource_spans(&resource_spans)?).wait()?;
    /// assert_eq!((receipt.record_count, receipt.first_seq), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&self, batch: SpanBatch) -> Append {
        self.handle.spans.append(batch.recognisable())
    }

    /// Every batch of spans from now on, as soon as it is durable and searchable. A subscriber that falls
    /// behind by more than [`StoreOptions::subscriber_bytes`] is told how many it missed.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// let mut subscription = store.subscribe();
    /// # let batch = example::batch()?;
    /// store.append(batch).wait()?;
    /// assert_eq!(subscription.blocking_recv()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(&self.handle.spans.engine.subscribers)
    }

    /// All spans of a trace, whatever their age and at whatever cost, each once, by start; those
    /// included that only the archive has.
    ///
    /// A final span replaces announcements of it; of two announcements the later counts, of two
    /// final spans the first.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// let spans = store.trace(trace_id)?;
    /// assert_eq!(spans[0].span.name, "training_epoch");
    /// assert_eq!(spans[1].span.parent_span_id, Some(spans[0].span.span_id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or one is damaged that may have spans of it.
    pub fn trace(&self, trace_id: TraceId) -> Result<Vec<Arc<SpanRecord>>, LookupError> {
        let (parts, budget) = (SpanParts::ALL, QueryBudget::unlimited());
        Ok(self.trace_parts(trace_id, parts, &budget)?.whole()?)
    }

    /// Like [`trace`](Self::trace), but only these parts of each span, which are held by `budget`, and
    /// without what is damaged.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{QueryBudget, SpanParts};
    ///
    /// # let trace_id = example::trace_id();
    /// let found = store.trace_parts(trace_id, SpanParts::NONE, &QueryBudget::unlimited())?;
    /// assert_eq!(found.spans.len(), 2);
    /// assert!(found.damaged.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or the budget is exhausted.
    pub fn trace_parts(
        &self,
        trace_id: TraceId,
        parts: SpanParts,
        budget: &QueryBudget,
    ) -> Result<TraceSpans<Arc<SpanRecord>>, LookupError> {
        self.trace_with(trace_id, parts, budget, &mut |record| {
            budget.hold(record.memory_bytes())?;
            Ok(Arc::new(record))
        })
    }

    /// Like [`trace_parts`](Self::trace_parts), but of each span only what `keep` makes of it, which
    /// `keep` has the budget hold: a trace of a million spans is read in little memory so. A span
    /// of which a record comes that does not count is handed over more than once.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{QueryBudget, SpanParts};
    ///
    /// # let trace_id = example::trace_id();
    /// let budget = QueryBudget::unlimited();
    /// let durations = store.trace_with(trace_id, SpanParts::NONE, &budget, &mut |record| {
    ///     budget.hold(size_of::<u64>())?;
    ///     Ok(record.span.duration_nano())
    /// })?;
    /// assert_eq!(durations.spans, [2_000_000_000, 500_000_000]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or the budget is exhausted.
    pub fn trace_with<T>(
        &self,
        trace_id: TraceId,
        parts: SpanParts,
        budget: &QueryBudget,
        keep: &mut dyn FnMut(SpanRecord) -> Result<T, Exhausted>,
    ) -> Result<TraceSpans<T>, LookupError> {
        let lookup = TraceLookup { trace_id, parts };
        let mut spans = SpansThatCount::of_trace(&self.handle.spans, lookup, budget, keep)?;
        if let Some(archive) = self.handle.archive.get() {
            let keep = &mut |record| keep(trace::archived(record));
            spans.add_archived(SpansThatCount::of_trace(archive, lookup, budget, keep)?);
        }
        Ok(spans.by_start())
    }

    /// The spans of a trace that have this id: one for each kind, as Zipkin lets a client and a
    /// server share an id. See [`trace`](Self::trace) for which record of a span counts. What is
    /// damaged is left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// # let span_id = store.trace(trace_id)?[1].span.span_id;
    /// let found = store.span(trace_id, span_id)?;
    /// assert_eq!(found.spans[0].span.name, "batch_processing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<TraceSpans<Arc<SpanRecord>>, ReadError> {
        let mut spans =
            SpansThatCount::of_span(&self.handle.spans, trace_id, span_id, convert::identity)?;
        if let Some(archive) = self.handle.archive.get() {
            let archived = SpansThatCount::of_span(archive, trace_id, span_id, trace::archived)?;
            spans.add_archived(archived);
        }
        Ok(spans.by_start())
    }

    /// The damage of blocks that cannot be opened. Any of them may have spans of whatever is asked for.
    pub fn left_out_blocks(&self) -> Damaged {
        let mut damaged = trace::left_out_blocks(&self.handle.spans.snapshot());
        if let Some(archive) = self.handle.archive.get() {
            damaged.extend(trace::left_out_blocks(&archive.snapshot()));
        }
        damaged
    }

    /// Hands every span that `request` asks for to `visit`, window by window, until it breaks.
    ///
    /// A span is visited once if all that was received of it starts at the same time, which
    /// senders keep to. An announcement may still be visited after its final span has come if both
    /// are in blocks and only the announcement is what `request` asks for;
    /// [`trace`](Self::trace) knows it exactly.
    ///
    /// What only the archive has is visited as well, with sequence number 0, unless `request` asks for
    /// later ones.
    ///
    /// A scan whose budget is exhausted ends early and says so in its statistics, which also tell what
    /// is damaged and was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_store::ScanRequest;
    ///
    /// let batches = ScanRequest {
    ///     service: Some("trainer".to_owned()),
    ///     attributes: vec![("loss".to_owned(), "0.25".to_owned())],
    ///     ..ScanRequest::default()
    /// };
    /// let mut names = Vec::new();
    /// let stats = store.scan(&batches, &mut |record| {
    ///     names.push(record.span.name.clone());
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(names, ["batch_processing"]);
    /// assert!(stats.exhausted.is_none() && stats.damaged.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan(
        &self,
        request: &ScanRequest,
        visit: &mut dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()>,
    ) -> Result<ScanStats, ReadError> {
        let mut places = vec![self.handle.spans.snapshot()];
        if walk::includes_archive(request) {
            places.extend(self.handle.archive.get().map(Shelf::snapshot));
        }
        walk::scan(&places, request, visit)
    }

    /// The sequence number after the last: every span with a lower one is searchable.
    ///
    /// Together with [`ScanRequest::seqs`] it divides what a scan reads from what
    /// [`subscribe`](Self::subscribe) brings, so that each span is taken in once.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_store::ScanRequest;
    ///
    /// let end = store.end_seq();
    /// let so_far = ScanRequest { seqs: 0..end, ..ScanRequest::default() };
    /// let stats = store.scan(&so_far, &mut |record| {
    ///     assert!(record.seq < end);
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(stats.matched_spans, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_seq(&self) -> u64 {
        self.handle.spans.end_seq()
    }

    /// What the store's [digester](StoreOptions::digester) left in blocks, by sequence numbers: of those
    /// whose spans need not be read because of it. See [`ScanRequest::except_seqs`].
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// // A digester is an option; without one there are none. See `SpanDigester`.
    /// assert!(store.digests()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digests(&self) -> Result<Vec<SpanDigest>, ReadError> {
        let Some(digester) = self.handle.spans.options().digester.clone() else {
            return Ok(Vec::new());
        };
        let archive = self.handle.archive.get().map(Shelf::snapshot);
        digest::digests(
            digester.format(),
            &self.handle.spans.snapshot(),
            archive.as_deref(),
        )
    }

    /// How many spans there are, how many failed and how long they took, by service, operation and
    /// kind: what `request` asks for.
    ///
    /// Announcements are not counted. A span that is received again while memory still has it counts
    /// once; one that is received again later counts twice until the blocks that hold it are merged.
    ///
    /// What is damaged is left out, as the statistics say.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::RollupRequest;
    ///
    /// let epochs = RollupRequest { name: Some("training_epoch".to_owned()), ..Default::default() };
    /// let rollup = store.span_rollup(&epochs)?;
    /// assert_eq!(rollup.rows[0].durations.count(), 1);
    /// assert_eq!(rollup.rows[0].durations.max_nano(), 2_000_000_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn span_rollup(&self, request: &RollupRequest) -> Result<SpanRollup, ReadError> {
        roll_up(&self.handle.spans.snapshot(), request)
    }

    /// The services of which spans are stored, by name.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let services = store.services();
    /// assert_eq!((services[0].name.as_str(), services[0].span_count), ("trainer", 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn services(&self) -> Vec<ServiceSummary> {
        self.summaries().services()
    }

    /// The operations of a service, by name and kind.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let operations = store.operations("trainer");
    /// let names: Vec<&str> = operations.iter().map(|it| it.name.as_str()).collect();
    /// assert_eq!(names, ["batch_processing", "training_epoch"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn operations(&self, service: &str) -> Vec<OperationSummary> {
        self.summaries().operations(service)
    }

    /// Spans that are archived count twice while the spans' shelf has them too.
    fn summaries(&self) -> Summaries {
        let mut total = Summaries::default();
        let archive = self.handle.archive.get().map(Shelf::snapshot);
        for sources in std::iter::once(self.handle.spans.snapshot()).chain(archive) {
            let blocks = sources.blocks.iter();
            blocks.for_each(|block| total.merge(block.summaries()));
            let memtables = sources.memtables();
            let memtables = memtables.iter();
            memtables.for_each(|memtable| memtable.add_summaries_to(&mut total));
        }
        total
    }

    /// What the threads of the spans' shelf share.
    pub(crate) fn engine(&self) -> &Engine<Spans> {
        &self.handle.spans.engine
    }
}
