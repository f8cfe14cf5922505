//! The nouns of `opentelemetry` as ours, and ours as its.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lumitrace::model::{Scope, SpanId, Text, TraceId};
use lumitrace::{KeyValue, SpanContext, SpanKind, StatusCode, Value};
use opentelemetry::trace::{self as otel_trace, TraceFlags, TraceState};
use opentelemetry::{self as otel, Array, InstrumentationScope, StringValue};

pub(crate) fn span_context(context: &otel_trace::SpanContext) -> SpanContext {
    let trace_id = TraceId::from_bytes(context.trace_id().to_bytes());
    let span_id = SpanId::from_bytes(context.span_id().to_bytes());
    let ours = SpanContext::new(trace_id, span_id, context.trace_flags().to_u8())
        .with_trace_state(&context.trace_state().header());
    match context.is_remote() {
        true => ours.remote(),
        false => ours,
    }
}

pub(crate) fn otel_span_context(context: &SpanContext) -> otel_trace::SpanContext {
    otel_trace::SpanContext::new(
        otel::TraceId::from_bytes(context.trace_id().to_bytes()),
        otel::SpanId::from_bytes(context.span_id().to_bytes()),
        TraceFlags::new(context.trace_flags()),
        context.is_remote(),
        otel_trace_state(context.trace_state()),
    )
}

/// A state that `opentelemetry` finds wrong counts as none, as the W3C asks of readers.
pub(crate) fn otel_trace_state(state: &str) -> TraceState {
    match state.is_empty() {
        true => TraceState::NONE,
        false => state.parse().unwrap_or(TraceState::NONE),
    }
}

pub(crate) fn span_kind(kind: &otel_trace::SpanKind) -> SpanKind {
    match kind {
        otel_trace::SpanKind::Client => SpanKind::Client,
        otel_trace::SpanKind::Server => SpanKind::Server,
        otel_trace::SpanKind::Producer => SpanKind::Producer,
        otel_trace::SpanKind::Consumer => SpanKind::Consumer,
        otel_trace::SpanKind::Internal => SpanKind::Internal,
    }
}

pub(crate) fn status(status: otel_trace::Status) -> (StatusCode, Text) {
    match status {
        otel_trace::Status::Unset => (StatusCode::Unset, Text::default()),
        otel_trace::Status::Ok => (StatusCode::Ok, Text::default()),
        otel_trace::Status::Error { description } => (StatusCode::Error, description),
    }
}

/// Nanoseconds since the Unix epoch; times before it are the epoch.
pub(crate) fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg_attr(not(feature = "sdk"), expect(dead_code, reason = "for exporters"))]
pub(crate) fn system_time(unix_nano: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_nano)
}

pub(crate) fn scope(scope: &InstrumentationScope) -> Scope {
    Scope {
        name: scope.name().to_owned().into(),
        version: scope.version().unwrap_or_default().to_owned().into(),
        attributes: scope.attributes().cloned().map(key_value).collect(),
        dropped_attributes_count: 0,
    }
}

pub(crate) fn key_values(attributes: Vec<otel::KeyValue>) -> Vec<KeyValue> {
    attributes.into_iter().map(key_value).collect()
}

pub(crate) fn key_value(attribute: otel::KeyValue) -> KeyValue {
    KeyValue::new(String::from(attribute.key), value(attribute.value))
}

pub(crate) fn value(value: otel::Value) -> Value {
    match value {
        otel::Value::Bool(value) => Value::Bool(value),
        otel::Value::I64(value) => Value::Int(value),
        otel::Value::F64(value) => Value::Double(value),
        otel::Value::String(text) => Value::from(String::from(text)),
        otel::Value::Array(Array::Bool(values)) => list(values),
        otel::Value::Array(Array::I64(values)) => list(values),
        otel::Value::Array(Array::F64(values)) => list(values),
        otel::Value::Array(Array::String(texts)) => list(texts.into_iter().map(String::from)),
        // It may learn further types.
        other => Value::from(other.to_string()),
    }
}

