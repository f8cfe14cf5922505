//! What records come from, built once for as long as a process keeps sending the same bytes.

use std::collections::HashMap;
use std::sync::Arc;

use lumitrace_model::{Resource, Scope};
use lumitrace_wire::otlp::protobuf::view::MetricView;
use lumitrace_wire::otlp::protobuf::{self, MetricHead, Part};

use crate::batch::attributes_bytes;
use crate::metrics::MetricInfo;
use crate::stored::Origin;

/// Bytes that are remembered of one sort before all are forgotten and learnt anew.
const REMEMBERED_BYTES: usize = 8 << 20;

/// The origins, and the metrics, that came lately.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    producers: Known<Producer>,
    origins: Known<Origin>,
    metrics: Known<MetricInfo>,
    key: Vec<u8>,
    built_bytes: usize,
}

/// A resource: all scopes of one share it, of which there may be very many.
#[derive(Debug)]
struct Producer {
    resource: Arc<Resource>,
    schema_url: Arc<str>,
}

impl Origins {
    /// The origins of a request.
    pub(crate) fn all(&mut self, origins: &[protobuf::Origin], payload: &[u8]) -> Vec<Arc<Origin>> {
        let mut last: Option<(&protobuf::Origin, Arc<Producer>)> = None;
        let mut all = Vec::with_capacity(origins.len());
        for origin in origins {
            // Those of one resource follow each other: it is neither read nor compared for each.
            let producer = match last.take() {
                Some((before, producer)) if is_of_same_resource(before, origin) => producer,
                _ => self.producer(origin, payload),
            };
            all.push(self.origin(&producer, origin, payload));
            last = Some((origin, producer));
        }
        all
    }

    /// How many bytes of memory were built since this was asked last; about.
    pub(crate) fn take_built_bytes(&mut self) -> usize {
        std::mem::take(&mut self.built_bytes)
    }

    fn producer(&mut self, origin: &protobuf::Origin, payload: &[u8]) -> Arc<Producer> {
        let resource = origin.resource.bytes(payload);
        let schema_url = origin.resource_schema_url.bytes(payload);
        set_key(&mut self.key, &[resource, schema_url]);
        let build = || {
            // The bytes were checked when the request was indexed.
            let resource = protobuf::decode_resource(resource).unwrap_or_default();
            let bytes = size_of::<Resource>() + attributes_bytes(&resource.attributes);
            let producer = Producer {
                resource: Arc::new(resource),
                schema_url: text(schema_url),
            };
            (producer, bytes + schema_url.len())
        };
        self.producers.get(&self.key, &mut self.built_bytes, build)
    }

    fn origin(
        &mut self,
        producer: &Producer,
        origin: &protobuf::Origin,
        payload: &[u8],
    ) -> Arc<Origin> {
        let scope = origin.scope.bytes(payload);
        let schema_url = origin.scope_schema_url.bytes(payload);
        // A resource that is part of a known origin lives, and nothing else has its address.
        let address = Arc::as_ptr(&producer.resource) as usize;
        set_key(&mut self.key, &[&address.to_le_bytes(), scope, schema_url]);
        let build = || {
            let scope = protobuf::decode_scope(scope).unwrap_or_default();
            let bytes = size_of::<Origin>()
                + size_of::<Scope>()
                + scope.name.len()
                + scope.version.len()
                + attributes_bytes(&scope.attributes);
            let origin = Origin {
                resource: Arc::clone(&producer.resource),
                resource_schema_url: Arc::clone(&producer.schema_url),
                scope: Arc::new(scope),
                scope_schema_url: text(schema_url),
            };
            (origin, bytes + schema_url.len())
        };
        self.origins.get(&self.key, &mut self.built_bytes, build)
    }

    /// What a metric of a request is.
    pub(crate) fn metric(&mut self, head: &MetricHead, payload: &[u8]) -> Arc<MetricInfo> {
        let view = MetricView::new(head.message(payload));
        let metadata = view.metadata().to_vec();
        let facts = [
            head.kind as u8,
            head.temporality.code(),
            u8::from(head.is_monotonic),
        ];
        let parts = [
            head.name(payload).as_bytes(),
            view.description.as_bytes(),
            view.unit.as_bytes(),
            &facts,
            &protobuf::encode_attributes(&metadata),
        ];
        set_key(&mut self.key, &parts);
        let build = || {
            let bytes = size_of::<MetricInfo>() + attributes_bytes(&metadata);
            let info = MetricInfo {
                name: head.name(payload).to_owned().into(),
                description: view.description.to_owned().into(),
                unit: view.unit.to_owned().into(),
                metadata,
                kind: head.kind,
                temporality: head.temporality,
                is_monotonic: head.is_monotonic,
            };
            let texts = info.name.len() + info.description.len() + info.unit.len();
            (info, bytes + texts)
        };
        self.metrics.get(&self.key, &mut self.built_bytes, build)
    }
}

