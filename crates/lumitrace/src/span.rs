//! Spans as the program holds them.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Deref;
use std::panic::Location;

use lumitrace_model::{
    self as model, KeyValue, Link, SpanId, Status, StatusCode, Text, TraceId, Value, names,
};

use crate::context::{ContextGuard, attach_span};
use crate::lane::SpanPlace;
use crate::recording::Recording;
use crate::{RECORDS, SpanContext, SpanLimits, clock, panics};

/// A piece of work that is being recorded.
///
/// It ends when [`end`](Span::end) is called or when it is dropped; dropped by a panic, it ends
/// with an error: the innermost span with an exception event of the type `panic`, those around it
/// with the status only. All methods take `&self` and may be called from any thread. After the end,
/// changes are ignored and counted.
///
/// ```
/// let tracer = lumitrace::tracer("train");
/// let span = tracer.span("batch_processing").attribute("batch_index", 3).start();
/// span.set_attribute("loss", 0.25);
/// span.end();
/// ```
#[derive(Debug)]
// In this order, as `SpanContext` asks for.
#[repr(C)]
pub struct Span {
    /// Its ids, valid or not, are what children see as their parent's.
    context: SpanContext,
    state: State,
}

/// When a span started and ended, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanTimes {
    /// Its start.
    pub start_unix_nano: u64,
    /// Its end.
    pub end_unix_nano: u64,
}

#[derive(Clone, Copy)]
enum State {
    /// Recorded, and ended by this handle.
    Owned(SpanPlace),
    /// Recorded, and ended by another handle.
    Reference(SpanPlace),
    NotRecorded,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Owned(_) => "Owned",
            State::Reference(_) => "Reference",
            State::NotRecorded => "NotRecorded",
        })
    }
}

