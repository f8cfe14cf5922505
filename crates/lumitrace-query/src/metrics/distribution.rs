//! Distributions: values counted in buckets, added up, and their quantiles.
//!
//! What the buckets do not say is taken to be spread evenly: linearly between the bounds of explicit
//! buckets, by factor between those of exponential ones. Where the least and the greatest value are
//! known, they bound the outermost buckets. Otherwise the first bucket begins at zero, if its bound is
//! above, and a value beyond the last bound counts as that bound (as Prometheus' `histogram_quantile`
//! has it).

use std::collections::BTreeMap;

use lumitrace_model::{
    ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, SummaryPoint,
};

use super::totals::{Change, Total};

/// How many values there were, and which.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Distribution {
    pub(super) count: u64,
    /// None if it is not known of all of them.
    pub(super) sum: Option<f64>,
    /// No value is less, if known.
    min: Option<f64>,
    /// No value is greater, if known.
    max: Option<f64>,
    buckets: Buckets,
}

#[derive(Debug, Clone, PartialEq, Default)]
enum Buckets {
    /// Nobody knows where the values lie.
    #[default]
    Unknown,
    Explicit(Explicit),
    Exponential(Exponential),
}

/// One count more than there are bounds, which rise.
#[derive(Debug, Clone, PartialEq)]
struct Explicit {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// Buckets that grow by the factor 2^(2^-scale), by their number.
#[derive(Debug, Clone, PartialEq)]
struct Exponential {
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: BTreeMap<i64, u64>,
    negative: BTreeMap<i64, u64>,
}

/// Values between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    lower: f64,
    upper: f64,
    count: u64,
    /// How they are spread.
    is_by_factor: bool,
}

impl Distribution {
    pub(super) fn of_histogram(point: &HistogramPoint) -> Self {
        let rise = point.explicit_bounds.windows(2).all(|it| it[0] < it[1]);
        let is_whole = point.bucket_counts.len() == point.explicit_bounds.len() + 1;
        let has_nan = point.explicit_bounds.iter().any(|it| it.is_nan());
        let buckets = match rise && is_whole && !has_nan {
            true => Buckets::Explicit(Explicit {
                bounds: point.explicit_bounds.clone(),
                counts: point.bucket_counts.clone(),
            }),
            false => Buckets::Unknown,
        };
        Self {
            count: point.count,
            sum: point.sum,
            min: point.min,
            max: point.max,
            buckets,
        }
    }

    pub(super) fn of_exponential_histogram(point: &ExponentialHistogramPoint) -> Self {
        let buckets = Exponential {
            scale: point.scale,
            zero_count: point.zero_count,
            // Neither NaN nor less than nothing.
            zero_threshold: point.zero_threshold.max(0.0),
            positive: by_number(&point.positive),
            negative: by_number(&point.negative),
        };
        Self {
            count: point.count,
            sum: point.sum,
            min: point.min,
            max: point.max,
            buckets: Buckets::Exponential(buckets),
        }
    }

    /// A summary has its own quantiles, and nothing of which others could be computed.
    pub(super) fn of_summary(point: &SummaryPoint) -> Self {
        Self {
            count: point.count,
            sum: Some(point.sum),
            ..Self::default()
        }
    }

    /// Adds values. Buckets of different bounds become as coarse as they must to have the same.
    pub(super) fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = both(self.sum, other.sum, |one, other| one + other);
        self.min = both(self.min, other.min, f64::min);
        self.max = both(self.max, other.max, f64::max);
        self.buckets = match (std::mem::take(&mut self.buckets), other.buckets) {
            (Buckets::Explicit(one), Buckets::Explicit(other)) => {
                Buckets::Explicit(one.merged(&other))
            }
            (Buckets::Exponential(one), Buckets::Exponential(other)) => {
                Buckets::Exponential(one.merged(other))
            }
            _ => Buckets::Unknown,
        };
    }

    /// The value below which this share of all values lies, as the buckets have it; none of none,
    /// and where there are no buckets.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let cells = self.cells();
        let total: u128 = cells.iter().map(|cell| u128::from(cell.count)).sum();
        let rank = share * total as f64;
        let (mut before, mut last) = (0.0, None);
        for cell in cells.into_iter().filter(|cell| cell.count > 0) {
            let count = cell.count as f64;
            if before + count >= rank {
                return Some(cell.at(((rank - before) / count).clamp(0.0, 1.0)));
            }
            before += count;
            last = Some(cell.at(1.0));
        }
        last
    }

    /// The buckets in rising order, as narrow as the extremes allow.
    fn cells(&self) -> Vec<Cell> {
        let mut cells = match &self.buckets {
            Buckets::Unknown => Vec::new(),
            Buckets::Explicit(explicit) => explicit.cells(),
            Buckets::Exponential(exponential) => exponential.cells(),
        };
        for cell in &mut cells {
            // Of NaN the other is taken.
            let lower = self.min.map_or(cell.lower, |min| cell.lower.max(min));
            let upper = self.max.map_or(cell.upper, |max| cell.upper.min(max));
            // Extremes that contradict the buckets say nothing.
            if lower <= upper {
                (cell.lower, cell.upper) = (lower, upper);
            }
            cell.close();
        }
        cells
    }
}

