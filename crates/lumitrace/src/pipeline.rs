//! From ended spans to exporters: one queue and one worker thread per provider and process.
//!
//! Modules in reading order: `lanes` (where each thread records), `load` (how much waits), `control`
//! (waking, flushing, stopping the worker), `worker`, `delivery` (one exporter with its retries).

mod control;
mod delivery;
pub(crate) mod lanes;
mod load;
mod worker;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lumitrace_model::{KeyValue, Resource, names};

use crate::ended::BatchSize;
use crate::exporter::SpanExporter;
use crate::lane::{Lane, barrier};
use crate::notice::{Notice, NoticeHandler};
use crate::{BatchSettings, SpanLimits, fork};
use control::Control;
pub use control::FlushError;
use lanes::Lanes;
use load::WaitingLoad;
pub(crate) use load::{Credit, QueueFull};

/// Makes the exporter of one process: a forked child cannot share its parent's.
pub(crate) type ExporterFactory = Box<dyn Fn() -> Box<dyn SpanExporter> + Send + Sync>;

/// What a provider was set up with.
pub(crate) struct PipelineSettings {
    pub(crate) resource: Resource,
    pub(crate) batch: BatchSettings,
    pub(crate) limits: SpanLimits,
    pub(crate) exporters: Vec<ExporterFactory>,
    pub(crate) notice_handler: NoticeHandler,
}

/// The queue and worker of one provider in one process.
pub(crate) struct Pipeline {
    generation: u32,
    /// Whether threads may have their lanes for themselves; see [`barrier`].
    has_barrier: bool,
    settings: &'static PipelineSettings,
    batch_size: BatchSize,
    lanes: Lanes,
    load: WaitingLoad,
    control: Control,
    counters: Counters,
    worker_started: OnceLock<bool>,
    /// Of a child that was forked from this process.
    successor: OnceLock<Box<Pipeline>>,
}

/// What went well and what was lost; each span is counted once per exporter at most.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) late_changes: AtomicU64,
    pub(crate) exported_spans: AtomicU64,
    pub(crate) announced_spans: AtomicU64,
    pub(crate) queue_full_spans: AtomicU64,
    pub(crate) refused_spans: AtomicU64,
    pub(crate) unsent_spans: AtomicU64,
    pub(crate) failed_exports: AtomicU64,
}

