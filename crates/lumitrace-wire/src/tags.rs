//! What OpenTelemetry has and older formats have not, as tags (OpenTelemetry specification,
//! `common/mapping-to-non-otlp.md`), and values as text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lumitrace_model::{KeyValue, Scope, Span, StatusCode, Value};
use serde_json::{Map, Value as Json, json};

use crate::otlp::json::double;

/// A named value that is borrowed from a span or made for it.
pub(crate) type Tag<'a> = (&'a str, Cow<'a, Value>);

/// The attributes themselves.
pub(crate) fn attribute_tags(attributes: &[KeyValue]) -> impl Iterator<Item = Tag<'_>> {
    attributes
        .iter()
        .map(|attribute| (&*attribute.key, Cow::Borrowed(&attribute.value)))
}

/// Who recorded a span, how it ended, what was dropped of it and its trace state. What is empty or
/// unset is left out.
pub(crate) fn general_tags<'a>(scope: &'a Scope, span: &'a Span) -> Vec<Tag<'a>> {
    let mut tags: Vec<Tag<'a>> = attribute_tags(&scope.attributes).collect();
    let mut text = |key, text: &lumitrace_model::Text| {
        if !text.is_empty() {
            tags.push((key, Cow::Owned(Value::String(text.clone()))));
        }
    };
    text("otel.scope.name", &scope.name);
    text("otel.scope.version", &scope.version);
    // The names before OpenTelemetry 1.10: the specification wants both.
    text("otel.library.name", &scope.name);
    text("otel.library.version", &scope.version);
    // As OpenTelemetry's Collector names it.
    text("w3c.tracestate", &span.trace_state);
    match span.status.code {
        StatusCode::Unset => {}
        StatusCode::Ok => text("otel.status_code", &"OK".into()),
        StatusCode::Error => text("otel.status_code", &"ERROR".into()),
    }
    for (key, count) in [
        (DROPPED_ATTRIBUTES, span.dropped_attributes_count),
        ("otel.dropped_events_count", span.dropped_events_count),
        ("otel.dropped_links_count", span.dropped_links_count),
    ] {
        if count > 0 {
            tags.push((key, Cow::Owned(count.into())));
        }
    }
    tags
}

/// How many attributes of a span, event or link were dropped.
pub(crate) const DROPPED_ATTRIBUTES: &str = "otel.dropped_attributes_count";

/// A value where there is only text: lists and maps as JSON, bytes in base64.
pub(crate) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        Value::Double(number) if number.is_finite() => json!(number).to_string().into(),
        other => match json(other) {
            Json::String(text) => text.into(),
            other => other.to_string().into(),
        },
    }
}

/// A value as the JSON that people would write for it.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int(int) => json!(int),
        Value::Double(number) => double(*number),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Map(entries) => json_of_attributes(entries),
    }
}

/// Attributes as a JSON object; of several with one key, the last one.
pub(crate) fn json_of_attributes(attributes: &[KeyValue]) -> Json {
    let entries = attributes
        .iter()
        .map(|attribute| (attribute.key.to_string(), json(&attribute.value)));
    Json::Object(entries.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_the_text_that_people_would_write() {
        let nested = Value::Map(vec![
            KeyValue::new("ids", vec![Value::Int(1), Value::Null]),
            KeyValue::new("loss", f64::NAN),
            KeyValue::new("raw", vec![1_u8, 2]),
        ]);
        for (value, expected) in [
            (Value::from("as it is"), "as it is"),
            (Value::from(true), "true"),
            (Value::from(-7), "-7"),
            (Value::from(0.25), "0.25"),
            (Value::from(1.0), "1.0"),
            (Value::from(1e300), "1e+300"),
            (Value::from(f64::NAN), "NaN"),
            (Value::from(f64::NEG_INFINITY), "-Infinity"),
            (Value::Null, ""),
            (Value::from(vec![0xff_u8]), "/w=="),
            (Value::Array(vec!["a".into(), 2.into()]), r#"["a",2]"#),
            (nested, r#"{"ids":[1,null],"loss":"NaN","raw":"AQI="}"#),
        ] {
            assert_eq!(text(&value), expected, "{value:?}");
        }
    }
}