fn list(values: impl IntoIterator<Item: Into<Value>>) -> Value {
    Value::Array(values.into_iter().map(Into::into).collect())
}

#[cfg_attr(not(feature = "sdk"), expect(dead_code, reason = "for exporters"))]
pub(crate) fn otel_key_values(attributes: &[KeyValue]) -> Vec<otel::KeyValue> {
    let pair = |attribute: &KeyValue| {
        otel::KeyValue::new(attribute.key.clone(), otel_value(&attribute.value))
    };
    attributes.iter().map(pair).collect()
}

pub(crate) fn otel_value(value: &Value) -> otel::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Double(value) => (*value).into(),
        Value::String(text) => text.clone().into(),
        Value::Array(values) => {
            let list = otel_list(values).map(otel::Value::Array);
            list.unwrap_or_else(|| json(value).to_string().into())
        }
        Value::Null | Value::Bytes(_) | Value::Map(_) => json(value).to_string().into(),
    }
}

/// A list whose elements are of one type that lists may have.
fn otel_list(values: &[Value]) -> Option<Array> {
    fn all<T>(values: &[Value], one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        values.iter().map(one).collect()
    }
    match values.first()? {
        Value::Bool(_) => all(values, |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
        .map(Array::Bool),
        Value::Int(_) => all(values, |value| match value {
            Value::Int(value) => Some(*value),
            _ => None,
        })
        .map(Array::I64),
        Value::Double(_) => all(values, |value| match value {
            Value::Double(value) => Some(*value),
            _ => None,
        })
        .map(Array::F64),
        Value::String(_) => all(values, |value| match value {
            Value::String(text) => Some(StringValue::from(text.clone())),
            _ => None,
        })
        .map(Array::String),
        _ => None,
    }
}

/// A value as JSON; numbers that JSON does not know are its texts for them, bytes lists of numbers.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Double(value) if value.is_finite() => (*value).into(),
        Value::Double(value) => value.to_string().into(),
        Value::String(text) => (**text).into(),
        Value::Bytes(bytes) => bytes.as_slice().into(),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Map(entries) => {
            let pairs = entries.iter();
            let pairs = pairs.map(|entry| (entry.key.clone().into_owned(), json(&entry.value)));
            serde_json::Value::Object(pairs.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_context_survives_both_ways() {
        let context = SpanContext::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), 1);
        let context = context.with_trace_state("a=1,b=2").remote();
        assert_eq!(span_context(&otel_span_context(&context)), context);
        let none = SpanContext::default();
        assert_eq!(span_context(&otel_span_context(&none)), none);
        let wrong = SpanContext::default().with_trace_state("no list at all");
        assert_eq!(otel_span_context(&wrong).trace_state(), &TraceState::NONE);
    }

    #[test]
    fn values_of_all_types_survive_where_the_other_side_has_them() {
        for ours in [
            Value::Bool(true),
            Value::Int(-1),
            Value::Double(0.5),
            Value::from("text"),
            list([true, false]),
            list([1_i64, 2]),
            list([0.5, f64::INFINITY]),
            list(["a", "b"]),
        ] {
            assert_eq!(value(otel_value(&ours)), ours);
        }
    }

    #[test]
    fn values_that_opentelemetry_does_not_know_become_json() {
        let map = Value::Map(vec![
            KeyValue::new("a", Value::Bytes(vec![1, 2])),
            KeyValue::new("b", f64::NAN),
        ]);
        for (ours, text) in [
            (map, r#"{"a":[1,2],"b":"NaN"}"#),
            (list([Value::Int(1), Value::from("a")]), r#"[1,"a"]"#),
            (Value::Array(Vec::new()), "[]"),
            (Value::Null, "null"),
        ] {
            assert_eq!(otel_value(&ours), otel::Value::from(text));
        }
    }

    #[test]
    fn times_before_the_epoch_are_the_epoch() {
        assert_eq!(unix_nano(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(unix_nano(system_time(7)), 7);
    }
}
