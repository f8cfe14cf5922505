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
use lumitrace_wire::otlp::protobuf::view::ValueView;

use super::row::AttributeList;
use super::schema::{self, ATTRIBUTE_FIELDS};
use super::value::{ValueRef, value_type};

/// What was stored is read back whatever the limits were then.
pub(crate) const STORED_LIMITS: DecodeLimits = DecodeLimits::own_data();

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
    /// Appends the list of one event or link.
    pub(crate) fn push_list(&mut self, attributes: AttributeList<'_>) {
        attributes.each(|key, value| self.push(key, value));
        self.end_list();
    }

    /// Appends an attribute to the list that is open.
    pub(crate) fn push(&mut self, key: &str, value: ValueRef<'_>) {
        self.keys.append_value(key);
        self.types.append_value(value.type_number());
        self.strings.append_option(match value {
            ValueRef::String(text) => Some(text),
            _ => None,
        });
        self.ints.append_option(match value {
            ValueRef::Int(int) => Some(int),
            _ => None,
        });
        self.doubles.append_option(match value {
            ValueRef::Double(double) => Some(double),
            _ => None,
        });
        self.bools.append_option(match value {
            ValueRef::Bool(bool) => Some(bool),
            _ => None,
        });
        self.bytes.append_option(value.stored_bytes());
    }

    /// Ends the list that is open, and opens the next one.
    pub(crate) fn end_list(&mut self) {
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
            _ => self.scalar(index)?.into(),
        })
    }

    /// Whether an attribute of row `row` named `key` has a scalar value, out of the parts that were
    /// read, for which `matches` says yes.
    pub(crate) fn any(
        &self,
        row: usize,
        key: &str,
        matches: impl Fn(ValueView<'_>) -> bool,
    ) -> bool {
        let Some(keys) = self.keys else { return false };
        self.indices(row)
            .filter(|index| keys.value(*index) == key)
            .any(|index| self.scalar(index).is_some_and(&matches))
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

    fn scalar(&self, index: usize) -> Option<ValueView<'_>> {
        fn valid<T: Array>(column: Option<&T>, index: usize) -> Option<&T> {
            column.filter(|column| column.is_valid(index))
        }
        valid(self.strings, index)
            .map(|strings| ValueView::String(strings.value(index)))
            .or_else(|| valid(self.ints, index).map(|ints| ValueView::Int(ints.value(index))))
            .or_else(|| valid(self.doubles, index).map(|it| ValueView::Double(it.value(index))))
            .or_else(|| valid(self.bools, index).map(|bools| ValueView::Bool(bools.value(index))))
    }
}

fn part<'a, T: 'static>(values: &'a StructArray, name: &str) -> Option<&'a T> {
    values.column_by_name(name)?.as_any().downcast_ref()
}

/// Field `index` of a struct column, if it has the expected type.
pub(crate) fn field<T: 'static>(values: &StructArray, index: usize) -> Option<&T> {
    values.columns().get(index)?.as_any().downcast_ref()
}
