//! Spans around blocks: started, made current, left and ended by `with`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lumitrace_model::{KeyValue, SpanKind, Text, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::context::{self, Attached};
use crate::drop_in::{self, DropInTracer};
use crate::ready::Ready;
use crate::span::{OnException, PySpan};
use crate::tracer::{self, PyTracer, StartOptions};
use crate::value;

/// A span around a block.
///
/// The span starts when the block is entered, not when this is made: the same object may decorate
/// a function, or be entered again.
#[pyclass(frozen, module = "lumitrace._lumitrace", name = "TracingContext")]
pub(crate) struct PyTracingContext {
    recipe: Recipe,
    entered: Mutex<Option<Entered>>,
}

/// What the span is made from.
pub(crate) struct Recipe {
    pub(crate) starter: Starter,
    pub(crate) name: Name,
    pub(crate) attributes: Attributes,
    pub(crate) options: Option<Box<StartOptions>>,
    pub(crate) on_exception: OnException,
    pub(crate) end_on_exit: bool,
}

/// Who starts the span.
pub(crate) enum Starter {
    /// One of our tracers.
    Native(lumitrace::Tracer),
    /// One of our tracers that is OpenTelemetry's as well.
    DropIn(Py<DropInTracer>),
    /// A tracer of another implementation of OpenTelemetry's API.
    Foreign(Py<PyAny>),
}

/// The span's name.
pub(crate) enum Name {
    Given(Py<PyAny>),
    Constant(&'static str),
}

/// The span's first attributes.
pub(crate) enum Attributes {
    None,
    /// A mapping, read when the span starts.
    Given(Py<PyAny>),
    /// Single ones, read when the span starts.
    Named(Vec<(&'static str, Named)>),
}

/// The value of one attribute.
pub(crate) enum Named {
    Object(Py<PyAny>),
    Known(Value),
}

enum Entered {
    /// A span of ours; not attached where it is nobody's parent.
    Native {
        span: Py<PySpan>,
        attached: Option<Attached>,
        outer: Option<Box<Entered>>,
    },
    /// A span of ours that Python made.
    Python {
        span: Py<PyAny>,
        attached: Option<Attached>,
        outer: Option<Box<Entered>>,
    },
    /// A context manager of another implementation.
    Foreign {
        manager: Py<PyAny>,
        outer: Option<Box<Entered>>,
    },
}

impl Starter {
    /// The tracer that a program passed: ours, another, or none.
    pub(crate) fn of_python(tracer: &Bound<'_, PyAny>) -> Self {
        match tracer.cast::<PyTracer>() {
            Ok(tracer) => Starter::Native(tracer.get().inner()),
            Err(_) if tracer.is_none() => Starter::Native(default_tracer()),
            Err(_) => match tracer.cast::<DropInTracer>() {
                Ok(tracer) => Starter::DropIn(tracer.clone().unbind()),
                Err(_) => Starter::Foreign(tracer.clone().unbind()),
            },
        }
    }

    fn again(&self, py: Python<'_>) -> Self {
        match self {
            Starter::Native(tracer) => Starter::Native(*tracer),
            Starter::DropIn(tracer) => Starter::DropIn(tracer.clone_ref(py)),
            Starter::Foreign(tracer) => Starter::Foreign(tracer.clone_ref(py)),
        }
    }
}

/// The tracer of programs that pass none.
pub(crate) fn default_tracer() -> lumitrace::Tracer {
    static DEFAULT: std::sync::OnceLock<lumitrace::Tracer> = std::sync::OnceLock::new();
    *DEFAULT.get_or_init(|| lumitrace::tracer("lumitrace.tracing"))
}

impl Name {
    fn text(&self, py: Python<'_>) -> PyResult<Text> {
        match self {
            Name::Given(name) => value::name_of(name.bind(py)),
            Name::Constant(name) => Ok(Text::Borrowed(name)),
        }
    }

    fn again(&self, py: Python<'_>) -> Self {
        match self {
            Name::Given(name) => Name::Given(name.clone_ref(py)),
            Name::Constant(name) => Name::Constant(name),
        }
    }
}

impl Attributes {
    fn read(&self, py: Python<'_>) -> PyResult<Vec<KeyValue>> {
        match self {
            Attributes::None => Ok(Vec::new()),
            Attributes::Given(mapping) => value::attributes_of(Some(mapping.bind(py))),
            Attributes::Named(attributes) => attributes
                .iter()
                .map(|(key, value)| Ok(KeyValue::new(*key, value.read(py)?)))
                .collect(),
        }
    }

    fn again(&self, py: Python<'_>) -> Self {
        match self {
            Attributes::None => Attributes::None,
            Attributes::Given(mapping) => Attributes::Given(mapping.clone_ref(py)),
            Attributes::Named(attributes) => {
                let again = |(key, value): &(_, Named)| (*key, value.again(py));
                Attributes::Named(attributes.iter().map(again).collect())
            }
        }
    }
}

impl Named {
    fn read(&self, py: Python<'_>) -> PyResult<Value> {
        match self {
            Named::Object(object) => value::value_of(object.bind(py)),
            Named::Known(value) => Ok(value.clone()),
        }
    }

    fn again(&self, py: Python<'_>) -> Self {
        match self {
            Named::Object(object) => Named::Object(object.clone_ref(py)),
            Named::Known(value) => Named::Known(value.clone()),
        }
    }
}

impl Recipe {
    /// A span of `name` with `attributes`, and nothing else out of the ordinary.
    pub(crate) fn new(starter: Starter, name: Name, attributes: Attributes) -> Self {
        let on_exception = OnException::default();
        Self {
            starter,
            name,
            attributes,
            options: None,
            on_exception,
            end_on_exit: true,
        }
    }

    fn again(&self, py: Python<'_>) -> Self {
        let options = self.options.as_ref().map(|options| {
            Box::new(StartOptions {
                parent: options.parent.as_ref().map(|parent| parent.clone_ref(py)),
                links: options.links.as_ref().map(|links| links.clone_ref(py)),
                events: options.events.as_ref().map(|events| events.clone_ref(py)),
                ..**options
            })
        });
        Self {
            starter: self.starter.again(py),
            name: self.name.again(py),
            attributes: self.attributes.again(py),
            options,
            ..*self
        }
    }
}

impl PyTracingContext {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            entered: Mutex::new(None),
        }
    }

