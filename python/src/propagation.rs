//! Carrying the current span into other processes, in the formats that `OTEL_PROPAGATORS` names.

use std::collections::BTreeMap;

use lumitrace::{Context, propagation};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::value::harmless;
use crate::{context, span_context};

/// Writes the ids of `span`, or of the current one, into `carrier`, and returns that.
///
/// # Errors
/// Only an exception that is no `Exception`.
#[pyfunction]
#[pyo3(signature = (carrier=None, *, span=None))]
pub(crate) fn inject<'py>(
    py: Python<'py>,
    carrier: Option<Bound<'py, PyAny>>,
    span: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let carrier = carrier.unwrap_or_else(|| PyDict::new(py).into_any());
    let span = span.or_else(|| context::current(py));
    if let Some(ids) = span.and_then(|span| span_context::of_python(&span)) {
        let mut headers = BTreeMap::new();
        propagation::global().inject(&Context::of_span_context(ids), &mut headers);
        for (name, value) in headers {
            harmless(py, carrier.set_item(name, value))?;
        }
    }
    Ok(carrier)
}

/// The ids of the caller's span in `carrier`: a mapping, or pairs of name and value.
///
/// # Errors
/// Only an exception that is no `Exception`.
#[pyfunction]
pub(crate) fn extract<'py>(carrier: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = carrier.py();
    let headers = harmless(py, headers_of(carrier))?.unwrap_or_default();
    let caller = propagation::global().extract(&headers);
    caller
        .span_context()
        .map(|ids| span_context::to_python(py, ids))
        .transpose()
}

fn headers_of(carrier: &Bound<'_, PyAny>) -> PyResult<BTreeMap<String, String>> {
    let pairs = match carrier.getattr_opt("items")? {
        Some(items) => items.call0()?,
        None => carrier.clone(),
    };
    let mut headers = BTreeMap::new();
    for pair in pairs.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        if let (Some(name), Some(value)) = (text_of(&name), text_of(&value)) {
            headers.entry(name).or_insert(value);
        }
    }
    Ok(headers)
}

/// Text, or the bytes that ASGI and WSGI servers pass.
fn text_of(object: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(text) = object.cast::<PyString>() {
        return Some(text.to_string_lossy().into_owned());
    }
    let bytes = object.cast::<PyBytes>().ok()?;
    Some(String::from_utf8_lossy(bytes.as_bytes()).into_owned())
}
