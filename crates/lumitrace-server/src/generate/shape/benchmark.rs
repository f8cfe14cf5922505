//! The traffic of the best published comparison of trace stores, so that figures can be set side by
//! side: traces of ten spans with eleven attributes each from 10 services, over 97 keys and 1,000
//! values.

use fastrand::Rng;
use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
    StatusCode, TraceId, Value,
};

/// Spans in a trace.
pub const SPANS_PER_TRACE: u64 = 10;
/// Services, each of which has a span in each trace.
pub const SERVICES: u64 = 10;
/// Names of spans.
pub const OPERATIONS: u64 = 25;
const ATTRIBUTES: usize = 11;
const KEYS: usize = 97;
const VALUES: usize = 1_000;
/// One span of so many failed.
const FAILED_OF: u8 = 50;
/// Spans of a trace start this far from each other, in nanoseconds.
const STEP_NANO: u64 = 200_000;
/// And at most this much later.
const JITTER_NANO: u64 = 100_000;
const SHORTEST_NANO: u64 = 50_000;
/// A duration is the shortest and this times the fourth power of a fraction.
const LONGEST_NANO: f64 = 80_000_000.0;
/// Slots of a span's attributes whose values are no text: an integer, and a double.
const INT_SLOT: usize = 0;
const DOUBLE_SLOT: usize = 1;

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
        let start = start_unix_nano + index * STEP_NANO + rng.u64(..JITTER_NANO);
        let duration = SHORTEST_NANO + (rng.f64().powi(4) * LONGEST_NANO) as u64;
        let failed = rng.u8(..FAILED_OF) == 0;
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

/// How many keys a slot of a span's attributes chooses from. No two slots share one, so that a span
/// never has a key twice.
fn keys_of(slot: usize) -> usize {
    (KEYS - slot).div_ceil(ATTRIBUTES)
}

fn attribute(rng: &mut Rng, slot: usize) -> KeyValue {
    let key = slot + ATTRIBUTES * rng.usize(..keys_of(slot));
    let value = match slot {
        INT_SLOT => Value::Int(rng.i64(0..VALUES as i64)),
        DOUBLE_SLOT => Value::Double(rng.f64()),
        _ => Value::from(format!("value-{}", rng.usize(..VALUES))),
    };
    KeyValue::new(format!("attribute.key-{key}"), value)
}

/// The attribute keys whose values are texts; each value is `value-N` with N below 1,000.
pub fn text_keys() -> impl Iterator<Item = String> {
    (0..KEYS)
        .filter(|key| !matches!(key % ATTRIBUTES, INT_SLOT | DOUBLE_SLOT))
        .map(|key| format!("attribute.key-{key}"))
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

/// What a span is made of, and the entropy of each part in bits a span: no lossless store needs
/// less than their sum. Everything else (service, order of attributes, resource, scope) follows
/// from the trace's number.
///
/// A draw among n alike has log2(n) bits. A duration is `80 ms * u^4` for a uniform `u`; its
/// differential entropy in bits is `log2(4 * 80 ms) + 3 E[log2 u]`, where `E[log2 u] = -1/ln 2`, and
/// in whole nanoseconds it is as much.
pub fn entropy_bits() -> Vec<(&'static str, f64)> {
    let spans = SPANS_PER_TRACE as f64;
    let of = |choices: f64| choices.log2();
    let parents: f64 = (1..SPANS_PER_TRACE).map(|earlier| of(earlier as f64)).sum();
    let failed = 1.0 / f64::from(FAILED_OF);
    let keys: f64 = (0..ATTRIBUTES).map(|slot| of(keys_of(slot) as f64)).sum();
    vec![
        ("trace id, 128 bits a trace", 128.0 / spans),
        ("span id", 64.0),
        ("parent: one of the earlier spans", parents / spans),
        ("start: a jitter of 100,000 ns", of(JITTER_NANO as f64)),
        (
            "duration",
            of(4.0 * LONGEST_NANO) - 3.0 / std::f64::consts::LN_2,
        ),
        ("name: one of 25", of(OPERATIONS as f64)),
        (
            "status: one of 50 failed",
            -failed * of(failed) - (1.0 - failed) * of(1.0 - failed),
        ),
        ("keys of 11 attributes", keys),
        (
            "10 values, each one of 1,000",
            (ATTRIBUTES - 1) as f64 * of(VALUES as f64),
        ),
        // 52 bits of mantissa, and 2 of the exponent, each of which is half as likely as the next.
        ("1 value, a double from 0 to 1", 54.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn spans(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Span> {
        let groups = numbers.flat_map(|number| trace(1, number, 1_000));
        groups.map(|mut group| group.scope_spans[0].spans.remove(0))
    }

    #[test]
    fn a_trace_is_the_same_each_time_and_has_no_key_twice() {
        let first = trace(1, 7, 1_000);
        assert_eq!(first, trace(1, 7, 1_000));
        assert_eq!(first.len() as u64, SPANS_PER_TRACE);
        for span in spans(0..1_000) {
            let keys: BTreeSet<_> = span.attributes.iter().map(|kv| &kv.key).collect();
            assert_eq!(keys.len(), ATTRIBUTES);
        }
        assert!(spans(7..8).all(|span| span.trace_id == trace_id(1, 7)));
    }

    #[test]
    fn all_keys_occur_and_each_has_values_of_one_type() {
        let mut types: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
        for span in spans(0..1_000) {
            for attribute in span.attributes {
                let is_text = attribute.value.as_str().is_some();
                types
                    .entry(attribute.key.into_owned())
                    .or_default()
                    .insert(is_text);
            }
        }
        assert_eq!(types.len(), KEYS);
        assert!(types.values().all(|types| types.len() == 1));
        let texts: BTreeSet<String> = text_keys().collect();
        let found = types.iter().filter(|(_, types)| types.contains(&true));
        assert_eq!(texts, found.map(|(key, _)| key.clone()).collect());
    }

    #[test]
    fn the_formula_for_durations_agrees_with_the_sum_over_their_probabilities() {
        // P(X < x) = (x / longest)^(1/4).
        let below = |x: u64| (x as f64 / LONGEST_NANO).powf(0.25);
        let entropy = |from: u64, width: u64| {
            let p = below(from + width) - below(from);
            -p * (p / width as f64).log2()
        };
        // Each nanosecond where the density is steep, then a thousand at once.
        let steep: f64 = (0..100_000).map(|x| entropy(x, 1)).sum();
        let blocks = 100..LONGEST_NANO as u64 / 1_000;
        let flat: f64 = blocks.map(|block| entropy(block * 1_000, 1_000)).sum();
        let parts = entropy_bits();
        let (_, formula) = parts.iter().find(|(part, _)| *part == "duration").unwrap();
        let summed = steep + flat;
        assert!((summed - formula).abs() < 0.05, "{summed} {formula}");
    }
}
