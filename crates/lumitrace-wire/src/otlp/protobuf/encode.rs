//! From nouns to bytes: what all signals are made of, and each signal in a module of its own.

mod logs;
mod metrics;
mod traces;

use lumitrace_model::{KeyValue, Resource, Scope, Value};

use super::view::{AttributesView, ValueView};
use crate::proto::Writer;

pub use logs::encode_logs;
pub use metrics::encode_metrics;
pub use traces::{RequestEncoder, SpanFields, encode_traces};

/// Encodes attributes as a `KeyValueList`, the form that keeps every value type, nested ones too.
pub fn encode_attributes(attributes: &[KeyValue]) -> Vec<u8> {
    let mut list = Writer::default();
    key_values(&mut list, 1, attributes);
    list.into_bytes()
}

/// Appends to `list` what [`encode_attributes`] makes of these attributes in the order of their keys: for
/// the same attributes the same bytes, however they were sent.
pub fn encode_sorted(attributes: AttributesView<'_>, list: &mut Vec<u8>) {
    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort_by_key(|attribute| attribute.key);
    let mut writer = Writer::appending_to(std::mem::take(list));
    messages(&mut writer, 1, &sorted, |message, attribute| {
        message.bytes(1, attribute.key.as_bytes());
        message.message(2, |message| viewed_value(message, attribute.value));
    });
    *list = writer.into_bytes();
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
        Value::Null => viewed_value(message, ValueView::Null),
        Value::String(text) => viewed_value(message, ValueView::String(text)),
        Value::Bool(bool) => viewed_value(message, ValueView::Bool(*bool)),
        Value::Int(int) => viewed_value(message, ValueView::Int(*int)),
        Value::Double(double) => viewed_value(message, ValueView::Double(*double)),
        Value::Array(array) => message.message(5, |message| messages(message, 1, array, value)),
        Value::Map(map) => message.message(6, |message| key_values(message, 1, map)),
        Value::Bytes(bytes) => viewed_value(message, ValueView::Bytes(bytes)),
    }
}

fn viewed_value(message: &mut Writer, view: ValueView<'_>) {
    match view {
        ValueView::Null => {}
        ValueView::String(text) => message.bytes_always(1, text.as_bytes()),
        ValueView::Bool(bool) => message.varint_always(2, u64::from(bool)),
        ValueView::Int(int) => message.varint_always(3, int as u64),
        ValueView::Double(double) => message.double_always(4, double),
        ValueView::Nested(nested) => value(message, &nested.to_value()),
        ValueView::Bytes(bytes) => message.bytes_always(7, bytes),
    }
}
