//! Where the points of a request of metrics are.

use std::ops::Range;

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialHistogramPoint, HistogramPoint, Metric,
    MetricKind, NumberPoint, QuantileValue, ResourceMetrics, ScopeMetrics, SummaryPoint,
};

use super::super::check::Checker;
use super::{Items, Origin, index, origins_bytes, slice};
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Where the points of a checked request are, and what every reader of them asks first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsIndex {
    /// The metrics that have data of a known kind, in the request's order.
    pub metrics: Vec<MetricHead>,
    /// Their points, in the request's order.
    pub points: Vec<PointHead>,
    /// What the metrics come from: one for each scope of each resource that has any.
    pub origins: Vec<Origin>,
}

impl MetricsIndex {
    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.metrics.len() * size_of::<MetricHead>()
            + self.points.len() * size_of::<PointHead>()
            + origins_bytes(&self.origins)
    }
}

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricHead {
    /// What its points are.
    pub kind: MetricKind,
    /// What its points count from; unspecified for gauges and summaries.
    pub temporality: AggregationTemporality,
    /// Whether a sum never falls, but for restarts.
    pub is_monotonic: bool,
    /// Number of its origin among [`MetricsIndex::origins`].
    pub origin: u32,
    /// Where its name is in the request.
    pub name: Range<u32>,
    /// Where the `Metric` message is in the request.
    pub message: Range<u32>,
}

impl MetricHead {
    /// The metric's name, out of the request's `bytes`.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        // Checked to be UTF-8 when the head was made.
        std::str::from_utf8(slice(bytes, &self.name)).unwrap_or_default()
    }

    /// The `Metric` message, out of the request's `bytes`.
    pub fn message<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, &self.message)
    }
}

/// The parts of a point that decide where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointHead {
    /// Its time, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub time_unix_nano: u64,
    /// Number of its metric among [`MetricsIndex::metrics`].
    pub metric: u32,
    /// Where the point's message, which is one of its metric's kind, is in the request.
    pub message: Range<u32>,
}

impl PointHead {
    /// The point's message, out of the request's `bytes`.
    pub fn message<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, &self.message)
    }
}

/// Checks every byte of an `ExportMetricsServiceRequest`, and says where its points are.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand beyond
/// the limit once they are decoded. A request must be smaller than 4 GiB.
pub fn index_metrics(bytes: &[u8], limits: &DecodeLimits) -> Result<MetricsIndex, DecodeError> {
    let (found, origins) = index::<MetricsIndex>(bytes, limits)?;
    Ok(MetricsIndex { origins, ..found })
}

impl Items for MetricsIndex {
    type ResourceGroup = ResourceMetrics;
    type ScopeGroup = ScopeMetrics;

    fn len(&self) -> usize {
        self.metrics.len()
    }

    fn add(
        &mut self,
        checker: &mut Checker,
        field: Field<'_>,
        origin: u32,
    ) -> Result<(), DecodeError> {
        checker.count::<Metric>()?;
        let mut head = MetricHead {
            kind: MetricKind::Gauge,
            temporality: AggregationTemporality::Unspecified,
            is_monotonic: false,
            origin,
            name: 0..0,
            message: field.range()?,
        };
        let points_before = self.points.len();
        let mut has_data = false;
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    field.string()?;
                    head.name = field.range()?;
                }
                2 | 3 => drop(field.string()?),
                12 => drop(checker.attribute(field)?),
                number => {
                    if let Some(kind) = kind_of_data(number) {
                        head.kind = kind;
                        // Of several cases of the `oneof`, the last one counts.
                        self.points.truncate(points_before);
                        has_data = true;
                        self.data(checker, field, &mut head)?;
                    }
                }
            }
        }
        if has_data {
            self.metrics.push(head);
        }
        Ok(())
    }
}

