//! Python's exceptions on spans.
//!
//! An exception is recorded once, on the span in which it was raised. On its way out it passes the
//! spans around that one: they failed too and say so, without repeating the event. The exception
//! itself carries the ids of the span that has recorded it and of the one that it reaches next.

use lumitrace_model::{KeyValue, SpanId, StatusCode, names};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::value::{self, harmless};

/// The most of a stack trace that is kept, in bytes: its beginning and, twice as much, its end,
/// where the failing line and the message are.
const MAX_STACK_BYTES: usize = 48 * 1024;

/// Whether leaving a block by this exception means that its work failed. Being cancelled, closed
/// or told to exit does not; an interrupt by the user does, for the work was not done.
pub(crate) fn is_failure(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<PyException>() || exception.is_instance_of::<PyKeyboardInterrupt>()
}

/// Marks `span` as failed by `exception`.
///
/// # Errors
/// Only an exception that is no `Exception`, raised while the exception was turned into text.
pub(crate) fn record_failure(span: &lumitrace::Span, exception: &Bound<'_, PyAny>) -> PyResult<()> {
    if !span.is_recording() {
        return Ok(());
    }
    let own = span.context().span_id();
    if !is_recorded_on(exception, own) {
        span.add_event(names::EXCEPTION_EVENT, event_attributes(exception)?);
    }
    let parent = span.snapshot().and_then(|span| span.parent_span_id);
    mark(exception, &[own, parent.unwrap_or(SpanId::INVALID)])?;
    let class = class_name(&exception.get_type())?;
    span.set_attributes([
        KeyValue::new(names::ERROR_TYPE, class),
        KeyValue::new(names::ERROR_MESSAGE, value::text_of(exception)?),
    ]);
    Ok(())
}

/// Sets the status that an exception leaves behind.
///
/// # Errors
/// As [`record_failure`].
pub(crate) fn set_status(span: &lumitrace::Span, exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let class = class_name(&exception.get_type())?;
    let message = value::text_of(exception)?;
    span.set_status(StatusCode::Error, format!("{class}: {message}"));
    Ok(())
}

/// Adds the event of an exception, with further attributes; the span has not failed by that.
///
/// # Errors
/// As [`record_failure`].
pub(crate) fn record_event(
    span: &lumitrace::Span,
    exception: &Bound<'_, PyAny>,
    time_unix_nano: Option<u64>,
    further: Vec<KeyValue>,
) -> PyResult<()> {
    let mut attributes = event_attributes(exception)?;
    attributes.extend(further);
    let time_unix_nano = time_unix_nano.unwrap_or_else(lumitrace::unix_nano_now);
    span.add_event_at(names::EXCEPTION_EVENT, time_unix_nano, attributes);
    mark(exception, &[span.context().span_id()])
}

fn event_attributes(exception: &Bound<'_, PyAny>) -> PyResult<Vec<KeyValue>> {
    let class = exception.get_type();
    let name = harmless(class.py(), class.fully_qualified_name())?;
    Ok(vec![
        KeyValue::new(
            names::EXCEPTION_TYPE,
            name.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        ),
        KeyValue::new(names::EXCEPTION_MESSAGE, value::text_of(exception)?),
        KeyValue::new(names::EXCEPTION_STACKTRACE, stack_trace(exception)?),
    ])
}

fn class_name(class: &Bound<'_, PyType>) -> PyResult<String> {
    let name = harmless(class.py(), class.name())?;
    Ok(name.map_or_else(
        || "?".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    ))
}

fn stack_trace(exception: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = exception.py();
    let format = || -> PyResult<String> {
        let traceback = py.import(intern!(py, "traceback"))?;
        let lines = traceback.call_method1(intern!(py, "format_exception"), (exception,))?;
        lines
            .try_iter()?
            .map(|line| line?.extract::<String>())
            .collect()
    };
    Ok(without_middle(harmless(py, format())?.unwrap_or_default()))
}

fn without_middle(text: String) -> String {
    if text.len() <= MAX_STACK_BYTES {
        return text;
    }
    let head = text.floor_char_boundary(MAX_STACK_BYTES / 3);
    let tail = text.ceil_char_boundary(text.len() - MAX_STACK_BYTES * 2 / 3);
    format!(
        "{}\n… ({} bytes)\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

fn is_recorded_on(exception: &Bound<'_, PyAny>, span_id: SpanId) -> bool {
    let mark = exception.getattr_opt(intern!(exception.py(), "__lumitrace_span_id__"));
    let mark = mark.ok().flatten();
    let ids = mark.as_ref().and_then(|mark| mark.extract::<&[u8]>().ok());
    let mut ids = ids.unwrap_or_default().chunks(8);
    ids.any(|id| id == span_id.as_bytes())
}

/// Notes on the exception that the spans with these ids need not record it.
fn mark(exception: &Bound<'_, PyAny>, span_ids: &[SpanId]) -> PyResult<()> {
    let name = intern!(exception.py(), "__lumitrace_span_id__");
    let ids: Vec<u8> = span_ids.iter().flat_map(|id| id.to_bytes()).collect();
    // An exception that takes no attributes is recorded by every span that it passes.
    harmless(exception.py(), exception.setattr(name, ids.as_slice())).map(drop)
}
