//! The handle to an open store.

use std::convert;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

use crate::disk::{Disk, RealDisk};
use crate::engine::Engine;
use crate::error::io_error;
use crate::folder::{Folder, FolderLock};
use crate::logs::{self, Logs};
use crate::metrics::{self, Metrics};
use crate::parallel;
use crate::retention::KeptBlocks;
use crate::rollup::roll_up;
use crate::scan::walk;
use crate::shelf::{LateShelf, Shelf, ShelfName, ShelfPlace};
use crate::spans::Spans;
use crate::subscription::Subscribers;
use crate::summary::Summaries;
use crate::trace::{self, SpansThatCount, TraceLookup};
use crate::{
    Append, ArchiveError, Archived, Damaged, Exhausted, FlushError, LogBatch, LogEntry, LogScan,
    LogScanStats, LookupError, MetricBatch, MetricInfo, MetricKind, MetricSelection,
    MetricSelector, MetricSummary, OpenError, OperationSummary, QueryBudget, ReadError,
    RollupRequest, ScanRequest, ScanStats, ServiceSummary, ShelfStats, SpanBatch, SpanDigest,
    SpanParts, SpanRecord, SpanRollup, StoreOptions, StoredLogs, StoredPoint, StoredPoints,
    Subscription, TraceSpans, archive, digest,
};

/// An open store. Clones share it; dropping the last one closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    spans: Shelf<Spans>,
    archive: LateShelf<Spans>,
    logs: LateShelf<Logs>,
    metrics: LateShelf<Metrics>,
    /// Held, because closing it lets in the next process: so it is the last to be dropped.
    _lock: FolderLock,
}

impl Handle {
    /// Has blocks removed and merged that are due, soon.
    fn wake_upkeep(&self) {
        self.spans.wake_upkeep();
        self.archive.get().into_iter().for_each(Shelf::wake_upkeep);
        self.logs.get().into_iter().for_each(Shelf::wake_upkeep);
        self.metrics.get().into_iter().for_each(Shelf::wake_upkeep);
    }
}

impl Store {
    /// Opens the store in `options.dir`, creating the folder if absent, and brings back from the
    /// logs what had not reached a block.
    ///
    /// A block that is damaged is left out if it cannot be opened; of one that can, what cannot be
    /// read is left out of answers, which say so. See [`ShelfStats::damages`].
    ///
    /// ```
    /// use lumitrace_store::{Store, StoreOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = Store::open(StoreOptions::new(dir))?;
    /// assert_eq!(store.stats().records, 0);
    /// let clone = store.clone(); // the same store
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let folder = Folder::create(&options.dir)?;
        let lock = folder.lock()?;
        let caches = Arc::default();
        let kept = Arc::<KeptBlocks>::default();
        let place = |name| ShelfPlace {
            folder: folder.shelf(name),
            options: options.of_shelf(name),
            disk: Arc::clone(&disk),
            caches: Arc::clone(&caches),
            kept: Arc::clone(&kept),
        };
        let subscribers = Subscribers::new(options.subscriber_bytes);
        let threads = options.opening_threads;
        let opened = parallel::both(
            threads,
            || {
                parallel::both(
                    threads,
                    || Shelf::open(place(ShelfName::Spans), Arc::new(subscribers)),
                    || LateShelf::open(place(ShelfName::Archive)),
                )
            },
            || {
                parallel::both(
                    threads,
                    || LateShelf::open(place(ShelfName::Logs)),
                    || LateShelf::open(place(ShelfName::Metrics)),
                )
            },
        );
        let opened = opened.and_then(|(spans, others)| Ok((spans?, others?)));
        let ((spans, archive), (logs, metrics)) =
            opened.map_err(io_error("start threads for", &options.dir))?;
        let handle = Handle {
            spans: spans?,
            archive: archive?,
            logs: logs?,
            metrics: metrics?,
            _lock: lock,
        };
        kept.set_complete();
        handle.wake_upkeep();
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

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

