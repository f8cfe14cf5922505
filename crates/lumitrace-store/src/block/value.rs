//! Values of attributes as the columns take them: borrowed, wherever they lie.

use std::borrow::Cow;

use lumitrace_model::{KeyValue, Value};
use lumitrace_wire::otlp::protobuf;
use lumitrace_wire::otlp::protobuf::view::{NestedView, ValueView};

/// Longer texts and bytes, and arrays and maps that are longer encoded, are large: they are in the
/// payload file, and only their first part is in the columns. Why from there on: `docs/adr/0011`.
pub(crate) const LARGE_VALUE_BYTES: usize = 2 << 10;
/// About how much of a large value is kept in the columns.
pub(crate) const KEPT_BYTES: usize = 1 << 10;

/// What a column keeps of a text: all of it, unless it is large.
pub(crate) fn kept_text(text: &str) -> &str {
    if text.len() <= LARGE_VALUE_BYTES {
        return text;
    }
    &text[..text.floor_char_boundary(KEPT_BYTES)]
}

/// Types of values: the numbers of the cases of OTLP's `AnyValue`, and zero for none of them.
pub(crate) mod value_type {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const STRING: u8 = 1;
    pub(crate) const BOOL: u8 = 2;
    pub(crate) const INT: u8 = 3;
    pub(crate) const DOUBLE: u8 = 4;
    pub(crate) const ARRAY: u8 = 5;
    pub(crate) const MAP: u8 = 6;
    pub(crate) const BYTES: u8 = 7;
    /// How many there are.
    pub(crate) const COUNT: usize = 8;
}

/// A value that somebody else holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueRef<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(&'a str),
    Bytes(&'a [u8]),
    /// An array or a map.
    Nested(NestedRef<'a>),
}

/// An array or a map that somebody else holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NestedRef<'a> {
    Value(&'a Value),
    View(NestedView<'a>),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Int(int) => Self::Int(*int),
            Value::Double(double) => Self::Double(*double),
            Value::String(text) => Self::String(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Array(_) | Value::Map(_) => Self::Nested(NestedRef::Value(value)),
        }
    }
}

impl<'a> From<ValueView<'a>> for ValueRef<'a> {
    fn from(view: ValueView<'a>) -> Self {
        match view {
            ValueView::Null => Self::Null,
            ValueView::Bool(bool) => Self::Bool(bool),
            ValueView::Int(int) => Self::Int(int),
            ValueView::Double(double) => Self::Double(double),
            ValueView::String(text) => Self::String(text),
            ValueView::Bytes(bytes) => Self::Bytes(bytes),
            ValueView::Nested(nested) => Self::Nested(NestedRef::View(nested)),
        }
    }
}

impl NestedRef<'_> {
    fn is_map(self) -> bool {
        match self {
            Self::Value(value) => matches!(value, Value::Map(_)),
            Self::View(view) => view.is_map(),
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::View(view) => view.to_value(),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// Its [`value_type`].
    pub(crate) fn type_number(self) -> u8 {
        match self {
            Self::Null => value_type::NULL,
            Self::Bool(_) => value_type::BOOL,
            Self::Int(_) => value_type::INT,
            Self::Double(_) => value_type::DOUBLE,
            Self::String(_) => value_type::STRING,
            Self::Bytes(_) => value_type::BYTES,
            Self::Nested(nested) if nested.is_map() => value_type::MAP,
            Self::Nested(_) => value_type::ARRAY,
        }
    }

    /// What a column of bytes keeps of it: bytes as they are, arrays and maps as a `KeyValueList` in
    /// protobuf with one `KeyValue`, whose key is empty.
    pub(crate) fn stored_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Self::Nested(nested) => {
                let wrapped = [KeyValue {
                    key: "".into(),
                    value: nested.to_value(),
                }];
                Some(Cow::Owned(protobuf::encode_attributes(&wrapped)))
            }
            _ => None,
        }
    }

    /// What is kept of it in a column: the first part of a large text or of large bytes. What is kept
    /// of a large array or map is made in [`kept_value`](super::large_values::kept_value).
    pub(crate) fn kept(self) -> Self {
        match self {
            Self::String(text) => Self::String(kept_text(text)),
            Self::Bytes(bytes) if bytes.len() > LARGE_VALUE_BYTES => {
                Self::Bytes(&bytes[..KEPT_BYTES])
            }
            other => other,
        }
    }

    /// The bytes that go into the payload file, if it is large.
    pub(crate) fn large_bytes(self) -> Option<Cow<'a, [u8]>> {
        let bytes = match self {
            Self::String(text) => Cow::Borrowed(text.as_bytes()),
            other => other.stored_bytes()?,
        };
        (bytes.len() > LARGE_VALUE_BYTES).then_some(bytes)
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(bool),
            Self::Int(int) => Value::Int(int),
            Self::Double(double) => Value::Double(double),
            Self::String(text) => Value::String(text.to_owned().into()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_owned()),
            Self::Nested(nested) => nested.to_value(),
        }
    }

    /// About how many bytes it takes in a column, uncompressed.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Double(_) => 8,
            Self::String(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            // Rare, and never what decides about a column.
            Self::Nested(_) => 0,
        }
    }
}
