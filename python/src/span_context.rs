//! Ids and flags of spans, between Python's objects and the SDK's.

use lumitrace::SpanContext;
use lumitrace_model::{SpanId, TraceId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::context;
use crate::span::PySpan;

/// What of a span travels, where OpenTelemetry's own class for it is not in use.
#[pyclass(
    frozen,
    eq,
    hash,
    module = "lumitrace._lumitrace",
    name = "SpanContext"
)]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct PySpanContext {
    #[pyo3(get)]
    trace_id: u128,
    #[pyo3(get)]
    span_id: u64,
    #[pyo3(get)]
    is_remote: bool,
    #[pyo3(get)]
    trace_flags: u8,
    #[pyo3(get)]
    trace_state: String,
}

#[pymethods]
impl PySpanContext {
    #[getter]
    fn is_valid(&self) -> bool {
        self.trace_id != 0 && self.span_id != 0
    }

    fn __repr__(&self) -> String {
        format!(
            "SpanContext(trace_id={:032x}, span_id={:016x}, is_remote={}, trace_flags={})",
            self.trace_id, self.span_id, self.is_remote, self.trace_flags
        )
    }
}

/// The Python object for `context`: OpenTelemetry's, where its API is in use, else ours.
///
/// # Errors
/// Those of OpenTelemetry's constructor; it has none that depend on the values.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    context: &SpanContext,
) -> PyResult<Bound<'py, PyAny>> {
    let trace_id = u128::from_be_bytes(context.trace_id().to_bytes());
    let span_id = u64::from_be_bytes(context.span_id().to_bytes());
    let (is_remote, trace_flags) = (context.is_remote(), context.trace_flags());
    let trace_state = context.trace_state();
    match context::opentelemetry_span_context(py) {
        Some(class) => class.call1((trace_id, span_id, is_remote, trace_flags, trace_state)),
        None => {
            let trace_state = trace_state.to_owned();
            let context = PySpanContext {
                trace_id,
                span_id,
                is_remote,
                trace_flags,
                trace_state,
            };
            Ok(Bound::new(py, context)?.into_any())
        }
    }
}

/// The context of a span, or of an object that is a span context: ours, OpenTelemetry's, or any
/// with the same attributes. `None` where there is no valid one.
pub(crate) fn of_python(object: &Bound<'_, PyAny>) -> Option<SpanContext> {
    let context = match object.cast::<PySpan>() {
        Ok(span) => Some(span.get().context().clone()),
        // Whatever an object of another library raises here, it is no parent.
        Err(_) => match object
            .getattr_opt(intern!(object.py(), "get_span_context"))
            .ok()?
        {
            Some(get) => read(&get.call0().ok()?).ok(),
            None => read(object).ok(),
        },
    };
    context.filter(SpanContext::is_valid)
}

fn read(object: &Bound<'_, PyAny>) -> PyResult<SpanContext> {
    let py = object.py();
    let trace_id: u128 = object.getattr(intern!(py, "trace_id"))?.extract()?;
    let span_id: u64 = object.getattr(intern!(py, "span_id"))?.extract()?;
    let trace_flags: u8 = object.getattr(intern!(py, "trace_flags"))?.extract()?;
    let trace_state = trace_state_of(&object.getattr(intern!(py, "trace_state"))?)?;
    let trace_id = TraceId::from_bytes(trace_id.to_be_bytes());
    let span_id = SpanId::from_bytes(span_id.to_be_bytes());
    let context = SpanContext::new(trace_id, span_id, trace_flags).with_trace_state(&trace_state);
    let is_remote = object.getattr(intern!(py, "is_remote"))?.is_truthy()?;
    Ok(if is_remote { context.remote() } else { context })
}

fn trace_state_of(trace_state: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = trace_state.cast::<PyString>() {
        return Ok(text.to_string_lossy().into_owned());
    }
    match trace_state.getattr_opt(intern!(trace_state.py(), "to_header"))? {
        Some(to_header) => to_header.call0()?.extract(),
        None => Ok(String::new()),
    }
}
