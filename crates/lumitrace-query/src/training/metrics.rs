//! The numbers that training spans carry: which attributes are metrics, what their names tell, and
//! columns that hold millions of them.

use lumitrace_model::Span;

use super::recognition::Role;

/// Spellings of a batch's loss.
pub(super) const LOSS: &[&str] = &["loss", "train_loss", "loss_metrics/global_avg_loss"];
/// Spellings of an epoch's training loss.
pub(super) const TRAIN_LOSS: &[&str] = &["train_loss", "training_loss", "loss"];
/// Spellings of a validation loss, on an epoch.
pub(super) const EPOCH_VAL_LOSS: &[&str] = &[
    "val_loss",
    "validation_loss",
    "eval_loss",
    "val.loss",
    "validation_metrics/loss",
];
/// Spellings of a validation loss, on a validation, where a bare `loss` means that too.
pub(super) const VAL_LOSS: &[&str] = &[
    "val_loss",
    "validation_loss",
    "eval_loss",
    "val.loss",
    "validation_metrics/loss",
    "loss",
];
/// Spellings of a validation metric.
pub(super) const VAL_METRIC: &[&str] = &["val_metric", "validation_metric", "val.metric"];
/// Spellings of the number of samples in a batch.
pub(super) const BATCH_SIZE: &[&str] = &["batch_size"];

/// Name of the curve made of the `loss_at_step_N` attributes of epochs.
pub(super) const LOSS_AT_STEP: &str = "loss_at_step";

/// Numbers that place a span or describe the machine; they are no metrics.
const NOT_METRICS: [&str; 16] = [
    "epoch",
    "epoch_index",
    "current_epoch",
    "total_epochs",
    "num_epochs",
    "max_epochs",
    "batch_index",
    "batch_idx",
    "step",
    "global_step",
    "total_steps",
    "rank",
    "global_rank",
    "thread.id",
    "code.lineno",
    "code.line.number",
];

/// Sizes of the data and of the model: the same throughout a run, so no curve is made of them.
const CONSTANTS: [&str; 10] = [
    "num_samples",
    "sample_count",
    "feature_count",
    "num_features",
    "num_batches",
    "total_batches",
    "steps_per_epoch",
    "num_parameters",
    "num_workers",
    "world_size",
];

/// Whether the values of the metric `name` make a curve.
pub(super) fn is_curve(name: &str) -> bool {
    !CONSTANTS.contains(&name)
}

/// The metrics of a training span: every number, finite or not, also where it is spelled as text.
pub(super) fn metrics_of(span: &Span) -> impl Iterator<Item = (&str, f64)> {
    span.attributes.iter().filter_map(|attribute| {
        let key = attribute.key.as_ref();
        let is_metric = !NOT_METRICS.contains(&key) && step_of_loss_at_step(key).is_none();
        Some((key, attribute.value.as_f64()?)).filter(|_| is_metric)
    })
}

/// The points of the `loss_at_step_N` attributes of an epoch: step and running mean loss.
pub(super) fn losses_at_steps(span: &Span) -> impl Iterator<Item = (i64, f64)> {
    span.attributes.iter().filter_map(|attribute| {
        Some((
            step_of_loss_at_step(&attribute.key)?,
            attribute.value.as_f64()?,
        ))
    })
}

fn step_of_loss_at_step(key: &str) -> Option<i64> {
    key.strip_prefix("loss_at_step_")?.parse().ok()
}

/// The first of these metrics that `span` has.
pub(super) fn metric(span: &Span, spellings: &[&str]) -> Option<f64> {
    spellings
        .iter()
        .find_map(|key| span.attribute(key)?.as_f64())
}

/// Which chart the metric `name` of spans that play `role` belongs on.
pub(super) fn group(name: &str, role: Role) -> SeriesGroup {
    let is_of = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
    match role {
        _ if is_of(&["task.", "task/"]) => SeriesGroup::Task,
        Role::Validation => SeriesGroup::Validation,
        _ if is_of(&["val.", "val_", "val/", "validation_", "eval_"]) => SeriesGroup::Validation,
        Role::Step if name.to_ascii_lowercase().contains("loss") => SeriesGroup::Loss,
        Role::Epoch => SeriesGroup::Epoch,
        _ => SeriesGroup::Other,
    }
}

/// Which direction of the metric `name` is good, if its words tell.
pub(super) fn better(name: &str) -> Option<Better> {
    const LOWER: [&str; 14] = [
        "loss",
        "rmse",
        "mse",
        "mae",
        "mape",
        "error",
        "err",
        "perplexity",
        "ppl",
        "wer",
        "cer",
        "nll",
        "latency",
        "fid",
    ];
    const HIGHER: [&str; 16] = [
        "acc",
        "accuracy",
        "f1",
        "auc",
        "auroc",
        "precision",
        "recall",
        "r2",
        "bleu",
        "rouge",
        "iou",
        "dice",
        "map",
        "mfu",
        "tflops",
        "throughput",
    ];
    let words = || {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .map(str::to_ascii_lowercase)
    };
    let has = |list: &[&str]| words().any(|word| list.contains(&word.as_str()));
    if has(&LOWER) {
        Some(Better::Lower)
    } else if has(&HIGHER) || name.ends_with("per_second") || name.ends_with("per_sec") {
        Some(Better::Higher)
    } else {
        None
    }
}

