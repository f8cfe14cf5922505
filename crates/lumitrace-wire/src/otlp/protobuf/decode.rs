//! From bytes to nouns: what all signals are made of, and each signal in a module of its own.
//!
//! Bytes are checked before anything is built of them: a request is indexed as a whole.

mod logs;
mod metrics;
mod traces;

use std::borrow::Cow;

use lumitrace_model::{KeyValue, Resource, Scope, Text, Value};

use super::check::Checker;
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

pub use logs::{decode_log_record, decode_logs};
pub use metrics::decode_metrics;
pub use traces::{decode_span, decode_traces};

/// Decodes a `Resource` of a request that [`super::index_traces`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_resource(bytes: &[u8]) -> Result<Resource, DecodeError> {
    let mut decoded = Resource::default();
    resource(Reader::new(bytes), &mut decoded)?;
    Ok(decoded)
}

/// Decodes an `InstrumentationScope` of a request that [`super::index_traces`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_scope(bytes: &[u8]) -> Result<Scope, DecodeError> {
    let mut decoded = Scope::default();
    scope(Reader::new(bytes), &mut decoded)?;
    Ok(decoded)
}

/// Decodes what [`super::encode_attributes`] wrote.
///
/// # Errors
/// As [`decode_traces`].
pub fn decode_attributes(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<KeyValue>, DecodeError> {
    Checker::new(bytes, limits).attributes(Reader::new(bytes))?;
    key_value_list(Reader::new(bytes))
}

fn resource(mut message: Reader<'_>, resource: &mut Resource) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => attribute(field, &mut resource.attributes)?,
            2 => resource.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

fn scope(mut message: Reader<'_>, scope: &mut Scope) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => scope.name = text(field)?,
            2 => scope.version = text(field)?,
            3 => attribute(field, &mut scope.attributes)?,
            4 => scope.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

fn attribute(field: Field<'_>, attributes: &mut Vec<KeyValue>) -> Result<(), DecodeError> {
    let attribute = key_value(field.message()?)?;
    attributes.push(attribute);
    Ok(())
}

fn key_value(mut message: Reader<'_>) -> Result<KeyValue, DecodeError> {
    let mut attribute = KeyValue {
        key: Text::default(),
        value: Value::Null,
    };
    while let Some(field) = message.next()? {
        match field.number {
            1 => attribute.key = text(field)?,
            2 => attribute.value = value(field.message()?)?,
            _ => {}
        }
    }
    Ok(attribute)
}

fn key_value_list(mut message: Reader<'_>) -> Result<Vec<KeyValue>, DecodeError> {
    let mut list = Vec::new();
    while let Some(field) = message.next()? {
        if field.number == 1 {
            let attribute = key_value(field.message()?)?;
            list.push(attribute);
        }
    }
    Ok(list)
}

pub(super) fn value(mut message: Reader<'_>) -> Result<Value, DecodeError> {
    let mut value = Value::Null;
    // Of several cases of a `oneof`, the last one counts.
    while let Some(field) = message.next()? {
        value = match field.number {
            1 => Value::String(text(field)?),
            2 => Value::Bool(field.varint()? != 0),
            3 => Value::Int(field.varint()? as i64),
            4 => Value::Double(field.double()?),
            5 => Value::Array(array(field.message()?)?),
            6 => Value::Map(key_value_list(field.message()?)?),
            7 => Value::Bytes(field.bytes()?.to_vec()),
            _ => value,
        };
    }
    Ok(value)
}

fn array(mut message: Reader<'_>) -> Result<Vec<Value>, DecodeError> {
    let mut array = Vec::new();
    while let Some(field) = message.next()? {
        if field.number == 1 {
            let value = value(field.message()?)?;
            array.push(value);
        }
    }
    Ok(array)
}

fn text(field: Field<'_>) -> Result<Text, DecodeError> {
    Ok(Cow::Owned(field.string()?.to_owned()))
}
