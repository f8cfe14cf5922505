//! Tracers, and how a span starts below the current one.

use lumitrace_model::{KeyValue, SpanKind, Text};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::span::{OnException, PySpan, kind_of, time_unix_nano};
use crate::tracing_context::{Attributes, Name, PyTracingContext, Recipe, Starter};
use crate::{context, provider, span_context, value};

/// Starts spans, in the name of one module.
#[pyclass(frozen, subclass, module = "lumitrace._lumitrace", name = "Tracer")]
pub(crate) struct PyTracer {
    tracer: lumitrace::Tracer,
}

impl PyTracer {
    pub(crate) fn new(tracer: lumitrace::Tracer) -> Self {
        Self { tracer }
    }

    pub(crate) fn inner(&self) -> lumitrace::Tracer {
        self.tracer
    }
}

/// What a span may be started with beside name and attributes; hardly ever given.
#[derive(Default)]
pub(crate) struct StartOptions {
    pub(crate) parent: Option<Py<PyAny>>,
    pub(crate) kind: SpanKind,
    pub(crate) links: Option<Py<PyAny>>,
    /// What happened before the start: a mapping from names to attributes.
    pub(crate) events: Option<Py<PyAny>>,
    pub(crate) start_unix_nano: Option<u64>,
}

/// Starts a span of `tracer`. Its attributes are read only if it is recorded, or if the sampler decides
/// by them: reading a value off a device costs time, whoever wants it.
///
/// # Errors
/// Only an exception that is no `Exception`.
pub(crate) fn start(
    py: Python<'_>,
    tracer: lumitrace::Tracer,
    name: Text,
    attributes: impl FnOnce() -> PyResult<Vec<KeyValue>>,
    options: Option<&StartOptions>,
) -> PyResult<lumitrace::Span> {
    let parent = match options.and_then(|options| options.parent.as_ref()) {
        Some(given) => parent_given(given.bind(py)),
        None => context::current(py),
    };
    let mut builder = tracer.span(name);
    builder = match parent.and_then(|parent| span_context::of_python(&parent)) {
        Some(parent) => builder.parent(&parent),
        None => builder.root(),
    };
    if let Some(options) = options {
        builder = builder.kind(options.kind);
        if let Some(time) = options.start_unix_nano {
            builder = builder.start_time(time);
        }
        for (to, attributes) in links_of(py, options.links.as_ref())? {
            builder = builder.link(&to, attributes);
        }
    }
    if tracer.samples_by_attributes() {
        return Ok(builder.attributes(attributes()?).start());
    }
    let span = builder.start();
    if span.is_recording() {
        span.set_attributes(attributes()?);
        if let Some(events) = options.and_then(|options| options.events.as_ref()) {
            for (name, attributes) in value::items_of(events.bind(py))?.unwrap_or_default() {
                let attributes = value::attributes_of(Some(&attributes))?;
                span.add_event(value::name_of(&name)?, attributes);
            }
        }
    }
    Ok(span)
}

/// Starts a span for Python.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_span(
    tracer: lumitrace::Tracer,
    name: &Bound<'_, PyAny>,
    attributes: Option<&Bound<'_, PyAny>>,
    options: Option<&StartOptions>,
    on_exception: OnException,
) -> PyResult<PySpan> {
    let name_text = value::name_of(name)?;
    let attributes = || value::attributes_of(attributes);
    let span = start(name.py(), tracer, name_text.clone(), attributes, options)?;
    let kind = options.map_or(SpanKind::Internal, |options| options.kind);
    Ok(PySpan::new(span, name_text, kind, on_exception))
}

/// The span that records nothing and is nobody's parent.
pub(crate) fn no_span(py: Python<'_>) -> PyResult<Py<PySpan>> {
    static NO_SPAN: PyOnceLock<Py<PySpan>> = PyOnceLock::new();
    let make = || {
        Py::new(
            py,
            PySpan::new(
                lumitrace::Span::none(),
                Text::default(),
                SpanKind::Internal,
                OnException::default(),
            ),
        )
    };
    NO_SPAN
        .get_or_try_init(py, make)
        .map(|span| span.clone_ref(py))
}

/// The span in an argument `context`: a context of OpenTelemetry's, or a span or its ids.
fn parent_given<'py>(given: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if given.is_instance_of::<PyDict>() {
        context::span_in_context(given.py(), given)
    } else {
        Some(given.clone())
    }
}

type Links = Vec<(lumitrace::SpanContext, Vec<KeyValue>)>;

