//! Random spans with everything that OTLP knows.

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Spans of a few traces, each with an id of its own.
pub(super) fn resource_spans() -> impl Strategy<Value = Vec<ResourceSpans>> {
    vec(group(), 1..5).prop_map(|mut groups| {
        let scopes = groups.iter_mut().flat_map(|group| &mut group.scope_spans);
        for (number, span) in (1_u64..).zip(scopes.flat_map(|scope| &mut scope.spans)) {
            span.span_id = SpanId::from_bytes(number.to_be_bytes());
        }
        groups
    })
}

fn group() -> impl Strategy<Value = ResourceSpans> {
    let scope = (text(), text(), attributes(), any::<u32>());
    let scope = scope.prop_map(|(name, version, attributes, dropped)| Scope {
        name,
        version,
        attributes,
        dropped_attributes_count: dropped,
    });
    let scope_spans = (scope, text(), vec(span(), 1..12));
    let scope_spans = scope_spans.prop_map(|(scope, schema_url, spans)| ScopeSpans {
        scope,
        schema_url,
        spans,
    });
    (attributes(), any::<u32>(), text(), vec(scope_spans, 1..3)).prop_map(
        |(attributes, dropped, schema_url, scope_spans)| ResourceSpans {
            resource: Resource {
                attributes,
                dropped_attributes_count: dropped,
            },
            schema_url,
            scope_spans,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), option::of(span_id()), any::<u32>());
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
        span_id: SpanId::INVALID,
        parent_span_id: ids.1,
        flags: ids.2,
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
    let numbers = (any::<u32>(), any::<u32>());
    (trace_id(), span_id(), text(), attributes(), numbers).prop_map(
        |(trace_id, span_id, trace_state, attributes, (dropped, flags))| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: dropped,
            flags,
        },
    )
}

pub(super) fn trace_id() -> impl Strategy<Value = TraceId> {
    (1_u8..4).prop_map(|id| TraceId::from_bytes([id; 16]))
}

pub(super) fn span_id() -> impl Strategy<Value = SpanId> {
    (1_u64..20).prop_map(|id| SpanId::from_bytes(id.to_be_bytes()))
}

pub(super) fn text() -> impl Strategy<Value = Text> {
    "[a-zé\"\\\\\n]{0,8}".prop_map(Text::from)
}

pub(super) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (text(), value()).prop_map(|(key, value)| KeyValue { key, value });
    vec(pair, 0..4)
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        Just(Value::Double(f64::NAN)),
        Just(Value::Double(f64::NEG_INFINITY)),
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