    /// Copies the spans of a trace into the archive, where they are kept for ever, and returns once
    /// they are durable there. Final spans that the archive has are not copied again. What comes later is
    /// archived when it is asked for again. What is damaged is left out, as the answer says.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// use lumitrace_store::QueryBudget;
    ///
    /// let budget = QueryBudget::unlimited();
    /// assert_eq!(store.archive_trace(trace_id, &budget)?.copied_spans, 2);
    /// assert_eq!(store.archive_trace(trace_id, &budget)?.copied_spans, 0); // it has them already
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ArchiveError`]. What was copied by then stays.
    ///
    /// # Panics
    /// On a thread of an async runtime: it blocks.
    pub fn archive_trace(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Archived, ArchiveError> {
        let Handle { spans, archive, .. } = &*self.handle;
        archive::archive_trace(spans, archive, trace_id, budget)
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

    /// Hands over a batch of log records. The answer comes when it is durable and searchable, or
    /// refused.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use lumitrace_store::LogBatch;
    ///
    /// # let resource_logs = example::logs();
    /// let receipt = store.append_logs(LogBatch::from_resource_logs(&resource_logs)?).wait()?;
    /// assert_eq!(receipt.record_count, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_logs(&self, batch: LogBatch) -> Append {
        match self.handle.logs.get_or_begin() {
            Ok(logs) => logs.append(batch),
            Err(refusal) => Append::answered(Err(refusal)),
        }
    }

    /// Hands every log record that `request` asks for to `visit`, newest first, until it breaks.
    ///
    /// A search whose budget is exhausted ends early and says so in its statistics, which also tell
    /// what is damaged and was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_model::Severity;
    /// use lumitrace_store::LogScan;
    ///
    /// let errors = LogScan { min_severity: Severity::ERROR, ..LogScan::default() };
    /// let mut latest = None;
    /// let stats = store.scan_logs(&errors, &mut |entry| {
    ///     latest = Some(entry);
    ///     ControlFlow::Break(())
    /// })?;
    /// assert_eq!(latest.unwrap().log.body.as_str(), Some("out of memory"));
    /// assert!(stats.stopped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan_logs(
        &self,
        request: &LogScan,
        visit: &mut dyn FnMut(Arc<LogEntry>) -> ControlFlow<()>,
    ) -> Result<LogScanStats, ReadError> {
        match self.handle.logs.get() {
            Some(logs) => logs::scan::scan(&logs.snapshot(), request, visit),
            None => Ok(LogScanStats::default()),
        }
    }

    /// Hands over a batch of metrics. The answer comes when its points are durable and searchable,
    /// or refused.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use lumitrace_store::MetricBatch;
    ///
    /// # let resource_metrics = example::metrics();
    /// let receipt = store.append_metrics(MetricBatch::from_resource_metrics(&resource_metrics)?).wait()?;
    /// assert_eq!(receipt.record_count, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_metrics(&self, batch: MetricBatch) -> Append {
        match self.handle.metrics.get_or_begin() {
            Ok(metrics) => metrics.append(batch),
            Err(refusal) => Append::answered(Err(refusal)),
        }
    }

    /// Hands every point that `selector` wants to `visit`, until it breaks: in memory that does not grow
    /// with their number, and so not in the order of anything but, part by part, that of blocks. The
    /// answer is what is damaged and was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_store::MetricSelector;
    ///
    /// let mut points = 0;
    /// store.scan_points(&MetricSelector::default(), &mut |_point| {
    ///     points += 1;
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(points, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn scan_points(
        &self,
        selector: &MetricSelector,
        visit: &mut dyn FnMut(Arc<StoredPoint>) -> ControlFlow<()>,
    ) -> Result<Damaged, LookupError> {
        let unlimited = QueryBudget::unlimited();
        match self.handle.metrics.get() {
            None => Ok(Damaged::default()),
            Some(metrics) => {
                metrics::select::scan(&metrics.snapshot(), selector, &unlimited, visit)
            }
        }
    }

    /// The series that have points which `selector` wants, with these points by time; by metric
    /// name. A point that was received twice is there twice. What is damaged is left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{MetricSelector, QueryBudget};
    ///
    /// let name = Some("gpu.utilization".to_owned());
    /// let selector = MetricSelector { name, ..MetricSelector::default() };
    /// let selection = store.metric_series(&selector, &QueryBudget::unlimited())?;
    /// assert_eq!(selection.series.len(), 1);
    /// assert_eq!(selection.series[0].points.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or it would cost more than `budget` allows.
    pub fn metric_series(
        &self,
        selector: &MetricSelector,
        budget: &QueryBudget,
    ) -> Result<MetricSelection, LookupError> {
        match self.handle.metrics.get() {
            Some(metrics) => metrics::select::select(&metrics.snapshot(), selector, budget),
            None => Ok(MetricSelection::default()),
        }
    }

    /// The metrics of which points are stored, by name and kind. Reads nothing from disk.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let metrics = store.metrics();
    /// assert_eq!((metrics[0].name.as_str(), metrics[0].point_count), ("gpu.utilization", 2));
    /// assert_eq!(metrics[0].services, ["trainer"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Vec<MetricSummary> {
        let metrics = self.handle.metrics.get().map(Shelf::snapshot);
        metrics.map_or_else(Vec::new, |sources| metrics::catalog::list(&sources))
    }

    /// What the metric of this name and kind is, as one of its newest points says; none if no points
    /// of it are stored. What is damaged is noted in `damaged`.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{Damaged, MetricKind, QueryBudget};
    ///
    /// let (budget, mut damaged) = (QueryBudget::unlimited(), Damaged::default());
    /// let info = store.metric_info("gpu.utilization", MetricKind::Gauge, &budget, &mut damaged)?;
    /// assert_eq!(info.unwrap().unit, "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or it would cost more than `budget` allows.
    pub fn metric_info(
        &self,
        name: &str,
        kind: MetricKind,
        budget: &QueryBudget,
        damaged: &mut Damaged,
    ) -> Result<Option<Arc<MetricInfo>>, LookupError> {
        match self.handle.metrics.get() {
            Some(metrics) => {
                metrics::catalog::info(&metrics.snapshot(), name, kind, budget, damaged)
            }
            None => Ok(None),
        }
    }

    /// What the threads of the spans' shelf share.
    pub(crate) fn engine(&self) -> &Engine<Spans> {
        &self.handle.spans.engine
    }

    /// What the threads of the archive share, if there is one.
    pub(crate) fn archive_engine(&self) -> Option<&Engine<Spans>> {
        Some(&self.handle.archive.get()?.engine)
    }

    /// What the threads of the shelf of logs share, if there is one.
    pub(crate) fn logs_engine(&self) -> Option<&Engine<Logs>> {
        Some(&self.handle.logs.get()?.engine)
    }

    /// What the threads of the shelf of metrics share, if there is one.
    pub(crate) fn metrics_engine(&self) -> Option<&Engine<Metrics>> {
        Some(&self.handle.metrics.get()?.engine)
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

    /// The names of the services of which log records are stored, in order.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// assert_eq!(store.log_services(), ["trainer"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn log_services(&self) -> Vec<String> {
        let mut total = Summaries::default();
        if let Some(sources) = self.handle.logs.get().map(Shelf::snapshot) {
            let blocks = sources.blocks.iter();
            blocks.for_each(|block| total.merge(block.summaries()));
            let memtables = sources.memtables();
            let memtables = memtables.iter();
            memtables.for_each(|memtable| memtable.add_summaries_to(&mut total));
        }
        let services = total.services().into_iter();
        services.map(|service| service.name).collect()
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

    /// How many spans of a trace the archive has, without those that are damaged.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// use lumitrace_store::QueryBudget;
    ///
    /// let budget = QueryBudget::unlimited();
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 0);
    /// store.archive_trace(trace_id, &budget)?;
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or the budget is exhausted.
    pub fn archived_spans(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
    ) -> Result<usize, LookupError> {
        let Some(archive) = self.handle.archive.get() else {
            return Ok(0);
        };
        let lookup = TraceLookup {
            trace_id,
            parts: SpanParts::NONE,
        };
        let spans = SpansThatCount::of_trace(archive, lookup, budget, &mut |_| Ok(()))?;
        Ok(spans.by_start().spans.len())
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

    /// The same of log records; which of them are wanted says [`LogScan::matches`].
    pub fn subscribe_to_logs(&self) -> Subscription<StoredLogs> {
        self.handle.logs.subscribe()
    }

    /// The same of metric points; which of them are wanted says [`MetricSelector::matches`].
    pub fn subscribe_to_metrics(&self) -> Subscription<StoredPoints> {
        self.handle.metrics.subscribe()
    }

    /// The spans' shelf in numbers.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.records, stats.appended_batches), (2, 1));
    /// assert!(stats.failure.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> ShelfStats {
        self.handle.spans.stats()
    }

    /// A shelf in numbers; none if nothing was ever put on it.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::ShelfName;
    ///
    /// assert_eq!(store.stats_of(ShelfName::Logs).unwrap().records, 1);
    /// assert!(store.stats_of(ShelfName::Archive).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats_of(&self, shelf: ShelfName) -> Option<ShelfStats> {
        match shelf {
            ShelfName::Spans => Some(self.stats()),
            ShelfName::Archive => self.handle.archive.get().map(Shelf::stats),
            ShelfName::Logs => self.handle.logs.get().map(Shelf::stats),
            ShelfName::Metrics => self.handle.metrics.get().map(Shelf::stats),
        }
    }

    /// Writes everything in memory out as blocks, and returns when that is done.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// assert_eq!((store.stats().blocks, store.stats().memtable_records), (0, 2));
    /// store.flush()?;
    /// assert_eq!((store.stats().blocks, store.stats().memtable_records), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The reason for which it could not be written. Nothing is lost: the log still has it.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.handle.spans.flush()?;
        self.handle.archive.get().map_or(Ok(()), Shelf::flush)?;
        self.handle.logs.get().map_or(Ok(()), Shelf::flush)?;
        self.handle.metrics.get().map_or(Ok(()), Shelf::flush)
    }

    /// Ends the store's threads after they have answered what was handed over. What is in memory
    /// stays in the log. Later appends are refused; reads still work. The folder stays locked
    /// until the last clone is dropped.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let (batch, trace_id) = (example::batch()?, example::trace_id());
    /// store.close();
    /// assert!(store.append(batch).wait().is_err());
    /// assert_eq!(store.trace(trace_id)?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.handle.spans.close();
        self.handle.archive.close();
        self.handle.logs.close();
        self.handle.metrics.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.handle.spans.engine.options.dir)
            .finish()
    }
}

#[cfg(test)]
mod tests;
