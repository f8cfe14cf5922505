//! From bytes to metrics. Points are read by their views.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, Metric, MetricData, MetricKind, NumberPoint, ResourceMetrics, ScopeMetrics,
    SummaryPoint,
};

use super::super::index::{index_metrics, kind_of_data};
use super::super::view::{ExemplarView, PointView, Side};
use super::{attribute, resource, scope, text};
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportMetricsServiceRequest`.
///
/// Nothing is rejected: metrics without data and points without a value are kept as such.
///
/// # Errors
/// As [`index_metrics`].
pub fn decode_metrics(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<ResourceMetrics>, DecodeError> {
    index_metrics(bytes, limits)?;
    let mut resource_metrics = Vec::new();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            resource_metrics.push(self::resource_metrics(field.message()?)?);
        }
    }
    Ok(resource_metrics)
}

fn resource_metrics(mut message: Reader<'_>) -> Result<ResourceMetrics, DecodeError> {
    let mut decoded = ResourceMetrics::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => resource(field.message()?, &mut decoded.resource)?,
            2 => {
                let scope_metrics = scope_metrics(field.message()?)?;
                decoded.scope_metrics.push(scope_metrics);
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn scope_metrics(mut message: Reader<'_>) -> Result<ScopeMetrics, DecodeError> {
    let mut decoded = ScopeMetrics::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => scope(field.message()?, &mut decoded.scope)?,
            2 => {
                let metric = metric(field.message()?)?;
                decoded.metrics.push(metric);
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn metric(mut message: Reader<'_>) -> Result<Metric, DecodeError> {
    let mut metric = Metric::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => metric.name = text(field)?,
            2 => metric.description = text(field)?,
            3 => metric.unit = text(field)?,
            12 => attribute(field, &mut metric.metadata)?,
            number => {
                if let Some(kind) = kind_of_data(number) {
                    // Of several cases of the `oneof`, the last one counts.
                    metric.data = Some(data(kind, field)?);
                }
            }
        }
    }
    Ok(metric)
}

fn data(kind: MetricKind, field: Field<'_>) -> Result<MetricData, DecodeError> {
    Ok(match kind {
        MetricKind::Gauge => MetricData::Gauge {
            points: points(kind, field)?,
        },
        MetricKind::Sum => MetricData::Sum {
            temporality: temporality(field)?,
            is_monotonic: last_varint(field, 3)? != 0,
            points: points(kind, field)?,
        },
        MetricKind::Histogram => MetricData::Histogram {
            temporality: temporality(field)?,
            points: points(kind, field)?,
        },
        MetricKind::ExponentialHistogram => MetricData::ExponentialHistogram {
            temporality: temporality(field)?,
            points: points(kind, field)?,
        },
        MetricKind::Summary => MetricData::Summary {
            points: points(kind, field)?,
        },
    })
}

/// The points of any message of `Metric.data`: all have them in the same field.
fn points<'a, P: From<PointView<'a>>>(
    kind: MetricKind,
    data: Field<'a>,
) -> Result<Vec<P>, DecodeError> {
    let mut points = Vec::new();
    let mut message = data.message()?;
    while let Some(field) = message.next()? {
        if field.number == 1 {
            points.push(PointView::new(kind, field.bytes()?).into());
        }
    }
    Ok(points)
}

fn temporality(data: Field<'_>) -> Result<AggregationTemporality, DecodeError> {
    let code = last_varint(data, 2)?;
    Ok(AggregationTemporality::from_code(code as i64))
}

/// The number in a message's varint field, of which the last one counts.
fn last_varint(message: Field<'_>, number: u32) -> Result<u64, DecodeError> {
    let (mut message, mut last) = (message.message()?, 0);
    while let Some(field) = message.next()? {
        if field.number == number {
            last = field.varint()?;
        }
    }
    Ok(last)
}

impl From<PointView<'_>> for NumberPoint {
    fn from(view: PointView<'_>) -> Self {
        Self {
            attributes: view.attributes().to_vec(),
            start_unix_nano: view.start_unix_nano,
            time_unix_nano: view.time_unix_nano,
            value: view.value,
            exemplars: view.exemplars().map(Exemplar::from).collect(),
            flags: view.flags,
        }
    }
}

impl From<PointView<'_>> for HistogramPoint {
    fn from(view: PointView<'_>) -> Self {
        Self {
            attributes: view.attributes().to_vec(),
            start_unix_nano: view.start_unix_nano,
            time_unix_nano: view.time_unix_nano,
            count: view.count,
            sum: view.sum,
            bucket_counts: view.bucket_counts(),
            explicit_bounds: view.explicit_bounds(),
            exemplars: view.exemplars().map(Exemplar::from).collect(),
            flags: view.flags,
            min: view.min,
            max: view.max,
        }
    }
}

impl From<PointView<'_>> for ExponentialHistogramPoint {
    fn from(view: PointView<'_>) -> Self {
        let buckets = |side| {
            let (offset, bucket_counts) = view.buckets(side);
            ExponentialBuckets {
                offset,
                bucket_counts,
            }
        };
        Self {
            attributes: view.attributes().to_vec(),
            start_unix_nano: view.start_unix_nano,
            time_unix_nano: view.time_unix_nano,
            count: view.count,
            sum: view.sum,
            scale: view.scale,
            zero_count: view.zero_count,
            zero_threshold: view.zero_threshold,
            positive: buckets(Side::Positive),
            negative: buckets(Side::Negative),
            exemplars: view.exemplars().map(Exemplar::from).collect(),
            flags: view.flags,
            min: view.min,
            max: view.max,
        }
    }
}

impl From<PointView<'_>> for SummaryPoint {
    fn from(view: PointView<'_>) -> Self {
        Self {
            attributes: view.attributes().to_vec(),
            start_unix_nano: view.start_unix_nano,
            time_unix_nano: view.time_unix_nano,
            count: view.count,
            sum: view.sum.unwrap_or_default(),
            quantile_values: view.quantile_values().collect(),
            flags: view.flags,
        }
    }
}

impl From<ExemplarView<'_>> for Exemplar {
    fn from(view: ExemplarView<'_>) -> Self {
        Self {
            filtered_attributes: view.filtered_attributes().to_vec(),
            time_unix_nano: view.time_unix_nano,
            value: view.value,
            span_id: view.span_id,
            trace_id: view.trace_id,
        }
    }
}
