//! Metrics of every kind.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, KeyValue, Metric, MetricData, Number, NumberPoint, PointFlags, QuantileValue,
    ResourceMetrics, ScopeMetrics, SummaryPoint,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{attributes, double, resource, scope, span_id, text, trace_id};

/// One resource with one scope with one gauge with one point.
pub(crate) fn one_metric() -> Vec<ResourceMetrics> {
    let point = NumberPoint {
        time_unix_nano: 1_544_712_660_300_000_000,
        value: Some(Number::Double(0.5)),
        attributes: vec![KeyValue::new("gpu", 1)],
        ..NumberPoint::default()
    };
    let metric = Metric {
        name: "gpu.utilization".into(),
        data: Some(MetricData::Gauge {
            points: vec![point],
        }),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    }];
    vec![ResourceMetrics {
        scope_metrics,
        ..ResourceMetrics::default()
    }]
}

pub(crate) fn metrics() -> impl Strategy<Value = Vec<ResourceMetrics>> {
    let scope_metrics =
        (scope(), text(), vec(metric(), 0..4)).prop_map(|(scope, schema_url, metrics)| {
            ScopeMetrics {
                scope,
                schema_url,
                metrics,
            }
        });
    let group = (resource(), text(), vec(scope_metrics, 0..3)).prop_map(
        |(resource, schema_url, scope_metrics)| ResourceMetrics {
            resource,
            schema_url,
            scope_metrics,
        },
    );
    vec(group, 0..3)
}

fn metric() -> impl Strategy<Value = Metric> {
    (text(), text(), text(), attributes(), option::of(data())).prop_map(
        |(name, description, unit, metadata, data)| Metric {
            name,
            description,
            unit,
            metadata,
            data,
        },
    )
}

fn data() -> impl Strategy<Value = MetricData> {
    let numbers = || vec(number_point(), 0..3);
    prop_oneof![
        numbers().prop_map(|points| MetricData::Gauge { points }),
        (temporality(), any::<bool>(), numbers()).prop_map(
            |(temporality, is_monotonic, points)| MetricData::Sum {
                temporality,
                is_monotonic,
                points
            }
        ),
        (temporality(), vec(histogram_point(), 0..3)).prop_map(|(temporality, points)| {
            MetricData::Histogram {
                temporality,
                points,
            }
        }),
        (temporality(), vec(exponential_histogram_point(), 0..3)).prop_map(
            |(temporality, points)| MetricData::ExponentialHistogram {
                temporality,
                points
            }
        ),
        vec(summary_point(), 0..3).prop_map(|points| MetricData::Summary { points }),
    ]
}

fn temporality() -> impl Strategy<Value = AggregationTemporality> {
    (0..3_i64).prop_map(AggregationTemporality::from_code)
}

/// What all kinds of points begin with: attributes, start, time and flags.
fn head() -> impl Strategy<Value = (Vec<KeyValue>, u64, u64, PointFlags)> {
    let flags = any::<u32>().prop_map(PointFlags);
    (attributes(), any::<u64>(), any::<u64>(), flags)
}

fn number_point() -> impl Strategy<Value = NumberPoint> {
    (head(), option::of(number()), exemplars()).prop_map(|(head, value, exemplars)| NumberPoint {
        attributes: head.0,
        start_unix_nano: head.1,
        time_unix_nano: head.2,
        flags: head.3,
        value,
        exemplars,
    })
}

fn histogram_point() -> impl Strategy<Value = HistogramPoint> {
    let buckets = (vec(any::<u64>(), 0..5), vec(double(), 0..5));
    (head(), any::<u64>(), extremes(), buckets, exemplars()).prop_map(
        |(head, count, extremes, buckets, exemplars)| HistogramPoint {
            attributes: head.0,
            start_unix_nano: head.1,
            time_unix_nano: head.2,
            flags: head.3,
            count,
            sum: extremes.0,
            min: extremes.1,
            max: extremes.2,
            bucket_counts: buckets.0,
            explicit_bounds: buckets.1,
            exemplars,
        },
    )
}

fn exponential_histogram_point() -> impl Strategy<Value = ExponentialHistogramPoint> {
    let zero = (any::<u64>(), double());
    let buckets = (any::<i32>(), buckets(), buckets());
    (head(), any::<u64>(), extremes(), zero, buckets, exemplars()).prop_map(
        |(head, count, extremes, zero, buckets, exemplars)| ExponentialHistogramPoint {
            attributes: head.0,
            start_unix_nano: head.1,
            time_unix_nano: head.2,
            flags: head.3,
            count,
            sum: extremes.0,
            min: extremes.1,
            max: extremes.2,
            zero_count: zero.0,
            zero_threshold: zero.1,
            scale: buckets.0,
            positive: buckets.1,
            negative: buckets.2,
            exemplars,
        },
    )
}

/// Sum, smallest and largest value.
fn extremes() -> impl Strategy<Value = (Option<f64>, Option<f64>, Option<f64>)> {
    let maybe = || option::of(double());
    (maybe(), maybe(), maybe())
}

fn buckets() -> impl Strategy<Value = ExponentialBuckets> {
    (any::<i32>(), vec(any::<u64>(), 0..5)).prop_map(|(offset, bucket_counts)| ExponentialBuckets {
        offset,
        bucket_counts,
    })
}

fn summary_point() -> impl Strategy<Value = SummaryPoint> {
    let quantile =
        (double(), double()).prop_map(|(quantile, value)| QuantileValue { quantile, value });
    (head(), any::<u64>(), double(), vec(quantile, 0..4)).prop_map(
        |(head, count, sum, quantile_values)| SummaryPoint {
            attributes: head.0,
            start_unix_nano: head.1,
            time_unix_nano: head.2,
            flags: head.3,
            count,
            sum,
            quantile_values,
        },
    )
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

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::Int),
        double().prop_map(Number::Double),
    ]
}
