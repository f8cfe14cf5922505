//! The column that says where large values are.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, ListArray,
    RecordBatch, StringArray, StringBuilder, StructArray, UInt8Array, UInt8Builder, UInt32Array,
    UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;

use super::{LargeValue, Owner};
use crate::block::attributes::field;
use crate::block::payload::{ChunkRuns, ContentHash, StoredValue};
use crate::block::rows::column;
use crate::block::schema::{self, LARGE_VALUE_FIELDS};

impl Owner {
    /// What the columns have of it: which kind of owner, and its number.
    fn code(self) -> (u8, u32) {
        match self {
            Self::Record => (0, 0),
            Self::Event(number) => (1, number),
            Self::Link(number) => (2, number),
            Self::Body => (3, 0),
        }
    }

    fn from_code(kind: u8, number: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::Record,
            1 => Self::Event(number),
            2 => Self::Link(number),
            3 => Self::Body,
            _ => return None,
        })
    }
}

/// Collects the large values of records into a column of [`LARGE_VALUE_FIELDS`].
#[derive(Debug)]
pub(crate) struct LargeValuesBuilder {
    offsets: Vec<i32>,
    owner: UInt8Builder,
    owner_number: UInt32Builder,
    key: StringBuilder,
    occurrence: UInt32Builder,
    bytes: UInt64Builder,
    hash: FixedSizeBinaryBuilder,
    chunks: BinaryBuilder,
}

impl Default for LargeValuesBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            owner: UInt8Builder::new(),
            owner_number: UInt32Builder::new(),
            key: StringBuilder::new(),
            occurrence: UInt32Builder::new(),
            bytes: UInt64Builder::new(),
            hash: FixedSizeBinaryBuilder::new(ContentHash::BYTES as i32),
            chunks: BinaryBuilder::new(),
        }
    }
}

impl LargeValuesBuilder {
    /// Appends the large values of a record.
    pub(crate) fn push(&mut self, values: &[LargeValue]) -> Result<(), ArrowError> {
        for large in values {
            let (owner, number) = large.owner.code();
            self.owner.append_value(owner);
            self.owner_number.append_value(number);
            self.key.append_value(&large.key);
            self.occurrence.append_value(large.occurrence);
            self.bytes.append_value(large.stored.bytes);
            self.hash.append_value(large.stored.hash.0)?;
            self.chunks.append_value(large.stored.chunks.encode());
        }
        let count = self
            .offsets
            .last()
            .map_or(0, |last| last + values.len() as i32);
        self.offsets.push(count);
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.owner.finish()),
            Arc::new(self.owner_number.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.occurrence.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.hash.finish()),
            Arc::new(self.chunks.finish()),
        ];
        let values = StructArray::new(LARGE_VALUE_FIELDS.clone(), columns, None);
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        ListArray::new(
            schema::element(&LARGE_VALUE_FIELDS),
            offsets,
            Arc::new(values),
            None,
        )
    }
}

/// The large values of each row of a batch, none of them if it does not have their column; `None` if
/// the column is not what was written.
pub(crate) fn decode(batch: &RecordBatch) -> Option<Vec<Vec<LargeValue>>> {
    if batch.column_by_name(schema::LARGE_VALUES).is_none() {
        return Some(vec![Vec::new(); batch.num_rows()]);
    }
    let list: &ListArray = column(batch, schema::LARGE_VALUES)?;
    let values: &StructArray = list.values().as_any().downcast_ref()?;
    let owner: &UInt8Array = field(values, 0)?;
    let owner_number: &UInt32Array = field(values, 1)?;
    let key: &StringArray = field(values, 2)?;
    let occurrence: &UInt32Array = field(values, 3)?;
    let bytes: &UInt64Array = field(values, 4)?;
    let hash: &FixedSizeBinaryArray = field(values, 5)?;
    let chunks: &BinaryArray = field(values, 6)?;
    let large_value = |index: i32| {
        let index = usize::try_from(index).ok()?;
        Some(LargeValue {
            owner: Owner::from_code(owner.value(index), owner_number.value(index))?,
            key: key.value(index).to_owned(),
            occurrence: occurrence.value(index),
            stored: StoredValue {
                bytes: bytes.value(index),
                hash: ContentHash(hash.value(index).try_into().ok()?),
                chunks: ChunkRuns::decode(chunks.value(index))?,
            },
        })
    };
    let rows = list.value_offsets().windows(2);
    rows.map(|row| (row[0]..row[1]).map(large_value).collect())
        .collect()
}

/// Whether each row of a batch has a large value of this owner, which is none of many; `None` if the
/// column is not what was written. Only their owners were read.
pub(crate) fn rows_with(batch: &RecordBatch, wanted: Owner) -> Option<Vec<bool>> {
    if batch.column_by_name(schema::LARGE_VALUES).is_none() {
        return Some(vec![false; batch.num_rows()]);
    }
    let list: &ListArray = column(batch, schema::LARGE_VALUES)?;
    let values: &StructArray = list.values().as_any().downcast_ref()?;
    let owner: &UInt8Array = field(values, 0)?;
    let rows = list.value_offsets().windows(2);
    let (wanted, _) = wanted.code();
    // Offsets are never negative.
    let has = |row: &[i32]| (row[0]..row[1]).any(|index| owner.value(index as usize) == wanted);
    Some(rows.map(has).collect())
}
