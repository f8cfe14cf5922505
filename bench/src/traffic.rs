//! Seeded traffic of an ordinary service landscape: traces of ten spans with eleven attributes each
//! from 10 services, over 97 keys and 1,000 values (the shape of the best published comparison of
//! trace stores, so that figures can be set side by side).

use fastrand::Rng;
use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
    StatusCode, TraceId, Value,
};

/// Spans in a trace.
pub const SPANS_PER_TRACE: u64 = 10;
const ATTRIBUTES: usize = 11;
const KEYS: usize = 97;
const VALUES: usize = 1_000;
const SERVICES: u64 = 10;
const OPERATIONS: u64 = 25;

/// The id of the trace with this number: the same in the program that sends and the one that asks.
pub fn trace_id(seed: u64, number: u64) -> TraceId {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    TraceId::from_bytes(rng.u128(1..).to_be_bytes())
}

/// One trace that starts at `start_unix_nano`, each service's spans under its own resource.
pub fn trace(seed: u64, number: u64, start_unix_nano: u64) -> Vec<ResourceSpans> {
    let trace_id = trace_id(seed, number);
    let mut rng = Rng::with_seed(seed.wrapping_add(number) ^ 0x5eed);
    let mut span_ids: Vec<SpanId> = Vec::new();
    let mut groups = Vec::new();
    for index in 0..SPANS_PER_TRACE {
        let service = (number + index) % SERVICES;
        let span_id = SpanId::from_bytes(rng.u64(1..).to_be_bytes());
        let parent = (index > 0).then(|| span_ids[rng.usize(..span_ids.len())]);
        span_ids.push(span_id);
        let start = start_unix_nano + index * 200_000 + rng.u64(..100_000);
        let duration = 50_000 + (rng.f64().powi(4) * 80_000_000.0) as u64;
        let failed = rng.u8(..50) == 0;
        let span = Span {
            trace_id,
            span_id,
            parent_span_id: parent,
            name: format!("operation-{}", rng.u64(..OPERATIONS)).into(),
            kind: if index == 0 {
                SpanKind::Server
            } else {
                SpanKind::Internal
            },
            start_unix_nano: start,
            end_unix_nano: start + duration,
            attributes: (0..ATTRIBUTES)
                .map(|slot| attribute(&mut rng, slot))
                .collect(),
            status: Status {
                code: if failed {
                    StatusCode::Error
                } else {
                    StatusCode::Unset
                },
                ..Status::default()
            },
            ..Span::default()
        };
        groups.push(group(service, span));
    }
    groups
}

/// Each slot draws from its own keys, so that a span never has a key twice.
fn attribute(rng: &mut Rng, slot: usize) -> KeyValue {
    let key = slot + ATTRIBUTES * rng.usize(..KEYS / ATTRIBUTES + 1);
    let value = match slot {
        0 => Value::Int(rng.i64(..VALUES as i64)),
        1 => Value::Double(rng.f64()),
        _ => Value::from(format!("value-{}", rng.usize(..VALUES))),
    };
    KeyValue::new(format!("attribute.key-{}", key % KEYS), value)
}

fn group(service: u64, span: Span) -> ResourceSpans {
    let attributes = vec![
        KeyValue::new("service.name", format!("service-{service}")),
        KeyValue::new("service.version", "1.4.2"),
        KeyValue::new("deployment.environment.name", "production"),
    ];
    let scope = Scope {
        name: "bench".into(),
        version: "1".into(),
        ..Scope::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope,
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource = Resource {
        attributes,
        ..Resource::default()
    };
    ResourceSpans {
        resource,
        scope_spans,
        ..ResourceSpans::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_the_same_each_time_and_has_no_key_twice() {
        let first = trace(1, 7, 1_000);
        assert_eq!(first, trace(1, 7, 1_000));
        assert_eq!(first.len() as u64, SPANS_PER_TRACE);
        for group in first {
            let span = &group.scope_spans[0].spans[0];
            let mut keys: Vec<_> = span.attributes.iter().map(|kv| kv.key.clone()).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), ATTRIBUTES);
            assert_eq!(span.trace_id, trace_id(1, 7));
        }
    }
}
