//! From ended spans to exporters: one queue and one worker thread per provider and process.
//!
//! Modules in reading order: `spares` (recordings for reuse), `shards` (locks that threads do not
//! share), `open_spans`, `queue`, `control` (waking, flushing, stopping the worker), `worker`,
//! `delivery` (one exporter with its retries).

mod control;
mod delivery;
mod open_spans;
mod queue;
mod shards;
mod spares;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lumitrace_model::{KeyValue, Resource, names};

use crate::exporter::SpanExporter;
use crate::notice::{Notice, NoticeHandler};
use crate::recording::Recording;
use crate::{BatchSettings, SpanLimits, fork};
use control::Control;
pub use control::FlushError;
use open_spans::OpenSpans;
use queue::SpanQueue;
use spares::Spares;

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
    settings: &'static PipelineSettings,
    spares: Spares,
    queue: SpanQueue,
    open_spans: OpenSpans,
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

/// What a provider has done so far in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TracingStats {
    /// Spans that exporters accepted. With several exporters, each acceptance counts.
    pub exported_spans: u64,
    /// Announcements of open spans that were sent.
    pub announced_spans: u64,
    /// Spans dropped because too many were waiting.
    pub queue_full_spans: u64,
    /// Spans that a receiver refused for good.
    pub refused_spans: u64,
    /// Spans that were still waiting when tracing ended.
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
            settings,
            spares: Spares::default(),
            queue: SpanQueue::new(&settings.batch),
            open_spans: OpenSpans::default(),
            control: Control::default(),
            counters: Counters::default(),
            worker_started: OnceLock::new(),
            successor: OnceLock::new(),
        }
    }

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

    pub(crate) fn limits(&self) -> &'static SpanLimits {
        &self.settings.limits
    }

    pub(crate) fn spares(&self) -> &Spares {
        &self.spares
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether there is anywhere to send spans. Without, nothing waits and nothing is lost.
    fn has_exporters(&self) -> bool {
        !self.settings.exporters.is_empty()
    }

    /// Takes note of a span that has just started.
    pub(crate) fn opened(&'static self, recording: &Arc<Recording>) {
        if self.has_exporters() {
            self.start_worker();
            self.open_spans.insert(recording);
        }
    }

    /// Takes over a span that has ended; where too many wait already, drops and counts it.
    pub(crate) fn submit(&self, recording: Arc<Recording>, size_bytes: usize) {
        if !self.has_exporters() {
            return;
        }
        match self.queue.push(recording, size_bytes) {
            Ok(is_batch_full) => {
                if is_batch_full {
                    self.control.wake_if_sleeping();
                }
            }
            Err(recording) => {
                self.counters
                    .queue_full_spans
                    .fetch_add(1, Ordering::Relaxed);
                // Frees what it holds now: the list of open spans may keep it a little longer.
                drop(recording.take());
            }
        }
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
        TracingStats {
            exported_spans: count(&self.counters.exported_spans),
            announced_spans: count(&self.counters.announced_spans),
            queue_full_spans: count(&self.counters.queue_full_spans),
            refused_spans: count(&self.counters.refused_spans),
            unsent_spans: count(&self.counters.unsent_spans),
            failed_exports: count(&self.counters.failed_exports),
            late_changes: count(&self.counters.late_changes),
            waiting_spans: self.queue.len() as u64,
        }
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
