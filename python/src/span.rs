//! Spans as Python programs hold them.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lumitrace::{SpanContext, SpanTimes};
use lumitrace_model::{KeyValue, Resource, Scope, SpanKind, StatusCode, Text};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::drop_in::{self, DropInTracer};
use crate::finished::FinishedSpan;
use crate::ready::Ready;
use crate::status::status_code_of;
use crate::{exception, span_context, value};

/// A piece of work. As a context manager it records an exception that passes and ends, without
/// being the current span.
#[pyclass(
    frozen,
    weakref,
    subclass,
    module = "lumitrace._lumitrace",
    name = "Span"
)]
pub(crate) struct PySpan {
    span: lumitrace::Span,
    /// The SDK's span is gone once it has ended.
    name: Mutex<Text>,
    kind: SpanKind,
    on_exception: OnException,
    /// The object for its ids, once somebody asked.
    context: PyOnceLock<Py<PyAny>>,
    /// Its start and end in unix nanoseconds, zero until it has ended.
    times: [AtomicU64; 2],
    /// Of spans that are OpenTelemetry's as well.
    tracer: Option<Py<DropInTracer>>,
    /// Whether Python records the rest of it.
    is_in_python: AtomicBool,
}

thread_local! {
    /// A span that is about to get its object.
    static STARTED: Cell<Option<PySpan>> = const { Cell::new(None) };
}

/// What happens to a span when an exception leaves its block.
#[derive(Clone, Copy)]
pub(crate) struct OnException {
    /// Adds the event and the `error.*` attributes.
    pub(crate) record: bool,
    /// Sets the status.
    pub(crate) set_status: bool,
}

impl Default for OnException {
    fn default() -> Self {
        Self {
            record: true,
            set_status: true,
        }
    }
}

impl PySpan {
    pub(crate) fn new(
        span: lumitrace::Span,
        name: Text,
        kind: SpanKind,
        on_exception: OnException,
    ) -> Self {
        Self {
            span,
            name: Mutex::new(name),
            kind,
            on_exception,
            context: PyOnceLock::new(),
            times: Default::default(),
            tracer: None,
            is_in_python: AtomicBool::new(false),
        }
    }

    /// Its object; for a tracer that is OpenTelemetry's as well, one of that tracer's class of spans.
    ///
    /// # Errors
    /// Only when memory runs out.
    pub(crate) fn into_object<'py>(
        mut self,
        py: Python<'py>,
        tracer: Option<&Py<DropInTracer>>,
    ) -> PyResult<Bound<'py, Self>> {
        let Some(tracer) = tracer else {
            return Bound::new(py, self);
        };
        self.tracer = Some(tracer.clone_ref(py));
        // An object of a class written in Python comes only of calling the class.
        STARTED.set(Some(self));
        let object = tracer.get().span_class(py).call0();
        STARTED.set(None);
        Ok(object?.cast_into()?)
    }

    pub(crate) fn context(&self) -> &SpanContext {
        self.span.context()
    }

    /// The SDK's span.
    pub(crate) fn inner(&self) -> &lumitrace::Span {
        &self.span
    }

    /// Whether values for the span are to be read. On one that has ended they are ignored, and that
    /// is counted; an object that nobody records stays unread.
    fn takes_values(&self) -> bool {
        let is_recording = self.span.is_recording();
        if !is_recording {
            self.span.set_attributes([]);
        }
        is_recording
    }

    /// Leaves the span's block, by `exception` or none, and ends the span if that is wished.
    ///
    /// # Errors
    /// Only an exception that is no `Exception`, raised while the exception was turned into text.
    pub(crate) fn leave(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        ends: bool,
    ) -> PyResult<()> {
        let span = slf.get();
        if Self::is_ended_in_python(slf)? {
            return drop_in::leave_in_python(slf, exception, span.on_exception, ends);
        }
        let recorded = span.record_failure(exception);
        if ends {
            span.keep_times(span.span.end_with_times(None));
        }
        recorded
    }

    fn keep_times(&self, times: Option<SpanTimes>) {
        if let Some(times) = times {
            let [start, end] = &self.times;
            start.store(times.start_unix_nano, Ordering::Relaxed);
            end.store(times.end_unix_nano, Ordering::Relaxed);
        }
    }

    fn is_in_python(&self) -> bool {
        self.is_in_python.load(Ordering::Relaxed)
    }

    /// Whether Python ends it: because it moved there, or has to now, so that the processors that its
    /// tracer got meanwhile hear of its end.
    fn is_ended_in_python(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let span = slf.get();
        let tracer = span.tracer.as_ref().map(Py::get);
        if tracer.is_some_and(DropInTracer::is_in_python) && span.span.is_recording() {
            value::harmless(slf.py(), slf.call_method0(intern!(slf.py(), "_move")))?;
        }
        Ok(span.is_in_python())
    }

    /// Records the exception that leaves the span's block, if it means failure.
    fn record_failure(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        if exception.is_none() || !exception::is_failure(exception) {
            return Ok(());
        }
        if self.on_exception.record {
            exception::record_failure(&self.span, exception)?;
        }
        if self.on_exception.set_status {
            exception::set_status(&self.span, exception)?;
        }
        Ok(())
    }
}

