//! Attribute lists as columns, and back: lossless for every value that OTLP knows.
//!
//! Each attribute is a struct of a key, a type, and one column per type of value. Arrays and maps,
//! which may nest and mix types, are kept as OTLP protobuf in the column of bytes.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    Float64Array, Float64Builder, Int64Array, Int64Builder, ListArray, StringArray, StringBuilder,
    StructArray, UInt8Array, UInt8Builder,
};
use arrow::buffer::OffsetBuffer;
use lumitrace_model::{KeyValue, Value};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf;

use super::schema::{self, ATTRIBUTE_FIELDS};

/// What was stored is read back whatever the limits were then.
pub(crate) const STORED_LIMITS: DecodeLimits = DecodeLimits::own_data();

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
}

/// Collects attribute lists into a column.
#[derive(Debug)]
pub(crate) struct AttributesBuilder {
    offsets: Vec<i32>,
    keys: StringBuilder,
    types: UInt8Builder,
    strings: StringBuilder,
    ints: Int64Builder,
    doubles: Float64Builder,
    bools: BooleanBuilder,
    bytes: BinaryBuilder,
}

impl Default for AttributesBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            keys: StringBuilder::new(),
            types: UInt8Builder::new(),
            strings: StringBuilder::new(),
            ints: Int64Builder::new(),
            doubles: Float64Builder::new(),
            bools: BooleanBuilder::new(),
            bytes: BinaryBuilder::new(),
        }
    }
}

impl AttributesBuilder {
    /// Appends the list of one span, event or link.
    pub(crate) fn push(&mut self, attributes: &[KeyValue]) {
        for KeyValue { key, value } in attributes {
            self.keys.append_value(key);
            self.types.append_value(type_of(value));
            self.strings.append_option(value.as_str());
            self.ints.append_option(as_int(value));
            self.doubles.append_option(as_double(value));
            self.bools.append_option(as_bool(value));
            self.bytes.append_option(as_bytes(value));
        }
        // A batch is closed long before it has 2^31 attributes; see `super::columns`.
        self.offsets.push(self.types.len() as i32);
    }

    /// The column of the lists pushed since the last call.
    pub(crate) fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.keys.finish()),
            Arc::new(self.types.finish()),
            Arc::new(self.strings.finish()),
            Arc::new(self.ints.finish()),
            Arc::new(self.doubles.finish()),
            Arc::new(self.bools.finish()),
            Arc::new(self.bytes.finish()),
        ];
        let values = StructArray::new(ATTRIBUTE_FIELDS.clone(), columns, None);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(offsets.into());
        ListArray::new(
            schema::element(&ATTRIBUTE_FIELDS),
            offsets,
            Arc::new(values),
            None,
        )
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => value_type::NULL,
        Value::String(_) => value_type::STRING,
        Value::Bool(_) => value_type::BOOL,
        Value::Int(_) => value_type::INT,
        Value::Double(_) => value_type::DOUBLE,
        Value::Array(_) => value_type::ARRAY,
        Value::Map(_) => value_type::MAP,
        Value::Bytes(_) => value_type::BYTES,
    }
}

fn as_int(value: &Value) -> Option<i64> {
    if let Value::Int(int) = value {
        Some(*int)
    } else {
        None
    }
}

fn as_double(value: &Value) -> Option<f64> {
    if let Value::Double(double) = value {
        Some(*double)
    } else {
        None
    }
}

fn as_bool(value: &Value) -> Option<bool> {
    if let Value::Bool(bool) = value {
        Some(*bool)
    } else {
        None
    }
}

fn as_bytes(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        // A list of one attribute without a key.
        Value::Array(_) | Value::Map(_) => {
            let wrapped = [KeyValue {
                key: "".into(),
                value: value.clone(),
            }];
            Some(Cow::Owned(protobuf::encode_attributes(&wrapped)))
        }
        _ => None,
    }
}

