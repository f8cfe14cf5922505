//! Lists of numbers and of exemplars into columns, and back.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, ArrowPrimitiveType, FixedSizeBinaryArray,
    FixedSizeBinaryBuilder, Float64Array, Float64Builder, Int64Array, Int64Builder, ListArray,
    PrimitiveArray, PrimitiveBuilder, StructArray, UInt64Array, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use lumitrace_model::{Exemplar, Number, SpanId, TraceId};

use super::row::ExemplarRow;
use crate::block::attributes::{AttributesBuilder, AttributesColumn, field};
use crate::block::schema::{self, ATTRIBUTE_FIELDS, list_of};

/// A column of lists of numbers.
pub(super) fn number_lists(name: &str, of: DataType) -> Field {
    Field::new(name, DataType::List(element(of)), false)
}

fn element(of: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", of, false))
}

/// Collects lists of numbers into a column.
#[derive(Debug)]
pub(super) struct NumberLists<T: ArrowPrimitiveType> {
    offsets: Vec<i32>,
    values: PrimitiveBuilder<T>,
}

impl<T: ArrowPrimitiveType> Default for NumberLists<T> {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            values: PrimitiveBuilder::new(),
        }
    }
}

impl<T: ArrowPrimitiveType> NumberLists<T> {
    pub(super) fn push(&mut self, list: &[T::Native]) {
        self.values.append_slice(list);
        // A batch is closed long before it has 2^31 numbers.
        self.offsets.push(self.values.len() as i32);
    }

    pub(super) fn finish(&mut self) -> ListArray {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        ListArray::new(
            element(T::DATA_TYPE),
            OffsetBuffer::new(offsets.into()),
            Arc::new(self.values.finish()),
            None,
        )
    }
}

/// A column of lists of numbers that was read.
pub(super) struct NumberListsColumn<'a, T: ArrowPrimitiveType> {
    list: &'a ListArray,
    values: &'a PrimitiveArray<T>,
}

impl<'a, T: ArrowPrimitiveType> NumberListsColumn<'a, T> {
    /// None if the column is not one of such lists.
    pub(super) fn new(column: &'a dyn Array) -> Option<Self> {
        let list = column.as_any().downcast_ref::<ListArray>()?;
        let values = list.values().as_any().downcast_ref()?;
        Some(Self { list, values })
    }

    pub(super) fn get(&self, row: usize) -> Vec<T::Native> {
        self.values.values()[indices(self.list, row)].to_vec()
    }
}

fn indices(list: &ListArray, row: usize) -> Range<usize> {
    // Offsets are never negative.
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// The fields of an exemplar.
pub(super) static EXEMPLAR_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("time_unix_nano", DataType::UInt64, false),
        Field::new("int", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new(schema::TRACE_ID, DataType::FixedSizeBinary(16), true),
        Field::new(schema::SPAN_ID, DataType::FixedSizeBinary(8), true),
        list_of(schema::ATTRIBUTES, &ATTRIBUTE_FIELDS),
    ])
});

/// Collects lists of exemplars into a column of [`EXEMPLAR_FIELDS`].
#[derive(Debug)]
pub(super) struct ExemplarsBuilder {
    offsets: Vec<i32>,
    time: UInt64Builder,
    int: Int64Builder,
    double: Float64Builder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    attributes: AttributesBuilder,
}

impl Default for ExemplarsBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            time: UInt64Builder::new(),
            int: Int64Builder::new(),
            double: Float64Builder::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl ExemplarsBuilder {
    pub(super) fn push(&mut self, exemplar: ExemplarRow<'_>) -> Result<(), ArrowError> {
        self.time.append_value(exemplar.time_unix_nano);
        let (int, double) = int_or_double(exemplar.value);
        self.int.append_option(int);
        self.double.append_option(double);
        match exemplar.trace_id {
            Some(trace_id) => self.trace_id.append_value(trace_id.as_bytes())?,
            None => self.trace_id.append_null(),
        }
        match exemplar.span_id {
            Some(span_id) => self.span_id.append_value(span_id.as_bytes())?,
            None => self.span_id.append_null(),
        }
        self.attributes.push_list(exemplar.attributes);
        Ok(())
    }

    pub(super) fn end_list(&mut self) {
        // A batch is closed long before it has 2^31 exemplars.
        self.offsets.push(self.time.len() as i32);
    }

    pub(super) fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.int.finish()),
            Arc::new(self.double.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.attributes.finish()),
        ];
        let values = StructArray::new(EXEMPLAR_FIELDS.clone(), columns, None);
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let element = schema::element(&EXEMPLAR_FIELDS);
        ListArray::new(element, offsets, Arc::new(values), None)
    }
}

/// A number as the two columns keep it.
pub(super) fn int_or_double(number: Option<Number>) -> (Option<i64>, Option<f64>) {
    match number {
        Some(Number::Int(int)) => (Some(int), None),
        Some(Number::Double(double)) => (None, Some(double)),
        None => (None, None),
    }
}

/// The number in row `row` of the two columns that keep it.
pub(super) fn number(
    int: Option<&Int64Array>,
    double: Option<&Float64Array>,
    row: usize,
) -> Option<Number> {
    let int = int.filter(|column| column.is_valid(row));
    let double = double.filter(|column| column.is_valid(row));
    int.map(|column| Number::Int(column.value(row)))
        .or_else(|| double.map(|column| Number::Double(column.value(row))))
}

/// The id in row `row`, if there is one.
fn id<const N: usize>(column: &FixedSizeBinaryArray, row: usize) -> Option<[u8; N]> {
    column
        .is_valid(row)
        .then(|| column.value(row).try_into().ok())?
}

/// A column of lists of exemplars that was read.
pub(super) struct ExemplarsColumn<'a> {
    list: &'a ListArray,
    time: &'a UInt64Array,
    int: &'a Int64Array,
    double: &'a Float64Array,
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    attributes: AttributesColumn<'a>,
}

impl<'a> ExemplarsColumn<'a> {
    pub(super) fn new(column: &'a dyn Array) -> Option<Self> {
        let list = column.as_any().downcast_ref::<ListArray>()?;
        let values = list.values().as_any().downcast_ref::<StructArray>()?;
        Some(Self {
            list,
            time: field(values, 0)?,
            int: field(values, 1)?,
            double: field(values, 2)?,
            trace_id: field(values, 3)?,
            span_id: field(values, 4)?,
            attributes: AttributesColumn::new(values.columns().get(5)?.as_ref())?,
        })
    }

    pub(super) fn get(&self, row: usize) -> Option<Vec<Exemplar>> {
        let exemplar = |index| {
            Some(Exemplar {
                filtered_attributes: self.attributes.get(index)?,
                time_unix_nano: self.time.value(index),
                value: number(Some(self.int), Some(self.double), index),
                span_id: id(self.span_id, index).map(SpanId::from_bytes),
                trace_id: id(self.trace_id, index).map(TraceId::from_bytes),
            })
        };
        indices(self.list, row).map(exemplar).collect()
    }
}