impl Span {
    /// A span that records nothing and is nobody's parent.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn none() -> Self {
        Self::not_recorded(SpanContext::default())
    }

    /// A span that records nothing, but is the parent of spans started in it.
    pub fn not_recorded(context: SpanContext) -> Self {
        Self {
            context,
            state: State::NotRecorded,
        }
    }

    /// A span that is left out of the trace: spans started in it are its parent's.
    pub(crate) fn left_out(parent: Option<&SpanContext>) -> Self {
        let mut span = Self::none();
        span.leave_out(parent);
        span
    }

    /// Leaves it out of the trace, before anybody has seen it.
    pub(crate) fn leave_out(&mut self, parent: Option<&SpanContext>) {
        if let Some(parent) = parent {
            self.context.clone_from(parent);
        }
    }

    /// Gives it its context, before anybody has seen it.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        trace_id: TraceId,
        span_id: SpanId,
        parent: Option<&SpanContext>,
        is_sampled: bool,
    ) {
        self.context.begin(trace_id, span_id, parent, is_sampled);
    }

    /// Changes its `tracestate`, before anybody has seen it.
    pub(crate) fn set_trace_state(&mut self, trace_state: &str) {
        self.context = std::mem::take(&mut self.context).with_trace_state(trace_state);
    }

    /// Has this handle end the span that is recorded there.
    pub(crate) fn own(&mut self, place: SpanPlace) {
        self.state = State::Owned(place);
    }

    pub(crate) fn reference(context: SpanContext, place: SpanPlace) -> Self {
        Self {
            context,
            state: State::Reference(place),
        }
    }

    /// A further handle on the same span; dropping it does not end the span.
    #[must_use]
    pub fn handle(&self) -> Self {
        let context = self.context.clone();
        match self.place() {
            Some(place) => Self::reference(context, place),
            None => Self::not_recorded(context),
        }
    }

    #[inline]
    pub(crate) fn place(&self) -> Option<SpanPlace> {
        match self.state {
            _ if !RECORDS => None,
            State::Owned(place) | State::Reference(place) => Some(place),
            State::NotRecorded => None,
        }
    }

    /// Changes the span, where it is recorded.
    fn change(&self, change: impl FnOnce(&mut Recording, &SpanLimits)) {
        if let Some(place) = self.place() {
            place.change(change);
        }
    }

    /// Its ids and flags. Invalid on a span of a tracer that does nothing.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether changes are recorded: its sampler wanted it recorded, it has not ended, and it belongs to
    /// this process and not to the one this was forked from.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn is_recording(&self) -> bool {
        self.place().is_some_and(SpanPlace::is_open)
    }

    /// Sets an attribute; the value of a key that is already there is replaced.
    // Inlined down to the list of attributes, so that key and value are written there and nowhere else.
    #[inline]
    pub fn set_attribute(&self, key: impl Into<Text>, value: impl Into<Value>) {
        if let Some(place) = self.place() {
            // Before the span is locked: whatever these conversions do may use it.
            let attribute = KeyValue::new(key, value);
            place.change(|recording, limits| recording.set_attribute(attribute, limits));
        }
    }

    /// Sets several attributes.
    pub fn set_attributes(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(place) = self.place() {
            // Before the span is locked: the iterator may use the span itself.
            let attributes: Vec<_> = attributes.into_iter().collect();
            place.change(|recording, limits| {
                for attribute in attributes {
                    recording.set_attribute(attribute, limits);
                }
            });
        }
    }

    /// Adds an event that happens now.
    pub fn add_event(&self, name: impl Into<Text>, attributes: Vec<KeyValue>) {
        if self.place().is_some() {
            let name = name.into();
            self.change(|recording, limits| recording.add_event(name, None, attributes, limits));
        }
    }

    /// Adds an event that happened at a given time, in nanoseconds since the Unix epoch.
    pub fn add_event_at(
        &self,
        name: impl Into<Text>,
        time_unix_nano: u64,
        attributes: Vec<KeyValue>,
    ) {
        if self.place().is_some() {
            let (name, time) = (name.into(), Some(time_unix_nano));
            self.change(|recording, limits| recording.add_event(name, time, attributes, limits));
        }
    }

    /// Adds a pointer to another span.
    pub fn add_link(&self, to: &SpanContext, attributes: Vec<KeyValue>) {
        if self.place().is_some() {
            let link = link(to, attributes);
            self.change(|recording, limits| recording.add_link(link, limits));
        }
    }

    /// Says how the work went. Success, once declared, is final; the message is kept for errors
    /// only (specification, "Set Status").
    pub fn set_status(&self, code: StatusCode, message: impl Into<Text>) {
        if self.place().is_some() {
            let message = if code == StatusCode::Error {
                message.into()
            } else {
                Cow::default()
            };
            self.change(|recording, _| recording.set_status(Status { code, message }));
        }
    }

    /// Changes the name.
    pub fn rename(&self, name: impl Into<Text>) {
        if self.place().is_some() {
            let name = name.into();
            self.change(|recording, _| recording.span.name = name);
        }
    }

    /// Records that the work failed with `error`: error status, one `exception` event with the
    /// error's type, message and the place of this call, and the attributes `error.type` and
    /// `error.message`. The stack trace follows where `RUST_BACKTRACE` asks for one: resolving it
    /// takes milliseconds.
    #[track_caller]
    pub fn record_error<E: Display + ?Sized>(&self, error: &E) {
        if self.is_recording() {
            let type_name = std::any::type_name::<E>();
            self.record_exception(
                type_name,
                error.to_string(),
                panics::stack(Location::caller()),
            );
        }
    }

    /// Records that the work failed with an exception of which the texts are known; see
    /// [`record_error`](Span::record_error). The same exception recorded twice in a row leaves one
    /// event.
    pub fn record_exception(
        &self,
        type_name: impl Into<Text>,
        message: impl Into<Text>,
        stacktrace: impl Into<Text>,
    ) {
        if self.place().is_none() {
            return;
        }
        let (type_name, message) = (type_name.into(), message.into());
        let event = vec![
            KeyValue::new(names::EXCEPTION_TYPE, type_name.clone()),
            KeyValue::new(names::EXCEPTION_MESSAGE, message.clone()),
            KeyValue::new(names::EXCEPTION_STACKTRACE, stacktrace.into()),
        ];
        self.change(|recording, limits| {
            recording.add_exception(names::EXCEPTION_EVENT.into(), event, limits);
            let attributes = [
                KeyValue::new(names::ERROR_TYPE, type_name),
                KeyValue::new(names::ERROR_MESSAGE, message.clone()),
            ];
            for attribute in attributes {
                recording.set_attribute(attribute, limits);
            }
            recording.set_status(Status {
                code: StatusCode::Error,
                message,
            });
        });
    }

    /// Records the panic by which this thread unwinds: on the innermost span as an exception, on
    /// those around it as a status.
    fn record_panic(&self) {
        match panics::take() {
            Some(panic) => self.record_exception("panic", panic.message, panic.stacktrace),
            None => self.set_status(StatusCode::Error, "a panic ended it"),
        }
    }

    /// Records how fallible work ended, and hands the result on: `result.status` is `success` or
    /// `error`, and an error is recorded as by [`record_error`](Span::record_error).
    ///
    /// # Errors
    /// Those of `result`, unchanged.
    #[track_caller]
    pub fn record_result<T, E: Display>(&self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.set_attribute("result.status", "success"),
            Err(error) => {
                self.set_attribute("result.status", "error");
                self.record_error(error);
            }
        }
        result
    }

    /// Ends the span now. Further calls change nothing.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn end(&self) {
        self.end_with_times(None);
    }

    /// Ends the span at a given time, in nanoseconds since the Unix epoch.
    pub fn end_at(&self, end_unix_nano: u64) {
        self.end_with_times(Some(end_unix_nano));
    }

    /// Ends the span, now or at a given time, and says over which time it went; `None` where nothing was
    /// recorded or it had ended before.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn end_with_times(&self, end_unix_nano: Option<u64>) -> Option<SpanTimes> {
        self.place().and_then(|place| place.end(end_unix_nano))
    }

    /// A copy of what is recorded so far; `None` where nothing is, and after the end: what was
    /// recorded is on its way out then.
    pub fn snapshot(&self) -> Option<model::Span> {
        self.place().and_then(SpanPlace::snapshot)
    }

    /// Takes what is recorded so far and exports the span no more: whoever calls this records the
    /// rest. `None` as for [`snapshot`](Span::snapshot).
    pub fn discard(&self) -> Option<model::Span> {
        self.place().and_then(SpanPlace::discard)
    }

    /// Makes the span current on this thread until the guard is dropped; the span goes on.
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn attach(&self) -> ContextGuard {
        attach_span(self)
    }

    /// Makes the span current on this thread and ends it together with that.
    ///
    /// ```
    /// let tracer = lumitrace::tracer("train");
    /// let epoch = tracer.span("training_epoch").start().entered();
    /// let batch = tracer.span("batch_processing").start(); // a child of the epoch
    /// ```
    #[cfg_attr(not(feature = "record"), inline(always))]
    pub fn entered(self) -> EnteredSpan {
        EnteredSpan {
            guard: self.attach(),
            span: self,
        }
    }

    /// Runs `work` with the span current, and hands on what it returns.
    pub fn scope<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = self.attach();
        work()
    }
}

