//! From metrics to JSON text.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, Metric, MetricData, Number, NumberPoint, QuantileValue, ResourceMetrics,
    ScopeMetrics, SummaryPoint,
};
use serde_json::{Value as Json, json};

use super::{Object, double, key_value, resource, scope};

/// Encodes an `ExportMetricsServiceRequest` in JSON; fields that hold their default are left out.
///
/// ```
/// assert_eq!(lumitrace_wire::otlp::json::encode_metrics(&[]), br#"{"resourceMetrics":[]}"#);
/// ```
pub fn encode_metrics(resource_metrics: &[ResourceMetrics]) -> Vec<u8> {
    let groups: Vec<Json> = resource_metrics.iter().map(resource_group).collect();
    json!({ "resourceMetrics": groups })
        .to_string()
        .into_bytes()
}

fn resource_group(group: &ResourceMetrics) -> Json {
    let mut object = Object::default();
    object.set("resource", resource(&group.resource));
    object.list("scopeMetrics", &group.scope_metrics, scope_group);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn scope_group(group: &ScopeMetrics) -> Json {
    let mut object = Object::default();
    object.set("scope", scope(&group.scope));
    object.list("metrics", &group.metrics, metric);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn metric(metric: &Metric) -> Json {
    let mut object = Object::default();
    object.text("name", &metric.name);
    object.text("description", &metric.description);
    object.text("unit", &metric.unit);
    object.list("metadata", &metric.metadata, key_value);
    if let Some(metric_data) = &metric.data {
        let (key, json) = data(metric_data);
        object.set(key, json);
    }
    Json::Object(object.0)
}

/// The data of a metric, and its key.
fn data(data: &MetricData) -> (&'static str, Json) {
    let mut object = Object::default();
    let key = match data {
        MetricData::Gauge { points } => {
            object.list("dataPoints", points, number_point);
            "gauge"
        }
        MetricData::Sum {
            temporality,
            is_monotonic,
            points,
        } => {
            object.list("dataPoints", points, number_point);
            set_temporality(&mut object, *temporality);
            if *is_monotonic {
                object.set("isMonotonic", true);
            }
            "sum"
        }
        MetricData::Histogram {
            temporality,
            points,
        } => {
            object.list("dataPoints", points, histogram_point);
            set_temporality(&mut object, *temporality);
            "histogram"
        }
        MetricData::ExponentialHistogram {
            temporality,
            points,
        } => {
            object.list("dataPoints", points, exponential_histogram_point);
            set_temporality(&mut object, *temporality);
            "exponentialHistogram"
        }
        MetricData::Summary { points } => {
            object.list("dataPoints", points, summary_point);
            "summary"
        }
    };
    (key, Json::Object(object.0))
}

fn set_temporality(object: &mut Object, temporality: AggregationTemporality) {
    object.number("aggregationTemporality", temporality.code());
}

fn number_point(point: &NumberPoint) -> Json {
    let mut object = Object::default();
    object.list("attributes", &point.attributes, key_value);
    object.long("startTimeUnixNano", point.start_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    set_number(&mut object, point.value);
    object.list("exemplars", &point.exemplars, exemplar);
    object.number("flags", point.flags.0);
    Json::Object(object.0)
}

fn histogram_point(point: &HistogramPoint) -> Json {
    let mut object = Object::default();
    object.list("attributes", &point.attributes, key_value);
    object.long("startTimeUnixNano", point.start_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.optional_double("sum", point.sum);
    object.list("bucketCounts", &point.bucket_counts, long);
    object.list("explicitBounds", &point.explicit_bounds, |bound| {
        double(*bound)
    });
    object.list("exemplars", &point.exemplars, exemplar);
    object.number("flags", point.flags.0);
    object.optional_double("min", point.min);
    object.optional_double("max", point.max);
    Json::Object(object.0)
}

fn exponential_histogram_point(point: &ExponentialHistogramPoint) -> Json {
    let mut object = Object::default();
    object.list("attributes", &point.attributes, key_value);
    object.long("startTimeUnixNano", point.start_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.optional_double("sum", point.sum);
    object.number("scale", point.scale);
    object.long("zeroCount", point.zero_count);
    object.double("zeroThreshold", point.zero_threshold);
    set_buckets(&mut object, "positive", &point.positive);
    set_buckets(&mut object, "negative", &point.negative);
    object.list("exemplars", &point.exemplars, exemplar);
    object.number("flags", point.flags.0);
    object.optional_double("min", point.min);
    object.optional_double("max", point.max);
    Json::Object(object.0)
}

fn set_buckets(object: &mut Object, key: &str, buckets: &ExponentialBuckets) {
    if *buckets != ExponentialBuckets::default() {
        let mut inner = Object::default();
        inner.number("offset", buckets.offset);
        inner.list("bucketCounts", &buckets.bucket_counts, long);
        object.set(key, inner.0);
    }
}

fn summary_point(point: &SummaryPoint) -> Json {
    let mut object = Object::default();
    object.list("attributes", &point.attributes, key_value);
    object.long("startTimeUnixNano", point.start_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.double("sum", point.sum);
    object.list("quantileValues", &point.quantile_values, quantile_value);
    object.number("flags", point.flags.0);
    Json::Object(object.0)
}

fn quantile_value(value: &QuantileValue) -> Json {
    let mut object = Object::default();
    object.double("quantile", value.quantile);
    object.double("value", value.value);
    Json::Object(object.0)
}

fn exemplar(exemplar: &Exemplar) -> Json {
    let mut object = Object::default();
    object.list(
        "filteredAttributes",
        &exemplar.filtered_attributes,
        key_value,
    );
    object.long("timeUnixNano", exemplar.time_unix_nano);
    set_number(&mut object, exemplar.value);
    object.optional_text("spanId", exemplar.span_id);
    object.optional_text("traceId", exemplar.trace_id);
    Json::Object(object.0)
}

fn set_number(object: &mut Object, number: Option<Number>) {
    match number {
        Some(Number::Double(number)) => object.set("asDouble", double(number)),
        Some(Number::Int(number)) => object.set("asInt", number.to_string()),
        None => {}
    }
}

/// A 64-bit number in a list, where zero is not left out.
fn long(number: &u64) -> Json {
    json!(number.to_string())
}
