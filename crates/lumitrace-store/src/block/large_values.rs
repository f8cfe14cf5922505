//! Large values of attributes: cut to their first part in the columns, with a note of where in the
//! payload file the whole is; and put back.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, ListArray,
    RecordBatch, StringArray, StringBuilder, StructArray, UInt8Array, UInt8Builder, UInt32Array,
    UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;
use lumitrace_model::{Event, KeyValue, Link, Span, Value};
use lumitrace_wire::otlp::protobuf;

use super::attributes::{STORED_LIMITS, field};
use super::payload::{ChunkRuns, ContentHash, PayloadReader, PayloadWriter, StoredValue};
use super::row::{BlockRow, EventRow, LinkRow, Row};
use super::rows::column;
use super::schema::{self, LARGE_VALUE_FIELDS};
use super::value::{KEPT_BYTES, ValueRef};
use crate::SpanRecord;
use crate::error::ReadError;

/// Whole values are handed out in batches of about this many bytes.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;
/// About how much a value that is no text takes of what is kept of an array or a map.
const ELEMENT_BYTES: usize = 8;

/// Whose attribute a large value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Span,
    /// The event with this number.
    Event(u32),
    /// The link with this number.
    Link(u32),
}

/// A large value of a span, of one of its events or of its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeValue {
    pub(crate) owner: Owner,
    pub(crate) key: String,
    /// How many attributes of its owner that have the same key come before it.
    pub(crate) occurrence: u32,
    pub(crate) stored: StoredValue,
}

/// A span as the columns have it, and its large values.
#[derive(Debug, Clone)]
pub(crate) struct CutRecord {
    pub(crate) record: SpanRecord,
    pub(crate) large_values: Vec<LargeValue>,
}

impl CutRecord {
    /// The span with its large values put back, as far as it has the parts that they belong to.
    pub(crate) fn restore(mut self, payload: &mut PayloadReader) -> Result<SpanRecord, ReadError> {
        for large in &self.large_values {
            let span = &mut self.record.span;
            if !large.is_read(span) {
                continue;
            }
            let Some(attribute) = large.attribute(span) else {
                return Err(payload.malformed("a large value belongs to no attribute"));
            };
            let bytes = payload.value(&large.stored)?;
            attribute.value = whole_value(&attribute.value, bytes).ok_or_else(|| {
                payload.malformed("a large value is not of the type that the columns say")
            })?;
        }
        Ok(self.record)
    }

    /// Whether each large value belongs to an attribute. Only of a span that has all parts.
    pub(crate) fn places_fit(&mut self) -> bool {
        let span = &mut self.record.span;
        let mut large_values = self.large_values.iter();
        large_values.all(|large| large.attribute(span).is_some())
    }

    fn large_bytes(&self) -> u64 {
        let sizes = self.large_values.iter().map(|large| large.stored.bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Puts back the large values of the first of these spans, about [`BATCH_BYTES`] of them, and takes these
/// spans away.
pub(crate) fn restore_some(
    waiting: &mut VecDeque<CutRecord>,
    payload: &mut PayloadReader,
) -> Result<Vec<SpanRecord>, ReadError> {
    let (mut whole, mut bytes) = (Vec::new(), 0_u64);
    while bytes < BATCH_BYTES
        && let Some(cut) = waiting.pop_front()
    {
        bytes = bytes.saturating_add(cut.large_bytes());
        whole.push(cut.restore(payload)?);
    }
    Ok(whole)
}

impl LargeValue {
    /// Whether the part of the span was read to which it belongs.
    fn is_read(&self, span: &Span) -> bool {
        match self.owner {
            Owner::Span => !span.attributes.is_empty(),
            Owner::Event(_) => !span.events.is_empty(),
            Owner::Link(_) => !span.links.is_empty(),
        }
    }

    /// Its attribute.
    fn attribute<'a>(&self, span: &'a mut Span) -> Option<&'a mut KeyValue> {
        let attributes = match self.owner {
            Owner::Span => &mut span.attributes,
            Owner::Event(number) => &mut span.events.get_mut(number as usize)?.attributes,
            Owner::Link(number) => &mut span.links.get_mut(number as usize)?.attributes,
        };
        let mut same_key = attributes.iter_mut().filter(|it| it.key == self.key);
        same_key.nth(self.occurrence as usize)
    }

    /// The value, if it is an attribute of the span itself and its key and occurrence are these.
    pub(crate) fn is_of_span(&self, key: &str, occurrence: usize) -> bool {
        self.owner == Owner::Span && self.key == key && self.occurrence as usize == occurrence
    }
}

/// The value of which `kept` is kept in the columns and `bytes` are in the payload file.
pub(crate) fn whole_value(kept: &Value, bytes: Vec<u8>) -> Option<Value> {
    Some(match kept {
        Value::String(_) => Value::String(String::from_utf8(bytes).ok()?.into()),
        Value::Bytes(_) => Value::Bytes(bytes),
        Value::Array(_) | Value::Map(_) => {
            let mut list = protobuf::decode_attributes(&bytes, &STORED_LIMITS).ok()?;
            list.pop()?.value
        }
        _ => return None,
    })
}

/// What is kept of a large value: its first part, of the same type.
pub(crate) fn kept_value(value: ValueRef<'_>) -> Value {
    match value.kept() {
        ValueRef::Nested(nested) => kept_nested(&nested.to_value(), &mut { KEPT_BYTES }),
        kept => kept.to_value(),
    }
}

/// The first elements of an array or a map, of which `left` bytes may be kept.
fn kept_nested(value: &Value, left: &mut usize) -> Value {
    match value {
        Value::String(text) => {
            let end = text.floor_char_boundary((*left).min(text.len()));
            *left -= end;
            Value::String(text[..end].to_owned().into())
        }
        Value::Bytes(bytes) => {
            let end = (*left).min(bytes.len());
            *left -= end;
            Value::Bytes(bytes[..end].to_owned())
        }
        Value::Array(values) => {
            let mut kept = Vec::new();
            for value in values {
                if *left == 0 {
                    break;
                }
                *left = left.saturating_sub(ELEMENT_BYTES);
                kept.push(kept_nested(value, left));
            }
            Value::Array(kept)
        }
        Value::Map(pairs) => {
            let mut kept = Vec::new();
            for pair in pairs {
                let bytes = pair.key.len() + ELEMENT_BYTES;
                if *left < bytes {
                    break;
                }
                *left -= bytes;
                kept.push(KeyValue {
                    key: pair.key.clone(),
                    value: kept_nested(&pair.value, left),
                });
            }
            Value::Map(kept)
        }
        other => other.clone(),
    }
}

/// Puts the large values of a row into a payload file, and makes a row of what is kept.
pub(crate) struct Cutter<'a> {
    payload: &'a mut PayloadWriter,
    large_values: Vec<LargeValue>,
    failure: Option<io::Error>,
}

