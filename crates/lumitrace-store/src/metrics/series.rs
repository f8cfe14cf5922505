//! Which points are of one series: those of the same resource, scope, metric name and attributes,
//! whatever the order of attributes.

use std::hash::Hasher;

use lumitrace_model::KeyValue;
use lumitrace_wire::otlp::protobuf;
use lumitrace_wire::otlp::protobuf::view::AttributesView;
use twox_hash::XxHash64;

use crate::binary::PutFields;
use crate::stored::Origin;

/// What tells a series from all others, as bytes that are the same for the same.
pub(crate) fn series_key(origin: &Origin, name: &str, attributes: &[KeyValue]) -> Vec<u8> {
    let mut key = origin_key(origin);
    key.put_bytes(name.as_bytes());
    put_attributes(&mut key, attributes);
    key
}

/// Hashes series of points in memory: XXH64 of the series' key, with seed 0. The hashes are in files:
/// they must never change.
#[derive(Default)]
pub(crate) struct SeriesHasher {
    /// Of the origin, and of the metric too: an origin may be large, and is hashed once.
    of_origin: XxHash64,
    of_metric: XxHash64,
    /// The rest of the last series' key.
    rest: Vec<u8>,
    attributes: Vec<u8>,
}

impl SeriesHasher {
    /// What is hashed next comes from here.
    pub(crate) fn begin_origin(&mut self, origin: &Origin) {
        self.of_origin = XxHash64::with_seed(0);
        self.of_origin.write(&origin_key(origin));
    }

    /// What is hashed next are points of this metric.
    pub(crate) fn begin_metric(&mut self, name: &str) {
        self.of_metric = self.of_origin.clone();
        self.rest.clear();
        self.rest.put_bytes(name.as_bytes());
        self.of_metric.write(&self.rest);
    }

    /// The hash of the series with these attributes.
    pub(crate) fn hash(&mut self, attributes: AttributesView<'_>) -> u64 {
        self.attributes.clear();
        protobuf::encode_sorted(attributes, &mut self.attributes);
        self.rest.clear();
        self.rest.put_bytes(&self.attributes);
        let mut hasher = self.of_metric.clone();
        hasher.write(&self.rest);
        hasher.finish()
    }
}

fn origin_key(origin: &Origin) -> Vec<u8> {
    let mut key = Vec::new();
    put_attributes(&mut key, &origin.resource.attributes);
    key.put_bytes(origin.scope.name.as_bytes());
    key.put_bytes(origin.scope.version.as_bytes());
    put_attributes(&mut key, &origin.scope.attributes);
    key
}

fn put_attributes(key: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut sorted = attributes.to_vec();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    key.put_bytes(&protobuf::encode_attributes(&sorted));
}

#[cfg(test)]
mod tests {
    use lumitrace_model::{
        Metric, MetricData, MetricKind, NumberPoint, ResourceMetrics, ScopeMetrics,
    };
    use lumitrace_wire::DecodeLimits;
    use lumitrace_wire::otlp::protobuf::view::point_attributes;

    use super::*;

    /// The hash of a series whose attributes lie in a point's bytes.
    fn hash(name: &str, attributes: &[KeyValue]) -> u64 {
        let points = vec![NumberPoint {
            attributes: attributes.to_vec(),
            ..NumberPoint::default()
        }];
        let metric = Metric {
            data: Some(MetricData::Gauge { points }),
            ..Metric::default()
        };
        let scope_metrics = vec![ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        }];
        let group = ResourceMetrics {
            scope_metrics,
            ..ResourceMetrics::default()
        };
        let bytes = protobuf::encode_metrics(&[group]);
        let index = protobuf::index_metrics(&bytes, &DecodeLimits::own_data()).unwrap();
        let mut hasher = SeriesHasher::default();
        // It is not the first one.
        hasher.begin_origin(&Origin::default());
        hasher.begin_metric("another");
        hasher.hash(AttributesView::default());
        hasher.begin_metric(name);
        hasher.hash(point_attributes(
            MetricKind::Gauge,
            index.points[0].message(&bytes),
        ))
    }

    #[test]
    fn the_order_of_attributes_makes_no_other_series_but_everything_else_does() {
        let (a, b) = (KeyValue::new("a", 1), KeyValue::new("b", 2));
        let of_both = hash("loss", &[a.clone(), b.clone()]);
        assert_eq!(of_both, hash("loss", &[b.clone(), a.clone()]));
        assert_eq!(of_both, 6_557_858_786_572_706_635, "files have it");
        let key = series_key(&Origin::default(), "loss", &[a.clone(), b.clone()]);
        assert_eq!(of_both, XxHash64::oneshot(0, &key));
        assert_ne!(of_both, hash("accuracy", &[a.clone(), b]));
        assert_ne!(of_both, hash("loss", &[a]));
    }
}
