//! Metrics in JSON.

use lumitrace_model::{
    AggregationTemporality, ExponentialBuckets, Metric, MetricData, Number, PointFlags,
    QuantileValue,
};
use proptest::prelude::*;

use super::*;
use crate::otlp::samples;

fn decode(text: &str) -> Result<Vec<lumitrace_model::ResourceMetrics>, DecodeError> {
    decode_metrics(text.as_bytes(), &DecodeLimits::default())
}

fn metric(fields: &str) -> Metric {
    let text =
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#);
    let mut metrics = decode(&text).unwrap();
    metrics.remove(0).scope_metrics.remove(0).metrics.remove(0)
}

proptest! {
    #[test]
    fn every_metric_survives_encoding_and_decoding(metrics in samples::metrics()) {
        let decoded = decode_metrics(&encode_metrics(&metrics), &DecodeLimits::default())?;
        prop_assert_eq!(samples::comparable(&decoded), samples::comparable(&metrics));
    }

    #[test]
    fn a_request_with_a_changed_byte_never_panics(
        metrics in samples::metrics(), at in any::<prop::sample::Index>(), byte: u8
    ) {
        let mut bytes = encode_metrics(&metrics);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_metrics(&bytes, &DecodeLimits::default());
        prop_assert!(decode_metrics(&bytes[..at], &DecodeLimits::default()).is_err());
    }
}

#[test]
fn a_metric_is_written_in_the_shape_of_the_specification() {
    let expected = concat!(
        r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"metrics":[{"#,
        r#""gauge":{"dataPoints":[{"asDouble":0.5,"#,
        r#""attributes":[{"key":"gpu","value":{"intValue":"1"}}],"#,
        r#""timeUnixNano":"1544712660300000000"}]},"#,
        r#""name":"gpu.utilization"}],"scope":{}}]}]}"#
    );
    let text = encode_metrics(&samples::one_metric());
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn a_sum_is_read_with_numbers_and_texts() {
    let metric = metric(
        r#""name":"requests","unit":"1","description":"so many","metadata":[
        {"key":"prometheus.type","value":{"stringValue":"counter"}}],
        "sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,
        "dataPoints":[{"asInt":"5","timeUnixNano":7,"startTimeUnixNano":"6"},{"asInt":-5},
        {"asDouble":"NaN"},{"asDouble":3},{"flags":1}]}"#,
    );
    assert_eq!((&metric.name[..], &metric.unit[..]), ("requests", "1"));
    assert_eq!(metric.metadata.len(), 1);
    let Some(MetricData::Sum {
        temporality: AggregationTemporality::Cumulative,
        is_monotonic: true,
        points,
    }) = metric.data
    else {
        panic!("{:?}", metric.data);
    };
    assert_eq!(
        (points[0].start_unix_nano, points[0].time_unix_nano),
        (6, 7)
    );
    assert_eq!(points[0].value, Some(Number::Int(5)));
    assert_eq!(points[1].value, Some(Number::Int(-5)));
    assert!(points[2].value.unwrap().as_f64().is_nan());
    assert_eq!(points[3].value, Some(Number::Double(3.0)));
    assert_eq!(points[4].value, None);
    assert!(points[4].flags.no_recorded_value());
}

#[test]
fn a_histogram_is_read_with_what_is_optional_left_out() {
    let data = |point: &str| metric(&format!(r#""histogram":{{"dataPoints":[{point}]}}"#)).data;
    let Some(MetricData::Histogram { points, .. }) = data(
        r#"{"count":"2","sum":2,"bucketCounts":["1",1],"explicitBounds":[1],"min":0,"max":"Infinity",
        "exemplars":[{"asDouble":1.5,"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"nonsense","timeUnixNano":"3"}]}"#,
    ) else {
        panic!("no histogram");
    };
    let point = &points[0];
    assert_eq!((point.count, point.sum), (2, Some(2.0)));
    assert_eq!((point.min, point.max), (Some(0.0), Some(f64::INFINITY)));
    assert_eq!(point.bucket_counts, [1, 1]);
    assert_eq!(point.explicit_bounds, [1.0]);
    let exemplar = &point.exemplars[0];
    assert_eq!(exemplar.value, Some(Number::Double(1.5)));
    assert!(exemplar.trace_id.is_some() && exemplar.span_id.is_none());

    let Some(MetricData::Histogram { points, .. }) = data(r#"{"count":"2","sum":null}"#) else {
        panic!("no histogram");
    };
    assert_eq!(
        (points[0].sum, points[0].min, points[0].max),
        (None, None, None)
    );
}

#[test]
fn an_exponential_histogram_and_a_summary_are_read() {
    let data = metric(
        r#""exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"count":3,"sum":10,
        "scale":-1,"zeroCount":"1","zeroThreshold":1e-9,"positive":{"offset":-2,
        "bucketCounts":["0","2"]},"negative":null,"flags":4294967295}]}"#,
    )
    .data;
    let Some(MetricData::ExponentialHistogram {
        temporality: AggregationTemporality::Delta,
        points,
    }) = data
    else {
        panic!("{data:?}");
    };
    let point = &points[0];
    assert_eq!(
        (point.scale, point.zero_count, point.zero_threshold),
        (-1, 1, 1e-9)
    );
    let positive = ExponentialBuckets {
        offset: -2,
        bucket_counts: vec![0, 2],
    };
    assert_eq!(point.positive, positive);
    assert_eq!(point.negative, ExponentialBuckets::default());
    assert_eq!(point.flags, PointFlags(u32::MAX));

    let data = metric(
        r#""summary":{"dataPoints":[{"count":"4","sum":2.5,"quantileValues":[
        {"quantile":0.5,"value":1}]}]}"#,
    )
    .data;
    let Some(MetricData::Summary { points }) = data else {
        panic!("{data:?}");
    };
    let median = QuantileValue {
        quantile: 0.5,
        value: 1.0,
    };
    assert_eq!(points[0].quantile_values, [median]);
}

#[test]
fn metrics_without_data_are_kept() {
    for fields in [
        "",
        r#","gauge":null"#,
        r#","unknownKind":{"dataPoints":[]}"#,
    ] {
        let metric = metric(&format!(r#""name":"n"{fields}"#));
        assert_eq!((&metric.name[..], metric.data), ("n", None));
    }
}

#[test]
fn wrong_types_are_errors_that_name_the_field() {
    let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[
        {"asInt":1.5}]}}]}]}]}"#;
    let Err(DecodeError::Json(message)) = decode(text) else {
        panic!("accepted");
    };
    let place = "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].asInt: ";
    assert!(message.starts_with(place), "{message}");
}

#[test]
fn a_request_of_empty_items_is_refused_before_it_fills_memory() {
    for (open, close) in [
        (r#"{"resourceMetrics":["#, "]}"),
        (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":["#,
            "]}]}]}",
        ),
        (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":["#,
            "]}}]}]}]}",
        ),
    ] {
        let text = format!("{open}{}{{}}{close}", "{},".repeat(100_000));
        let refused = Err(DecodeError::TooManyItems { ratio: 16 });
        assert_eq!(decode(&text), refused, "{open}");
    }
}
