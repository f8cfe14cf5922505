//! From metrics to bytes.

use lumitrace_model::{
    Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricData,
    Number, NumberPoint, QuantileValue, ResourceMetrics, ScopeMetrics, SummaryPoint,
};

use super::{key_values, messages, resource, scope};
use crate::proto::Writer;

/// Encodes an `ExportMetricsServiceRequest`.
///
/// ```
/// use lumitrace_wire::{otlp::protobuf, DecodeLimits};
/// let bytes = protobuf::encode_metrics(&[]);
/// assert_eq!(protobuf::decode_metrics(&bytes, &DecodeLimits::default())?, []);
/// # Ok::<(), lumitrace_wire::DecodeError>(())
/// ```
pub fn encode_metrics(resource_metrics: &[ResourceMetrics]) -> Vec<u8> {
    let mut request = Writer::default();
    messages(&mut request, 1, resource_metrics, resource_group);
    request.into_bytes()
}

fn resource_group(message: &mut Writer, group: &ResourceMetrics) {
    message.message(1, |message| resource(message, &group.resource));
    messages(message, 2, &group.scope_metrics, scope_group);
    message.bytes(3, group.schema_url.as_bytes());
}

fn scope_group(message: &mut Writer, group: &ScopeMetrics) {
    message.message(1, |message| scope(message, &group.scope));
    messages(message, 2, &group.metrics, metric);
    message.bytes(3, group.schema_url.as_bytes());
}

fn metric(message: &mut Writer, metric: &Metric) {
    message.bytes(1, metric.name.as_bytes());
    message.bytes(2, metric.description.as_bytes());
    message.bytes(3, metric.unit.as_bytes());
    if let Some(metric_data) = &metric.data {
        data(message, metric_data);
    }
    key_values(message, 12, &metric.metadata);
}

fn data(message: &mut Writer, data: &MetricData) {
    match data {
        MetricData::Gauge { points } => {
            message.message(5, |message| messages(message, 1, points, number_point));
        }
        MetricData::Sum {
            temporality,
            is_monotonic,
            points,
        } => message.message(7, |message| {
            messages(message, 1, points, number_point);
            message.varint(2, temporality.code().into());
            message.varint(3, u64::from(*is_monotonic));
        }),
        MetricData::Histogram {
            temporality,
            points,
        } => message.message(9, |message| {
            messages(message, 1, points, histogram_point);
            message.varint(2, temporality.code().into());
        }),
        MetricData::ExponentialHistogram {
            temporality,
            points,
        } => message.message(10, |message| {
            messages(message, 1, points, exponential_histogram_point);
            message.varint(2, temporality.code().into());
        }),
        MetricData::Summary { points } => {
            message.message(11, |message| messages(message, 1, points, summary_point));
        }
    }
}

fn number_point(message: &mut Writer, point: &NumberPoint) {
    message.fixed64(2, point.start_unix_nano);
    message.fixed64(3, point.time_unix_nano);
    number(message, (4, 6), point.value);
    messages(message, 5, &point.exemplars, exemplar);
    key_values(message, 7, &point.attributes);
    message.varint(8, point.flags.0.into());
}

fn histogram_point(message: &mut Writer, point: &HistogramPoint) {
    message.fixed64(2, point.start_unix_nano);
    message.fixed64(3, point.time_unix_nano);
    message.fixed64(4, point.count);
    message.optional_double(5, point.sum);
    message.packed_fixed64(6, &point.bucket_counts);
    message.packed_doubles(7, &point.explicit_bounds);
    messages(message, 8, &point.exemplars, exemplar);
    key_values(message, 9, &point.attributes);
    message.varint(10, point.flags.0.into());
    message.optional_double(11, point.min);
    message.optional_double(12, point.max);
}

fn exponential_histogram_point(message: &mut Writer, point: &ExponentialHistogramPoint) {
    key_values(message, 1, &point.attributes);
    message.fixed64(2, point.start_unix_nano);
    message.fixed64(3, point.time_unix_nano);
    message.fixed64(4, point.count);
    message.optional_double(5, point.sum);
    message.sint32(6, point.scale);
    message.fixed64(7, point.zero_count);
    buckets(message, 8, &point.positive);
    buckets(message, 9, &point.negative);
    message.varint(10, point.flags.0.into());
    messages(message, 11, &point.exemplars, exemplar);
    message.optional_double(12, point.min);
    message.optional_double(13, point.max);
    message.double(14, point.zero_threshold);
}

fn buckets(message: &mut Writer, number: u32, buckets: &ExponentialBuckets) {
    if *buckets != ExponentialBuckets::default() {
        message.message(number, |message| {
            message.sint32(1, buckets.offset);
            message.packed_varints(2, &buckets.bucket_counts);
        });
    }
}

fn summary_point(message: &mut Writer, point: &SummaryPoint) {
    message.fixed64(2, point.start_unix_nano);
    message.fixed64(3, point.time_unix_nano);
    message.fixed64(4, point.count);
    message.double(5, point.sum);
    messages(message, 6, &point.quantile_values, quantile_value);
    key_values(message, 7, &point.attributes);
    message.varint(8, point.flags.0.into());
}

fn quantile_value(message: &mut Writer, value: &QuantileValue) {
    message.double(1, value.quantile);
    message.double(2, value.value);
}

fn exemplar(message: &mut Writer, exemplar: &Exemplar) {
    message.fixed64(2, exemplar.time_unix_nano);
    number(message, (3, 6), exemplar.value);
    if let Some(span_id) = exemplar.span_id {
        message.bytes(4, span_id.as_bytes());
    }
    if let Some(trace_id) = exemplar.trace_id {
        message.bytes(5, trace_id.as_bytes());
    }
    key_values(message, 7, &exemplar.filtered_attributes);
}

/// The `oneof` of a double and an integer, by the numbers of their fields.
fn number(message: &mut Writer, (double, int): (u32, u32), value: Option<Number>) {
    match value {
        Some(Number::Double(value)) => message.double_always(double, value),
        Some(Number::Int(value)) => message.fixed64_always(int, value as u64),
        None => {}
    }
}
