//! Spans of a training program, with the names and attributes that the run view knows.

use lumitrace::distributed::Job;
use lumitrace_model::{SpanKind, Value, names};
use pyo3::prelude::*;

use crate::context;
use crate::span::{OnException, PySpan, time_unix_nano};
use crate::tracer::PyTracer;
use crate::tracing_context::{Attributes, Name, Named, PyTracingContext, Recipe, Starter};

/// A span `training_epoch` with `epoch` and `total_epochs` around one pass over the data.
#[pyfunction]
pub(crate) fn trace_training_epoch(
    tracer: &Bound<'_, PyAny>,
    epoch: &Bound<'_, PyAny>,
    num_epochs: &Bound<'_, PyAny>,
) -> PyTracingContext {
    let attributes = [("epoch", epoch), ("total_epochs", num_epochs)];
    span(tracer, names::TRAINING_EPOCH, attributes)
}

/// A span `batch_processing` with `batch_index` and `batch_size` around one batch.
#[pyfunction]
pub(crate) fn trace_batch_processing(
    tracer: &Bound<'_, PyAny>,
    batch_idx: &Bound<'_, PyAny>,
    batch_size: &Bound<'_, PyAny>,
) -> PyTracingContext {
    let attributes = [("batch_index", batch_idx), ("batch_size", batch_size)];
    span(tracer, names::BATCH_PROCESSING, attributes)
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
) -> PyTracingContext {
    let epoch = match epoch {
        Some(epoch) => Some(object(epoch)),
        None => current_epoch(tracer.py()).map(Named::Known),
    };
    let attributes = [
        ("epoch", epoch),
        ("val_loss", val_loss.map(object)),
        ("val_metric", val_metric.map(object)),
    ];
    let given = attributes
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    named(tracer, names::VALIDATION, given.collect())
}

/// A span `data_loading` with `pair` and `num_samples`.
#[pyfunction]
pub(crate) fn trace_data_loading(
    tracer: &Bound<'_, PyAny>,
    pair: &Bound<'_, PyAny>,
    num_samples: &Bound<'_, PyAny>,
) -> PyTracingContext {
    span(
        tracer,
        names::DATA_LOADING,
        [("pair", pair), ("num_samples", num_samples)],
    )
}

/// A span `feature_engineering` with `pair` and `feature_count`.
#[pyfunction]
pub(crate) fn trace_feature_engineering(
    tracer: &Bound<'_, PyAny>,
    pair: &Bound<'_, PyAny>,
    feature_count: &Bound<'_, PyAny>,
) -> PyTracingContext {
    let attributes = [("pair", pair), ("feature_count", feature_count)];
    span(tracer, names::FEATURE_ENGINEERING, attributes)
}

/// Starts the span of a training that nothing is around. Ranks of one job have theirs in one trace;
/// `rank` and `world_size` are what the program knows where its environment tells nothing.
#[pyfunction]
#[pyo3(name = "_start_training_run", signature = (tracer, start_time=None, rank=None, world_size=None))]
pub(crate) fn start_training_run(
    tracer: &PyTracer,
    start_time: Option<&Bound<'_, PyAny>>,
    rank: Option<u32>,
    world_size: Option<u32>,
) -> PySpan {
    let job = Job::detect().or_else(|| Job::of_siblings(rank?, world_size?));
    let span = tracer.inner().span(names::TRAINING_RUN);
    let mut span = match &job {
        Some(job) => span.root_of_job(job),
        None => span.root(),
    };
    if let Some(time) = time_unix_nano(start_time) {
        span = span.start_time(time);
    }
    PySpan::new(
        span.start(),
        names::TRAINING_RUN.into(),
        SpanKind::Internal,
        OnException::default(),
    )
}

fn span(
    tracer: &Bound<'_, PyAny>,
    name: &'static str,
    attributes: [(&'static str, &Bound<'_, PyAny>); 2],
) -> PyTracingContext {
    let attributes = attributes.map(|(key, value)| (key, object(value)));
    named(tracer, name, attributes.into())
}

fn object(object: &Bound<'_, PyAny>) -> Named {
    Named::Object(object.clone().unbind())
}

fn named(
    tracer: &Bound<'_, PyAny>,
    name: &'static str,
    attributes: Vec<(&'static str, Named)>,
) -> PyTracingContext {
    PyTracingContext::new(Recipe::new(
        Starter::of_python(tracer),
        Name::Constant(name),
        Attributes::Named(attributes),
    ))
}

/// The epoch of the current span, if it has one.
fn current_epoch(py: Python<'_>) -> Option<Value> {
    let current = context::current(py)?;
    let span = current.cast::<PySpan>().ok()?.get().inner().snapshot()?;
    span.attribute("epoch").cloned()
}
