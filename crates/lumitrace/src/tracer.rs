//! Tracers start spans on behalf of one library or module.

use std::sync::OnceLock;

use lumitrace_model::{self as model, KeyValue, Scope, SpanKind, Text, TraceId, Value};

use crate::context::copy_current_span_context;
use crate::distributed::Job;
use crate::recorder::Recorder;
use crate::recording::Beginning;
use crate::span::{EnteredSpan, link};
use crate::{Context, RECORDS, Span, SpanContext, global};

/// Starts spans. Costs nothing to copy, and may be shared by threads.
///
/// A tracer may be made before tracing is set up and kept in a static: until then it does nothing,
/// afterwards it records.
///
/// ```
/// let tracer = lumitrace::tracer("train.loop");
/// let span = tracer.span("checkpoint").start();
/// assert!(!span.is_recording(), "tracing is not set up here");
/// ```
#[derive(Clone, Copy)]
pub struct Tracer {
    instrumentation: &'static Instrumentation,
}

/// The library or module on whose behalf spans are recorded.
///
/// There are few of them and they last as long as the process, so spans hold a plain reference and
/// no counter is shared between threads.
pub(crate) struct Instrumentation {
    pub(crate) scope: Scope,
    recorder: OnceLock<&'static Recorder>,
    /// Whether it records for whichever provider is the global one.
    is_global: bool,
}

impl std::fmt::Debug for Instrumentation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Instrumentation").field(&self.scope).finish()
    }
}

impl Instrumentation {
    /// For one provider.
    pub(crate) fn of_recorder(scope: Scope, recorder: &'static Recorder) -> Self {
        Self {
            scope,
            recorder: recorder.into(),
            is_global: false,
        }
    }

    /// For the global provider, now or once there is one.
    pub(crate) fn global(scope: Scope) -> Self {
        Self {
            scope,
            recorder: OnceLock::new(),
            is_global: true,
        }
    }

    /// For providers that record nothing.
    pub(crate) fn disabled(scope: Scope) -> Self {
        Self {
            scope,
            recorder: OnceLock::new(),
            is_global: false,
        }
    }

    #[cfg_attr(not(feature = "record"), inline(always))]
    fn recorder(&self) -> Option<&'static Recorder> {
        if !RECORDS {
            return None;
        }
        match self.recorder.get() {
            Some(recorder) if recorder.is_running() => Some(recorder),
            // Not set up yet, or shut down and perhaps set up again.
            _ if self.is_global => {
                let recorder = global::recorder()?;
                self.recorder.get_or_init(|| recorder);
                Some(recorder)
            }
            _ => None,
        }
    }
}

/// The tracers made so far; the same scope gets the same one. A list that only grows at its end,
/// so that looking a tracer up takes no lock.
pub(crate) struct Tracers {
    first: OnceLock<Box<Entry>>,
}

struct Entry {
    instrumentation: Instrumentation,
    next: OnceLock<Box<Entry>>,
}

impl Tracers {
    pub(crate) const fn new() -> Self {
        Self {
            first: OnceLock::new(),
        }
    }

    pub(crate) fn get(
        &'static self,
        scope: &Scope,
        make: impl Fn(Scope) -> Instrumentation,
    ) -> Tracer {
        let mut place = &self.first;
        loop {
            let entry = place.get_or_init(|| {
                let instrumentation = make(scope.clone());
                Box::new(Entry {
                    instrumentation,
                    next: OnceLock::new(),
                })
            });
            if entry.instrumentation.scope == *scope {
                return Tracer {
                    instrumentation: &entry.instrumentation,
                };
            }
            place = &entry.next;
        }
    }
}

impl Tracer {
    /// A tracer that records for nobody.
    pub(crate) fn of_nothing() -> Self {
        static NOTHING: Instrumentation = Instrumentation {
            scope: Scope {
                name: Text::Borrowed(""),
                version: Text::Borrowed(""),
                attributes: Vec::new(),
                dropped_attributes_count: 0,
            },
            recorder: OnceLock::new(),
            is_global: false,
        };
        Self {
            instrumentation: &NOTHING,
        }
    }

    /// The name it was asked for with.
    pub fn name(&self) -> &'static str {
        &self.instrumentation.scope.name
    }

    /// Whether spans started now may be recorded: tracing is set up and not shut down.
    pub fn is_enabled(&self) -> bool {
        self.instrumentation.recorder().is_some()
    }

    /// Whether the sampler looks at the attributes that spans start with. Where it does not, attributes
    /// that are costly to make are better set afterwards, on spans that are recorded.
    pub fn samples_by_attributes(&self) -> bool {
        let recorder = self.instrumentation.recorder();
        recorder.is_some_and(Recorder::samples_by_attributes)
    }

    /// A span to be started. Names are constant; numbers belong into attributes.
    pub fn span(&self, name: impl Into<Text>) -> SpanBuilder {
        SpanBuilder {
            instrumentation: self.instrumentation,
            parent: ParentChoice::Current,
            beginning: Beginning {
                name: name.into(),
                kind: SpanKind::Internal,
                parent: None,
                start_unix_nano: None,
                attributes: Vec::new(),
                links: Vec::new(),
            },
        }
    }

    /// Hands on a span that was recorded elsewhere and has ended: it is exported as it is, unless
    /// its flags say that it is not sampled.
    ///
    /// ```
    /// use lumitrace::model::{Span, SpanId, TraceId};
    /// let span = Span {
    ///     trace_id: TraceId::from_bytes([1; 16]),
    ///     span_id: SpanId::from_bytes([2; 8]),
    ///     flags: 1,
    ///     name: "imported".into(),
    ///     start_unix_nano: 1_000,
    ///     end_unix_nano: 2_000,
    ///     ..Span::default()
    /// };
    /// lumitrace::tracer("importer").record(span);
    /// ```
    pub fn record(&self, span: model::Span) {
        let is_sampled = span.flags & 1 != 0;
        if let Some(recorder) = self.instrumentation.recorder().filter(|_| is_sampled) {
            recorder.record(self.instrumentation, span);
        }
    }

    /// Runs `work` inside a span, current meanwhile, and hands on what it returns.
    ///
    /// ```
    /// let tracer = lumitrace::tracer("train");
    /// let rows = tracer.in_span("data_loading", |span| {
    ///     span.set_attribute("pair", "gbpusd");
    ///     20_000
    /// });
    /// assert_eq!(rows, 20_000);
    /// ```
    pub fn in_span<R>(&self, name: impl Into<Text>, work: impl FnOnce(&Span) -> R) -> R {
        let span = self.span(name).enter();
        work(&span)
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("name", &self.name())
            .finish()
    }
}