/// A column of attribute lists that was read, or those of its parts that were asked for.
#[derive(Debug)]
pub(crate) struct AttributesColumn<'a> {
    offsets: &'a OffsetBuffer<i32>,
    keys: Option<&'a StringArray>,
    types: Option<&'a UInt8Array>,
    strings: Option<&'a StringArray>,
    ints: Option<&'a Int64Array>,
    doubles: Option<&'a Float64Array>,
    bools: Option<&'a BooleanArray>,
    bytes: Option<&'a BinaryArray>,
}

impl<'a> AttributesColumn<'a> {
    /// None if the column is not one of attribute lists.
    pub(crate) fn new(column: &'a dyn Array) -> Option<Self> {
        let list = column.as_any().downcast_ref::<ListArray>()?;
        let values = list.values().as_any().downcast_ref::<StructArray>()?;
        Some(Self {
            offsets: list.offsets(),
            keys: part(values, "key"),
            types: part(values, "type"),
            strings: part(values, "string"),
            ints: part(values, "int"),
            doubles: part(values, "double"),
            bools: part(values, "bool"),
            bytes: part(values, "bytes"),
        })
    }

    /// The attributes of row `row`; none if a value cannot be what was written, or a part is
    /// missing.
    pub(crate) fn get(&self, row: usize) -> Option<Vec<KeyValue>> {
        let attribute = |index| {
            let key = Cow::Owned(self.keys?.value(index).to_owned());
            Some(KeyValue {
                key,
                value: self.value(index)?,
            })
        };
        self.indices(row).map(attribute).collect()
    }

    fn value(&self, index: usize) -> Option<Value> {
        Some(match self.types?.value(index) {
            value_type::NULL => Value::Null,
            value_type::ARRAY | value_type::MAP => {
                let wrapped = self.bytes?.value(index);
                let mut list = protobuf::decode_attributes(wrapped, &STORED_LIMITS).ok()?;
                list.pop()?.value
            }
            value_type::BYTES => Value::Bytes(self.bytes?.value(index).to_owned()),
            _ => self.scalar(index)?,
        })
    }

    /// Whether an attribute of row `row` named `key` has a scalar value, out of the parts that were
    /// read, for which `matches` says yes.
    pub(crate) fn any(&self, row: usize, key: &str, matches: impl Fn(&Value) -> bool) -> bool {
        let Some(keys) = self.keys else { return false };
        self.indices(row)
            .filter(|index| keys.value(*index) == key)
            .any(|index| self.scalar(index).is_some_and(|value| matches(&value)))
    }

    /// Whether a text in row `row` may be one for which `matches` says yes: certain for values that
    /// are texts, possible for texts in nested values, which are not looked into.
    pub(crate) fn any_text(&self, row: usize, matches: impl Fn(&str) -> bool) -> bool {
        let valid_text =
            |strings: &StringArray, index| strings.is_valid(index) && matches(strings.value(index));
        self.indices(row).any(|index| {
            self.strings
                .is_some_and(|strings| valid_text(strings, index))
                || self.bytes.is_some_and(|bytes| bytes.is_valid(index))
        })
    }

    fn indices(&self, row: usize) -> std::ops::Range<usize> {
        // Offsets are never negative.
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    fn scalar(&self, index: usize) -> Option<Value> {
        fn valid<T: Array>(column: Option<&T>, index: usize) -> Option<&T> {
            column.filter(|column| column.is_valid(index))
        }
        let string = valid(self.strings, index)
            .map(|strings| Value::String(Cow::Owned(strings.value(index).to_owned())));
        string
            .or_else(|| valid(self.ints, index).map(|ints| Value::Int(ints.value(index))))
            .or_else(|| valid(self.doubles, index).map(|it| Value::Double(it.value(index))))
            .or_else(|| valid(self.bools, index).map(|bools| Value::Bool(bools.value(index))))
    }
}

fn part<'a, T: 'static>(values: &'a StructArray, name: &str) -> Option<&'a T> {
    values.column_by_name(name)?.as_any().downcast_ref()
}

/// Field `index` of a struct column, if it has the expected type.
pub(crate) fn field<T: 'static>(values: &StructArray, index: usize) -> Option<&T> {
    values.columns().get(index)?.as_any().downcast_ref()
}
