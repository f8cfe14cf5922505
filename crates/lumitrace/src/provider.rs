//! Providers: where tracers come from, and what is common to their spans.

use std::time::Duration;

use lumitrace_model::{Resource, Scope, Text};

use crate::exporter::SpanExporter;
use crate::notice::{Notice, NoticeHandler};
use crate::pipeline::{ExporterFactory, FlushError, PipelineSettings, TracingStats};
use crate::recorder::Recorder;
use crate::sampler::{AlwaysOn, ComponentSwitches, ParentBased, Sampler};
use crate::tracer::{Instrumentation, Tracers};
use crate::{BatchSettings, RECORDS, SpanLimits, Tracer};

/// How long [`shutdown`](TracerProvider::shutdown) takes at most, unless a time is given.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it takes at most while the receiver cannot be reached.
pub const UNREACHABLE_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(1500);

/// The tracers of all providers that record nothing.
static DISABLED: Tracers = Tracers::new();

/// Makes tracers whose spans share a resource, a sampler, a queue and exporters.
///
/// Costs nothing to copy. A program usually has one, for as long as it runs: what a provider
/// consists of stays in memory to the end of the process, apart from its spans.
#[derive(Clone, Copy)]
pub struct TracerProvider {
    /// `None`: tracing is off.
    recorder: Option<&'static Recorder>,
}

impl TracerProvider {
    /// A provider to be built.
    pub fn builder() -> TracerProviderBuilder {
        TracerProviderBuilder {
            resource: Resource::default(),
            sampler: Box::new(ParentBased::new(AlwaysOn)),
            switched_off: Vec::new(),
            batch: BatchSettings::default(),
            limits: SpanLimits::default(),
            exporters: Vec::new(),
            notice_handler: NoticeHandler::default(),
        }
    }

    /// A provider that records nothing.
    pub fn disabled() -> Self {
        Self { recorder: None }
    }

    /// A tracer for the library or module `name`, the same one at each call. Names are few: each
    /// is kept to the end of the process.
    pub fn tracer(&self, name: impl Into<Text>) -> Tracer {
        self.tracer_of_scope(Scope {
            name: name.into(),
            ..Scope::default()
        })
    }

    /// A tracer for a library with a version and attributes.
    pub fn tracer_of_scope(&self, scope: Scope) -> Tracer {
        match self.recorder {
            Some(recorder) => recorder.tracer(scope),
            None => DISABLED.get(&scope, Instrumentation::disabled),
        }
    }

    pub(crate) fn recorder(&self) -> Option<&'static Recorder> {
        self.recorder
    }

    /// Whether it records: it is not disabled and not shut down.
    pub fn is_running(&self) -> bool {
        self.recorder.is_some_and(Recorder::is_running)
    }

    /// What its spans have in common; empty where tracing is off.
    pub fn resource(&self) -> Resource {
        self.recorder
            .map(|recorder| recorder.settings().resource.clone())
            .unwrap_or_default()
    }

    /// Decides which of its spans are recorded; `None` where tracing is off.
    pub fn sampler(&self) -> Option<&'static dyn Sampler> {
        self.recorder.map(Recorder::sampler)
    }

    /// What it has done so far in this process.
    pub fn stats(&self) -> TracingStats {
        self.recorder
            .map(|recorder| recorder.pipeline().stats())
            .unwrap_or_default()
    }

    /// Sends all spans that have ended. Blocks until that is done or `timeout` is over.
    ///
    /// # Errors
    /// Not everything was sent; what was not is tried again later.
    pub fn force_flush(&self, timeout: Duration) -> Result<(), FlushError> {
        self.recorder
            .map_or(Ok(()), |recorder| recorder.pipeline().flush(timeout))
    }

    /// Ends tracing: sends what waits, says what was lost, and ends the worker thread. Takes
    /// [`SHUTDOWN_TIMEOUT`] at most, and [`UNREACHABLE_SHUTDOWN_TIMEOUT`] while the receiver cannot
    /// be reached. Further calls change nothing.
    ///
    /// # Errors
    /// Not everything was sent.
    pub fn shutdown(&self) -> Result<(), FlushError> {
        let is_unreachable = self
            .recorder
            .is_some_and(|recorder| recorder.pipeline().is_unreachable());
        self.shutdown_within(match is_unreachable {
            true => UNREACHABLE_SHUTDOWN_TIMEOUT,
            false => SHUTDOWN_TIMEOUT,
        })
    }

    /// Ends tracing as [`shutdown`](TracerProvider::shutdown), within a given time.
    ///
    /// # Errors
    /// Not everything was sent.
    pub fn shutdown_within(&self, timeout: Duration) -> Result<(), FlushError> {
        match self.recorder {
            Some(recorder) if recorder.stop() => recorder.pipeline().shut_down(timeout),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for TracerProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracerProvider")
            .field("is_running", &self.is_running())
            .finish()
    }
}

/// A provider that is not built yet. It reads no environment: see
/// [`setup_tracing`](crate::setup_tracing) for that.
#[must_use = "a provider comes out of build()"]
pub struct TracerProviderBuilder {
    resource: Resource,
    sampler: Box<dyn Sampler>,
    switched_off: Vec<String>,
    batch: BatchSettings,
    limits: SpanLimits,
    exporters: Vec<ExporterFactory>,
    notice_handler: NoticeHandler,
}

impl TracerProviderBuilder {
    /// What all spans have in common; see [`resource`](crate::resource).
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resource = resource;
        self
    }

    /// Which traces are recorded; all, unless said otherwise.
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.sampler = Box::new(sampler);
        self
    }

    /// Switches off the spans whose names begin with `prefix`, whatever the sampler says; see
    /// [`ComponentSwitches`]. May be called several times.
    pub fn switch_off(mut self, prefix: impl Into<String>) -> Self {
        self.switched_off.push(prefix.into());
        self
    }

    /// How spans are gathered.
    pub fn batch(mut self, batch: BatchSettings) -> Self {
        self.batch = batch;
        self
    }

    /// How much one span may hold.
    pub fn limits(mut self, limits: SpanLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends spans there. May be called several times: each exporter gets every span.
    pub fn exporter(mut self, exporter: impl SpanExporter + Clone + Sync + 'static) -> Self {
        self.exporters
            .push(Box::new(move || Box::new(exporter.clone())));
        self
    }

    /// Who is told of problems, instead of the standard error. Called on any thread, the worker's
    /// mostly.
    pub fn on_notice(mut self, handler: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notice_handler = NoticeHandler::new(handler);
        self
    }

    /// The provider. Starts nothing: the worker thread begins with the first span.
    pub fn build(self) -> TracerProvider {
        let settings = PipelineSettings {
            resource: self.resource,
            batch: self.batch,
            limits: self.limits,
            exporters: self.exporters,
            notice_handler: self.notice_handler,
        };
        let sampler = match self.switched_off.is_empty() {
            true => self.sampler,
            false => Box::new(ComponentSwitches::new(self.switched_off, self.sampler)),
        };
        TracerProvider {
            recorder: RECORDS.then(|| Recorder::new(sampler, settings)),
        }
    }
}
