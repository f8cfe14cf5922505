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

/// One value of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its x.
    pub step: i64,
    /// When it was measured, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The value, finite or not.
    pub value: f64,
}

/// The fewest points that [`thin`] makes do with.
pub const FEWEST_POINTS: usize = 4;

/// Thins `points` to at most `max_points` (at least [`FEWEST_POINTS`]), keeping their order.
///
/// Neighbours share a bucket, as many as a power of two, so that the buckets of a growing curve
/// stay where they are. No bucket spans two branches, unless there are too many branches. What is
/// not finite makes a point of its own beside the finite ones of its bucket, whose `last` is NaN
/// if any of them is.
pub fn thin(points: &[Point], max_points: usize) -> Vec<SeriesPoint> {
    let max_points = max_points.max(FEWEST_POINTS);
    let mut bucket_len = 1;
    while bucket_len < points.len() {
        let thinned = bucketed(points, bucket_len, true);
        if thinned.len() <= max_points {
            return thinned;
        }
        // What is too long by some factor needs buckets longer by at least that.
        bucket_len *= (thinned.len() / max_points).next_power_of_two().max(2);
    }
    // A bucket makes two points at most.
    bucketed(points, points.len().div_ceil(max_points / 2).max(1), false)
}

fn bucketed(points: &[Point], len: usize, keep_branches: bool) -> Vec<SeriesPoint> {
    let is_one_branch = |one: &Point, next: &Point| !keep_branches || next.step >= one.step;
    points
        .chunk_by(is_one_branch)
        .flat_map(|branch| branch.chunks(len))
        .flat_map(|bucket| {
            let finite = summed_up(bucket, |value| value.is_finite());
            let other = summed_up(bucket, |value| !value.is_finite());
            finite.into_iter().chain(other)
        })
        .collect()
}

/// The point that stands for those of a bucket whose value is of a kind.
fn summed_up(bucket: &[Point], is_of_kind: fn(f64) -> bool) -> Option<SeriesPoint> {
    let of_kind = || bucket.iter().filter(|point| is_of_kind(point.value));
    let last = of_kind().next_back()?;
    let has_nan = of_kind().any(|point| point.value.is_nan());
    Some(SeriesPoint {
        step: last.step,
        time_unix_nano: last.time_unix_nano,
        last: if has_nan { f64::NAN } else { last.value },
        // `f64::min` and `max` prefer numbers to NaN.
        min: of_kind().map(|point| point.value).fold(f64::NAN, f64::min),
        max: of_kind().map(|point| point.value).fold(f64::NAN, f64::max),
        count: of_kind().count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: impl IntoIterator<Item = (i64, f64)>) -> Vec<Point> {
        let point = |(step, value)| Point {
            step,
            time_unix_nano: step as u64,
            value,
        };
        values.into_iter().map(point).collect()
    }

    #[test]
    fn a_curve_that_is_short_enough_is_left_as_it_is() {
        let thinned = thin(&points([(1, 0.5), (2, f64::NAN), (3, 0.25)]), 4);
        let shown: Vec<_> = thinned
            .iter()
            .map(|point| (point.step, point.count))
            .collect();
        assert_eq!(shown, [(1, 1), (2, 1), (3, 1)]);
        assert!(thinned[1].last.is_nan() && thinned[1].min.is_nan());
    }

    #[test]
    fn a_spike_and_a_nan_survive_among_a_million_points() {
        let values = (0..1_000_000).map(|step| match step {
            777_777 => (step, 1e9),
            888_888 => (step, f64::NAN),
            999_999 => (step, f64::INFINITY),
            _ => (step, 1.0),
        });
        let thinned = thin(&points(values), 500);
        assert!(thinned.len() > 200, "{}", thinned.len());
        assert!(thinned.len() <= 500);
        assert!(thinned.iter().any(|point| point.max == 1e9));
        assert!(
            thinned
                .iter()
                .any(|point| point.last.is_nan() && point.step == 888_888)
        );
        assert!(thinned.iter().any(|point| point.last == f64::INFINITY));
    }

    #[test]
    fn buckets_of_a_growing_curve_stay_where_they_are() {
        let curve = |len| thin(&points((0..len).map(|step| (step, step as f64))), 100);
        let (before, after) = (curve(1_000), curve(1_010));
        assert_eq!(before[..before.len() - 1], after[..before.len() - 1]);
    }

    #[test]
    fn no_bucket_spans_two_branches() {
        let resumed = (0..100).chain(50..150).map(|step| (step, step as f64));
        let thinned = thin(&points(resumed), 40);
        let before: u64 = thinned
            .iter()
            .take_while(|point| point.step <= 99)
            .map(|point| point.count)
            .sum();
        assert!(
            thinned
                .windows(2)
                .filter(|pair| pair[1].step < pair[0].step)
                .count()
                == 1
        );
        assert!(before >= 100);
        assert!(
            thinned
                .iter()
                .any(|point| point.step == 99 && point.max == 99.0)
        );
    }

    proptest! {
        #[test]
        fn thinning_keeps_the_extremes_the_last_the_nans_and_the_count(
            values in prop::collection::vec((0_i64..50, prop_oneof![
                8 => -1e3..1e3_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY),
            ]), 0..300),
            max_points in 4_usize..40,
        ) {
            let points = points(values);
            let thinned = thin(&points, max_points);
            prop_assert!(thinned.len() <= max_points, "{} > {max_points}", thinned.len());
            prop_assert_eq!(thinned.iter().map(|point| point.count).sum::<u64>(), points.len() as u64);
            let fold = |values: Vec<f64>, pick: fn(f64, f64) -> f64| values.into_iter().fold(f64::NAN, pick);
            let all = || points.iter().map(|point| point.value).collect::<Vec<_>>();
            let low = fold(thinned.iter().map(|point| point.min).collect(), f64::min);
            let high = fold(thinned.iter().map(|point| point.max).collect(), f64::max);
            prop_assert_eq!(low.to_bits(), fold(all(), f64::min).to_bits());
            prop_assert_eq!(high.to_bits(), fold(all(), f64::max).to_bits());
            let has_nan = points.iter().any(|point| point.value.is_nan());
            prop_assert_eq!(thinned.iter().any(|point| point.last.is_nan()), has_nan);
            if let Some(last) = points.last().filter(|point| point.value.is_finite()) {
                let shown = thinned.iter().rev().find(|point| point.last.is_finite());
                prop_assert_eq!(shown.map(|point| point.last), Some(last.value));
            }
        }
    }
}