fn is_of_same_resource(one: &protobuf::Origin, other: &protobuf::Origin) -> bool {
    let is_same = |one: &Part, other: &Part| match (one, other) {
        (Part::Range(one), Part::Range(other)) => one == other,
        (Part::Joined(one), Part::Joined(other)) => Arc::ptr_eq(one, other),
        _ => false,
    };
    is_same(&one.resource, &other.resource)
        && is_same(&one.resource_schema_url, &other.resource_schema_url)
}

/// Bytes that were checked to be UTF-8 when the request was indexed.
fn text(bytes: &[u8]) -> Arc<str> {
    std::str::from_utf8(bytes).unwrap_or_default().into()
}

/// Makes `key` one that only the same parts have.
fn set_key(key: &mut Vec<u8>, parts: &[&[u8]]) {
    key.clear();
    for part in parts {
        key.extend_from_slice(&(part.len() as u64).to_le_bytes());
        key.extend_from_slice(part);
    }
}

/// What came lately, by its bytes.
#[derive(Debug)]
struct Known<T> {
    built: HashMap<Box<[u8]>, Arc<T>>,
    bytes: usize,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            built: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T> Known<T> {
    /// What `key` stands for. `build` says also how many bytes it takes, which are added to `built_bytes`.
    fn get(
        &mut self,
        key: &[u8],
        built_bytes: &mut usize,
        build: impl FnOnce() -> (T, usize),
    ) -> Arc<T> {
        if let Some(built) = self.built.get(key) {
            return Arc::clone(built);
        }
        if self.bytes > REMEMBERED_BYTES {
            self.built.clear();
            self.bytes = 0;
        }
        let (built, bytes) = build();
        let built = Arc::new(built);
        *built_bytes += bytes;
        self.bytes += key.len() + bytes;
        self.built.insert(key.into(), Arc::clone(&built));
        built
    }
}

#[cfg(test)]
mod tests {
    use lumitrace_model::{KeyValue, ResourceLogs, ScopeLogs};
    use lumitrace_wire::DecodeLimits;

    use super::*;

    /// A request with `scopes` scopes of one resource with a text of so many bytes.
    fn request(text_bytes: usize, scopes: usize) -> (protobuf::LogsIndex, Vec<u8>) {
        let scope_logs = |number: usize| ScopeLogs {
            scope: Scope {
                name: format!("scope {number}").into(),
                ..Scope::default()
            },
            log_records: vec![Default::default()],
            ..ScopeLogs::default()
        };
        let group = ResourceLogs {
            resource: Resource {
                attributes: vec![KeyValue::new("text", "x".repeat(text_bytes))],
                ..Resource::default()
            },
            scope_logs: (0..scopes).map(scope_logs).collect(),
            ..ResourceLogs::default()
        };
        let bytes = protobuf::encode_logs(&[group]);
        let index = protobuf::index_logs(&bytes, &DecodeLimits::own_data()).unwrap();
        (index, bytes)
    }

    #[test]
    fn all_scopes_of_a_resource_share_it_and_it_is_counted_once() {
        let (index, bytes) = request(1 << 20, 1000);
        let mut origins = Origins::default();
        let all = origins.all(&index.origins, &bytes);
        assert_eq!(all.len(), 1000);
        let is_shared = |origin: &Arc<Origin>| Arc::ptr_eq(&origin.resource, &all[0].resource);
        assert!(all.iter().all(is_shared));
        assert_eq!(all[7].scope.name, "scope 7");
        let built = origins.take_built_bytes();
        assert!(built > 1 << 20 && built < 2 << 20, "{built}");
    }

    #[test]
    fn what_comes_again_is_the_same_and_costs_nothing() {
        let (index, bytes) = request(100, 10);
        let mut origins = Origins::default();
        let first = origins.all(&index.origins, &bytes);
        assert!(origins.take_built_bytes() > 0);
        let second = origins.all(&index.origins, &bytes);
        assert_eq!(origins.take_built_bytes(), 0);
        for (first, second) in first.iter().zip(&second) {
            assert!(Arc::ptr_eq(first, second));
        }
        let (other_index, other_bytes) = request(101, 10);
        let others = origins.all(&other_index.origins, &other_bytes);
        assert_ne!(others[0].resource, first[0].resource);
    }
}