impl Drop for Span {
    #[cfg_attr(not(feature = "record"), inline(always))]
    fn drop(&mut self) {
        if let State::Owned(place) = self.state
            && RECORDS
        {
            if std::thread::panicking() && place.is_open() {
                self.record_panic();
            }
            place.end(None);
        }
    }
}

/// A span that is current on its thread; dropped, it ends and the context before it returns.
#[must_use = "the span ends as soon as this is dropped"]
#[derive(Debug)]
pub struct EnteredSpan {
    // Dropped in this order: first the context is restored, then the span ends.
    #[expect(dead_code, reason = "held for its destructor")]
    guard: ContextGuard,
    span: Span,
}

impl Deref for EnteredSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

/// A link to the span with this context.
pub(crate) fn link(to: &SpanContext, attributes: Vec<KeyValue>) -> Link {
    Link {
        trace_id: to.trace_id(),
        span_id: to.span_id(),
        trace_state: to.trace_state().to_owned().into(),
        attributes,
        dropped_attributes_count: 0,
        flags: to.link_flags(),
    }
}

/// The time now on the SDK's clock, in nanoseconds since the Unix epoch.
///
/// ```
/// let started = lumitrace::unix_nano_now();
/// assert!(started > 1_700_000_000_000_000_000);
/// ```
pub fn unix_nano_now() -> u64 {
    clock::monotonic_nano() + clock::offset_unix_nano()
}
