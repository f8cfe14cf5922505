//! Metrics in protobuf.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, KeyValue, Metric, MetricData, MetricKind, Number, NumberPoint, PointFlags,
    QuantileValue, SpanId, SummaryPoint, TraceId, Value,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as generated;
use prost::Message as _;

use super::super::view::{MetricView, PointView};
use super::*;

whole_signal!(
    samples::metrics(),
    encode_metrics,
    decode_metrics,
    ExportMetricsServiceRequest
);

/// The points of a metric, each as its own debug text.
fn texts(data: &MetricData) -> Vec<String> {
    fn all<P: std::fmt::Debug>(points: &[P]) -> Vec<String> {
        points.iter().map(|point| format!("{point:?}")).collect()
    }
    match data {
        MetricData::Gauge { points } | MetricData::Sum { points, .. } => all(points),
        MetricData::Histogram { points, .. } => all(points),
        MetricData::ExponentialHistogram { points, .. } => all(points),
        MetricData::Summary { points } => all(points),
    }
}

/// What an index says of a metric: as its data without points, and its points as texts.
fn indexed(index: &MetricsIndex, number: usize, bytes: &[u8]) -> (MetricData, Vec<String>) {
    let head = &index.metrics[number];
    let points = index.points.iter();
    let points = points.filter(|point| point.metric as usize == number);
    let text = |point: &PointHead| {
        let view = PointView::new(head.kind, point.message(bytes));
        assert_eq!(point.time_unix_nano, view.time_unix_nano);
        match head.kind {
            MetricKind::Gauge | MetricKind::Sum => format!("{:?}", NumberPoint::from(view)),
            MetricKind::Histogram => format!("{:?}", HistogramPoint::from(view)),
            MetricKind::ExponentialHistogram => {
                format!("{:?}", ExponentialHistogramPoint::from(view))
            }
            MetricKind::Summary => format!("{:?}", SummaryPoint::from(view)),
        }
    };
    let (temporality, is_monotonic) = (head.temporality, head.is_monotonic);
    let data = match head.kind {
        MetricKind::Gauge => MetricData::Gauge { points: vec![] },
        MetricKind::Sum => MetricData::Sum {
            temporality,
            is_monotonic,
            points: vec![],
        },
        MetricKind::Histogram => MetricData::Histogram {
            temporality,
            points: vec![],
        },
        MetricKind::ExponentialHistogram => MetricData::ExponentialHistogram {
            temporality,
            points: vec![],
        },
        MetricKind::Summary => MetricData::Summary { points: vec![] },
    };
    (data, points.map(text).collect())
}

/// The same of a metric that was decoded.
fn taken_apart(mut data: MetricData) -> (MetricData, Vec<String>) {
    let texts = texts(&data);
    match &mut data {
        MetricData::Gauge { points } | MetricData::Sum { points, .. } => points.clear(),
        MetricData::Histogram { points, .. } => points.clear(),
        MetricData::ExponentialHistogram { points, .. } => points.clear(),
        MetricData::Summary { points } => points.clear(),
    }
    (data, texts)
}

proptest! {
    #[test]
    fn the_index_and_its_views_say_what_was_encoded(metrics in samples::metrics()) {
        let bytes = encode_metrics(&metrics);
        let index = index_metrics(&bytes, &DecodeLimits::default())?;
        let mut number = 0;
        for group in metrics {
            for scope_metrics in group.scope_metrics {
                for metric in scope_metrics.metrics {
                    let Some(data) = metric.data else {
                        continue;
                    };
                    let head = &index.metrics[number];
                    assert_origin(
                        &index.origins[head.origin as usize],
                        &bytes,
                        (&group.resource, &group.schema_url),
                        (&scope_metrics.scope, &scope_metrics.schema_url),
                    );
                    let view = MetricView::new(head.message(&bytes));
                    prop_assert_eq!(head.name(&bytes), metric.name);
                    prop_assert_eq!(view.description, metric.description);
                    prop_assert_eq!(view.unit, metric.unit);
                    let metadata = view.metadata().to_vec();
                    prop_assert_eq!(format!("{metadata:?}"), format!("{:?}", metric.metadata));
                    prop_assert_eq!(indexed(&index, number, &bytes), taken_apart(data));
                    number += 1;
                }
            }
        }
        prop_assert_eq!(number, index.metrics.len());
    }

    #[test]
    fn views_of_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        for kind in MetricKind::ALL {
            let view = PointView::new(kind, &bytes);
            let exemplars = view.exemplars().map(|it| it.filtered_attributes().to_vec());
            prop_assert!(exemplars.count() <= bytes.len());
            let _ = ExponentialHistogramPoint::from(view);
            let _ = HistogramPoint::from(view);
            let _ = SummaryPoint::from(view);
        }
    }
}

