//! Random and fixed telemetry for the codecs' tests.

mod logs;
mod metrics;

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) use logs::{logs, one_log_record};
pub(crate) use metrics::{metrics, one_metric};

/// One resource with one scope with one span.
pub(crate) fn one_span() -> Vec<ResourceSpans> {
    let span = Span {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        name: "training_epoch".into(),
        attributes: vec![KeyValue::new("epoch", 1)],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }]
}

/// A form in which NaN equals itself.
pub(crate) fn comparable(groups: &[impl std::fmt::Debug]) -> String {
    format!("{groups:?}")
}

pub(crate) fn traces() -> impl Strategy<Value = Vec<ResourceSpans>> {
    let scope_spans =
        (scope(), text(), vec(span(), 0..4)).prop_map(|(scope, schema_url, spans)| ScopeSpans {
            scope,
            schema_url,
            spans,
        });
    let group = (resource(), text(), vec(scope_spans, 0..3)).prop_map(
        |(resource, schema_url, scope_spans)| ResourceSpans {
            resource,
            schema_url,
            scope_spans,
        },
    );
    vec(group, 0..3)
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

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), option::of(span_id()), any::<u32>());
    let times = (any::<u64>(), any::<u64>());
    let dropped = (any::<u32>(), any::<u32>(), any::<u32>());
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let status = (0_i64..3, text()).prop_map(|(code, message)| Status {
        code: StatusCode::from_code(code),
        message,
    });
    let rest = (text(), text(), 0_i64..6, status, any::<bool>());
    (ids, times, dropped, lists, rest).prop_map(|(ids, times, dropped, lists, rest)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        flags: ids.3,
        start_unix_nano: times.0,
        end_unix_nano: times.1,
        dropped_attributes_count: dropped.0,
        dropped_events_count: dropped.1,
        dropped_links_count: dropped.2,
        attributes: lists.0,
        events: lists.1,
        links: lists.2,
        trace_state: rest.0,
        name: rest.1,
        kind: SpanKind::from_code(rest.2),
        status: rest.3,
        pending: rest.4,
    })
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count: dropped,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (
        trace_id(),
        span_id(),
        text(),
        attributes(),
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(
            |(trace_id, span_id, trace_state, attributes, dropped, flags)| Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count: dropped,
                flags,
            },
        )
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1_u128..).prop_map(|id| TraceId::from_bytes(id.to_be_bytes()))
}

fn span_id() -> impl Strategy<Value = SpanId> {
    (1_u64..).prop_map(|id| SpanId::from_bytes(id.to_be_bytes()))
}

fn text() -> impl Strategy<Value = Text> {
    "[a-zé\"\\\\]{0,8}".prop_map(Text::from)
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(
        (text(), value()).prop_map(|(key, value)| KeyValue { key, value }),
        0..4,
    )
}

/// Any double; those that no JSON number spells, and minus zero, more often than by chance.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<f64>(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        double().prop_map(Value::Double),
        text().prop_map(Value::String),
        vec(any::<u8>(), 0..8).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let pair = (text(), inner.clone()).prop_map(|(key, value)| KeyValue { key, value });
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            vec(pair, 0..4).prop_map(Value::Map),
        ]
    })
}
