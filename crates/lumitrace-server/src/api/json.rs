//! How values are spelt in our own API: 64-bit integers as decimal text, so that JavaScript loses
//! no digit, and numbers that JSON does not know as their names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lumitrace_model::{KeyValue, Value as AttributeValue};
use lumitrace_store::Damaged;
use serde_json::{Map, Value, json};

/// Nanoseconds, as decimal text.
pub(super) fn nano(nano: u64) -> Value {
    Value::String(nano.to_string())
}

/// A number; `NaN`, `Infinity` and `-Infinity` as text.
pub(super) fn number(number: f64) -> Value {
    match number {
        number if number.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        number => number.into(),
    }
}

/// A number that may be missing.
pub(super) fn optional_number(value: Option<f64>) -> Value {
    value.map_or(Value::Null, number)
}

/// An answer that says in `damaged`, if there is anything to say, what it lacks.
pub(super) fn with_damage(mut answer: Value, damaged: &Damaged) -> Value {
    if !damaged.is_empty() {
        answer["damaged"] = texts(damaged).into();
    }
    answer
}

/// What was left out of an answer, for people: file, offset and reason.
pub(super) fn texts(damaged: &Damaged) -> Vec<String> {
    damaged.iter().map(ToString::to_string).collect()
}

/// Attributes in the order they were sent: a list of `{key, type, value}`.
pub(super) fn attributes(attributes: &[KeyValue]) -> Value {
    let entries = attributes.iter().map(|attribute| {
        let mut entry = Map::new();
        entry.insert("key".to_owned(), attribute.key.as_ref().into());
        entry.extend(typed(&attribute.value));
        Value::Object(entry)
    });
    entries.collect()
}

/// A value that is no attribute's, such as the body of a log record: `{type, value}`.
pub(super) fn value(value: &AttributeValue) -> Value {
    Value::Object(typed(value))
}

fn typed(value: &AttributeValue) -> Map<String, Value> {
    let (name, value) = match value {
        AttributeValue::Null => ("null", Value::Null),
        AttributeValue::Bool(value) => ("bool", json!(value)),
        AttributeValue::Int(value) => ("int", value.to_string().into()),
        AttributeValue::Double(value) => ("double", number(*value)),
        AttributeValue::String(text) => ("string", text.as_ref().into()),
        AttributeValue::Bytes(bytes) => ("bytes", BASE64.encode(bytes).into()),
        AttributeValue::Array(values) => (
            "array",
            values
                .iter()
                .map(|value| Value::Object(typed(value)))
                .collect(),
        ),
        AttributeValue::Map(entries) => ("map", attributes(entries)),
    };
    Map::from_iter([
        ("type".to_owned(), name.into()),
        ("value".to_owned(), value),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_has_its_spelling() {
        let list = [
            KeyValue::new("s", "text"),
            KeyValue::new("b", true),
            KeyValue::new("i", i64::MAX),
            KeyValue::new("d", 0.5),
            KeyValue::new("nan", f64::NAN),
            KeyValue::new("inf", f64::NEG_INFINITY),
            KeyValue::new("bytes", vec![1_u8, 2]),
            KeyValue {
                key: "null".into(),
                value: AttributeValue::Null,
            },
            KeyValue::new(
                "a",
                vec![AttributeValue::from(1), AttributeValue::from("x")],
            ),
            KeyValue {
                key: "m".into(),
                value: AttributeValue::Map(vec![KeyValue::new("k", false)]),
            },
        ];
        let expected = json!([
            {"key": "s", "type": "string", "value": "text"},
            {"key": "b", "type": "bool", "value": true},
            {"key": "i", "type": "int", "value": "9223372036854775807"},
            {"key": "d", "type": "double", "value": 0.5},
            {"key": "nan", "type": "double", "value": "NaN"},
            {"key": "inf", "type": "double", "value": "-Infinity"},
            {"key": "bytes", "type": "bytes", "value": "AQI="},
            {"key": "null", "type": "null", "value": null},
            {"key": "a", "type": "array",
             "value": [{"type": "int", "value": "1"}, {"type": "string", "value": "x"}]},
            {"key": "m", "type": "map", "value": [{"key": "k", "type": "bool", "value": false}]},
        ]);
        assert_eq!(attributes(&list), expected);
    }
}
