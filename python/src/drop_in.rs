//! Tracers that are tracers of OpenTelemetry's SDK as well: the package's subclass in Python has the
//! attributes and the class that programs expect (`lumitrace/opentelemetry/tracer.py`).
//!
//! Their spans are recorded here while nothing written in Python processes them. Where something
//! does, such as a span processor or a sampler, the SDK's own code makes them.

use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace::sampler::{NamedSampler, SamplingDecision, SamplingParameters};
use lumitrace_model::{Scope, TraceId};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::provider::{self, PyTracerProvider};
use crate::span::{OnException, kind_of};
use crate::tracer::{self, StartOptions};
use crate::tracing_context::{Attributes, Name, PyTracingContext, Recipe, Starter};
use crate::{finished, span_context, value};

/// Starts spans of a class written in Python.
#[pyclass(frozen, subclass, module = "lumitrace._lumitrace")]
pub(crate) struct DropInTracer {
    tracer: lumitrace::Tracer,
    span_class: Py<PyType>,
    is_in_python: AtomicBool,
}

impl DropInTracer {
    pub(crate) fn inner(&self) -> lumitrace::Tracer {
        self.tracer
    }

    /// The class of its spans, a subclass of `PySpan`.
    pub(crate) fn span_class<'py>(&self, py: Python<'py>) -> &Bound<'py, PyType> {
        self.span_class.bind(py)
    }

    /// Whether Python makes its spans.
    pub(crate) fn is_in_python(&self) -> bool {
        self.is_in_python.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl DropInTracer {
    /// A tracer of `provider`, or of whichever provider is the program's.
    #[new]
    #[pyo3(signature = (provider, span_class, name, version=None, attributes=None))]
    fn new(
        provider: Option<&Bound<'_, PyTracerProvider>>,
        span_class: Py<PyType>,
        name: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let scope = provider::scope(name, version, attributes)?;
        let tracer = match provider {
            Some(provider) => provider.get().inner().tracer_of_scope(scope),
            None => lumitrace::global::tracer_of_scope(scope),
        };
        Ok(Self {
            tracer,
            span_class,
            is_in_python: AtomicBool::new(false),
        })
    }

    #[getter(_is_in_python)]
    fn py_is_in_python(&self) -> bool {
        self.is_in_python()
    }

    /// Lets Python make its spans from now on, or no longer.
    fn _set_in_python(&self, is_in_python: bool) {
        self.is_in_python.store(is_in_python, Ordering::Relaxed);
    }

    #[pyo3(signature = (
        name, context=None, kind=None, attributes=None, links=None, start_time=None,
        record_exception=true, set_status_on_exception=true
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parameters of OpenTelemetry's API"
    )]
    fn start_span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<&Bound<'py, PyAny>>,
        attributes: Option<&Bound<'py, PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<&Bound<'py, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tracer = slf.get();
        let options = tracer::options(context, kind, links, start_time);
        let options = options.as_deref();
        let on_exception = OnException {
            record: record_exception,
            set_status: set_status_on_exception,
        };
        if tracer.is_in_python() {
            return start_in_python(slf.as_any(), name, attributes, options, on_exception);
        }
        let span = tracer::start_span(tracer.tracer, name, attributes, options, on_exception)?;
        let span = span.into_object(slf.py(), Some(slf.as_unbound()))?;
        Ok(span.into_any())
    }

    #[pyo3(signature = (
        name, context=None, kind=None, attributes=None, links=None, start_time=None,
        record_exception=true, set_status_on_exception=true, end_on_exit=true
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parameters of OpenTelemetry's API"
    )]
    fn start_as_current_span(
        slf: Py<Self>,
        name: Py<PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
        attributes: Option<Py<PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> PyTracingContext {
        PyTracingContext::new(Recipe {
            starter: Starter::DropIn(slf),
            name: Name::Given(name),
            attributes: attributes.map_or(Attributes::None, Attributes::Given),
            options: tracer::options(context, kind, links, start_time),
            on_exception: OnException {
                record: record_exception,
                set_status: set_status_on_exception,
            },
            end_on_exit,
        })
    }
}

