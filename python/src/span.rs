//! Spans as Python programs hold them.

use std::sync::{Mutex, PoisonError};

use lumitrace::SpanContext;
use lumitrace_model::{KeyValue, SpanKind, StatusCode, Text};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::ready::Ready;
use crate::status::status_code_of;
use crate::{exception, span_context, value};

/// A piece of work. As a context manager it records an exception that passes and ends, without
/// being the current span.
#[pyclass(frozen, weakref, module = "lumitrace._lumitrace", name = "Span")]
pub(crate) struct PySpan {
    span: lumitrace::Span,
    /// The SDK's span is gone once it has ended.
    name: Mutex<Text>,
    on_exception: OnException,
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
    pub(crate) fn new(span: lumitrace::Span, name: Text, on_exception: OnException) -> Self {
        Self {
            span,
            name: Mutex::new(name),
            on_exception,
        }
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

    /// Records the exception that leaves the span's block, if it means failure.
    pub(crate) fn leave(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
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
    #[getter]
    fn name(&self) -> String {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone().into_owned()
    }

    #[getter(context)]
    fn py_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        span_context::to_python(py, self.span.context())
    }

    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        span_context::to_python(py, self.span.context())
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
    fn end(&self, end_time: Option<&Bound<'_, PyAny>>) {
        match time_unix_nano(end_time) {
            Some(time) => self.span.end_at(time),
            None => self.span.end(),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        _class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let recorded = self.leave(exception);
        self.span.end();
        recorded.map(|()| false)
    }

    fn __aenter__(slf: Py<Self>, py: Python<'_>) -> Ready {
        Ready::new(slf.into_bound(py).into_any().unbind())
    }

    fn __aexit__(
        &self,
        class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Ready> {
        self.__exit__(class, exception, traceback)?;
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
