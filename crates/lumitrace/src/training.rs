//! Spans of training loops, with the names and attributes that run views understand.
//!
//! ```
//! use lumitrace::training::{TrainingSpan, batch_processing, training_epoch, validation};
//! let tracer = lumitrace::tracer("train");
//! for epoch in 1..=2 {
//!     let epoch = training_epoch(&tracer, epoch, 2).enter();
//!     for index in 0..3 {
//!         let batch = batch_processing(&tracer, index, 32).enter();
//!         batch.record_loss(0.5);
//!     }
//!     let evaluation = validation(&tracer).enter();
//!     evaluation.record_validation(0.4, Some(0.61));
//!     epoch.record_epoch(0.5, Some(0.4), Some(0.61));
//! }
//! ```

use lumitrace_model::{Value, names, value};

use crate::context::copy_current_span_context;
use crate::distributed::Job;
use crate::{Span, SpanBuilder, SpanContext, Tracer, current_span};

/// A span around a whole training. It is a child of the current span; where there is none, the ranks
/// of a distributed job ([`Job`]) have theirs in one trace, which their `run.id` names.
///
/// ```
/// let tracer = lumitrace::tracer("train");
/// let run = lumitrace::training::training_run(&tracer).enter();
/// ```
pub fn training_run(tracer: &Tracer) -> SpanBuilder {
    let span = tracer.span(names::TRAINING_RUN);
    let mut around = SpanContext::default();
    copy_current_span_context(&mut around);
    match Job::detect() {
        Some(job) if !around.is_valid() => span.root_of_job(&job),
        _ => span,
    }
}

/// A span of one pass over the training data: epoch `epoch` of `total_epochs`.
pub fn training_epoch(tracer: &Tracer, epoch: usize, total_epochs: usize) -> SpanBuilder {
    tracer
        .span(names::TRAINING_EPOCH)
        .attribute(EPOCH, epoch)
        .attribute("total_epochs", total_epochs)
}

/// A span of one batch of `batch_size` samples.
pub fn batch_processing(tracer: &Tracer, batch_index: usize, batch_size: usize) -> SpanBuilder {
    tracer
        .span(names::BATCH_PROCESSING)
        .attribute(BATCH_INDEX, batch_index)
        .attribute("batch_size", batch_size)
}

/// A span of an evaluation on held-out data. Start it before the evaluation and record the values
/// when they are known. It belongs to the epoch of the current span, if that has one.
pub fn validation(tracer: &Tracer) -> SpanBuilder {
    let span = tracer.span(names::VALIDATION);
    match current_epoch() {
        Some(epoch) => span.attribute(EPOCH, epoch),
        None => span,
    }
}

/// A span of reading the data of one currency pair or other source. Where the number of samples
/// is not known yet, set it later.
pub fn data_loading(tracer: &Tracer, pair: &str, num_samples: Option<usize>) -> SpanBuilder {
    with_count(
        tracer.span(names::DATA_LOADING),
        pair,
        "num_samples",
        num_samples,
    )
}

/// A span of computing features for one currency pair or other source. Where their number is not
/// known yet, set it later.
pub fn feature_engineering(
    tracer: &Tracer,
    pair: &str,
    feature_count: Option<usize>,
) -> SpanBuilder {
    with_count(
        tracer.span(names::FEATURE_ENGINEERING),
        pair,
        "feature_count",
        feature_count,
    )
}

const EPOCH: &str = "epoch";
pub(crate) const BATCH_INDEX: &str = "batch_index";

fn with_count(
    span: SpanBuilder,
    pair: &str,
    key: &'static str,
    count: Option<usize>,
) -> SpanBuilder {
    let span = span.attribute("pair", pair.to_owned());
    match count {
        Some(count) => span.attribute(key, count),
        None => span,
    }
}

fn current_epoch() -> Option<Value> {
    let span = current_span().snapshot()?;
    value::find(&span.attributes, EPOCH).cloned()
}

/// What training loops record, under the names that run views read.
pub trait TrainingSpan {
    /// The loss of a batch: `loss`.
    fn record_loss(&self, loss: f64);

    /// The loss of one task of a batch: `task.{task}`.
    fn record_task_loss(&self, task: &str, loss: f64);

    /// The mean loss so far at a step of an epoch: `loss_at_step_{step}`.
    fn record_step_loss(&self, step: usize, loss: f64);

    /// The outcome of an epoch: `train_loss`, `val_loss`, `val_metric`.
    fn record_epoch(&self, train_loss: f64, val_loss: Option<f64>, val_metric: Option<f64>);

    /// The outcome of an evaluation: `val_loss`, `val_metric`.
    fn record_validation(&self, val_loss: f64, val_metric: Option<f64>);

    /// A further metric of an evaluation: `val.{metric}`.
    fn record_validation_metric(&self, metric: &str, value: f64);
}

impl TrainingSpan for Span {
    fn record_loss(&self, loss: f64) {
        self.set_attribute("loss", loss);
    }

    fn record_task_loss(&self, task: &str, loss: f64) {
        self.set_attribute(format!("task.{task}"), loss);
    }

    fn record_step_loss(&self, step: usize, loss: f64) {
        self.set_attribute(format!("loss_at_step_{step}"), loss);
    }

    fn record_epoch(&self, train_loss: f64, val_loss: Option<f64>, val_metric: Option<f64>) {
        self.set_attribute("train_loss", train_loss);
        if let Some(val_loss) = val_loss {
            self.set_attribute("val_loss", val_loss);
        }
        if let Some(val_metric) = val_metric {
            self.set_attribute("val_metric", val_metric);
        }
    }

    fn record_validation(&self, val_loss: f64, val_metric: Option<f64>) {
        self.set_attribute("val_loss", val_loss);
        if let Some(val_metric) = val_metric {
            self.set_attribute("val_metric", val_metric);
        }
    }

    fn record_validation_metric(&self, metric: &str, value: f64) {
        self.set_attribute(format!("val.{metric}"), value);
    }
}
