//! Random log records and metrics with everything that OTLP knows.

use super::random_spans::{attributes, span_id, text, trace_id, value};
use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, LogRecord, Metric, MetricData, Number, NumberPoint, PointFlags, QuantileValue,
    Resource, ResourceLogs, ResourceMetrics, Scope, ScopeLogs, ScopeMetrics, Severity,
    SummaryPoint, Text,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn resource_logs() -> impl Strategy<Value = Vec<ResourceLogs>> {
    let scope_logs =
        (scope(), text(), vec(log_record(), 1..8)).prop_map(|(scope, schema_url, log_records)| {
            ScopeLogs {
                scope,
                schema_url,
                log_records,
            }
        });
    let group = (resource(), text(), vec(scope_logs, 1..3)).prop_map(
        |(resource, schema_url, scope_logs)| ResourceLogs {
            resource,
            schema_url,
            scope_logs,
        },
    );
    vec(group, 1..4)
}

pub(super) fn resource_metrics() -> impl Strategy<Value = Vec<ResourceMetrics>> {
    let scope_metrics =
        (scope(), text(), vec(metric(), 1..6)).prop_map(|(scope, schema_url, metrics)| {
            ScopeMetrics {
                scope,
                schema_url,
                metrics,
            }
        });
    let group = (resource(), text(), vec(scope_metrics, 1..3)).prop_map(
        |(resource, schema_url, scope_metrics)| ResourceMetrics {
            resource,
            schema_url,
            scope_metrics,
        },
    );
    vec(group, 1..4)
}

fn resource() -> impl Strategy<Value = Resource> {
    (attributes(), any::<u32>()).prop_map(|(attributes, dropped)| Resource {
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    (text(), text(), attributes(), any::<u32>()).prop_map(|(name, version, attributes, dropped)| {
        Scope {
            name,
            version,
            attributes,
            dropped_attributes_count: dropped,
        }
    })
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let long = (2_000..9_000_usize).prop_map(|len| "wörd ".repeat(len / 6).into());
    let body = prop_oneof![4 => value(), 1 => long];
    // A severity shows that a message in protobuf holds log records.
    let severity = (1..25_i32).prop_map(Severity::from_number);
    let times = (prop_oneof![Just(0), any::<u64>()], any::<u64>());
    let ids = (option::of(trace_id()), option::of(span_id()));
    let numbers = (any::<u32>(), any::<u32>());
    (
        times,
        severity,
        (text(), text()),
        body,
        attributes(),
        ids,
        numbers,
    )
        .prop_map(
            |(times, severity, texts, body, attributes, ids, numbers)| LogRecord {
                time_unix_nano: times.0,
                observed_time_unix_nano: times.1,
                severity,
                severity_text: texts.0,
                body,
                attributes,
                dropped_attributes_count: numbers.0,
                flags: numbers.1,
                trace_id: ids.0,
                span_id: ids.1,
                event_name: texts.1,
            },
        )
}

fn metric() -> impl Strategy<Value = Metric> {
    // A metric without a name does not show in protobuf what it is.
    let name = "[a-z.]{1,8}".prop_map(Text::from);
    (name, text(), text(), attributes(), data()).prop_map(
        |(name, description, unit, metadata, data)| Metric {
            name,
            description,
            unit,
            metadata,
            data: Some(data),
        },
    )
}

fn data() -> impl Strategy<Value = MetricData> {
    let temporality = || (0..3_i64).prop_map(AggregationTemporality::from_code);
    prop_oneof![
        vec(number_point(), 1..4).prop_map(|points| MetricData::Gauge { points }),
        (temporality(), any::<bool>(), vec(number_point(), 1..4)).prop_map(
            |(temporality, is_monotonic, points)| MetricData::Sum {
                temporality,
                is_monotonic,
                points,
            }
        ),
        (temporality(), vec(histogram_point(), 1..4)).prop_map(|(temporality, points)| {
            MetricData::Histogram {
                temporality,
                points,
            }
        }),
        (temporality(), vec(exponential_point(), 1..4)).prop_map(|(temporality, points)| {
            MetricData::ExponentialHistogram {
                temporality,
                points,
            }
        }),
        vec(summary_point(), 1..4).prop_map(|points| MetricData::Summary { points }),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::Int),
        any::<f64>().prop_map(Number::Double),
        Just(Number::Double(f64::NAN)),
    ]
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let ids = (option::of(trace_id()), option::of(span_id()));
    let exemplar = (attributes(), any::<u64>(), option::of(number()), ids).prop_map(
        |(filtered_attributes, time_unix_nano, value, ids)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            value,
            trace_id: ids.0,
            span_id: ids.1,
        },
    );
    vec(exemplar, 0..3)
}

