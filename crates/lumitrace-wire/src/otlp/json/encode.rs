//! From nouns to JSON text: what all signals are made of, and each signal in a module of its own.

mod logs;
mod metrics;
mod traces;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lumitrace_model::{KeyValue, Resource, Scope, Value};
use serde_json::{Map, Value as Json, json};

pub use logs::encode_logs;
pub use metrics::encode_metrics;
pub use traces::{encode_spans, encode_traces};

/// An object under construction that leaves out what proto3 would.
#[derive(Default)]
struct Object(Map<String, Json>);

impl Object {
    fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.set(key, text);
        }
    }

    fn optional_text(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(key, value.to_string());
        }
    }

    /// A number of at most 32 bits.
    fn number(&mut self, key: &str, number: impl Into<i64>) {
        let number = number.into();
        if number != 0 {
            self.set(key, number);
        }
    }

    /// A 64-bit number, as text.
    fn long(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.set(key, number.to_string());
        }
    }

    /// A number whose absence means something else than zero.
    fn optional_double(&mut self, key: &str, number: Option<f64>) {
        if let Some(number) = number {
            self.set(key, double(number));
        }
    }

    /// A double; minus zero is none that may be left out.
    fn double(&mut self, key: &str, number: f64) {
        if number.to_bits() != 0 {
            self.set(key, double(number));
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], encode: impl Fn(&T) -> Json) {
        if !items.is_empty() {
            self.set(key, items.iter().map(encode).collect::<Vec<_>>());
        }
    }
}

fn resource(resource: &Resource) -> Json {
    let mut object = Object::default();
    object.list("attributes", &resource.attributes, key_value);
    object.number("droppedAttributesCount", resource.dropped_attributes_count);
    Json::Object(object.0)
}

fn scope(scope: &Scope) -> Json {
    let mut object = Object::default();
    object.text("name", &scope.name);
    object.text("version", &scope.version);
    object.list("attributes", &scope.attributes, key_value);
    object.number("droppedAttributesCount", scope.dropped_attributes_count);
    Json::Object(object.0)
}

fn key_value(attribute: &KeyValue) -> Json {
    json!({ "key": attribute.key, "value": value(&attribute.value) })
}

fn value(value_: &Value) -> Json {
    let list = |items: Vec<Json>| json!({ "values": items });
    match value_ {
        Value::Null => json!({}),
        Value::Bool(bool) => json!({ "boolValue": bool }),
        Value::Int(int) => json!({ "intValue": int.to_string() }),
        Value::Double(number) => json!({ "doubleValue": double(*number) }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bytes(bytes) => json!({ "bytesValue": STANDARD.encode(bytes) }),
        Value::Array(array) => json!({ "arrayValue": list(array.iter().map(value).collect()) }),
        Value::Map(map) => json!({ "kvlistValue": list(map.iter().map(key_value).collect()) }),
    }
}

/// A double as proto3 JSON spells it: JSON has no numbers for those that are not finite.
pub(crate) fn double(number: f64) -> Json {
    if number.is_finite() {
        json!(number)
    } else if number.is_nan() {
        json!("NaN")
    } else if number > 0.0 {
        json!("Infinity")
    } else {
        json!("-Infinity")
    }
}
