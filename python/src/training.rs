//! Spans of a training program, with the names and attributes that the run view knows.

use lumitrace_model::{KeyValue, Value, names};
use pyo3::prelude::*;

use crate::context;
use crate::span::PySpan;
use crate::tracing_context::{Attributes, Name, PyTracingContext, Recipe, Starter};
use crate::value::value_of;

/// A span `training_epoch` with `epoch` and `total_epochs` around one pass over the data.
#[pyfunction]
pub(crate) fn trace_training_epoch(
    tracer: &Bound<'_, PyAny>,
    epoch: &Bound<'_, PyAny>,
    num_epochs: &Bound<'_, PyAny>,
) -> PyResult<PyTracingContext> {
    let attributes = [("epoch", epoch), ("total_epochs", num_epochs)];
    span(tracer, names::TRAINING_EPOCH, &attributes)
}

/// A span `batch_processing` with `batch_index` and `batch_size` around one batch.
#[pyfunction]
pub(crate) fn trace_batch_processing(
    tracer: &Bound<'_, PyAny>,
    batch_idx: &Bound<'_, PyAny>,
    batch_size: &Bound<'_, PyAny>,
) -> PyResult<PyTracingContext> {
    let attributes = [("batch_index", batch_idx), ("batch_size", batch_size)];
    span(tracer, names::BATCH_PROCESSING, &attributes)
}

/// A span `validation` around an evaluation. Its epoch is that of the epoch it runs in, unless
/// another is given.
#[pyfunction]
#[pyo3(signature = (tracer, val_loss=None, val_metric=None, *, epoch=None))]
pub(crate) fn trace_validation(
    tracer: &Bound<'_, PyAny>,
    val_loss: Option<&Bound<'_, PyAny>>,
    val_metric: Option<&Bound<'_, PyAny>>,
    epoch: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyTracingContext> {
    let epoch = match epoch {
        Some(epoch) => Some(value_of(epoch)?),
        None => current_epoch(tracer.py()),
    };
    let mut attributes: Vec<_> = epoch
        .map(|epoch| KeyValue::new("epoch", epoch))
        .into_iter()
        .collect();
    for (key, value) in [("val_loss", val_loss), ("val_metric", val_metric)] {
        if let Some(value) = value {
            attributes.push(KeyValue::new(key, value_of(value)?));
        }
    }
    Ok(named(tracer, names::VALIDATION, attributes))
}

/// A span `data_loading` with `pair` and `num_samples`.
#[pyfunction]
pub(crate) fn trace_data_loading(
    tracer: &Bound<'_, PyAny>,
    pair: &Bound<'_, PyAny>,
    num_samples: &Bound<'_, PyAny>,
) -> PyResult<PyTracingContext> {
    span(
        tracer,
        names::DATA_LOADING,
        &[("pair", pair), ("num_samples", num_samples)],
    )
}

/// A span `feature_engineering` with `pair` and `feature_count`.
#[pyfunction]
pub(crate) fn trace_feature_engineering(
    tracer: &Bound<'_, PyAny>,
    pair: &Bound<'_, PyAny>,
    feature_count: &Bound<'_, PyAny>,
) -> PyResult<PyTracingContext> {
    let attributes = [("pair", pair), ("feature_count", feature_count)];
    span(tracer, names::FEATURE_ENGINEERING, &attributes)
}

fn span(
    tracer: &Bound<'_, PyAny>,
    name: &'static str,
    attributes: &[(&'static str, &Bound<'_, PyAny>)],
) -> PyResult<PyTracingContext> {
    let read = |&(key, object): &(&'static str, &Bound<'_, PyAny>)| {
        Ok(KeyValue::new(key, value_of(object)?))
    };
    let attributes = attributes.iter().map(read).collect::<PyResult<Vec<_>>>()?;
    Ok(named(tracer, name, attributes))
}

fn named(
    tracer: &Bound<'_, PyAny>,
    name: &'static str,
    attributes: Vec<KeyValue>,
) -> PyTracingContext {
    let starter = Starter::of_python(tracer);
    PyTracingContext::new(Recipe::new(
        starter,
        Name::Constant(name),
        Attributes::Read(attributes),
    ))
}

/// The epoch of the current span, if it has one.
fn current_epoch(py: Python<'_>) -> Option<Value> {
    let current = context::current(py)?;
    let span = current
        .cast_exact::<PySpan>()
        .ok()?
        .get()
        .inner()
        .snapshot()?;
    span.attribute("epoch").cloned()
}
