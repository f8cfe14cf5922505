//! Which span is current: kept in a `contextvars.ContextVar`, so that asyncio tasks, threads started
//! with `copy_context` and everything else that Python's contexts cover behave as Python's own.
//!
//! With OpenTelemetry's API in the process, its variable is used instead of ours: then a span of
//! either side is the parent of spans of the other.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use crate::context_variable::ContextVariable;
use crate::tracer;

/// Our own variable; its value is a span.
static OWN_VARIABLE: PyOnceLock<ContextVariable> = PyOnceLock::new();
/// Set once OpenTelemetry's API is known to be in the process, for good.
static OPENTELEMETRY: PyOnceLock<OpenTelemetryContext> = PyOnceLock::new();

/// OpenTelemetry's context: an immutable dictionary in a variable, with the span under a key.
struct OpenTelemetryContext {
    variable: ContextVariable,
    context_class: Py<PyType>,
    span_key: Py<PyString>,
    span_context: Py<PyAny>,
}

/// What puts the previous span back.
pub(crate) struct Attached {
    variable: ContextVariable,
    token: Py<PyAny>,
}

/// From now on, the current span lives in OpenTelemetry's context. `span_context` makes
/// OpenTelemetry's `SpanContext` of `(trace_id, span_id, is_remote, trace_flags, trace_state)`.
#[pyfunction]
#[pyo3(name = "_use_opentelemetry_context")]
pub(crate) fn use_opentelemetry_context(
    py: Python<'_>,
    variable: Py<PyAny>,
    context_class: Py<PyType>,
    span_key: Py<PyString>,
    span_context: Py<PyAny>,
) {
    let context = OpenTelemetryContext {
        variable: ContextVariable::new(variable),
        context_class,
        span_key,
        span_context,
    };
    // Set before: it was the same one, for a process has only one.
    let _ = OPENTELEMETRY.set(py, context);
}

/// What makes OpenTelemetry's `SpanContext`, if OpenTelemetry's API is in use.
pub(crate) fn opentelemetry_span_context<'py>(py: Python<'py>) -> Option<&'py Bound<'py, PyAny>> {
    OPENTELEMETRY
        .get(py)
        .map(|context| context.span_context.bind(py))
}

/// The current span: one of ours, or of any implementation of OpenTelemetry's API.
pub(crate) fn current(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // A variable that cannot be read is one without a value.
    match OPENTELEMETRY.get(py) {
        Some(context) => span_in(py, context, &context.variable.get(py).ok()??),
        None => {
            let span = own_variable(py).ok()?.get(py).ok()?;
            span.filter(|span| !span.is_none())
        }
    }
}

/// The current span; one that records nothing where there is none.
///
/// # Errors
/// Only when memory runs out.
#[pyfunction]
pub(crate) fn current_span(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match current(py) {
        Some(span) => Ok(span),
        None => Ok(tracer::no_span(py)?.into_bound(py).into_any()),
    }
}

/// The span in a context of OpenTelemetry's, as its API passes it as an argument.
pub(crate) fn span_in_context<'py>(
    py: Python<'py>,
    context: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    span_in(py, OPENTELEMETRY.get(py)?, context)
}

/// Makes `span` current.
///
/// # Errors
/// When the variable refuses, as it may after the interpreter has begun to shut down.
pub(crate) fn attach(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<Attached> {
    let (variable, value) = match OPENTELEMETRY.get(py) {
        Some(context) => {
            let class = context.context_class.bind(py);
            let next = match context.variable.get(py)? {
                Some(previous) => class.call1((previous,))?,
                None => class.call0()?,
            };
            // Around `Context.__setitem__`, which refuses: nobody has seen this one yet.
            next.cast::<PyDict>()?.set_item(&context.span_key, span)?;
            (&context.variable, next)
        }
        None => (own_variable(py)?, span.clone()),
    };
    let token = variable.set(py, &value)?;
    Ok(Attached {
        variable: variable.clone_ref(py),
        token,
    })
}

/// Makes the span current again that was before [`attach`].
///
/// # Errors
/// Only an exception that is no `Exception`. A span that was made current in another context, such
/// as a task that a generator was closed in, has nothing to put back here.
pub(crate) fn detach(py: Python<'_>, attached: Attached) -> PyResult<()> {
    match attached.variable.reset(py, &attached.token) {
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        _ => Ok(()),
    }
}

fn span_in<'py>(
    py: Python<'py>,
    context: &OpenTelemetryContext,
    dictionary: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    let span = dictionary
        .cast::<PyDict>()
        .ok()?
        .get_item(context.span_key.bind(py))
        .ok()??;
    (!span.is_none()).then_some(span)
}

fn own_variable(py: Python<'_>) -> PyResult<&ContextVariable> {
    OWN_VARIABLE.get_or_try_init(py, || {
        let defaults = PyDict::new(py);
        defaults.set_item(intern!(py, "default"), py.None())?;
        let class = py
            .import(intern!(py, "contextvars"))?
            .getattr(intern!(py, "ContextVar"))?;
        let variable = class.call(("lumitrace_current_span",), Some(&defaults))?;
        Ok(ContextVariable::new(variable.unbind()))
    })
}