#[pymethods]
impl PySpan {
    #[new]
    fn py_new() -> PyResult<Self> {
        STARTED
            .take()
            .ok_or_else(|| PyTypeError::new_err("spans are started by tracers"))
    }

    /// Before that of a class written in Python, which is made by a tracer alone.
    fn __init__(&self) {}

    #[getter]
    fn name(&self) -> String {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone().into_owned()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    #[getter(context)]
    fn py_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let make = || span_context::to_python(py, self.span.context()).map(Bound::unbind);
        let context = self.context.get_or_try_init(py, make)?;
        Ok(context.bind(py).clone())
    }

    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.py_context(py)
    }

    #[getter]
    fn _tracer(&self, py: Python<'_>) -> Option<Py<DropInTracer>> {
        self.tracer.as_ref().map(|tracer| tracer.clone_ref(py))
    }

    /// Its start and its end in unix nanoseconds, once it has ended.
    #[getter]
    fn _times(&self) -> Option<(u64, u64)> {
        let [start, end] = &self.times;
        let times = (start.load(Ordering::Relaxed), end.load(Ordering::Relaxed));
        (times.1 != 0).then_some(times)
    }

    /// Whether an exception that leaves its block is recorded, and whether it sets the status.
    #[getter]
    fn _on_exception(&self) -> (bool, bool) {
        (self.on_exception.record, self.on_exception.set_status)
    }

    /// What is recorded so far; the rest is Python's, which exports the span. `None` where nothing
    /// is recorded.
    fn _move_to_python(&self) -> Option<FinishedSpan> {
        let span = self.span.discard()?;
        self.is_in_python.store(true, Ordering::Relaxed);
        Some(FinishedSpan::new(
            span,
            Arc::new(Resource::default()),
            Scope::default(),
        ))
    }

    fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.takes_values() {
            return Ok(());
        }
        let KeyValue { key, value } = value::attribute(key, value)?;
        self.span.set_attribute(key, value);
        Ok(())
    }

    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.takes_values() {
            self.span
                .set_attributes(value::attributes_of(Some(attributes))?);
        }
        Ok(())
    }

    #[pyo3(signature = (name, attributes=None, timestamp=None))]
    fn add_event(
        &self,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.takes_values() {
            return Ok(());
        }
        let (name, attributes) = (value::name_of(name)?, value::attributes_of(attributes)?);
        match time_unix_nano(timestamp) {
            Some(time) => self.span.add_event_at(name, time, attributes),
            None => self.span.add_event(name, attributes),
        }
        Ok(())
    }

    #[pyo3(signature = (context, attributes=None))]
    fn add_link(
        &self,
        context: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if self.takes_values()
            && let Some(context) = span_context::of_python(context)
        {
            self.span
                .add_link(&context, value::attributes_of(attributes)?);
        }
        Ok(())
    }

    fn update_name(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = value::name_of(name)?;
        if self.span.is_recording() {
            let mut known = self.name.lock().unwrap_or_else(PoisonError::into_inner);
            known.clone_from(&name);
        }
        self.span.rename(name);
        Ok(())
    }

    #[pyo3(signature = (status, description=None))]
    fn set_status(
        &self,
        status: &Bound<'_, PyAny>,
        description: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (code, own_description) = status_code_of(status);
        let description = description.filter(|text| !text.is_none());
        let message = match description.or(own_description.as_ref()) {
            Some(description) => value::message_of(description)?,
            None => "".into(),
        };
        match code {
            // Unset is what a span starts with, and undoes nothing (specification, "Set Status").
            Some(StatusCode::Unset) | None => {}
            Some(code) => self.span.set_status(code, message),
        }
        Ok(())
    }

    #[pyo3(signature = (exception, attributes=None, timestamp=None, escaped=false))]
    fn record_exception(
        &self,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: bool,
    ) -> PyResult<()> {
        if !self.span.is_recording() {
            return Ok(());
        }
        let mut further = value::attributes_of(attributes)?;
        if escaped {
            further.push(KeyValue::new("exception.escaped", true));
        }
        exception::record_event(&self.span, exception, time_unix_nano(timestamp), further)
    }

    fn record_error(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        exception::record_failure(&self.span, exception)?;
        exception::set_status(&self.span, exception)
    }

    #[pyo3(signature = (end_time=None))]
    fn end(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let span = slf.get();
        let is_in_python = Self::is_ended_in_python(slf)?;
        if is_in_python {
            let end = intern!(slf.py(), "end");
            return slf.call_method1(end, (end_time,)).map(drop);
        }
        span.keep_times(span.span.end_with_times(time_unix_nano(end_time)));
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        Self::leave(slf, exception, true).map(|()| false)
    }

    fn __aenter__(slf: Py<Self>, py: Python<'_>) -> Ready {
        Ready::new(slf.into_bound(py).into_any().unbind())
    }

    fn __aexit__(
        slf: &Bound<'_, Self>,
        class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Ready> {
        Self::__exit__(slf, class, exception, traceback)?;
        Ok(Ready::not_suppressed(exception.py()))
    }

    fn __repr__(&self) -> String {
        let context = self.span.context();
        format!(
            "<Span {:?} {}/{}>",
            self.name(),
            context.trace_id(),
            context.span_id()
        )
    }
}

/// A time that a program gave, in nanoseconds since the Unix epoch; `None` where it gave none that
/// makes sense.
pub(crate) fn time_unix_nano(time: Option<&Bound<'_, PyAny>>) -> Option<u64> {
    time?.extract().ok()
}

/// The kind that a program named: a word, or a member of OpenTelemetry's enumeration.
pub(crate) fn kind_of(kind: Option<&Bound<'_, PyAny>>) -> SpanKind {
    let Some(kind) = kind.filter(|kind| !kind.is_none()) else {
        return SpanKind::Internal;
    };
    match word_of(kind).as_deref() {
        Some("server") => SpanKind::Server,
        Some("client") => SpanKind::Client,
        Some("producer") => SpanKind::Producer,
        Some("consumer") => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

/// A text, or the name of an enumeration's member, in lower case.
pub(crate) fn word_of(object: &Bound<'_, PyAny>) -> Option<String> {
    let name = match object.cast::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) => object
            .getattr(intern!(object.py(), "name"))
            .ok()?
            .cast_into::<PyString>()
            .ok()?,
    };
    Some(name.to_string_lossy().to_lowercase())
}