fn flags() -> impl Strategy<Value = PointFlags> {
    any::<u32>().prop_map(PointFlags)
}

fn number_point() -> impl Strategy<Value = NumberPoint> {
    let times = (any::<u64>(), any::<u64>());
    (
        attributes(),
        times,
        option::of(number()),
        exemplars(),
        flags(),
    )
        .prop_map(|(attributes, times, value, exemplars, flags)| NumberPoint {
            attributes,
            start_unix_nano: times.0,
            time_unix_nano: times.1,
            value,
            exemplars,
            flags,
        })
}

fn histogram_point() -> impl Strategy<Value = HistogramPoint> {
    let times = (any::<u64>(), any::<u64>());
    let sums = (any::<u64>(), option::of(any::<f64>()));
    let bounds = (option::of(any::<f64>()), option::of(any::<f64>()));
    let buckets = (vec(any::<u64>(), 0..5), vec(any::<f64>(), 0..5));
    (
        attributes(),
        times,
        sums,
        bounds,
        buckets,
        exemplars(),
        flags(),
    )
        .prop_map(
            |(attributes, times, sums, bounds, buckets, exemplars, flags)| HistogramPoint {
                attributes,
                start_unix_nano: times.0,
                time_unix_nano: times.1,
                count: sums.0,
                sum: sums.1,
                bucket_counts: buckets.0,
                explicit_bounds: buckets.1,
                exemplars,
                flags,
                min: bounds.0,
                max: bounds.1,
            },
        )
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramPoint> {
    let buckets = || {
        (any::<i32>(), vec(any::<u64>(), 0..5)).prop_map(|(offset, bucket_counts)| {
            ExponentialBuckets {
                offset,
                bucket_counts,
            }
        })
    };
    let times = (any::<u64>(), any::<u64>());
    let sums = (any::<u64>(), option::of(any::<f64>()));
    let bounds = (option::of(any::<f64>()), option::of(any::<f64>()));
    let zero = (any::<i32>(), any::<u64>(), any::<f64>());
    (
        attributes(),
        (times, sums, bounds, zero),
        (buckets(), buckets()),
        exemplars(),
        flags(),
    )
        .prop_map(
            |(attributes, (times, sums, bounds, zero), buckets, exemplars, flags)| {
                ExponentialHistogramPoint {
                    attributes,
                    start_unix_nano: times.0,
                    time_unix_nano: times.1,
                    count: sums.0,
                    sum: sums.1,
                    scale: zero.0,
                    zero_count: zero.1,
                    zero_threshold: zero.2,
                    positive: buckets.0,
                    negative: buckets.1,
                    exemplars,
                    flags,
                    min: bounds.0,
                    max: bounds.1,
                }
            },
        )
}

fn summary_point() -> impl Strategy<Value = SummaryPoint> {
    let quantile = (any::<f64>(), any::<f64>())
        .prop_map(|(quantile, value)| QuantileValue { quantile, value });
    let times = (any::<u64>(), any::<u64>());
    let sums = (any::<u64>(), any::<f64>());
    (attributes(), times, sums, vec(quantile, 0..4), flags()).prop_map(
        |(attributes, times, sums, quantile_values, flags)| SummaryPoint {
            attributes,
            start_unix_nano: times.0,
            time_unix_nano: times.1,
            count: sums.0,
            sum: sums.1,
            quantile_values,
            flags,
        },
    )
}
