//! Attribute values (opentelemetry-proto `common.proto`, `AnyValue`).

use std::borrow::Cow;

/// Text that is often a constant of the traced program: names and keys cost no allocation there.
pub type Text = Cow<'static, str>;

/// The value of an attribute: every type that OTLP knows, nested ones too.
///
/// ```
/// use lumitrace_model::Value;
/// assert_eq!(Value::from(0.5).as_f64(), Some(0.5));
/// assert_eq!(Value::from("NaN").as_f64().map(f64::is_nan), Some(true));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value was given (an `AnyValue` without a case).
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double; NaN and infinities are kept.
    Double(f64),
    /// UTF-8 text.
    String(Text),
    /// Bytes without meaning to us.
    Bytes(Vec<u8>),
    /// A list whose elements may differ in type.
    Array(Vec<Value>),
    /// A list of key/value pairs in the order they were sent.
    Map(Vec<KeyValue>),
}

impl Value {
    /// The number in this value: an int, a double, or a text that spells one (programs often send
    /// `str(loss)`, and JSON spells NaN and infinities as text).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(int) => Some(*int as f64),
            Value::Double(double) => Some(*double),
            Value::String(text) => match text.trim() {
                "Infinity" | "+Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                text => text.parse().ok(),
            },
            _ => None,
        }
    }

    /// The integer in this value: an int, a double without fraction, or a text that spells an int.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(int) => Some(*int),
            Value::Double(double) if double.fract() == 0.0 && double.abs() < 9.0e15 => {
                Some(*double as i64)
            }
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The text in this value, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $into:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($v: $from) -> Self { $into }
        })*
    };
}

value_from! {
    bool => |v| Value::Bool(v),
    i64 => |v| Value::Int(v),
    i32 => |v| Value::Int(v.into()),
    u32 => |v| Value::Int(v.into()),
    u64 => |v| i64::try_from(v).map_or(Value::Double(v as f64), Value::Int),
    usize => |v| Value::from(v as u64),
    f64 => |v| Value::Double(v),
    f32 => |v| Value::Double(v.into()),
    &'static str => |v| Value::String(Cow::Borrowed(v)),
    String => |v| Value::String(Cow::Owned(v)),
    Text => |v| Value::String(v),
    Vec<u8> => |v| Value::Bytes(v),
    Vec<Value> => |v| Value::Array(v),
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue {
    /// The attribute's name, such as `batch_index`.
    pub key: Text,
    /// Its value.
    pub value: Value,
}

impl KeyValue {
    /// An attribute `key` = `value`.
    ///
    /// ```
    /// use lumitrace_model::{KeyValue, Value};
    /// assert_eq!(KeyValue::new("epoch", 3).value, Value::Int(3));
    /// ```
    pub fn new(key: impl Into<Text>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// The value of the first attribute named `key`.
///
/// ```
/// use lumitrace_model::{value::find, KeyValue, Value};
/// let attributes = [KeyValue::new("epoch", 3)];
/// assert_eq!(find(&attributes, "epoch"), Some(&Value::Int(3)));
/// ```
pub fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .map(|attribute| &attribute.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_every_spelling_that_clients_send() {
        for (value, number) in [
            (Value::from(3), 3.0),
            (Value::from(0.25), 0.25),
            (Value::from("0.25"), 0.25),
            (Value::from("Infinity"), f64::INFINITY),
            (Value::from("-Infinity"), f64::NEG_INFINITY),
        ] {
            assert_eq!(value.as_f64(), Some(number), "{value:?}");
        }
        assert_eq!(Value::from("three").as_f64(), None);
        assert_eq!(Value::from(3.5).as_i64(), None);
    }
}