    fn entered(&self) -> MutexGuard<'_, Option<Entered>> {
        // Nothing panics while it is held.
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter_native(
        &self,
        py: Python<'_>,
        tracer: lumitrace::Tracer,
        drop_in: Option<&Py<DropInTracer>>,
    ) -> PyResult<Py<PyAny>> {
        let (span, attached) = if tracer.is_enabled() {
            let name = self.recipe.name.text(py)?;
            let attributes = || self.recipe.attributes.read(py);
            let options = self.recipe.options.as_deref();
            let span = tracer::start(py, tracer, name.clone(), attributes, options)?;
            let kind = options.map_or(SpanKind::Internal, |options| options.kind);
            let span = PySpan::new(span, name, kind, self.recipe.on_exception);
            let span = span.into_object(py, drop_in)?;
            // Where the variable refuses, the span is recorded without being current.
            let attached = value::harmless(py, context::attach(py, span.as_any()))?;
            (span.unbind(), attached)
        } else {
            (tracer::no_span(py)?, None)
        };
        let result = span.clone_ref(py).into_any();
        let mut entered = self.entered();
        let outer = entered.take().map(Box::new);
        *entered = Some(Entered::Native {
            span,
            attached,
            outer,
        });
        Ok(result)
    }

    fn enter_foreign(&self, py: Python<'_>, tracer: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        let keywords = PyDict::new(py);
        if let Attributes::Given(attributes) = &self.recipe.attributes {
            keywords.set_item(intern!(py, "attributes"), attributes)?;
        } else {
            let attributes = PyDict::new(py);
            for attribute in self.recipe.attributes.read(py)? {
                let value = crate::finished::value_to_python(py, &attribute.value)?;
                attributes.set_item(attribute.key.as_ref(), value)?;
            }
            keywords.set_item(intern!(py, "attributes"), attributes)?;
        }
        let name = self.recipe.name.text(py)?;
        let start = intern!(py, "start_as_current_span");
        let manager = tracer
            .bind(py)
            .call_method(start, (name.as_ref(),), Some(&keywords))?;
        let span = manager.call_method0(intern!(py, "__enter__"))?.unbind();
        let mut entered = self.entered();
        let outer = entered.take().map(Box::new);
        *entered = Some(Entered::Foreign {
            manager: manager.unbind(),
            outer,
        });
        Ok(span)
    }