impl Total for Distribution {
    type Part = Self;

    fn whole(&self) -> Self {
        self.clone()
    }

    fn since(&self, earlier: &Self) -> Change<Self> {
        let Some(count) = self.count.checked_sub(earlier.count) else {
            return Change::BegunAnew;
        };
        let buckets = match (&self.buckets, &earlier.buckets) {
            (Buckets::Explicit(now), Buckets::Explicit(then)) => {
                now.since(then).map(Buckets::Explicit)
            }
            (Buckets::Exponential(now), Buckets::Exponential(then)) => {
                now.since(then).map(Buckets::Exponential)
            }
            _ => Change::Added(Buckets::Unknown),
        };
        buckets.map(|buckets| Self {
            count,
            sum: both(self.sum, earlier.sum, |now, then| now - then),
            // Those of all values bound those of a part.
            min: self.min,
            max: self.max,
            buckets,
        })
    }
}

impl<P> Change<P> {
    fn map<Q>(self, of: impl FnOnce(P) -> Q) -> Change<Q> {
        match self {
            Self::Added(part) => Change::Added(of(part)),
            Self::BegunAnew => Change::BegunAnew,
            Self::Unknown => Change::Unknown,
        }
    }
}

impl Explicit {
    fn since(&self, earlier: &Self) -> Change<Self> {
        if self.bounds != earlier.bounds {
            return Change::Unknown;
        }
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Option<Vec<u64>> = pairs.map(|(now, then)| now.checked_sub(*then)).collect();
        counts.map_or(Change::BegunAnew, |counts| {
            let bounds = self.bounds.clone();
            Change::Added(Self { bounds, counts })
        })
    }

    fn merged(self, other: &Self) -> Self {
        if self.bounds == other.bounds {
            return self.plus(other);
        }
        let is_shared = |bound: &f64| other.bounds.contains(bound);
        let shared: Vec<f64> = self.bounds.iter().copied().filter(is_shared).collect();
        self.coarsened(&shared).plus(&other.coarsened(&shared))
    }

    fn plus(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self
    }

    /// With no other bounds than these, each of which it has.
    fn coarsened(&self, bounds: &[f64]) -> Self {
        let mut counts = vec![0_u64; bounds.len() + 1];
        let uppers = self.bounds.iter().copied().chain([f64::INFINITY]);
        for (upper, count) in uppers.zip(&self.counts) {
            let place = bounds.partition_point(|bound| *bound < upper);
            if let Some(sum) = counts.get_mut(place) {
                *sum = sum.saturating_add(*count);
            }
        }
        Self {
            bounds: bounds.to_vec(),
            counts,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let bounds = || self.bounds.iter().copied();
        let lowers = [f64::NEG_INFINITY].into_iter().chain(bounds());
        let uppers = bounds().chain([f64::INFINITY]);
        let cells = lowers.zip(uppers).zip(&self.counts);
        cells
            .map(|((lower, upper), count)| Cell {
                lower,
                upper,
                count: *count,
                is_by_factor: false,
            })
            .collect()
    }
}

impl Exponential {
    fn since(&self, earlier: &Self) -> Change<Self> {
        let is_comparable = self.zero_threshold == earlier.zero_threshold;
        let (mut now, then) = self.clone().aligned(earlier.clone());
        let pairs = [
            (&mut now.positive, then.positive),
            (&mut now.negative, then.negative),
        ];
        let mut all_rose = true;
        for (counts, earlier) in pairs {
            for (number, count) in earlier.into_iter().filter(|(_, count)| *count > 0) {
                let left = counts.get(&number).and_then(|now| now.checked_sub(count));
                all_rose &= left.is_some();
                counts.insert(number, left.unwrap_or(0));
            }
        }
        match (now.zero_count.checked_sub(then.zero_count), all_rose) {
            (Some(zero_count), true) => Change::Added(Self { zero_count, ..now }),
            _ if is_comparable => Change::BegunAnew,
            _ => Change::Unknown,
        }
    }

