//! The points of one series as curves.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use lumitrace_model::{AggregationTemporality, MetricKind, SummaryPoint};
use lumitrace_store::{Point as MetricPoint, StoredPoint};

use super::MetricCurve;
use super::distribution::Distribution;
use super::totals::{PointTimes, Sum, Totals};
use crate::series::{Point, thin};

/// The quantiles of distributions.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const NANOS_PER_SECOND: f64 = 1e9;

/// How curves are to be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The earliest time of which points are known, in nanoseconds since the Unix epoch.
    pub(super) from_unix_nano: u64,
    /// Whether to show sums as rates.
    pub(super) as_rate: bool,
    /// Over how long the values of distributions are put together, in nanoseconds.
    pub(super) step_nano: NonZeroU64,
    /// Most points of a curve.
    pub(super) max_points: usize,
}

/// The curves of points of this kind, which come by time.
pub(super) fn curves_of(
    points: &[Arc<StoredPoint>],
    kind: MetricKind,
    shape: &Shape,
) -> Vec<MetricCurve> {
    let points = without_repeats(points);
    let mut curves = match kind {
        MetricKind::Gauge | MetricKind::Sum if shape.as_rate => vec![rate(&points, shape)],
        MetricKind::Gauge | MetricKind::Sum => vec![values(&points)],
        MetricKind::Histogram | MetricKind::ExponentialHistogram | MetricKind::Summary => {
            distributions(&points, shape)
        }
    };
    if kind == MetricKind::Summary {
        curves.extend(summary_quantiles(&points));
    }
    let thinned = curves.into_iter().map(|curve| MetricCurve {
        name: curve.name,
        points: thin(&curve.points, shape.max_points),
    });
    thinned.collect()
}

/// A curve before it is thinned.
struct Curve {
    name: String,
    points: Vec<Point>,
}

impl Curve {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            points: Vec::new(),
        }
    }

    fn push(&mut self, time_unix_nano: u64, value: f64) {
        self.points.push(Point {
            // It has no x but its time, which never goes back: one branch.
            step: i64::try_from(time_unix_nano).unwrap_or(i64::MAX),
            time_unix_nano,
            value,
        });
    }
}

/// A request that is sent again is stored again; its points must not count twice. Two writers may
/// share a series and a time, but not also what they measured.
fn without_repeats(points: &[Arc<StoredPoint>]) -> Vec<&StoredPoint> {
    let mut kept: Vec<&StoredPoint> = Vec::with_capacity(points.len());
    for point in points {
        let time = point.point.time_unix_nano();
        let same_time = kept.iter().rev();
        let mut same_time = same_time.take_while(|it| it.point.time_unix_nano() == time);
        if !same_time.any(|it| it.point == point.point) {
            kept.push(point);
        }
    }
    kept
}

fn values(points: &[&StoredPoint]) -> Curve {
    let mut curve = Curve::new("value");
    for stored in points {
        if let MetricPoint::Number(point) = &stored.point
            && let Some(value) = point.value
        {
            curve.push(point.time_unix_nano, value.as_f64());
        }
    }
    curve
}

fn rate(points: &[&StoredPoint], shape: &Shape) -> Curve {
    let mut curve = Curve::new("rate");
    let mut totals = Totals::new(shape.from_unix_nano);
    for stored in points {
        let MetricPoint::Number(point) = &stored.point else {
            continue;
        };
        let Some(number) = point.value else {
            continue;
        };
        let times = PointTimes {
            start_unix_nano: point.start_unix_nano,
            time_unix_nano: point.time_unix_nano,
            temporality: stored.metric.temporality,
        };
        let sum = Sum {
            number,
            is_monotonic: stored.metric.is_monotonic,
        };
        if let Some(increment) = totals.add(times, sum)
            && let Some(start) = increment.start_unix_nano
        {
            let seconds = (increment.end_unix_nano - start) as f64 / NANOS_PER_SECOND;
            curve.push(increment.end_unix_nano, increment.part / seconds);
        }
    }
    curve
}

/// What was added in each step: how many values, their sum and, where it is known, their quantiles.
fn distributions(points: &[&StoredPoint], shape: &Shape) -> Vec<Curve> {
    let mut totals = Totals::new(shape.from_unix_nano);
    let mut steps: BTreeMap<u64, (u64, Distribution)> = BTreeMap::new();
    for stored in points {
        let Some((times, distribution)) = distribution_of(stored) else {
            continue;
        };
        if let Some(increment) = totals.add(times, distribution) {
            let end = increment.end_unix_nano;
            let (last, sum) = steps.entry(end / shape.step_nano).or_default();
            *last = end;
            sum.merge(increment.part);
        }
    }
    let (mut count, mut sum) = (Curve::new("count"), Curve::new("sum"));
    let mut quantiles = QUANTILES.map(|share| (share, Curve::new(&quantile_name(share))));
    for (time, step) in steps.into_values() {
        count.push(time, step.count as f64);
        if let Some(total) = step.sum {
            sum.push(time, total);
        }
        for (share, curve) in &mut quantiles {
            if let Some(value) = step.quantile(*share) {
                curve.push(time, value);
            }
        }
    }
    let quantiles = quantiles.into_iter().map(|(_, curve)| curve);
    let quantiles = quantiles.filter(|curve| !curve.points.is_empty());
    [count, sum].into_iter().chain(quantiles).collect()
}

/// A point that counts a distribution up; none if it has no value.
fn distribution_of(stored: &StoredPoint) -> Option<(PointTimes, Distribution)> {
    let times = |start_unix_nano, temporality| PointTimes {
        start_unix_nano,
        time_unix_nano: stored.point.time_unix_nano(),
        temporality,
    };
    let temporality = stored.metric.temporality;
    match &stored.point {
        MetricPoint::Histogram(point) if !point.flags.no_recorded_value() => Some((
            times(point.start_unix_nano, temporality),
            Distribution::of_histogram(point),
        )),
        MetricPoint::ExponentialHistogram(point) if !point.flags.no_recorded_value() => Some((
            times(point.start_unix_nano, temporality),
            Distribution::of_exponential_histogram(point),
        )),
        // Summaries are always cumulative (opentelemetry-proto, `metrics.proto`).
        MetricPoint::Summary(point) if !point.flags.no_recorded_value() => Some((
            times(point.start_unix_nano, AggregationTemporality::Cumulative),
            Distribution::of_summary(point),
        )),
        _ => None,
    }
}

/// The quantiles that summaries have themselves, in rising order.
fn summary_quantiles(points: &[&StoredPoint]) -> Vec<Curve> {
    let summaries = points.iter().filter_map(|stored| match &stored.point {
        MetricPoint::Summary(point) if !point.flags.no_recorded_value() => Some(point),
        _ => None,
    });
    // Quantiles between 0 and 1 sort as their bits do.
    let mut curves: BTreeMap<u64, Curve> = BTreeMap::new();
    summaries.for_each(|point| add_quantiles(point, &mut curves));
    curves.into_values().collect()
}

fn add_quantiles(point: &SummaryPoint, curves: &mut BTreeMap<u64, Curve>) {
    for it in &point.quantile_values {
        let named = || Curve::new(&quantile_name(it.quantile));
        let curve = curves.entry(it.quantile.to_bits()).or_insert_with(named);
        curve.push(point.time_unix_nano, it.value);
    }
}

/// `p50` for 0.5, `p99.9` for 0.999.
fn quantile_name(share: f64) -> String {
    // Without the digits that a hundredfold double has at its end.
    let percent = (share * 1e8).round() / 1e6;
    format!("p{percent}")
}