    /// Enters as [`enter_native`](Self::enter_native) would, in the ways of OpenTelemetry's SDK.
    fn enter_drop_in(&self, py: Python<'_>, tracer: &Py<DropInTracer>) -> PyResult<Py<PyAny>> {
        let drop_in = tracer.get();
        if !drop_in.is_in_python() {
            return self.enter_native(py, drop_in.inner(), Some(tracer));
        }
        let attributes = match &self.recipe.attributes {
            Attributes::Given(attributes) => Some(attributes),
            _ => None,
        };
        let span = drop_in::start_in_python(
            tracer.bind(py).as_any(),
            self.recipe.name.text(py)?.as_ref(),
            attributes,
            self.recipe.options.as_deref(),
            self.recipe.on_exception,
        )?;
        let attached = value::harmless(py, context::attach(py, &span))?;
        let result = span.clone().unbind();
        let mut entered = self.entered();
        let outer = entered.take().map(Box::new);
        *entered = Some(Entered::Python {
            span: span.unbind(),
            attached,
            outer,
        });
        Ok(result)
    }

    fn leave(&self, entered: Entered, exception: [&Bound<'_, PyAny>; 3]) -> PyResult<()> {
        let py = exception[1].py();
        match entered {
            Entered::Native {
                span,
                attached,
                outer,
            } => {
                *self.entered() = outer.map(|outer| *outer);
                let detached = attached.map_or(Ok(()), |attached| context::detach(py, attached));
                let left = PySpan::leave(span.bind(py), exception[1], self.recipe.end_on_exit);
                detached.and(left)
            }
            Entered::Python {
                span,
                attached,
                outer,
            } => {
                *self.entered() = outer.map(|outer| *outer);
                let detached = attached.map_or(Ok(()), |attached| context::detach(py, attached));
                let ends = self.recipe.end_on_exit;
                let left = drop_in::leave_in_python(
                    span.bind(py),
                    exception[1],
                    self.recipe.on_exception,
                    ends,
                );
                detached.and(left)
            }
            Entered::Foreign { manager, outer } => {
                *self.entered() = outer.map(|outer| *outer);
                let [class, exception, traceback] = exception;
                let exit = intern!(py, "__exit__");
                manager
                    .call_method1(py, exit, (class, exception, traceback))
                    .map(drop)
            }
        }
    }
}

#[pymethods]
impl PyTracingContext {
    #[new]
    #[pyo3(signature = (tracer, span_name, attributes=None))]
    fn py_new(
        tracer: &Bound<'_, PyAny>,
        span_name: Py<PyAny>,
        attributes: Option<Py<PyAny>>,
    ) -> Self {
        Self::new(Recipe::new(
            Starter::of_python(tracer),
            Name::Given(span_name),
            attributes.map_or(Attributes::None, Attributes::Given),
        ))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.recipe.starter {
            Starter::Native(tracer) => self.enter_native(py, *tracer, None),
            Starter::DropIn(tracer) => self.enter_drop_in(py, tracer),
            Starter::Foreign(tracer) => self.enter_foreign(py, tracer),
        }
    }

    fn __exit__(
        &self,
        class: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let entered = self.entered().take();
        if let Some(entered) = entered {
            self.leave(entered, [class, exception, traceback])?;
        }
        Ok(false)
    }

    fn __aenter__(&self, py: Python<'_>) -> PyResult<Ready> {
        self.__enter__(py).map(Ready::new)
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

    /// Decorates `function`.
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import(intern!(slf.py(), "lumitrace._functions"))?;
        module.call_method1(intern!(slf.py(), "in_context"), (slf, function))
    }

    /// The same, not entered: each call of a decorated function has its own.
    fn _again(&self, py: Python<'_>) -> Self {
        Self::new(self.recipe.again(py))
    }
}

/// Makes a span current for a block, without ending it afterwards.
#[pyclass(frozen, module = "lumitrace._lumitrace", name = "use_span")]
pub(crate) struct UseSpan {
    span: Py<PyAny>,
    attached: Mutex<Vec<Attached>>,
}

impl UseSpan {
    fn attached(&self) -> MutexGuard<'_, Vec<Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl UseSpan {
    #[new]
    fn new(span: Py<PyAny>) -> Self {
        Self {
            span,
            attached: Mutex::default(),
        }
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let attached = value::harmless(py, context::attach(py, self.span.bind(py)))?;
        self.attached().extend(attached);
        Ok(self.span.clone_ref(py))
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _class: &Bound<'_, PyAny>,
        _exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let attached = self.attached().pop();
        attached.map_or(Ok(()), |attached| context::detach(py, attached))?;
        Ok(false)
    }
}