#[test]
fn of_several_kinds_of_data_the_last_one_counts() {
    let of_kind = |number: u32, point: &[u8]| wrapped(&[number, 1], point);
    let metric = [
        wrapped(&[1], b"loss"),
        of_kind(5, &[]),
        of_kind(9, &[]),
        of_kind(7, &[]),
    ];
    let bytes = wrapped(&[1, 2, 2], &metric.concat());
    let index = index_metrics(&bytes, &DecodeLimits::default()).unwrap();
    assert_eq!((index.metrics.len(), index.points.len()), (1, 1));
    assert_eq!(index.metrics[0].kind, MetricKind::Sum);
    let decoded = decode_metrics(&bytes, &DecodeLimits::default()).unwrap();
    let data = &decoded[0].scope_metrics[0].metrics[0].data;
    assert!(matches!(data, Some(MetricData::Sum { points, .. }) if points.len() == 1));
}

fn request(data: generated::metric::Data) -> ExportMetricsServiceRequest {
    let metric = generated::Metric {
        name: "name".to_owned(),
        description: "description".to_owned(),
        unit: "unit".to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    };
    let scope_metrics = vec![generated::ScopeMetrics {
        scope: Some(Default::default()),
        metrics: vec![metric],
        schema_url: String::new(),
    }];
    let resource_metrics = vec![generated::ResourceMetrics {
        resource: Some(Default::default()),
        scope_metrics,
        schema_url: String::new(),
    }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// Both requests say the same to both codecs.
fn assert_agree(theirs: generated::metric::Data, ours: MetricData) {
    let mut metrics = samples::one_metric();
    metrics[0].scope_metrics[0].metrics = vec![Metric {
        name: "name".into(),
        description: "description".into(),
        unit: "unit".into(),
        metadata: Vec::new(),
        data: Some(ours),
    }];
    let theirs = request(theirs);
    let decoded = decode_metrics(&theirs.encode_to_vec(), &DecodeLimits::default());
    assert_eq!(decoded.as_ref(), Ok(&metrics));
    let read = ExportMetricsServiceRequest::decode(&encode_metrics(&metrics)[..]);
    assert_eq!(read, Ok(theirs));
}

#[test]
fn numbers_mean_to_the_generated_types_what_they_mean_to_us() {
    let theirs = |value, exemplar_value| generated::NumberDataPoint {
        attributes: Vec::new(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![generated::Exemplar {
            filtered_attributes: Vec::new(),
            time_unix_nano: 3,
            span_id: vec![4; 8],
            trace_id: vec![5; 16],
            value: exemplar_value,
        }],
        flags: 1,
        value,
    };
    let ours = |value, exemplar_value| NumberPoint {
        attributes: Vec::new(),
        start_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![Exemplar {
            filtered_attributes: Vec::new(),
            time_unix_nano: 3,
            span_id: Some(SpanId::from_bytes([4; 8])),
            trace_id: Some(TraceId::from_bytes([5; 16])),
            value: exemplar_value,
        }],
        flags: PointFlags::NO_RECORDED_VALUE,
        value,
    };
    use generated::exemplar::Value as InExemplar;
    use generated::number_data_point::Value as InPoint;
    assert_agree(
        generated::metric::Data::Gauge(generated::Gauge {
            data_points: vec![
                theirs(Some(InPoint::AsInt(-6)), Some(InExemplar::AsDouble(0.5))),
                theirs(None, None),
            ],
        }),
        MetricData::Gauge {
            points: vec![
                ours(Some(Number::Int(-6)), Some(Number::Double(0.5))),
                ours(None, None),
            ],
        },
    );
    assert_agree(
        generated::metric::Data::Sum(generated::Sum {
            data_points: vec![theirs(
                Some(InPoint::AsDouble(1.5)),
                Some(InExemplar::AsInt(-7)),
            )],
            aggregation_temporality: 1,
            is_monotonic: true,
        }),
        MetricData::Sum {
            temporality: AggregationTemporality::Delta,
            is_monotonic: true,
            points: vec![ours(Some(Number::Double(1.5)), Some(Number::Int(-7)))],
        },
    );
}

#[test]
fn histograms_mean_to_the_generated_types_what_they_mean_to_us() {
    let theirs = generated::HistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![4, 0, 5],
        explicit_bounds: vec![-1.0, 1.0],
        flags: 6,
        min: Some(-7.0),
        max: Some(8.0),
        ..Default::default()
    };
    let ours = HistogramPoint {
        start_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![4, 0, 5],
        explicit_bounds: vec![-1.0, 1.0],
        flags: PointFlags(6),
        min: Some(-7.0),
        max: Some(8.0),
        ..HistogramPoint::default()
    };
    assert_agree(
        generated::metric::Data::Histogram(generated::Histogram {
            data_points: vec![theirs, Default::default()],
            aggregation_temporality: 2,
        }),
        MetricData::Histogram {
            temporality: AggregationTemporality::Cumulative,
            points: vec![ours, HistogramPoint::default()],
        },
    );
}

#[test]
fn exponential_histograms_mean_to_the_generated_types_what_they_mean_to_us() {
    let theirs = generated::ExponentialHistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.0),
        scale: -5,
        zero_count: 6,
        positive: Some(generated::exponential_histogram_data_point::Buckets {
            offset: -7,
            bucket_counts: vec![0, 300],
        }),
        negative: Some(generated::exponential_histogram_data_point::Buckets {
            offset: 8,
            bucket_counts: Vec::new(),
        }),
        flags: 9,
        min: Some(-10.0),
        max: Some(11.0),
        zero_threshold: 0.5,
        ..Default::default()
    };
    let ours = ExponentialHistogramPoint {
        start_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.0),
        scale: -5,
        zero_count: 6,
        positive: ExponentialBuckets {
            offset: -7,
            bucket_counts: vec![0, 300],
        },
        negative: ExponentialBuckets {
            offset: 8,
            bucket_counts: Vec::new(),
        },
        flags: PointFlags(9),
        min: Some(-10.0),
        max: Some(11.0),
        zero_threshold: 0.5,
        ..ExponentialHistogramPoint::default()
    };
    assert_agree(
        generated::metric::Data::ExponentialHistogram(generated::ExponentialHistogram {
            data_points: vec![theirs, Default::default()],
            aggregation_temporality: 1,
        }),
        MetricData::ExponentialHistogram {
            temporality: AggregationTemporality::Delta,
            points: vec![ours, ExponentialHistogramPoint::default()],
        },
    );
}

