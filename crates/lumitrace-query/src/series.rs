//! Curves thinned for drawing: per bucket the lowest, highest and last value, so that neither a
//! spike nor a NaN disappears, however few points are asked for.

use crate::training::metrics::XAxis;

/// A curve with at most as many points as were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The attribute's name.
    pub name: String,
    /// What its x axis counts.
    pub x: XAxis,
    /// Its points in order of time within each process. Where a step is lower than the one before,
    /// a new branch begins: another process, or a training that resumed from a checkpoint.
    pub points: Vec<SeriesPoint>,
}

/// One bucket of a curve: one value, or several neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesPoint {
    /// The x of the last value.
    pub step: i64,
    /// When the last value was measured, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The last value, finite or not.
    pub last: f64,
    /// The lowest value that is not NaN, infinities included; NaN if all are.
    pub min: f64,
    /// The highest value that is not NaN, infinities included; NaN if all are.
    pub max: f64,
    /// How many values the bucket holds.
    pub count: u64,
}
