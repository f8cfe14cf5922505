//! From JSON text to nouns: what all signals are made of, and each signal in a module of its own.

mod logs;
mod metrics;
mod traces;

use lumitrace_model::{KeyValue, Resource, Scope, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::fields::{self, Int64, Text, Uint32};
use super::limited::{self, List};
use crate::{DecodeError, DecodeLimits};

pub use logs::decode_logs;
pub use metrics::decode_metrics;
pub use traces::decode_traces;

/// An OTLP value of depth 1 takes up to four levels of JSON (`{"kvlistValue":{"values":[{`), and
/// the request around it up to fifteen.
const JSON_LEVELS_PER_VALUE: usize = 4;
const JSON_LEVELS_OF_REQUEST: usize = 16;

/// Reads the JSON form of a request.
fn request<R: DeserializeOwned>(bytes: &[u8], limits: &DecodeLimits) -> Result<R, DecodeError> {
    let max_depth = limits.max_depth;
    let levels = max_depth.saturating_mul(JSON_LEVELS_PER_VALUE);
    if nesting(bytes) > levels.saturating_add(JSON_LEVELS_OF_REQUEST) {
        return Err(DecodeError::TooDeep { max_depth });
    }
    if let Ok(request) = limited::within(limits, bytes.len(), || parse(bytes))? {
        return Ok(request);
    }
    let reason = limited::within(limits, bytes.len(), || explain::<R>(bytes))?;
    reason.map_err(DecodeError::Json)
}

fn parse<R: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<R> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The nesting was bounded before, so the stack is.
    deserializer.disable_recursion_limit();
    let request = R::deserialize(&mut deserializer)?;
    deserializer.end().map(|()| request)
}

/// What is wrong with a request and where: a second pass that keeps track of the path, which the
/// first one does not pay for.
fn explain<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    match serde_path_to_error::deserialize::<_, R>(&mut deserializer) {
        Err(error) => Err(format!("{}: {}", error.path(), error.inner())),
        Ok(_) => Err("there is more text after the end of the request".to_owned()),
    }
}

/// How deep arrays and objects nest in a JSON text, without parsing it.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Declares the JSON form of a message: every field may be absent or null, unknown ones are skipped.
macro_rules! message {
    ($(struct $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            // `remote` makes the derived code a function and leaves the trait to us.
            #[derive(Deserialize, Default)]
            #[serde(remote = "Self", default, rename_all = "camelCase")]
            struct $name {
                $(#[serde(deserialize_with = "fields::nullable")]
                $field: $type,)*
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    fields::message(deserializer)
                }
            }

            impl fields::Message for $name {
                fn from_fields<'de, D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error> {
                    $name::deserialize(fields)
                }
            }
        )*
    };
}
use message;

message! {
    struct ResourceJson { attributes: List<KeyValueJson>, dropped_attributes_count: Uint32, }
    struct ScopeJson {
        name: Text,
        version: Text,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
    }
    struct KeyValueJson { key: Text, value: AnyValueJson, }
    struct ValueCasesJson {
        string_value: Option<Text>,
        bool_value: Option<bool>,
        int_value: Option<Int64>,
        double_value: Option<fields::Double>,
        array_value: Option<Box<ArrayJson>>,
        kvlist_value: Option<Box<KeyValueListJson>>,
        bytes_value: Option<fields::Base64>,
    }
    struct ArrayJson { values: List<AnyValueJson>, }
    struct KeyValueListJson { values: List<KeyValueJson>, }
}

/// A value, whose depth is limited.
#[derive(Default)]
struct AnyValueJson(ValueCasesJson);

impl<'de> Deserialize<'de> for AnyValueJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        limited::deeper(|| <ValueCasesJson as Deserialize>::deserialize(deserializer)).map(Self)
    }
}

impl ResourceJson {
    fn decode(self) -> Resource {
        Resource {
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
        }
    }
}

impl ScopeJson {
    fn decode(self) -> Scope {
        Scope {
            name: self.name.0,
            version: self.version.0,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
        }
    }
}

fn attributes(list: List<KeyValueJson>) -> Vec<KeyValue> {
    let decode = |attribute: KeyValueJson| KeyValue {
        key: attribute.key.0,
        value: attribute.value.decode(),
    };
    list.map(decode)
}

impl AnyValueJson {
    fn decode(self) -> Value {
        let cases = self.0;
        if let Some(text) = cases.string_value {
            Value::String(text.0)
        } else if let Some(bool) = cases.bool_value {
            Value::Bool(bool)
        } else if let Some(int) = cases.int_value {
            Value::Int(int.0)
        } else if let Some(double) = cases.double_value {
            Value::Double(double.0)
        } else if let Some(array) = cases.array_value {
            Value::Array(array.values.map(AnyValueJson::decode))
        } else if let Some(map) = cases.kvlist_value {
            Value::Map(attributes(map.values))
        } else if let Some(bytes) = cases.bytes_value {
            Value::Bytes(bytes.0)
        } else {
            Value::Null
        }
    }
}
