//! Spans that Python recorded, on their way into the SDK: objects with the attributes of
//! OpenTelemetry's `ReadableSpan`, as processors may have changed them.

use lumitrace_model::{Event, KeyValue, Link, Span, Status, StatusCode};
use pyo3::intern;
use pyo3::prelude::*;

use crate::provider::{self, PyTracerProvider};
use crate::span::{kind_of, time_unix_nano};
use crate::status::status_code_of;
use crate::{span_context, value};

/// Hands a span that has ended on to `provider`, or to the program's.
///
/// # Errors
/// Whatever the object raises; the caller tells of it.
#[pyfunction]
#[pyo3(name = "_record_ended")]
pub(crate) fn record_ended(
    provider: Option<&Bound<'_, PyTracerProvider>>,
    span: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let Some(read) = span_of(span)? else {
        return Ok(());
    };
    let scope = match attribute(span, "instrumentation_scope")? {
        Some(scope) => provider::scope(
            &scope.getattr(intern!(span.py(), "name"))?,
            attribute(&scope, "version")?.as_ref(),
            attribute(&scope, "attributes")?.as_ref(),
        )?,
        None => Default::default(),
    };
    let tracer = match provider {
        Some(provider) => provider.get().inner().tracer_of_scope(scope),
        None => lumitrace::global::tracer_of_scope(scope),
    };
    tracer.record(read);
    Ok(())
}

/// `None` where it has no ids.
fn span_of(span: &Bound<'_, PyAny>) -> PyResult<Option<Span>> {
    let context = attribute(span, "context")?;
    let Some(context) = context.as_ref().and_then(span_context::of_python) else {
        return Ok(None);
    };
    let parent = attribute(span, "parent")?;
    let parent = parent.as_ref().and_then(span_context::of_python);
    // OTLP's span flags, bit 8: whether the parent is remote is known, bit 9: it is.
    let is_remote = parent.as_ref().is_some_and(|parent| parent.is_remote());
    let start_unix_nano = time_unix_nano(attribute(span, "start_time")?.as_ref());
    let start_unix_nano = start_unix_nano.unwrap_or_else(lumitrace::unix_nano_now);
    let end_unix_nano = time_unix_nano(attribute(span, "end_time")?.as_ref());
    Ok(Some(Span {
        trace_id: context.trace_id(),
        span_id: context.span_id(),
        parent_span_id: parent.map(|parent| parent.span_id()),
        trace_state: context.trace_state().to_owned().into(),
        flags: u32::from(context.trace_flags()) | 0x100 | if is_remote { 0x200 } else { 0 },
        name: value::name_of(&span.getattr(intern!(span.py(), "name"))?)?,
        kind: kind_of(attribute(span, "kind")?.as_ref()),
        start_unix_nano,
        end_unix_nano: end_unix_nano.unwrap_or(start_unix_nano),
        attributes: attributes_of(span)?,
        dropped_attributes_count: count(span, "dropped_attributes")?,
        events: each(span, "events", event_of)?,
        dropped_events_count: count(span, "dropped_events")?,
        links: each(span, "links", link_of)?,
        dropped_links_count: count(span, "dropped_links")?,
        status: status_of(span)?,
        pending: false,
    }))
}

fn event_of(event: &Bound<'_, PyAny>) -> PyResult<Option<Event>> {
    let time = time_unix_nano(attribute(event, "timestamp")?.as_ref());
    Ok(Some(Event {
        time_unix_nano: time.unwrap_or_default(),
        name: value::name_of(&event.getattr(intern!(event.py(), "name"))?)?,
        attributes: attributes_of(event)?,
        dropped_attributes_count: count(event, "dropped_attributes")?,
    }))
}

/// `None` where it points at nothing.
fn link_of(link: &Bound<'_, PyAny>) -> PyResult<Option<Link>> {
    let context = attribute(link, "context")?;
    let Some(to) = context.as_ref().and_then(span_context::of_python) else {
        return Ok(None);
    };
    Ok(Some(Link {
        trace_id: to.trace_id(),
        span_id: to.span_id(),
        trace_state: to.trace_state().to_owned().into(),
        flags: to.link_flags(),
        attributes: attributes_of(link)?,
        dropped_attributes_count: count(link, "dropped_attributes")?,
    }))
}

fn status_of(span: &Bound<'_, PyAny>) -> PyResult<Status> {
    let Some(status) = attribute(span, "status")? else {
        return Ok(Status::default());
    };
    let (code, description) = status_code_of(&status);
    let message = match description {
        Some(description) => value::message_of(&description)?,
        None => "".into(),
    };
    Ok(Status {
        code: code.unwrap_or(StatusCode::Unset),
        message,
    })
}

/// The attributes of a span, an event or a link. The SDK's mappings are read through a copy, which
/// is a dictionary: to look at them item by item takes a call of Python for each.
fn attributes_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<KeyValue>> {
    let Some(attributes) = attribute(object, "attributes")? else {
        return Ok(Vec::new());
    };
    let copy = match attributes.getattr_opt(intern!(object.py(), "copy"))? {
        Some(copy) => value::harmless(object.py(), copy.call0())?,
        None => None,
    };
    value::attributes_of(Some(&copy.unwrap_or(attributes)))
}

/// An attribute of an object, where it is there and not `None`.
fn attribute<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(object.getattr_opt(name)?.filter(|value| !value.is_none()))
}

fn count(object: &Bound<'_, PyAny>, name: &str) -> PyResult<u32> {
    let count = attribute(object, name)?;
    Ok(count.and_then(|count| count.extract().ok()).unwrap_or(0))
}

/// What `read` makes of each element of the list `name`.
fn each<T>(
    object: &Bound<'_, PyAny>,
    name: &str,
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<Option<T>>,
) -> PyResult<Vec<T>> {
    let Some(list) = attribute(object, name)? else {
        return Ok(Vec::new());
    };
    list.try_iter()?
        .filter_map(|element| element.and_then(|element| read(&element)).transpose())
        .collect()
}
