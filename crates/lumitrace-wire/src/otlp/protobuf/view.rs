//! Parts of records read in place, out of the bytes of a request that was checked.
//!
//! Nothing here fails: the bytes went through one of the `index_` functions. Out of others come fewer
//! parts, or empty ones, but never a panic. Attributes and values are here; each signal's own parts are
//! in a module of their own.

mod logs;
mod metrics;
mod spans;

pub use logs::LogView;
pub use metrics::{ExemplarView, MetricView, PointView, Side, point_attributes};
pub use spans::{EventView, LinkView, SpanView};

use lumitrace_model::{KeyValue, Value};

use super::decode;
use crate::proto::{Field, Reader};

/// An attribute of a record, event, link, resource or scope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttributeView<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: ValueView<'a>,
}

/// The attributes in a field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AttributesView<'a> {
    message: &'a [u8],
    number: u32,
}

impl<'a> AttributesView<'a> {
    /// Those in the fields of `message` with this number.
    fn new(message: &'a [u8], number: u32) -> Self {
        Self { message, number }
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = AttributeView<'a>> + use<'a> {
        messages(self.message, self.number).map(AttributeView::new)
    }

    /// All of them, each as one of its own.
    pub fn to_vec(self) -> Vec<KeyValue> {
        self.iter().map(KeyValue::from).collect()
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueView<'a> {
    /// No value was given.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// UTF-8 text.
    String(&'a str),
    /// Bytes without meaning to us.
    Bytes(&'a [u8]),
    /// A list of values, or of keys and values.
    Nested(NestedView<'a>),
}

/// An array or a map: the bytes of its `AnyValue` message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NestedView<'a> {
    message: &'a [u8],
}

impl<'a> AttributeView<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            key: "",
            value: ValueView::Null,
        };
        for field in fields(message) {
            match field.number {
                1 => view.key = text(field),
                2 => view.value = ValueView::new(field.bytes().unwrap_or_default()),
                _ => {}
            }
        }
        view
    }
}

impl From<AttributeView<'_>> for KeyValue {
    fn from(attribute: AttributeView<'_>) -> Self {
        Self {
            key: attribute.key.to_owned().into(),
            value: attribute.value.into(),
        }
    }
}

impl<'a> ValueView<'a> {
    /// Reads an `AnyValue` message.
    fn new(message: &'a [u8]) -> Self {
        // Of several cases of a `oneof`, the last one counts.
        fields(message).fold(ValueView::Null, |value, field| match field.number {
            1 => ValueView::String(text(field)),
            2 => ValueView::Bool(field.varint().unwrap_or_default() != 0),
            3 => ValueView::Int(field.varint().unwrap_or_default() as i64),
            4 => ValueView::Double(field.double().unwrap_or_default()),
            5 | 6 => ValueView::Nested(NestedView { message }),
            7 => ValueView::Bytes(field.bytes().unwrap_or_default()),
            _ => value,
        })
    }
}

impl From<ValueView<'_>> for Value {
    fn from(view: ValueView<'_>) -> Self {
        match view {
            ValueView::Null => Value::Null,
            ValueView::Bool(bool) => Value::Bool(bool),
            ValueView::Int(int) => Value::Int(int),
            ValueView::Double(double) => Value::Double(double),
            ValueView::String(text) => Value::String(text.to_owned().into()),
            ValueView::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            ValueView::Nested(nested) => nested.to_value(),
        }
    }
}

impl<'a> NestedView<'a> {
    /// The array or map.
    pub fn to_value(&self) -> Value {
        decode::value(Reader::new(self.message)).unwrap_or_default()
    }

    /// Whether it is a map rather than an array.
    pub fn is_map(&self) -> bool {
        self.list().is_some_and(|field| field.number == 6)
    }

    /// Whether a text anywhere in it is one for which `is_wanted` says yes. Keys are not asked.
    pub fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        self.values().any(|value| match value {
            ValueView::String(text) => is_wanted(text),
            ValueView::Nested(nested) => nested.any_text(is_wanted),
            _ => false,
        })
    }

    /// The field that counts; there may be unknown ones behind it.
    fn list(&self) -> Option<Field<'a>> {
        fields(self.message)
            .filter(|field| matches!(field.number, 5 | 6))
            .last()
    }

    /// The elements of the array, or the values of the map.
    fn values(&self) -> impl Iterator<Item = ValueView<'a>> + use<'a> {
        let list = self.list();
        let is_map = list.is_some_and(|field| field.number == 6);
        let list = list
            .and_then(|field| field.bytes().ok())
            .unwrap_or_default();
        messages(list, 1).map(move |item| {
            if is_map {
                AttributeView::new(item).value
            } else {
                ValueView::new(item)
            }
        })
    }
}

/// The fields of a message that was checked, as far as it is one.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || reader.next().ok().flatten())
}

/// The messages in the fields with this number.
fn messages(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    fields(message)
        .filter(move |field| field.number == wanted)
        .filter_map(|field| field.bytes().ok())
}

fn text(field: Field<'_>) -> &str {
    field.string().unwrap_or_default()
}

fn number(field: Field<'_>) -> u32 {
    field.uint32().unwrap_or_default()
}