/// The values of one metric, by row of the table it belongs to. Rows without a value cost nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    /// Rows that have a value, ascending.
    rows: Vec<u32>,
    /// Their values.
    values: Vec<f64>,
}

impl Column {
    /// Sets the value of `row`; cheap for a row after all others.
    pub(super) fn set(&mut self, row: u32, value: f64) {
        if self.rows.last().is_none_or(|&last| last < row) {
            self.rows.push(row);
            self.values.push(value);
            return;
        }
        match self.rows.binary_search(&row) {
            Ok(place) => self.values[place] = value,
            Err(place) => {
                self.rows.insert(place, row);
                self.values.insert(place, value);
            }
        }
    }

    /// The value of `row`, if it has one.
    pub(super) fn get(&self, row: u32) -> Option<f64> {
        self.rows
            .binary_search(&row)
            .ok()
            .map(|place| self.values[place])
    }

    /// Rows and their values, by row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.rows.iter().copied().zip(self.values.iter().copied())
    }
}

/// What the x axis of a curve counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum XAxis {
    /// Steps since the start of the training.
    Step,
    /// Epochs.
    Epoch,
}

impl XAxis {
    /// The word for the axis, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            XAxis::Step => "step",
            XAxis::Epoch => "epoch",
        }
    }
}

/// Which chart a curve belongs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeriesGroup {
    /// Training loss by step.
    Loss,
    /// A task of a multi-task model (`task.*`).
    Task,
    /// Told by validations (`val.*`, `val_*`).
    Validation,
    /// Told once per epoch.
    Epoch,
    /// Anything else.
    Other,
}

impl SeriesGroup {
    /// The word for the group, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SeriesGroup::Loss => "loss",
            SeriesGroup::Task => "task",
            SeriesGroup::Validation => "validation",
            SeriesGroup::Epoch => "epoch",
            SeriesGroup::Other => "other",
        }
    }
}

/// Which direction of a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Better {
    /// Such as a loss.
    Lower,
    /// Such as an accuracy.
    Higher,
}

impl Better {
    /// The word for the direction, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Better::Lower => "lower",
            Better::Higher => "higher",
        }
    }
}

/// A curve, without its points.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesInfo {
    /// The attribute's name. The same name may appear by step and by epoch.
    pub name: String,
    /// Which chart it belongs on.
    pub group: SeriesGroup,
    /// Which direction is good, where the name tells.
    pub better: Option<Better>,
    /// What its x axis counts.
    pub x: XAxis,
    /// How many points it has.
    pub point_count: u64,
    /// The latest value, finite or not.
    pub last: f64,
    /// The lowest finite value.
    pub min: Option<f64>,
    /// The highest finite value.
    pub max: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::span;

    #[test]
    fn every_number_is_a_metric_but_those_that_place_the_span() {
        let record = span("training_epoch", 1)
            .with("epoch", 1)
            .with("loss", f64::NAN)
            .with("val_loss", "Infinity")
            .with("spelled", "0.5")
            .with("pair", "gbpusd")
            .with("warm", true)
            .with("loss_at_step_100", 0.25)
            .record();
        let metrics: Vec<_> = metrics_of(&record.span).collect();
        assert_eq!(
            format!("{metrics:?}"),
            r#"[("loss", NaN), ("val_loss", inf), ("spelled", 0.5)]"#
        );
        assert_eq!(
            losses_at_steps(&record.span).collect::<Vec<_>>(),
            [(100, 0.25)]
        );
    }

    #[test]
    fn names_tell_which_direction_is_good() {
        for (name, expected) in [
            ("loss", Some(Better::Lower)),
            ("val.close_rmse", Some(Better::Lower)),
            ("task.direction_loss", Some(Better::Lower)),
            ("val.dir_acc", Some(Better::Higher)),
            ("accuracy", Some(Better::Higher)),
            ("val_f1", Some(Better::Higher)),
            ("samples_per_second", Some(Better::Higher)),
            ("val_metric", None),
            ("learning_rate", None),
            ("glossy", None),
        ] {
            assert_eq!(better(name), expected, "{name}");
        }
    }

    #[test]
    fn metrics_go_to_the_chart_that_their_family_names() {
        for (name, role, expected) in [
            ("loss", Role::Step, SeriesGroup::Loss),
            ("task.volatility", Role::Step, SeriesGroup::Task),
            ("lr", Role::Step, SeriesGroup::Other),
            ("train_loss", Role::Epoch, SeriesGroup::Epoch),
            ("val_loss", Role::Epoch, SeriesGroup::Validation),
            ("dir_acc", Role::Validation, SeriesGroup::Validation),
        ] {
            assert_eq!(group(name, role), expected, "{name}");
        }
    }

    #[test]
    fn a_column_takes_rows_in_any_order_and_again() {
        let mut column = Column::default();
        for (row, value) in [(3, 0.3), (1, 0.1), (7, 0.7), (3, 0.4)] {
            column.set(row, value);
        }
        assert_eq!(
            column.iter().collect::<Vec<_>>(),
            [(1, 0.1), (3, 0.4), (7, 0.7)]
        );
        assert_eq!((column.get(7), column.get(2)), (Some(0.7), None));
    }
}