/// A span that has not started yet. Unless said otherwise, its parent is the current span.
#[must_use = "the span starts with start() or enter()"]
pub struct SpanBuilder {
    instrumentation: &'static Instrumentation,
    parent: ParentChoice,
    beginning: Beginning,
}

enum ParentChoice {
    Current,
    Root,
    RootOf(TraceId),
    Given(SpanContext),
}

impl SpanBuilder {
    /// Gives it an attribute from the start, where samplers see it too.
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        if RECORDS {
            self.beginning.attributes.push(KeyValue::new(key, value));
        }
        self
    }

    /// Gives it several attributes from the start.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        if RECORDS {
            self.beginning.attributes.extend(attributes);
        }
        self
    }

    /// Says what role it plays between processes.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.beginning.kind = kind;
        self
    }

    /// Points at another span.
    pub fn link(mut self, to: &SpanContext, attributes: Vec<KeyValue>) -> Self {
        if RECORDS {
            self.beginning.links.push(link(to, attributes));
        }
        self
    }

    /// Makes it a child of the span with this context; an invalid context makes it a root.
    pub fn parent(mut self, parent: &SpanContext) -> Self {
        self.parent = ParentChoice::Given(parent.clone());
        self
    }

    /// Makes it a child of the span of this context.
    pub fn parent_context(self, context: &Context) -> Self {
        match context.span_context() {
            Some(parent) => self.parent(parent),
            None => self.root(),
        }
    }

    /// Makes it the first span of a new trace, whatever is current.
    pub fn root(mut self) -> Self {
        self.parent = ParentChoice::Root;
        self
    }

    /// Makes it a first span of this trace, whatever is current. Processes that know the same trace id
    /// each have one then, side by side; see [`distributed`](crate::distributed). An invalid id makes
    /// it the first span of a new trace.
    pub fn root_of(mut self, trace_id: TraceId) -> Self {
        self.parent = match trace_id.is_valid() {
            true => ParentChoice::RootOf(trace_id),
            false => ParentChoice::Root,
        };
        self
    }

    /// Makes it a first span of the job's trace, with what the job says of this process; where nothing
    /// tells the job from others, the first span of a new trace.
    pub fn root_of_job(self, job: &Job) -> Self {
        let span = self.attributes(job.attributes());
        match job.trace_id {
            Some(trace_id) => span.root_of(trace_id),
            None => span.root(),
        }
    }

    /// Lets it have started earlier, in nanoseconds since the Unix epoch.
    pub fn start_time(mut self, start_unix_nano: u64) -> Self {
        self.beginning.start_unix_nano = Some(start_unix_nano);
        self
    }

    /// Starts it. It is not current: see [`Span::entered`] and [`SpanBuilder::enter`].
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn start(mut self) -> Span {
        if !RECORDS {
            return Span::none();
        }
        // Written field by field and read so: see `SpanContext`.
        let mut parent = SpanContext::default();
        match &self.parent {
            ParentChoice::Current => copy_current_span_context(&mut parent),
            ParentChoice::Root => {}
            &ParentChoice::RootOf(trace_id) => return self.start_root_of(trace_id),
            ParentChoice::Given(given) => parent.clone_from(given),
        }
        let parent = Some(&parent).filter(|parent| parent.is_valid());
        match self.instrumentation.recorder() {
            Some(recorder) => recorder.start(self.instrumentation, parent, &mut self.beginning),
            // So that a trace passes through an untraced part unbroken.
            None => Span::left_out(parent),
        }
    }

    fn start_root_of(mut self, trace_id: TraceId) -> Span {
        let begin = |recorder: &'static Recorder| {
            recorder.start_in_trace(self.instrumentation, trace_id, None, &mut self.beginning)
        };
        let recorder = self.instrumentation.recorder();
        recorder.map_or_else(Span::none, begin)
    }

    /// Starts it and makes it current on this thread until it is dropped.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn enter(self) -> EnteredSpan {
        self.start().entered()
    }
}

impl std::fmt::Debug for SpanBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanBuilder")
            .field("name", &self.beginning.name)
            .finish_non_exhaustive()
    }
}