/// The links in a list of OpenTelemetry's links, spans, or ids of spans.
fn links_of(py: Python<'_>, links: Option<&Py<PyAny>>) -> PyResult<Links> {
    let Some(links) = links else {
        return Ok(Vec::new());
    };
    let read = || -> PyResult<Links> {
        let mut read = Vec::new();
        for link in links.bind(py).try_iter()? {
            let link = link?;
            let target = link.getattr_opt("context")?.unwrap_or_else(|| link.clone());
            if let Some(to) = span_context::of_python(&target) {
                let attributes = link.getattr_opt("attributes")?;
                read.push((to, value::attributes_of(attributes.as_ref())?));
            }
        }
        Ok(read)
    };
    Ok(value::harmless(py, read())?.unwrap_or_default())
}

/// Calls `method` of the current span, of whichever implementation it is.
fn on_current_span<'py>(
    py: Python<'py>,
    method: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<()> {
    context::current_span(py)?
        .call_method1(method, arguments)
        .map(drop)
}

#[pymethods]
impl PyTracer {
    #[new]
    fn py_new(module_name: &Bound<'_, PyAny>) -> PyResult<Self> {
        provider::get_tracer(module_name, None, None, None)
    }

    #[getter]
    fn name(&self) -> &'static str {
        self.tracer.name()
    }

    #[pyo3(signature = (
        name, context=None, kind=None, attributes=None, links=None, start_time=None,
        record_exception=true, set_status_on_exception=true
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parameters of OpenTelemetry's API"
    )]
    fn start_span(
        &self,
        name: &Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> PyResult<PySpan> {
        let (context, attributes) = match context {
            Some(given) if is_plain_dict(name.py(), &given) && attributes.is_none() => {
                (None, Some(given.into_bound(name.py())))
            }
            context => (context, attributes.cloned()),
        };
        let options = options(context, kind, links, start_time);
        let on_exception = OnException {
            record: record_exception,
            set_status: set_status_on_exception,
        };
        start_span(
            self.tracer,
            name,
            attributes.as_ref(),
            options.as_deref(),
            on_exception,
        )
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
        &self,
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
            starter: Starter::Native(self.tracer),
            name: Name::Given(name),
            attributes: attributes.map_or(Attributes::None, Attributes::Given),
            options: options(context, kind, links, start_time),
            on_exception: OnException {
                record: record_exception,
                set_status: set_status_on_exception,
            },
            end_on_exit,
        })
    }

    #[pyo3(signature = (name, attributes=None, events=None))]
    fn trace_operation(
        &self,
        name: Py<PyAny>,
        attributes: Option<Py<PyAny>>,
        events: Option<Py<PyAny>>,
    ) -> PyTracingContext {
        let attributes = attributes.map_or(Attributes::None, Attributes::Given);
        let starter = Starter::Native(self.tracer);
        let mut recipe = Recipe::new(starter, Name::Given(name), attributes);
        recipe.options = events.map(|events| {
            Box::new(StartOptions {
                kind: SpanKind::Internal,
                events: Some(events),
                ..StartOptions::default()
            })
        });
        PyTracingContext::new(recipe)
    }

    #[pyo3(signature = (name, attributes=None))]
    fn add_trace_event(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        on_current_span(py, "add_event", (name, attributes))
    }

    fn set_trace_attribute(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        on_current_span(py, "set_attribute", (key, value))
    }

    #[pyo3(signature = (exception, attributes=None))]
    fn record_exception(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        on_current_span(py, "record_exception", (exception, attributes))
    }

    fn is_enabled(&self) -> bool {
        self.tracer.is_enabled()
    }

    fn current_span<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        context::current_span(py)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match provider::get_tracer_provider(py) {
            Some(provider) => provider.get().statistics(py),
            None => Ok(PyDict::new(py)),
        }
    }
}

/// Whether an argument `context` is none: OpenTelemetry's contexts are of a class of their own, and
/// attributes may come second too.
fn is_plain_dict(py: Python<'_>, given: &Py<PyAny>) -> bool {
    given.bind(py).is_exact_instance_of::<PyDict>()
}

pub(crate) fn options(
    parent: Option<Py<PyAny>>,
    kind: Option<&Bound<'_, PyAny>>,
    links: Option<Py<PyAny>>,
    start_time: Option<&Bound<'_, PyAny>>,
) -> Option<Box<StartOptions>> {
    if parent.is_none() && kind.is_none() && links.is_none() && start_time.is_none() {
        return None;
    }
    let start_unix_nano = time_unix_nano(start_time);
    Some(Box::new(StartOptions {
        parent,
        kind: kind_of(kind),
        links,
        events: None,
        start_unix_nano,
    }))
}