/// What is kept of the attributes, events and links of a row, and its large values.
pub(crate) struct CutLists {
    /// Of which only the lists count.
    pub(crate) span: Span,
    pub(crate) large_values: Vec<LargeValue>,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(payload: &'a mut PayloadWriter) -> Self {
        Self {
            payload,
            large_values: Vec::new(),
            failure: None,
        }
    }

    pub(crate) fn cut(mut self, row: &Row<'_>) -> io::Result<CutLists> {
        let mut span = Span::default();
        row.each_attribute(|key, value| self.take(Owner::Span, key, value, &mut span.attributes));
        row.each_event(|event| span.events.push(self.event(event, span.events.len())));
        row.each_link(|link| span.links.push(self.link(link, span.links.len())));
        match self.failure {
            Some(error) => Err(error),
            None => Ok(CutLists {
                span,
                large_values: self.large_values,
            }),
        }
    }

    fn event(&mut self, event: EventRow<'_>, number: usize) -> Event {
        let mut attributes = Vec::new();
        let owner = Owner::Event(number as u32);
        let mut take =
            |key: &str, value: ValueRef<'_>| self.take(owner, key, value, &mut attributes);
        event.attributes.each(&mut take);
        Event {
            time_unix_nano: event.time_unix_nano,
            name: event.name.to_owned().into(),
            attributes,
            dropped_attributes_count: event.dropped_attributes_count,
        }
    }

    fn link(&mut self, link: LinkRow<'_>, number: usize) -> Link {
        let mut attributes = Vec::new();
        let owner = Owner::Link(number as u32);
        let mut take =
            |key: &str, value: ValueRef<'_>| self.take(owner, key, value, &mut attributes);
        link.attributes.each(&mut take);
        Link {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: link.trace_state.to_owned().into(),
            attributes,
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        }
    }

    /// Adds what is kept of an attribute to those of its owner.
    fn take(&mut self, owner: Owner, key: &str, value: ValueRef<'_>, kept: &mut Vec<KeyValue>) {
        let value = match value.large_bytes() {
            None => value.to_value(),
            Some(bytes) => {
                let occurrence = kept.iter().filter(|it| it.key == key).count();
                match self.payload.add(&bytes) {
                    Ok(stored) => self.large_values.push(LargeValue {
                        owner,
                        key: key.to_owned(),
                        occurrence: occurrence as u32,
                        stored,
                    }),
                    Err(error) => self.failure = Some(error),
                }
                kept_value(value)
            }
        };
        kept.push(KeyValue {
            key: key.to_owned().into(),
            value,
        });
    }
}

/// Collects the large values of spans into a column of [`LARGE_VALUE_FIELDS`].
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
    /// Appends the large values of a span.
    pub(crate) fn push(&mut self, values: &[LargeValue]) -> Result<(), ArrowError> {
        for large in values {
            let (owner, number) = match large.owner {
                Owner::Span => (0, 0),
                Owner::Event(number) => (1, number),
                Owner::Link(number) => (2, number),
            };
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
        let number = owner_number.value(index);
        Some(LargeValue {
            owner: match owner.value(index) {
                0 => Owner::Span,
                1 => Owner::Event(number),
                2 => Owner::Link(number),
                _ => return None,
            },
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

/// Whether each row of a batch has a large value among the attributes of the span itself; `None` if
/// the column is not what was written. Only their owners were read.
pub(crate) fn spans_with(batch: &RecordBatch) -> Option<Vec<bool>> {
    if batch.column_by_name(schema::LARGE_VALUES).is_none() {
        return Some(vec![false; batch.num_rows()]);
    }
    let list: &ListArray = column(batch, schema::LARGE_VALUES)?;
    let values: &StructArray = list.values().as_any().downcast_ref()?;
    let owner: &UInt8Array = field(values, 0)?;
    let rows = list.value_offsets().windows(2);
    // Offsets are never negative.
    let has = |row: &[i32]| (row[0]..row[1]).any(|index| owner.value(index as usize) == 0);
    Some(rows.map(has).collect())
}

#[cfg(test)]
mod tests;
