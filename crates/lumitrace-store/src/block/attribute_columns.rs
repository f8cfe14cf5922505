//! Attributes that have columns of their own: built, and read back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder,
    Int64Array, Int64Builder, StringBuilder,
};
use hashbrown::HashMap;
use lumitrace_model::{KeyValue, Value};
use lumitrace_wire::otlp::protobuf::view::ValueView;

use super::layout::{AttributeColumn, ColumnType};
use super::text::TextColumn;
use super::value::ValueRef;

/// Collects the attributes of spans that have columns.
#[derive(Debug)]
pub(crate) struct AttributeColumnsBuilder {
    positions: HashMap<String, usize>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

#[derive(Debug)]
struct ColumnBuilder {
    values: ValuesBuilder,
    /// How many rows were looked at when the key was last seen, and whether the value was taken.
    seen_at: usize,
}

#[derive(Debug)]
enum ValuesBuilder {
    String(StringBuilder),
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
}

impl AttributeColumnsBuilder {
    pub(crate) fn new(columns: &[AttributeColumn]) -> Self {
        let keys = columns.iter().map(|column| column.key.clone());
        Self {
            positions: keys.zip(0..).collect(),
            columns: columns
                .iter()
                .map(|column| ColumnBuilder {
                    values: ValuesBuilder::new(column.column_type),
                    seen_at: 0,
                })
                .collect(),
            rows: 0,
        }
    }

    /// Says that the next attributes are those of another span.
    pub(crate) fn begin_row(&mut self) {
        self.rows += 1;
    }

    /// Takes an attribute if it is the first of its key on its span, and of the column's type. So
    /// of several with one key, the first one stays the first.
    pub(crate) fn take(&mut self, key: &str, value: ValueRef<'_>) -> bool {
        let Some(position) = self.positions.get(key) else {
            return false;
        };
        let column = &mut self.columns[*position];
        let is_first = column.seen_at != self.rows;
        column.seen_at = self.rows;
        is_first && column.values.push(self.rows - 1, value)
    }

    /// The columns of the rows since the last call.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        let rows = std::mem::take(&mut self.rows);
        let finish = |column: &mut ColumnBuilder| {
            column.seen_at = 0;
            column.values.finish(rows)
        };
        self.columns.iter_mut().map(finish).collect()
    }
}

impl ValuesBuilder {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::String => Self::String(StringBuilder::new()),
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int => Self::Int(Int64Builder::new()),
            ColumnType::Double => Self::Double(Float64Builder::new()),
        }
    }

    /// Puts a value of the column's type into row `row`; false if it is of another type.
    fn push(&mut self, row: usize, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::String(builder), ValueRef::String(text)) => {
                builder.append_nulls(row - builder.len());
                builder.append_value(text);
            }
            (Self::Bool(builder), ValueRef::Bool(bool)) => {
                builder.append_nulls(row - builder.len());
                builder.append_value(bool);
            }
            (Self::Int(builder), ValueRef::Int(int)) => {
                builder.append_nulls(row - builder.len());
                builder.append_value(int);
            }
            (Self::Double(builder), ValueRef::Double(double)) => {
                builder.append_nulls(row - builder.len());
                builder.append_value(double);
            }
            _ => return false,
        }
        true
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        match self {
            Self::String(builder) => {
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish())
            }
            Self::Bool(builder) => {
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish())
            }
            Self::Int(builder) => {
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish())
            }
            Self::Double(builder) => {
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish())
            }
        }
    }
}

/// A column of one attribute's values that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttributeValues<'a> {
    Text(TextColumn<'a>),
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    Double(&'a Float64Array),
}

impl<'a> AttributeValues<'a> {
    /// None if no attribute has such a column.
    pub(crate) fn new(column: &'a dyn Array) -> Option<Self> {
        if let Some(text) = TextColumn::new(column) {
            return Some(Self::Text(text));
        }
        let any = column.as_any();
        any.downcast_ref()
            .map(Self::Bool)
            .or_else(|| any.downcast_ref().map(Self::Int))
            .or_else(|| any.downcast_ref().map(Self::Double))
    }

    /// Adds the values to the attributes of the rows that have one.
    pub(crate) fn add_to(&self, key: &str, attributes: &mut [Vec<KeyValue>]) {
        fn each<'a, A: Array>(
            column: &'a A,
            attributes: &mut [Vec<KeyValue>],
            key: &str,
            value: impl Fn(&'a A, usize) -> Value,
        ) {
            let mut add = |row: usize| {
                attributes[row].push(KeyValue {
                    key: key.to_owned().into(),
                    value: value(column, row),
                });
            };
            match column.nulls() {
                Some(nulls) => nulls.valid_indices().for_each(&mut add),
                None => (0..column.len()).for_each(&mut add),
            }
        }
        let text = |text: &str| Value::String(text.to_owned().into());
        match self {
            Self::Text(TextColumn::Plain(plain)) => {
                each(*plain, attributes, key, |it, row| text(it.value(row)));
            }
            Self::Text(TextColumn::Dictionary { numbers, entries }) => {
                each(*numbers, attributes, key, |it, row| {
                    text(entries.value(it.keys().value(row) as usize))
                });
            }
            Self::Bool(column) => {
                each(*column, attributes, key, |it, row| {
                    Value::Bool(it.value(row))
                });
            }
            Self::Int(column) => {
                each(*column, attributes, key, |it, row| {
                    Value::Int(it.value(row))
                });
            }
            Self::Double(column) => {
                each(*column, attributes, key, |it, row| {
                    Value::Double(it.value(row))
                });
            }
        }
    }

    /// Asks `is_wanted` of each row's value, and only once of each entry of a dictionary.
    pub(crate) fn ask(&self, is_wanted: impl Fn(ValueView<'_>) -> bool) -> Vec<bool> {
        match self {
            Self::Text(column) => column.ask(|text| is_wanted(ValueView::String(text))),
            Self::Bool(column) => column
                .iter()
                .map(|it| it.is_some_and(|it| is_wanted(ValueView::Bool(it))))
                .collect(),
            Self::Int(column) => column
                .iter()
                .map(|it| it.is_some_and(|it| is_wanted(ValueView::Int(it))))
                .collect(),
            Self::Double(column) => column
                .iter()
                .map(|it| it.is_some_and(|it| is_wanted(ValueView::Double(it))))
                .collect(),
        }
    }
}
