//! Metrics, their points, and metrics grouped as OTLP sends them (opentelemetry-proto
//! `metrics.proto`).

use crate::{KeyValue, Resource, Scope, SpanId, Text, TraceId};

/// A measured number: OTLP tells integers from doubles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A 64-bit signed integer.
    Int(i64),
    /// A double; NaN and infinities are kept.
    Double(f64),
}

impl Number {
    /// The number as a double, which is exact for integers up to 2^53.
    ///
    /// ```
    /// use lumitrace_model::Number;
    /// assert_eq!(Number::Int(3).as_f64(), 3.0);
    /// ```
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Double(double) => double,
        }
    }
}

/// What the values of a metric are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AggregationTemporality {
    /// The sender did not say, which the specification forbids.
    #[default]
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since a start that stays the same.
    Cumulative,
}

impl AggregationTemporality {
    /// The number that OTLP uses.
    pub const fn code(self) -> u8 {
        match self {
            AggregationTemporality::Unspecified => 0,
            AggregationTemporality::Delta => 1,
            AggregationTemporality::Cumulative => 2,
        }
    }

    /// The temporality that OTLP's number stands for; unknown numbers are unspecified, since
    /// nobody could add such points up.
    pub const fn from_code(code: i64) -> Self {
        match code {
            1 => AggregationTemporality::Delta,
            2 => AggregationTemporality::Cumulative,
            _ => AggregationTemporality::Unspecified,
        }
    }

    /// The lower-case word for it, as the APIs print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            AggregationTemporality::Unspecified => "unspecified",
            AggregationTemporality::Delta => "delta",
            AggregationTemporality::Cumulative => "cumulative",
        }
    }
}

/// Bits that say something about a point (`DataPointFlags`). Unknown ones are kept.
///
/// ```
/// use lumitrace_model::PointFlags;
/// assert!(PointFlags::NO_RECORDED_VALUE.no_recorded_value());
/// assert!(!PointFlags::default().no_recorded_value());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PointFlags(pub u32);

impl PointFlags {
    /// The series has no value at this time: what Prometheus calls a staleness marker.
    pub const NO_RECORDED_VALUE: Self = Self(1);

    /// Whether the point says that there is no value at its time.
    pub const fn no_recorded_value(self) -> bool {
        self.0 & Self::NO_RECORDED_VALUE.0 != 0
    }
}

/// A measurement that went into a point, with the trace it was made in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exemplar {
    /// The attributes of the measurement that the point no longer has.
    pub filtered_attributes: Vec<KeyValue>,
    /// When it was measured, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What was measured; `None` if the sender left it out.
    pub value: Option<Number>,
    /// The span it was measured in. An id of the wrong length or of zeroes counts as none.
    pub span_id: Option<SpanId>,
    /// The trace it was measured in. An id of the wrong length or of zeroes counts as none.
    pub trace_id: Option<TraceId>,
}

/// A single number at one time: a point of a gauge or a sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NumberPoint {
    /// What tells its series from the others of the metric.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub start_unix_nano: u64,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The number; `None` if the sender left it out, as [`PointFlags::NO_RECORDED_VALUE`] explains.
    pub value: Option<Number>,
    /// Measurements that went into it.
    pub exemplars: Vec<Exemplar>,
    /// Bits that say something about it.
    pub flags: PointFlags,
}

/// A distribution in buckets whose bounds the sender chose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramPoint {
    /// What tells its series from the others of the metric.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub start_unix_nano: u64,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// How many values there were.
    pub count: u64,
    /// Their sum; `None` where negative values make it useless.
    pub sum: Option<f64>,
    /// How many values each bucket holds: one bucket more than there are bounds, or none at all.
    /// Decoders keep what was sent, be it of that length or not.
    pub bucket_counts: Vec<u64>,
    /// The upper bounds of all buckets but the last, inclusive and rising.
    pub explicit_bounds: Vec<f64>,
    /// Measurements that went into it.
    pub exemplars: Vec<Exemplar>,
    /// Bits that say something about it.
    pub flags: PointFlags,
    /// The smallest value, if known.
    pub min: Option<f64>,
    /// The largest value, if known.
    pub max: Option<f64>,
}

/// A distribution in buckets whose bounds grow by a constant factor, 2^(2^-scale).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExponentialHistogramPoint {
    /// What tells its series from the others of the metric.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub start_unix_nano: u64,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// How many values there were.
    pub count: u64,
    /// Their sum; `None` where negative values make it useless.
    pub sum: Option<f64>,
    /// How fine the buckets are: one more halves them, negative ones are wider than a factor of 2.
    pub scale: i32,
    /// How many values are no further from zero than `zero_threshold`.
    pub zero_count: u64,
    /// How far from zero a value may be to count as zero.
    pub zero_threshold: f64,
    /// The buckets of the values above zero.
    pub positive: ExponentialBuckets,
    /// The buckets of the values below zero, by their absolute value.
    pub negative: ExponentialBuckets,
    /// Measurements that went into it.
    pub exemplars: Vec<Exemplar>,
    /// Bits that say something about it.
    pub flags: PointFlags,
    /// The smallest value, if known.
    pub min: Option<f64>,
    /// The largest value, if known.
    pub max: Option<f64>,
}

