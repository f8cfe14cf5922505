//! Distributions against plain lists of values.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const BOUNDS: [f64; 5] = [-1.0, 0.0, 1.0, 2.5, 10.0];
const SHARES: [f64; 5] = [0.0, 0.5, 0.95, 0.99, 1.0];

/// What an SDK makes of values.
fn histogram(values: &[f64], bounds: &[f64], with_extremes: bool) -> HistogramPoint {
    let mut bucket_counts = vec![0; bounds.len() + 1];
    for value in values {
        bucket_counts[bounds.partition_point(|bound| bound < value)] += 1;
    }
    let extreme = |of: fn(f64, f64) -> f64| {
        let found = values.iter().copied().reduce(of);
        found.filter(|_| with_extremes)
    };
    HistogramPoint {
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        bucket_counts,
        explicit_bounds: bounds.to_vec(),
        min: extreme(f64::min),
        max: extreme(f64::max),
        ..HistogramPoint::default()
    }
}

/// The number of the bucket that a value above zero is in.
fn number_of(value: f64, scale: i32) -> i32 {
    (value.log2() * f64::from(scale).exp2()).ceil() as i32 - 1
}

fn exponential_histogram(values: &[f64], scale: i32) -> ExponentialHistogramPoint {
    let buckets = |sign: f64| {
        let values = values.iter().map(|value| value * sign);
        let numbers: Vec<i32> = values
            .filter(|value| *value > 0.0)
            .map(|value| number_of(value, scale))
            .collect();
        let offset = numbers.iter().copied().min().unwrap_or(0);
        let len = numbers.iter().map(|number| number - offset + 1).max();
        let mut bucket_counts = vec![0; len.unwrap_or(0) as usize];
        for number in numbers {
            bucket_counts[(number - offset) as usize] += 1;
        }
        ExponentialBuckets {
            offset,
            bucket_counts,
        }
    };
    ExponentialHistogramPoint {
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        scale,
        zero_count: values.iter().filter(|value| **value == 0.0).count() as u64,
        positive: buckets(1.0),
        negative: buckets(-1.0),
        ..ExponentialHistogramPoint::default()
    }
}

/// The value of this share in the list.
fn exact(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    vec(
        (-80..200_i32).prop_map(|eighths| f64::from(eighths) / 8.0),
        1..60,
    )
}

fn merged(parts: impl IntoIterator<Item = Distribution>) -> Distribution {
    let mut sum = Distribution::default();
    parts.into_iter().for_each(|part| sum.merge(part));
    sum
}

proptest! {
    #[test]
    fn a_quantile_lies_in_the_bucket_of_the_value_that_it_stands_for(
        values in values(),
        with_extremes: bool,
    ) {
        let point = histogram(&values, &BOUNDS, with_extremes);
        let found = Distribution::of_histogram(&point);
        for share in SHARES {
            let (quantile, exact) = (found.quantile(share).unwrap(), exact(&values, share));
            let bucket = |value: f64| BOUNDS.partition_point(|bound| *bound < value);
            let (lower, upper) = (bucket(exact), bucket(quantile));
            // It may be the bound that the bucket begins with.
            let begins = lower.checked_sub(1).map(|before| BOUNDS[before]);
            prop_assert!(
                lower == upper || begins == Some(quantile)
                    || (!with_extremes && lower == 0 && quantile == BOUNDS[0]),
                "{share}: {quantile} instead of {exact} among {values:?}"
            );
            if let (true, Some(min), Some(max)) = (with_extremes, point.min, point.max) {
                prop_assert!((min..=max).contains(&quantile));
            }
        }
    }

    #[test]
    fn a_quantile_of_exponential_buckets_is_off_by_no_more_than_their_factor(
        values in values(),
        scale in -1..6_i32,
    ) {
        let found = Distribution::of_exponential_histogram(&exponential_histogram(&values, scale));
        let factor = (-f64::from(scale)).exp2().exp2() * 1.000_001;
        for share in SHARES {
            let (quantile, exact) = (found.quantile(share).unwrap(), exact(&values, share));
            let ratio = quantile / exact;
            prop_assert!(
                quantile == exact || (ratio >= 1.0 / factor && ratio <= factor),
                "{share}: {quantile} instead of {exact} among {values:?}"
            );
        }
    }

    #[test]
    fn parts_add_up_to_the_whole_whatever_their_scales(
        parts in vec((values(), 0..4_i32), 1..5),
    ) {
        let all: Vec<f64> = parts.iter().flat_map(|(values, _)| values).copied().collect();
        let of_parts = merged(parts.iter().map(|(values, _)| {
            Distribution::of_histogram(&histogram(values, &BOUNDS, true))
        }));
        prop_assert_eq!(of_parts, Distribution::of_histogram(&histogram(&all, &BOUNDS, true)));
        let of_parts = merged(parts.iter().map(|(values, scale)| {
            Distribution::of_exponential_histogram(&exponential_histogram(values, *scale))
        }));
        let coarsest = parts.iter().map(|(_, scale)| *scale).min().unwrap();
        let whole = exponential_histogram(&all, coarsest);
        prop_assert_eq!(of_parts, Distribution::of_exponential_histogram(&whole));
    }

    #[test]
    fn what_was_added_to_a_distribution_is_the_distribution_of_what_was_added(
        before in values(),
        added in values(),
        scales in (0..4_i32, 0..4_i32),
    ) {
        let all = [&before[..], &added[..]].concat();
        let explicit = |values: &[f64]| {
            Distribution::of_histogram(&histogram(values, &BOUNDS, false))
        };
        let exponential = |values: &[f64], scale| {
            Distribution::of_exponential_histogram(&exponential_histogram(values, scale))
        };
        let cases = [
            (explicit(&all), explicit(&before), explicit(&added)),
            (
                exponential(&all, scales.0),
                exponential(&before, scales.1),
                exponential(&added, scales.0.min(scales.1)),
            ),
        ];
        for (now, then, expected) in cases {
            let Change::Added(part) = now.since(&then) else {
                panic!("nothing began anew");
            };
            prop_assert_eq!(part.count, expected.count);
            for share in SHARES {
                prop_assert_eq!(part.quantile(share), expected.quantile(share));
            }
            // There is something in it that the later one does not have.
            prop_assert_eq!(then.since(&now), Change::BegunAnew);
        }
    }
}

