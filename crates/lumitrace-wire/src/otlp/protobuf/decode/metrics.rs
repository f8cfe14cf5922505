//! From bytes to metrics.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, Metric, MetricData, Number, NumberPoint, PointFlags, QuantileValue,
    ResourceMetrics, ScopeMetrics, SpanId, SummaryPoint, TraceId,
};

use super::{Builder, text};
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportMetricsServiceRequest`.
///
/// Nothing is rejected: metrics without data and points without a value are kept as such.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand in memory
/// beyond the limit.
pub fn decode_metrics(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<ResourceMetrics>, DecodeError> {
    let mut builder = Builder::new(bytes, limits);
    let mut decoded = Vec::new();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            let message = field.message()?;
            builder.push(&mut decoded, |builder| builder.resource_metrics(message))?;
        }
    }
    Ok(decoded)
}

impl Builder {
    fn resource_metrics(
        &mut self,
        mut message: Reader<'_>,
    ) -> Result<ResourceMetrics, DecodeError> {
        let mut group = ResourceMetrics::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.resource(field, &mut group.resource)?,
                2 => {
                    let message = field.message()?;
                    self.push(&mut group.scope_metrics, |builder| {
                        builder.scope_metrics(message)
                    })?;
                }
                3 => group.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(group)
    }

    fn scope_metrics(&mut self, mut message: Reader<'_>) -> Result<ScopeMetrics, DecodeError> {
        let mut group = ScopeMetrics::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.scope(field, &mut group.scope)?,
                2 => {
                    let message = field.message()?;
                    self.push(&mut group.metrics, |builder| builder.metric(message))?;
                }
                3 => group.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(group)
    }

    fn metric(&mut self, mut message: Reader<'_>) -> Result<Metric, DecodeError> {
        let mut metric = Metric::default();
        // Of several cases of the `oneof`, the last one counts.
        while let Some(field) = message.next()? {
            match field.number {
                1 => metric.name = text(field)?,
                2 => metric.description = text(field)?,
                3 => metric.unit = text(field)?,
                5 | 7 | 9 | 10 | 11 => metric.data = self.data(field)?,
                12 => self.attribute(field, &mut metric.metadata)?,
                _ => {}
            }
        }
        Ok(metric)
    }

    /// The message in a field of `Metric.data`, by the field's number.
    fn data(&mut self, field: Field<'_>) -> Result<Option<MetricData>, DecodeError> {
        Ok(Some(match field.number {
            5 => MetricData::Gauge {
                points: self.points(field, Self::number_point)?,
            },
            7 => MetricData::Sum {
                temporality: temporality(field)?,
                is_monotonic: last_varint(field, 3)? != 0,
                points: self.points(field, Self::number_point)?,
            },
            9 => MetricData::Histogram {
                temporality: temporality(field)?,
                points: self.points(field, Self::histogram_point)?,
            },
            10 => MetricData::ExponentialHistogram {
                temporality: temporality(field)?,
                points: self.points(field, Self::exponential_histogram_point)?,
            },
            11 => MetricData::Summary {
                points: self.points(field, Self::summary_point)?,
            },
            _ => return Ok(None),
        }))
    }

    /// The points of any message of `Metric.data`: all have them in the same field.
    fn points<P>(
        &mut self,
        data: Field<'_>,
        point: fn(&mut Self, Reader<'_>) -> Result<P, DecodeError>,
    ) -> Result<Vec<P>, DecodeError> {
        let mut points = Vec::new();
        let mut message = data.message()?;
        while let Some(field) = message.next()? {
            if field.number == 1 {
                let message = field.message()?;
                self.push(&mut points, |builder| point(builder, message))?;
            }
        }
        Ok(points)
    }

    fn number_point(&mut self, mut message: Reader<'_>) -> Result<NumberPoint, DecodeError> {
        let mut point = NumberPoint::default();
        while let Some(field) = message.next()? {
            match field.number {
                2 => point.start_unix_nano = field.fixed64()?,
                3 => point.time_unix_nano = field.fixed64()?,
                4 => point.value = Some(Number::Double(field.double()?)),
                5 => self.exemplar(field, &mut point.exemplars)?,
                6 => point.value = Some(Number::Int(field.fixed64()? as i64)),
                7 => self.attribute(field, &mut point.attributes)?,
                8 => point.flags = PointFlags(field.uint32()?),
                _ => {}
            }
        }
        Ok(point)
    }

    fn histogram_point(&mut self, mut message: Reader<'_>) -> Result<HistogramPoint, DecodeError> {
        let mut point = HistogramPoint::default();
        while let Some(field) = message.next()? {
            match field.number {
                2 => point.start_unix_nano = field.fixed64()?,
                3 => point.time_unix_nano = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = Some(field.double()?),
                6 => self.extend(&mut point.bucket_counts, field.each_fixed64())?,
                7 => self.extend(&mut point.explicit_bounds, field.each_double())?,
                8 => self.exemplar(field, &mut point.exemplars)?,
                9 => self.attribute(field, &mut point.attributes)?,
                10 => point.flags = PointFlags(field.uint32()?),
                11 => point.min = Some(field.double()?),
                12 => point.max = Some(field.double()?),
                _ => {}
            }
        }
        Ok(point)
    }

    fn exponential_histogram_point(
        &mut self,
        mut message: Reader<'_>,
    ) -> Result<ExponentialHistogramPoint, DecodeError> {
        let mut point = ExponentialHistogramPoint::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.attribute(field, &mut point.attributes)?,
                2 => point.start_unix_nano = field.fixed64()?,
                3 => point.time_unix_nano = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = Some(field.double()?),
                6 => point.scale = field.sint32()?,
                7 => point.zero_count = field.fixed64()?,
                8 => self.buckets(field.message()?, &mut point.positive)?,
                9 => self.buckets(field.message()?, &mut point.negative)?,
                10 => point.flags = PointFlags(field.uint32()?),
                11 => self.exemplar(field, &mut point.exemplars)?,
                12 => point.min = Some(field.double()?),
                13 => point.max = Some(field.double()?),
                14 => point.zero_threshold = field.double()?,
                _ => {}
            }
        }
        Ok(point)
    }

    fn buckets(
        &mut self,
        mut message: Reader<'_>,
        buckets: &mut ExponentialBuckets,
    ) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => buckets.offset = field.sint32()?,
                2 => self.extend(&mut buckets.bucket_counts, field.each_varint())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn summary_point(&mut self, mut message: Reader<'_>) -> Result<SummaryPoint, DecodeError> {
        let mut point = SummaryPoint::default();
        while let Some(field) = message.next()? {
            match field.number {
                2 => point.start_unix_nano = field.fixed64()?,
                3 => point.time_unix_nano = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = field.double()?,
                6 => {
                    let message = field.message()?;
                    self.push(&mut point.quantile_values, |_| quantile_value(message))?;
                }
                7 => self.attribute(field, &mut point.attributes)?,
                8 => point.flags = PointFlags(field.uint32()?),
                _ => {}
            }
        }
        Ok(point)
    }

    fn exemplar(
        &mut self,
        field: Field<'_>,
        exemplars: &mut Vec<Exemplar>,
    ) -> Result<(), DecodeError> {
        let mut message = field.message()?;
        self.push(exemplars, |builder| {
            let mut exemplar = Exemplar::default();
            while let Some(field) = message.next()? {
                match field.number {
                    2 => exemplar.time_unix_nano = field.fixed64()?,
                    3 => exemplar.value = Some(Number::Double(field.double()?)),
                    4 => exemplar.span_id = SpanId::from_slice(field.bytes()?),
                    5 => exemplar.trace_id = TraceId::from_slice(field.bytes()?),
                    6 => exemplar.value = Some(Number::Int(field.fixed64()? as i64)),
                    7 => builder.attribute(field, &mut exemplar.filtered_attributes)?,
                    _ => {}
                }
            }
            Ok(exemplar)
        })
    }
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

fn quantile_value(mut message: Reader<'_>) -> Result<QuantileValue, DecodeError> {
    let mut read = QuantileValue::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => read.quantile = field.double()?,
            2 => read.value = field.double()?,
            _ => {}
        }
    }
    Ok(read)
}