impl MetricsIndex {
    /// The message in a field of `Metric.data`, of the kind that `head` says.
    fn data(
        &mut self,
        checker: &mut Checker,
        field: Field<'_>,
        head: &mut MetricHead,
    ) -> Result<(), DecodeError> {
        head.temporality = AggregationTemporality::Unspecified;
        head.is_monotonic = false;
        let has_temporality = !matches!(head.kind, MetricKind::Gauge | MetricKind::Summary);
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.points.push(PointHead {
                    time_unix_nano: point(checker, head.kind, field.message()?)?,
                    metric: self.metrics.len() as u32,
                    message: field.range()?,
                }),
                2 if has_temporality => {
                    head.temporality = AggregationTemporality::from_code(field.varint()? as i64);
                }
                3 if head.kind == MetricKind::Sum => head.is_monotonic = field.varint()? != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The kind of metric whose data is in the field of `Metric` with this number.
pub(in super::super) fn kind_of_data(number: u32) -> Option<MetricKind> {
    Some(match number {
        5 => MetricKind::Gauge,
        7 => MetricKind::Sum,
        9 => MetricKind::Histogram,
        10 => MetricKind::ExponentialHistogram,
        11 => MetricKind::Summary,
        _ => return None,
    })
}

/// Checks a point of a metric of this kind, and says its time.
fn point(checker: &mut Checker, kind: MetricKind, message: Reader<'_>) -> Result<u64, DecodeError> {
    match kind {
        MetricKind::Gauge | MetricKind::Sum => {
            checker.count::<NumberPoint>()?;
            number_point(checker, message)
        }
        MetricKind::Histogram => {
            checker.count::<HistogramPoint>()?;
            histogram_point(checker, message)
        }
        MetricKind::ExponentialHistogram => {
            checker.count::<ExponentialHistogramPoint>()?;
            exponential_histogram_point(checker, message)
        }
        MetricKind::Summary => {
            checker.count::<SummaryPoint>()?;
            summary_point(checker, message)
        }
    }
}

fn number_point(checker: &mut Checker, mut message: Reader<'_>) -> Result<u64, DecodeError> {
    let mut time_unix_nano = 0;
    while let Some(field) = message.next()? {
        match field.number {
            3 => time_unix_nano = field.fixed64()?,
            2 | 4 | 6 => drop(field.fixed64()?),
            5 => exemplar(checker, field)?,
            7 => drop(checker.attribute(field)?),
            8 => drop(field.uint32()?),
            _ => {}
        }
    }
    Ok(time_unix_nano)
}

fn histogram_point(checker: &mut Checker, mut message: Reader<'_>) -> Result<u64, DecodeError> {
    let mut time_unix_nano = 0;
    while let Some(field) = message.next()? {
        match field.number {
            3 => time_unix_nano = field.fixed64()?,
            2 | 4 | 5 | 11 | 12 => drop(field.fixed64()?),
            6 | 7 => numbers(checker, field.each_fixed64())?,
            8 => exemplar(checker, field)?,
            9 => drop(checker.attribute(field)?),
            10 => drop(field.uint32()?),
            _ => {}
        }
    }
    Ok(time_unix_nano)
}

fn exponential_histogram_point(
    checker: &mut Checker,
    mut message: Reader<'_>,
) -> Result<u64, DecodeError> {
    let mut time_unix_nano = 0;
    while let Some(field) = message.next()? {
        match field.number {
            1 => drop(checker.attribute(field)?),
            3 => time_unix_nano = field.fixed64()?,
            2 | 4 | 5 | 7 | 12 | 13 | 14 => drop(field.fixed64()?),
            6 => drop(field.sint32()?),
            8 | 9 => buckets(checker, field.message()?)?,
            10 => drop(field.uint32()?),
            11 => exemplar(checker, field)?,
            _ => {}
        }
    }
    Ok(time_unix_nano)
}

fn buckets(checker: &mut Checker, mut message: Reader<'_>) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => drop(field.sint32()?),
            2 => numbers(checker, field.each_varint())?,
            _ => {}
        }
    }
    Ok(())
}

fn summary_point(checker: &mut Checker, mut message: Reader<'_>) -> Result<u64, DecodeError> {
    let mut time_unix_nano = 0;
    while let Some(field) = message.next()? {
        match field.number {
            3 => time_unix_nano = field.fixed64()?,
            2 | 4 | 5 => drop(field.fixed64()?),
            6 => {
                checker.count::<QuantileValue>()?;
                quantile_value(field.message()?)?;
            }
            7 => drop(checker.attribute(field)?),
            8 => drop(field.uint32()?),
            _ => {}
        }
    }
    Ok(time_unix_nano)
}

fn quantile_value(mut message: Reader<'_>) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        if matches!(field.number, 1 | 2) {
            field.double()?;
        }
    }
    Ok(())
}

fn exemplar(checker: &mut Checker, field: Field<'_>) -> Result<(), DecodeError> {
    checker.count::<Exemplar>()?;
    let mut message = field.message()?;
    while let Some(field) = message.next()? {
        match field.number {
            2 | 3 | 6 => drop(field.fixed64()?),
            4 | 5 => drop(field.bytes()?),
            7 => drop(checker.attribute(field)?),
            _ => {}
        }
    }
    Ok(())
}

/// The numbers of a repeated field.
fn numbers(
    checker: &mut Checker,
    mut numbers: impl Iterator<Item = Result<u64, DecodeError>>,
) -> Result<(), DecodeError> {
    numbers.try_for_each(|number| {
        checker.count::<u64>()?;
        number.map(drop)
    })
}