#[test]
fn values_are_spread_evenly_within_a_bucket() {
    let point = HistogramPoint {
        count: 10,
        bucket_counts: vec![4, 4, 2],
        explicit_bounds: vec![10.0, 20.0],
        ..HistogramPoint::default()
    };
    let found = Distribution::of_histogram(&point);
    assert_eq!(found.quantile(0.2), Some(5.0));
    assert_eq!(found.quantile(0.5), Some(12.5));
    assert_eq!(found.quantile(0.99), Some(20.0), "the last bound");
    let bounded = Distribution::of_histogram(&HistogramPoint {
        min: Some(8.0),
        max: Some(40.0),
        ..point
    });
    assert_eq!(bounded.quantile(0.2), Some(9.0));
    assert_eq!(bounded.quantile(0.9), Some(30.0));
    let exponential = Distribution::of_exponential_histogram(&ExponentialHistogramPoint {
        count: 2,
        positive: ExponentialBuckets {
            offset: 2,
            bucket_counts: vec![2],
        },
        ..ExponentialHistogramPoint::default()
    });
    let half = exponential.quantile(0.5).unwrap();
    assert!((half - 32_f64.sqrt()).abs() < 1e-9, "{half}");
}

#[test]
fn histograms_of_other_bounds_are_added_by_the_bounds_they_share() {
    let point = |bounds: &[f64]| Distribution::of_histogram(&histogram(&[0.5, 3.0], bounds, false));
    let sum = merged([point(&[0.0, 1.0, 2.0]), point(&[1.0, 5.0])]);
    assert_eq!(sum, merged([point(&[1.0]), point(&[1.0])]));
}

#[test]
fn what_cannot_be_compared_or_has_no_buckets_has_no_quantiles() {
    let point = |counts: &[u64], bounds: &[f64]| {
        Distribution::of_histogram(&HistogramPoint {
            count: 3,
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramPoint::default()
        })
    };
    for (counts, bounds) in [
        (&[][..], &[][..]),
        (&[1, 2], &[]),
        (&[1, 1, 1], &[2.0, 1.0]),
        (&[1, 2], &[f64::NAN]),
        (&[0, 0], &[1.0]),
    ] {
        assert_eq!(
            point(counts, bounds).quantile(0.5),
            None,
            "{counts:?} {bounds:?}"
        );
    }
    assert_eq!(
        point(&[1, 2], &[1.0]).since(&point(&[1, 2], &[2.0])),
        Change::Unknown
    );
    let sum = merged([point(&[1, 2], &[1.0]), point(&[], &[])]);
    assert_eq!((sum.count, sum.quantile(0.5)), (6, None));
}

proptest! {
    #[test]
    fn nothing_that_is_sent_breaks_a_quantile(
        scales: (i32, i32),
        offsets: (i32, i32),
        counts in vec(any::<u64>(), 0..5),
        zero: (u64, f64),
        extremes: (Option<f64>, Option<f64>),
        bounds in vec(any::<f64>(), 0..4),
    ) {
        let exponential = |scale, offset| {
            let buckets = ExponentialBuckets { offset, bucket_counts: counts.clone() };
            Distribution::of_exponential_histogram(&ExponentialHistogramPoint {
                count: 1,
                scale,
                zero_count: zero.0,
                zero_threshold: zero.1,
                positive: buckets.clone(),
                negative: buckets,
                min: extremes.0,
                max: extremes.1,
                ..ExponentialHistogramPoint::default()
            })
        };
        let [mut one, other] = [exponential(scales.0, offsets.0), exponential(scales.1, offsets.1)];
        let _ = one.since(&other);
        one.merge(other);
        let explicit = Distribution::of_histogram(&HistogramPoint {
            bucket_counts: counts.iter().copied().take(bounds.len() + 1).collect(),
            explicit_bounds: bounds,
            min: extremes.0,
            max: extremes.1,
            ..HistogramPoint::default()
        });
        for share in SHARES {
            let _ = (one.quantile(share), explicit.quantile(share));
        }
    }
}
