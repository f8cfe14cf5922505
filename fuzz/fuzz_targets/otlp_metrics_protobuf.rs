//! Any bytes either decode or are refused as metrics, what decodes survives encoding again, and an index
//! has each point of what decodes once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_model::{ExponentialHistogramPoint, HistogramPoint, MetricKind, SummaryPoint};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf;
use lumitrace_wire::otlp::protobuf::view::PointView;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits::default();
    for kind in MetricKind::ALL {
        // Of no checked request, but they must not panic.
        let view = PointView::new(kind, bytes);
        let _ = HistogramPoint::from(view);
        let _ = ExponentialHistogramPoint::from(view);
        let _ = SummaryPoint::from(view);
    }
    let indexed = protobuf::index_metrics(bytes, &limits);
    let (index, groups) = match (indexed, protobuf::decode_metrics(bytes, &limits)) {
        (Ok(index), Ok(groups)) => (index, groups),
        (Err(index), Err(groups)) => return assert_eq!(index, groups),
        (index, groups) => panic!("{index:?}, but {groups:?}"),
    };
    let scopes = groups.iter().flat_map(|group| &group.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let with_data: Vec<_> = metrics.filter(|metric| metric.data.is_some()).collect();
    assert_eq!(index.metrics.len(), with_data.len());
    for (number, (head, metric)) in index.metrics.iter().zip(with_data).enumerate() {
        assert_eq!(head.name(bytes), metric.name);
        let points = index.points.iter();
        let points = points.filter(|point| point.metric as usize == number);
        assert_eq!(points.count(), metric.point_count());
    }
    let encoded = protobuf::encode_metrics(&groups);
    let again = protobuf::decode_metrics(&encoded, &DecodeLimits::own_data())
        .expect("what we encoded must decode");
    // Compared as text: NaN does not equal itself.
    assert_eq!(format!("{again:?}"), format!("{groups:?}"));
});