/// A span that the SDK's code makes for `tracer`.
///
/// # Errors
/// Only an exception that is no `Exception`.
pub(crate) fn start_in_python<'py>(
    tracer: &Bound<'py, PyAny>,
    name: impl IntoPyObject<'py>,
    attributes: Option<impl IntoPyObject<'py>>,
    options: Option<&StartOptions>,
    on_exception: OnException,
) -> PyResult<Bound<'py, PyAny>> {
    let parent = options.and_then(|options| options.parent.as_ref());
    let links = options.and_then(|options| options.links.as_ref());
    let kind = options.map_or("internal", |options| options.kind.as_str());
    let start_time = options.and_then(|options| options.start_unix_nano);
    let OnException { record, set_status } = on_exception;
    tracer.call_method1(
        intern!(tracer.py(), "_start_in_python"),
        (
            name, parent, kind, attributes, links, start_time, record, set_status,
        ),
    )
}

/// Leaves the block of a span that Python records, by `exception` or none, and ends the span if that
/// is wished.
///
/// # Errors
/// Only an exception that is no `Exception`.
pub(crate) fn leave_in_python(
    span: &Bound<'_, PyAny>,
    exception: &Bound<'_, PyAny>,
    on_exception: OnException,
    ends: bool,
) -> PyResult<()> {
    let py = span.py();
    let leave = || -> PyResult<()> {
        if exception.is_instance_of::<PyException>() {
            let OnException { record, set_status } = on_exception;
            let module = py.import(intern!(py, "lumitrace.opentelemetry.span"))?;
            let fail = intern!(py, "fail");
            module.call_method1(fail, (span, exception, record, set_status))?;
        }
        Ok(())
    };
    let left = value::harmless(py, leave());
    if ends {
        let ended = span.call_method0(intern!(py, "end"));
        value::harmless(py, ended)?;
    }
    left.map(drop)
}

/// What the sampler of `provider`, or of the program's, answers for a span that Python makes: a
/// decision, attributes, and a `tracestate` where it is to change.
///
/// # Errors
/// Only an exception that is no `Exception`.
#[pyfunction]
#[pyo3(name = "_sample")]
pub(crate) fn sample<'py>(
    provider: Option<&Bound<'py, PyTracerProvider>>,
    parent: &Bound<'py, PyAny>,
    trace_id: u128,
    name: &Bound<'py, PyAny>,
    kind: Option<&Bound<'py, PyAny>>,
    attributes: Option<&Bound<'py, PyAny>>,
) -> PyResult<(&'static str, Bound<'py, PyDict>, Option<String>)> {
    let py = name.py();
    let provider = provider.map(|provider| provider.get().inner());
    let Some(sampler) = provider
        .or_else(lumitrace::global::provider)
        .and_then(|provider| provider.sampler())
    else {
        return Ok(("DROP", PyDict::new(py), None));
    };
    let (parent, name) = (span_context::of_python(parent), value::name_of(name)?);
    let attributes = value::attributes_of(attributes)?;
    let result = sampler.should_sample(&SamplingParameters {
        parent: parent.as_ref(),
        trace_id: TraceId::from_bytes(trace_id.to_be_bytes()),
        // The SDK's samplers are not told of it.
        scope: &Scope::default(),
        name: &name,
        kind: kind_of(kind),
        attributes: &attributes,
        links: &[],
    });
    let decision = match result.decision() {
        SamplingDecision::Drop => "DROP",
        SamplingDecision::RecordOnly => "RECORD_ONLY",
        SamplingDecision::RecordAndSample => "RECORD_AND_SAMPLE",
        SamplingDecision::PassThrough => "PASS_THROUGH",
    };
    let attributes = finished::attributes_to_python(py, result.attributes())?;
    let trace_state = result.trace_state().map(ToOwned::to_owned);
    Ok((decision, attributes, trace_state))
}

/// Whether there is a sampler of this name of `OTEL_TRACES_SAMPLER` that is not written in Python.
#[pyfunction]
#[pyo3(name = "_has_sampler")]
pub(crate) fn has_sampler(name: &str) -> bool {
    NamedSampler::new(name).is_ok()
}