impl Counters {
    pub(crate) fn count_late_change(&self) {
        self.late_changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a provider has done so far in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TracingStats {
    /// Recorded spans that were started; those that the sampler left out are none.
    pub started_spans: u64,
    /// Those of them that have ended.
    pub ended_spans: u64,
    /// Spans that exporters accepted. With several exporters, each acceptance counts.
    pub exported_spans: u64,
    /// Announcements of open spans that were sent.
    pub announced_spans: u64,
    /// Spans dropped because too many were waiting.
    pub queue_full_spans: u64,
    /// Spans that a receiver refused for good.
    pub refused_spans: u64,
    /// Spans that were still waiting when tracing ended, or that ended after it.
    pub unsent_spans: u64,
    /// Attempts to export that failed, retries included.
    pub failed_exports: u64,
    /// Changes to spans after their end, which were ignored.
    pub late_changes: u64,
    /// Spans that wait to be exported now.
    pub waiting_spans: u64,
}

impl Pipeline {
    pub(crate) fn new(settings: &'static PipelineSettings) -> Self {
        Self {
            generation: fork::generation(),
            has_barrier: barrier::register(),
            settings,
            batch_size: BatchSize {
                // The specification asks for at most the queue's size.
                spans: settings
                    .batch
                    .max_batch_spans
                    .min(settings.batch.max_queue_spans)
                    .max(1),
                bytes: settings.batch.max_batch_bytes,
            },
            lanes: Lanes::default(),
            load: WaitingLoad::new(&settings.batch),
            control: Control::default(),
            counters: Counters::default(),
            worker_started: OnceLock::new(),
            successor: OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }

    /// This pipeline, or in a forked child the child's own.
    pub(crate) fn of_this_process(&'static self) -> &'static Self {
        let mut pipeline = self;
        while !pipeline.is_of_this_process() {
            let settings = pipeline.settings;
            pipeline = pipeline
                .successor
                .get_or_init(|| Box::new(Self::new(settings)));
        }
        pipeline
    }

    pub(crate) fn has_barrier(&self) -> bool {
        self.has_barrier
    }

    pub(crate) fn batch_size(&self) -> BatchSize {
        self.batch_size
    }

    #[inline]
    pub(crate) fn limits(&self) -> &'static SpanLimits {
        &self.settings.limits
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Where the calling thread records.
    pub(crate) fn own_lane(&'static self) -> &'static Lane {
        if self.has_exporters() {
            self.start_worker();
        }
        Lanes::own(self)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether there is anywhere to send spans. Without, nothing waits and nothing is lost.
    fn has_exporters(&self) -> bool {
        !self.settings.exporters.is_empty()
    }

    /// Takes the room for a span that has ended out of `credit`, or claims some; where there is none,
    /// the span is lost and counted. Returns whether the worker should look.
    pub(crate) fn claim(&self, credit: &mut Credit, size_bytes: usize) -> Result<bool, QueueFull> {
        if !self.has_exporters() {
            // Nothing waits and nothing is lost.
            return Err(QueueFull);
        }
        let claimed = self.load.claim(credit, size_bytes);
        if claimed.is_err() {
            let lost = match self.load.is_closed() {
                true => &self.counters.unsent_spans,
                false => &self.counters.queue_full_spans,
            };
            lost.fetch_add(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Has the worker look at what waits, unless it is at work.
    pub(crate) fn wake_worker(&self) {
        self.control.wake_if_sleeping();
    }

    /// Starts the worker at the first span: a process that records nothing has no thread.
    fn start_worker(&'static self) -> bool {
        *self.worker_started.get_or_init(|| {
            let work = move || worker::run(self);
            let started = std::thread::Builder::new()
                .name("lumitrace".to_owned())
                .spawn(work);
            if let Err(error) = &started {
                self.settings.notice_handler.tell(&Notice::NoWorker {
                    reason: error.to_string(),
                });
            }
            started.is_ok()
        })
    }

    /// Sends what waits. Blocks until it is sent or `timeout` is over.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), FlushError> {
        match self.worker_started.get() {
            None => Ok(()),
            Some(false) => Err(FlushError::Failed),
            Some(true) => self.control.flush(Instant::now() + timeout),
        }
    }

    /// Sends what waits and ends the worker. Blocks until that is done or `timeout` is over.
    pub(crate) fn shut_down(&self, timeout: Duration) -> Result<(), FlushError> {
        match self.worker_started.get() {
            None => Ok(()),
            Some(false) => Err(FlushError::Failed),
            Some(true) => self.control.shut_down(Instant::now() + timeout),
        }
    }

    /// Whether the last attempt to reach an exporter's receiver failed.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.control.is_unreachable()
    }

    pub(crate) fn stats(&self) -> TracingStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lanes = self.lanes.all().into_iter().map(|lane| lane.count_spans());
        let (open, ended) = lanes.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        TracingStats {
            started_spans: open + ended,
            ended_spans: ended,
            exported_spans: count(&self.counters.exported_spans),
            announced_spans: count(&self.counters.announced_spans),
            queue_full_spans: count(&self.counters.queue_full_spans),
            refused_spans: count(&self.counters.refused_spans),
            unsent_spans: count(&self.counters.unsent_spans),
            failed_exports: count(&self.counters.failed_exports),
            late_changes: count(&self.counters.late_changes),
            waiting_spans: self.waiting_spans(),
        }
    }

    fn waiting_spans(&self) -> u64 {
        let lanes = self.lanes.all().into_iter();
        let to_come: u64 = lanes.map(|lane| lane.credit().spans()).sum();
        self.load.spans().saturating_sub(to_come)
    }

    /// The resource as this process reports it. A forked child has a process id of its own, and
    /// keeps the instance id: its spans belong to the run of its parent.
    fn resource(&self) -> Resource {
        let mut resource = self.settings.resource.clone();
        for attribute in &mut resource.attributes {
            if self.generation > 0 && attribute.key == names::PROCESS_PID {
                *attribute = KeyValue::new(names::PROCESS_PID, std::process::id());
            }
        }
        resource
    }
}
