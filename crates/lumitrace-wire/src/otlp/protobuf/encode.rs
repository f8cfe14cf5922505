//! From nouns to bytes: what all signals are made of, and each signal in a module of its own.

mod logs;
mod metrics;
mod traces;

use lumitrace_model::{KeyValue, Resource, Scope, Value};

use crate::proto::Writer;

pub use logs::encode_logs;
pub use metrics::encode_metrics;
pub use traces::{RequestEncoder, encode_traces};

/// Encodes attributes as a `KeyValueList`, the form that keeps every value type, nested ones too.
pub fn encode_attributes(attributes: &[KeyValue]) -> Vec<u8> {
    let mut list = Writer::default();
    key_values(&mut list, 1, attributes);
    list.into_bytes()
}

/// A repeated message.
fn messages<T>(message: &mut Writer, number: u32, items: &[T], encode: impl Fn(&mut Writer, &T)) {
    for item in items {
        message.message(number, |message| encode(message, item));
    }
}

fn resource(message: &mut Writer, resource: &Resource) {
    key_values(message, 1, &resource.attributes);
    message.varint(2, resource.dropped_attributes_count.into());
}

fn scope(message: &mut Writer, scope: &Scope) {
    message.bytes(1, scope.name.as_bytes());
    message.bytes(2, scope.version.as_bytes());
    key_values(message, 3, &scope.attributes);
    message.varint(4, scope.dropped_attributes_count.into());
}

fn key_values(message: &mut Writer, number: u32, attributes: &[KeyValue]) {
    messages(message, number, attributes, |message, attribute| {
        message.bytes(1, attribute.key.as_bytes());
        message.message(2, |message| value(message, &attribute.value));
    });
}

fn value(message: &mut Writer, value_: &Value) {
    match value_ {
        Value::Null => {}
        Value::String(text) => message.bytes_always(1, text.as_bytes()),
        Value::Bool(bool) => message.varint_always(2, u64::from(*bool)),
        Value::Int(int) => message.varint_always(3, *int as u64),
        Value::Double(double) => message.double_always(4, *double),
        Value::Array(array) => message.message(5, |message| messages(message, 1, array, value)),
        Value::Map(map) => message.message(6, |message| key_values(message, 1, map)),
        Value::Bytes(bytes) => message.bytes_always(7, bytes),
    }
}