/// Consecutive buckets of an exponential histogram. That number `i` of the counts is the bucket
/// `offset + i`, which holds the values in (base^(offset+i), base^(offset+i+1)].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExponentialBuckets {
    /// Number of the first bucket.
    pub offset: i32,
    /// How many values each bucket holds.
    pub bucket_counts: Vec<u64>,
}

/// A distribution by quantiles, as the source computed them: Prometheus' summary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SummaryPoint {
    /// What tells its series from the others of the metric.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub start_unix_nano: u64,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Values at some quantiles, in rising order of the quantiles.
    pub quantile_values: Vec<QuantileValue>,
    /// Bits that say something about it.
    pub flags: PointFlags,
}

/// The value below which a share of all values lies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QuantileValue {
    /// The share, 0 (the smallest value) to 1 (the largest).
    pub quantile: f64,
    /// The value there.
    pub value: f64,
}

/// The points of a metric, which also say what it is.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricData {
    /// The latest of something that goes up and down, such as a temperature.
    Gauge {
        /// The points of all its series.
        points: Vec<NumberPoint>,
    },
    /// A total, such as of bytes sent.
    Sum {
        /// What the points count from.
        temporality: AggregationTemporality,
        /// Whether it never falls, but for restarts.
        is_monotonic: bool,
        /// The points of all its series.
        points: Vec<NumberPoint>,
    },
    /// A distribution in buckets whose bounds the sender chose.
    Histogram {
        /// What the points count from.
        temporality: AggregationTemporality,
        /// The points of all its series.
        points: Vec<HistogramPoint>,
    },
    /// A distribution in buckets that grow by a constant factor.
    ExponentialHistogram {
        /// What the points count from.
        temporality: AggregationTemporality,
        /// The points of all its series.
        points: Vec<ExponentialHistogramPoint>,
    },
    /// A distribution by quantiles.
    Summary {
        /// The points of all its series.
        points: Vec<SummaryPoint>,
    },
}

impl MetricData {
    /// How many points there are.
    pub fn point_count(&self) -> usize {
        match self {
            MetricData::Gauge { points } | MetricData::Sum { points, .. } => points.len(),
            MetricData::Histogram { points, .. } => points.len(),
            MetricData::ExponentialHistogram { points, .. } => points.len(),
            MetricData::Summary { points } => points.len(),
        }
    }
}

/// The kinds of metrics.
///
/// ```
/// use lumitrace_model::MetricKind;
/// let words = MetricKind::ALL.map(MetricKind::as_str);
/// assert_eq!(words, ["gauge", "sum", "histogram", "exponential_histogram", "summary"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKind {
    /// The latest of something that goes up and down.
    Gauge,
    /// A total.
    Sum,
    /// A distribution in buckets whose bounds the sender chose.
    Histogram,
    /// A distribution in buckets that grow by a constant factor.
    ExponentialHistogram,
    /// A distribution by quantiles.
    Summary,
}

impl MetricKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Gauge,
        Self::Sum,
        Self::Histogram,
        Self::ExponentialHistogram,
        Self::Summary,
    ];

    /// The word for it, as the APIs print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }
}

/// Something that is measured over time, and what was measured of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metric {
    /// Its name, such as `http.server.request.duration`.
    pub name: Text,
    /// What it is, for people, or empty.
    pub description: Text,
    /// Its unit as UCUM spells it, such as `s` or `By`, or empty.
    pub unit: Text,
    /// Facts about the metric itself, which do not make it another one.
    pub metadata: Vec<KeyValue>,
    /// The points; `None` if the sender left them out or sent a kind of metric unknown to us.
    pub data: Option<MetricData>,
}

impl Metric {
    /// How many points it has, of all its series.
    pub fn point_count(&self) -> usize {
        self.data.as_ref().map_or(0, MetricData::point_count)
    }
}

/// Metrics of one scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeMetrics {
    /// Who recorded them.
    pub scope: Scope,
    /// Schema of the scope and its metrics, or empty.
    pub schema_url: Text,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

/// Metrics of one resource, by scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceMetrics {
    /// Who produced them.
    pub resource: Resource,
    /// Schema of the resource, or empty.
    pub schema_url: Text,
    /// Its metrics.
    pub scope_metrics: Vec<ScopeMetrics>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_counted_over_all_kinds_of_metrics() {
        let metric = |data| Metric {
            data,
            ..Metric::default()
        };
        let two = vec![NumberPoint::default(); 2];
        let sum = MetricData::Sum {
            temporality: AggregationTemporality::Delta,
            is_monotonic: true,
            points: two.clone(),
        };
        let summary = MetricData::Summary {
            points: vec![SummaryPoint::default(); 3],
        };
        assert_eq!(metric(None).point_count(), 0);
        assert_eq!(
            metric(Some(MetricData::Gauge { points: two })).point_count(),
            2
        );
        assert_eq!(metric(Some(sum)).point_count(), 2);
        assert_eq!(metric(Some(summary)).point_count(), 3);
    }

    #[test]
    fn temporalities_survive_their_codes() {
        for code in 0..3 {
            let temporality = AggregationTemporality::from_code(code);
            assert_eq!(i64::from(temporality.code()), code);
        }
        let unknown = AggregationTemporality::from_code(9);
        assert_eq!(unknown, AggregationTemporality::Unspecified);
    }
}
