//! Which points are of one series: those of the same resource, scope, metric name and attributes,
//! whatever the order of attributes.

use lumitrace_model::KeyValue;
use lumitrace_wire::otlp::protobuf;
use twox_hash::XxHash64;

use crate::binary::PutFields;
use crate::stored::Origin;

/// What tells a series from all others, as bytes that are the same for the same.
pub(crate) fn series_key(origin: &Origin, name: &str, attributes: &[KeyValue]) -> Vec<u8> {
    let mut key = origin_key(origin);
    put_metric(&mut key, name, attributes);
    key
}

/// Hashes series of one origin. The hashes are in files: they must never change.
pub(crate) struct SeriesHasher {
    origin: Vec<u8>,
}

impl SeriesHasher {
    pub(crate) fn new(origin: &Origin) -> Self {
        Self {
            origin: origin_key(origin),
        }
    }

    /// XXH64 of the series' key, with seed 0.
    pub(crate) fn hash(&self, name: &str, attributes: &[KeyValue]) -> u64 {
        let mut key = self.origin.clone();
        put_metric(&mut key, name, attributes);
        XxHash64::oneshot(0, &key)
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

fn put_metric(key: &mut Vec<u8>, name: &str, attributes: &[KeyValue]) {
    key.put_bytes(name.as_bytes());
    put_attributes(key, attributes);
}

fn put_attributes(key: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut sorted = attributes.to_vec();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    key.put_bytes(&protobuf::encode_attributes(&sorted));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_attributes_makes_no_other_series_but_everything_else_does() {
        let origin = Origin::default();
        let (a, b) = (KeyValue::new("a", 1), KeyValue::new("b", 2));
        let hasher = SeriesHasher::new(&origin);
        let hash = hasher.hash("loss", &[a.clone(), b.clone()]);
        assert_eq!(hash, hasher.hash("loss", &[b.clone(), a.clone()]));
        assert_eq!(hash, 6_557_858_786_572_706_635, "files have it");
        assert_ne!(hash, hasher.hash("accuracy", &[a.clone(), b]));
        assert_ne!(hash, hasher.hash("loss", &[a]));
    }
}