    fn merged(self, other: Self) -> Self {
        let (mut one, other) = self.aligned(other);
        one.zero_count = one.zero_count.saturating_add(other.zero_count);
        add_counts(&mut one.positive, other.positive);
        add_counts(&mut one.negative, other.negative);
        one
    }

    /// Both with the coarser scale and the wider zero of the two.
    fn aligned(self, other: Self) -> (Self, Self) {
        let scale = self.scale.min(other.scale);
        let threshold = self.zero_threshold.max(other.zero_threshold);
        let align = |it: Self| it.with_scale(scale).with_zero(threshold);
        (align(self), align(other))
    }

    /// With buckets as wide as a lower scale makes them: neighbours fall together.
    fn with_scale(self, scale: i32) -> Self {
        let halvings = (i64::from(self.scale) - i64::from(scale)).clamp(0, 63);
        if halvings == 0 {
            return self;
        }
        let coarser = |counts: BTreeMap<i64, u64>| {
            let mut coarser = BTreeMap::new();
            let renumbered = counts.into_iter();
            let renumbered = renumbered.map(|(number, count)| (number >> halvings, count));
            add_counts(&mut coarser, renumbered);
            coarser
        };
        Self {
            scale,
            positive: coarser(self.positive),
            negative: coarser(self.negative),
            ..self
        }
    }

    /// With the values no further than this from zero counted as zero.
    fn with_zero(mut self, threshold: f64) -> Self {
        if threshold <= self.zero_threshold {
            return self;
        }
        let scale = self.scale;
        for counts in [&mut self.positive, &mut self.negative] {
            counts.retain(|number, count| {
                let is_outside = bound(scale, number.saturating_add(1)) > threshold;
                if !is_outside {
                    self.zero_count = self.zero_count.saturating_add(*count);
                }
                is_outside
            });
        }
        self.zero_threshold = threshold;
        self
    }

    fn cells(&self) -> Vec<Cell> {
        let bounds = |number: &i64| (bound(self.scale, *number), bound(self.scale, number + 1));
        let cell = |lower, upper, count| Cell {
            lower,
            upper,
            count,
            is_by_factor: true,
        };
        let negative = self.negative.iter().rev().map(|(number, count)| {
            let (lower, upper) = bounds(number);
            cell(-upper, -lower, *count)
        });
        let positive = self.positive.iter().map(|(number, count)| {
            let (lower, upper) = bounds(number);
            cell(lower, upper, *count)
        });
        // Where there is nothing on one side of it, there is nothing on that side of zero either.
        let reach = |counts: &BTreeMap<i64, u64>| match counts.values().any(|count| *count > 0) {
            true => self.zero_threshold,
            false => 0.0,
        };
        let zero = Cell {
            lower: -reach(&self.negative),
            upper: reach(&self.positive),
            count: self.zero_count,
            is_by_factor: false,
        };
        negative.chain([zero]).chain(positive).collect()
    }
}

impl Cell {
    /// Gives it an end where it has none.
    fn close(&mut self) {
        if self.lower == f64::NEG_INFINITY {
            self.lower = self.upper.min(0.0);
        }
        if self.upper == f64::INFINITY {
            self.upper = self.lower;
        }
    }

    /// The value that lies this far in it, from 0 to 1.
    fn at(&self, part: f64) -> f64 {
        let (lower, upper) = (self.lower, self.upper);
        if part >= 1.0 || lower == upper {
            return upper;
        }
        // Both on one side of zero, so that there is a factor between them.
        if self.is_by_factor && lower / upper > 0.0 {
            return lower * (upper / lower).powf(part);
        }
        lower + (upper - lower) * part
    }
}

/// The lower bound of the bucket of this number, of values above zero.
fn bound(scale: i32, number: i64) -> f64 {
    let exponent = (-f64::from(scale)).exp2().min(f64::MAX);
    (number as f64 * exponent).exp2()
}

/// The counts by the numbers of their buckets.
fn by_number(buckets: &ExponentialBuckets) -> BTreeMap<i64, u64> {
    let numbers = i64::from(buckets.offset)..;
    let counted = numbers.zip(buckets.bucket_counts.iter().copied());
    counted.filter(|(_, count)| *count > 0).collect()
}

fn add_counts(counts: &mut BTreeMap<i64, u64>, more: impl IntoIterator<Item = (i64, u64)>) {
    for (number, more) in more {
        let count = counts.entry(number).or_default();
        *count = count.saturating_add(more);
    }
}

fn both(one: Option<f64>, other: Option<f64>, of: fn(f64, f64) -> f64) -> Option<f64> {
    Some(of(one?, other?))
}

#[cfg(test)]
mod tests;
