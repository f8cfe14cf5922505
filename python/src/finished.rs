//! Finished spans as tests look at them, with the names of OpenTelemetry's `ReadableSpan`.

use std::sync::Arc;

use lumitrace::SpanContext;
use lumitrace_model::{self as model, KeyValue, TraceId, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::span_context;
use crate::status::PyStatusCode;

/// A span as it was exported.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct FinishedSpan {
    span: model::Span,
    resource: Arc<model::Resource>,
    scope: model::Scope,
}

impl FinishedSpan {
    pub(crate) fn new(
        span: model::Span,
        resource: Arc<model::Resource>,
        scope: model::Scope,
    ) -> Self {
        Self {
            span,
            resource,
            scope,
        }
    }
}

/// `spans` as one OTLP request in JSON (opentelemetry-proto, "JSON Protobuf Encoding").
#[pyfunction]
#[pyo3(name = "_otlp_json")]
pub(crate) fn otlp_json(spans: Vec<PyRef<'_, FinishedSpan>>) -> String {
    let mut groups: Vec<model::ResourceSpans> = Vec::new();
    for finished in &spans {
        let resource = finished.resource.as_ref();
        let at = groups.iter().position(|it| it.resource == *resource);
        let at = at.unwrap_or_else(|| {
            groups.push(model::ResourceSpans {
                resource: resource.clone(),
                ..model::ResourceSpans::default()
            });
            groups.len() - 1
        });
        let scopes = &mut groups[at].scope_spans;
        let at = scopes.iter().position(|it| it.scope == finished.scope);
        let at = at.unwrap_or_else(|| {
            scopes.push(model::ScopeSpans {
                scope: finished.scope.clone(),
                ..model::ScopeSpans::default()
            });
            scopes.len() - 1
        });
        scopes[at].spans.push(finished.span.clone());
    }
    let json = lumitrace_wire::otlp::json::encode_traces(&groups);
    String::from_utf8_lossy(&json).into_owned()
}

#[pymethods]
impl FinishedSpan {
    #[getter]
    fn name(&self) -> &str {
        &self.span.name
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.span.kind.as_str()
    }

    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.context_of(py, self.span.span_id, false)
    }

    #[getter]
    fn parent<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        // OTLP's span flags, bit 9: the parent is in another process.
        let is_remote = self.span.flags & 0x200 != 0;
        let parent = self.span.parent_span_id;
        parent
            .map(|parent| self.context_of(py, parent, is_remote))
            .transpose()
    }

    #[getter]
    fn start_time(&self) -> u64 {
        self.span.start_unix_nano
    }

    #[getter]
    fn end_time(&self) -> u64 {
        self.span.end_unix_nano
    }

    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes_to_python(py, &self.span.attributes)
    }

    #[getter]
    fn events(&self) -> Vec<Event> {
        self.span
            .events
            .iter()
            .map(|event| Event {
                event: event.clone(),
            })
            .collect()
    }

    #[getter]
    fn links(&self) -> Vec<Link> {
        self.span
            .links
            .iter()
            .map(|link| Link { link: link.clone() })
            .collect()
    }

    #[getter]
    fn dropped_attributes(&self) -> u32 {
        self.span.dropped_attributes_count
    }

    #[getter]
    fn dropped_events(&self) -> u32 {
        self.span.dropped_events_count
    }

    #[getter]
    fn dropped_links(&self) -> u32 {
        self.span.dropped_links_count
    }

    #[getter]
    fn status(&self) -> Status {
        let model::Status { code, message } = &self.span.status;
        let description = (!message.is_empty()).then(|| message.clone().into_owned());
        Status {
            status_code: (*code).into(),
            description,
        }
    }

    #[getter]
    fn resource(&self) -> Resource {
        Resource {
            resource: Arc::clone(&self.resource),
        }
    }

    #[getter]
    fn instrumentation_scope(&self) -> InstrumentationScope {
        InstrumentationScope {
            name: self.scope.name.clone().into_owned(),
            version: self.scope.version.clone().into_owned(),
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "<FinishedSpan {:?} {}/{}>",
            self.span.name, self.span.trace_id, self.span.span_id
        )
    }
}

impl FinishedSpan {
    fn context_of<'py>(
        &self,
        py: Python<'py>,
        span_id: model::SpanId,
        is_remote: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let context = context(self.span.trace_id, span_id, self.span.flags)
            .with_trace_state(&self.span.trace_state);
        span_context::to_python(py, &if is_remote { context.remote() } else { context })
    }
}

/// The lowest eight of OTLP's span flags are W3C's trace flags.
fn context(trace_id: TraceId, span_id: model::SpanId, flags: u32) -> SpanContext {
    SpanContext::new(trace_id, span_id, (flags & 0xff) as u8)
}

/// Something that happened at one moment of a span.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct Event {
    event: model::Event,
}

#[pymethods]
impl Event {
    #[getter]
    fn name(&self) -> &str {
        &self.event.name
    }

    #[getter]
    fn timestamp(&self) -> u64 {
        self.event.time_unix_nano
    }

    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes_to_python(py, &self.event.attributes)
    }
}

/// A pointer to another span.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct Link {
    link: model::Link,
}

#[pymethods]
impl Link {
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let link = &self.link;
        let context = context(link.trace_id, link.span_id, link.flags);
        let context = context.with_trace_state(&link.trace_state);
        // OTLP's flags of links, bit 9: the other span is in another process.
        let is_remote = link.flags & 0x200 != 0;
        span_context::to_python(py, &if is_remote { context.remote() } else { context })
    }

    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes_to_python(py, &self.link.attributes)
    }
}

/// The outcome of a span that ended.
#[pyclass(frozen, get_all, module = "lumitrace._lumitrace")]
pub(crate) struct Status {
    status_code: PyStatusCode,
    description: Option<String>,
}

/// The process that made spans.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct Resource {
    resource: Arc<model::Resource>,
}

impl Resource {
    pub(crate) fn new(resource: model::Resource) -> Self {
        Self {
            resource: Arc::new(resource),
        }
    }
}

#[pymethods]
impl Resource {
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes_to_python(py, &self.resource.attributes)
    }
}

/// The module that made spans.
#[pyclass(frozen, get_all, module = "lumitrace._lumitrace")]
pub(crate) struct InstrumentationScope {
    name: String,
    version: String,
}

/// A dictionary of attributes.
///
/// # Errors
/// Only when memory runs out.
pub(crate) fn attributes_to_python<'py>(
    py: Python<'py>,
    attributes: &[KeyValue],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for KeyValue { key, value } in attributes {
        dict.set_item(key.as_ref(), value_to_python(py, value)?)?;
    }
    Ok(dict)
}

/// The Python object for an attribute's value.
///
/// # Errors
/// Only when memory runs out.
pub(crate) fn value_to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(int) => int.into_pyobject(py)?.into_any(),
        Value::Double(double) => double.into_pyobject(py)?.into_any(),
        Value::String(text) => text.as_ref().into_pyobject(py)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(value_to_python(py, value)?)?;
            }
            list.into_any()
        }
        Value::Map(entries) => attributes_to_python(py, entries)?.into_any(),
    })
}
