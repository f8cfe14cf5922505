//! The curves of a run.

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