#[test]
fn summaries_mean_to_the_generated_types_what_they_mean_to_us() {
    let theirs = generated::SummaryDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.0,
        quantile_values: vec![generated::summary_data_point::ValueAtQuantile {
            quantile: 0.5,
            value: 6.0,
        }],
        flags: 7,
        ..Default::default()
    };
    let ours = SummaryPoint {
        start_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.0,
        quantile_values: vec![QuantileValue {
            quantile: 0.5,
            value: 6.0,
        }],
        flags: PointFlags(7),
        ..SummaryPoint::default()
    };
    assert_agree(
        generated::metric::Data::Summary(generated::Summary {
            data_points: vec![theirs],
        }),
        MetricData::Summary { points: vec![ours] },
    );
}

#[test]
fn metrics_without_data_and_points_without_value_are_kept() {
    let mut metrics = samples::one_metric();
    let group = &mut metrics[0].scope_metrics[0];
    let mut without_data = group.metrics[0].clone();
    without_data.data = None;
    group.metrics.push(without_data);
    let Some(MetricData::Gauge { points }) = &mut group.metrics[0].data else {
        panic!("no gauge");
    };
    points[0].value = None;
    let decoded = decode_metrics(&encode_metrics(&metrics), &DecodeLimits::default());
    assert_eq!(decoded, Ok(metrics));
}

#[test]
fn attributes_nested_beyond_the_limit_are_refused_wherever_they_are() {
    let deep = (1..65).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
    let too_deep = Err(DecodeError::TooDeep { max_depth: 64 });
    let mut in_metadata = samples::one_metric();
    in_metadata[0].scope_metrics[0].metrics[0].metadata = vec![KeyValue::new("k", deep.clone())];
    let mut in_point = samples::one_metric();
    let Some(MetricData::Gauge { points }) = &mut in_point[0].scope_metrics[0].metrics[0].data
    else {
        panic!("no gauge");
    };
    points[0].attributes = vec![KeyValue::new("k", deep)];
    for metrics in [in_metadata, in_point] {
        let decoded = decode_metrics(&encode_metrics(&metrics), &DecodeLimits::default());
        assert_eq!(decoded, too_deep);
    }
}

#[test]
fn a_request_of_empty_items_is_refused_before_it_fills_memory() {
    for path in [
        &[1][..],
        &[1, 2],
        &[1, 2, 2],
        // The points of each kind of metric.
        &[1, 2, 2, 5, 1],
        &[1, 2, 2, 7, 1],
        &[1, 2, 2, 9, 1],
        &[1, 2, 2, 10, 1],
        &[1, 2, 2, 11, 1],
        // Exemplars of a number, quantiles of a summary, attributes.
        &[1, 2, 2, 5, 1, 5],
        &[1, 2, 2, 9, 1, 8],
        &[1, 2, 2, 5, 1, 7],
    ] {
        assert_eq!(
            decode_metrics(&empty_items(path), &DecodeLimits::default()),
            Err(DecodeError::TooManyItems { ratio: 16 }),
            "{path:?}"
        );
    }
}

#[test]
fn packed_counts_of_one_byte_each_are_within_the_limit_and_counted() {
    let bytes = wrapped(&[1, 2, 2, 10, 1, 8, 2], &[1; 10_000]);
    assert!(decode_metrics(&bytes, &DecodeLimits::default()).is_ok());
    let tight = DecodeLimits {
        max_expansion: 7,
        ..DecodeLimits::default()
    };
    assert_eq!(
        decode_metrics(&bytes, &tight),
        Err(DecodeError::TooManyItems { ratio: 7 })
    );
}

#[test]
fn data_of_a_kind_that_is_unknown_to_us_is_no_data() {
    // Field 13 of a metric is not defined.
    let bytes = wrapped(&[1, 2, 2, 13], b"what is new");
    let metrics = decode_metrics(&bytes, &DecodeLimits::default()).unwrap();
    assert_eq!(metrics[0].scope_metrics[0].metrics[0].data, None);
}
