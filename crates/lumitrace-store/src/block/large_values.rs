//! Large values of attributes and bodies: cut to their first part in the columns, with a note of where in the
//! payload file the whole is; and put back.

mod columns;

use std::collections::VecDeque;
use std::io;

use lumitrace_model::{Event, KeyValue, Link, Span, Value};
use lumitrace_wire::otlp::protobuf;

pub(crate) use columns::{LargeValuesBuilder, decode, rows_with};

use super::attributes::STORED_LIMITS;
use super::payload::{PayloadReader, PayloadWriter, StoredValue};
use super::row::{BlockRow, EventRow, LinkRow, Row};
use super::value::{KEPT_BYTES, ValueRef};
use crate::SpanRecord;
use crate::error::{Corruption, ReadError};

/// Whole values are handed out in batches of about this many bytes.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;
/// About how much a value that is no text takes of what is kept of an array or a map.
const ELEMENT_BYTES: usize = 8;

/// Whose value a large value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An attribute of the span or the log record itself.
    Record,
    /// An attribute of the span's event with this number.
    Event(u32),
    /// An attribute of the span's link with this number.
    Link(u32),
    /// The body of the log record, which has no key.
    Body,
}

/// A large value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeValue {
    pub(crate) owner: Owner,
    pub(crate) key: String,
    /// How many attributes of its owner that have the same key come before it.
    pub(crate) occurrence: u32,
    pub(crate) stored: StoredValue,
}

/// A record as the columns have it, and its large values.
#[derive(Debug, Clone)]
pub(crate) struct CutRecord<R = SpanRecord> {
    pub(crate) record: R,
    pub(crate) large_values: Vec<LargeValue>,
}

impl<R> CutRecord<R> {
    /// A record that has no large values.
    pub(crate) fn whole(record: R) -> Self {
        Self {
            record,
            large_values: Vec::new(),
        }
    }
}

/// A record whose large values can be put back.
pub(crate) trait Restorable {
    /// Whether the part of it was read to which values of this owner belong.
    fn is_read(&self, owner: Owner) -> bool;

    /// What is kept of a large value.
    fn kept_mut(&mut self, large: &LargeValue) -> Option<&mut Value>;
}

impl<R: Restorable> CutRecord<R> {
    /// The record with its large values put back, as far as it has the parts that they belong to.
    pub(crate) fn restore(mut self, payload: &mut PayloadReader) -> Result<R, ReadError> {
        for large in &self.large_values {
            put_back(large, &mut self.record, payload)?;
        }
        Ok(self.record)
    }

    /// The same, but a value that is damaged stays cut; the first such damage is noted in `damage`.
    fn restore_readable(
        mut self,
        payload: &mut PayloadReader,
        damage: &mut Option<Corruption>,
    ) -> Result<R, ReadError> {
        for large in &self.large_values {
            match put_back(large, &mut self.record, payload) {
                Ok(()) => {}
                Err(ReadError::Corrupt(met)) => {
                    damage.get_or_insert(met);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.record)
    }

    /// Whether each large value belongs to something. Only of a record that has all parts.
    pub(crate) fn places_fit(&mut self) -> bool {
        let record = &mut self.record;
        let mut large_values = self.large_values.iter();
        large_values.all(|large| record.kept_mut(large).is_some())
    }

    fn large_bytes(&self) -> u64 {
        let sizes = self.large_values.iter().map(|large| large.stored.bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// Puts back the large values of the first of these records, about [`BATCH_BYTES`] of them, and takes
/// these records away.
pub(crate) fn restore_some<R: Restorable>(
    waiting: &mut VecDeque<CutRecord<R>>,
    payload: &mut PayloadReader,
) -> Result<Vec<R>, ReadError> {
    take_some(waiting, &mut |cut| cut.restore(payload))
}

/// The same, but values that are damaged stay cut; the first such damage is noted in `damage`.
pub(crate) fn restore_readable<R: Restorable>(
    waiting: &mut VecDeque<CutRecord<R>>,
    payload: &mut PayloadReader,
    damage: &mut Option<Corruption>,
) -> Result<Vec<R>, ReadError> {
    take_some(waiting, &mut |cut| cut.restore_readable(payload, damage))
}

fn take_some<R: Restorable>(
    waiting: &mut VecDeque<CutRecord<R>>,
    restore: &mut dyn FnMut(CutRecord<R>) -> Result<R, ReadError>,
) -> Result<Vec<R>, ReadError> {
    let (mut restored, mut bytes) = (Vec::new(), 0_u64);
    while bytes < BATCH_BYTES
        && let Some(cut) = waiting.pop_front()
    {
        bytes = bytes.saturating_add(cut.large_bytes());
        restored.push(restore(cut)?);
    }
    Ok(restored)
}

impl LargeValue {
    /// What is kept of it among the attributes of its owner.
    pub(crate) fn kept_among<'a>(&self, attributes: &'a mut [KeyValue]) -> Option<&'a mut Value> {
        let mut same_key = attributes.iter_mut().filter(|it| it.key == self.key);
        Some(&mut same_key.nth(self.occurrence as usize)?.value)
    }

    /// The value, if it is an attribute of the record itself and its key and occurrence are these.
    pub(crate) fn is_of_record(&self, key: &str, occurrence: usize) -> bool {
        self.owner == Owner::Record && self.key == key && self.occurrence as usize == occurrence
    }
}

/// Puts a large value back into its record, if the part of it was read to which it belongs.
fn put_back<R: Restorable>(
    large: &LargeValue,
    record: &mut R,
    payload: &mut PayloadReader,
) -> Result<(), ReadError> {
    if !record.is_read(large.owner) {
        return Ok(());
    }
    let Some(kept) = record.kept_mut(large) else {
        return Err(payload.malformed("a large value belongs to nothing"));
    };
    let bytes = payload.value(&large.stored)?;
    *kept = whole_value(kept, bytes).ok_or_else(|| {
        payload.malformed("a large value is not of the type that the columns say")
    })?;
    Ok(())
}

impl Restorable for SpanRecord {
    fn is_read(&self, owner: Owner) -> bool {
        match owner {
            Owner::Record => !self.span.attributes.is_empty(),
            Owner::Event(_) => !self.span.events.is_empty(),
            Owner::Link(_) => !self.span.links.is_empty(),
            Owner::Body => true,
        }
    }

    fn kept_mut(&mut self, large: &LargeValue) -> Option<&mut Value> {
        let span = &mut self.span;
        large.kept_among(match large.owner {
            Owner::Record => &mut span.attributes,
            Owner::Event(number) => &mut span.events.get_mut(number as usize)?.attributes,
            Owner::Link(number) => &mut span.links.get_mut(number as usize)?.attributes,
            Owner::Body => return None,
        })
    }
}

/// About how many bytes a row takes in columns that took `whole_bytes` before these values were cut.
pub(crate) fn bytes_of_cut(whole_bytes: usize, large_values: &[LargeValue]) -> usize {
    let lengths = large_values.iter().map(|large| large.stored.bytes as usize);
    whole_bytes.saturating_sub(lengths.sum()) + large_values.len() * KEPT_BYTES
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

/// Puts the large values of a record into a payload file, and keeps their first parts.
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
        row.each_attribute(|key, value| self.take(Owner::Record, key, value, &mut span.attributes));
        row.each_event(|event| span.events.push(self.event(event, span.events.len())));
        row.each_link(|link| span.links.push(self.link(link, span.links.len())));
        let large_values = self.finish()?;
        Ok(CutLists { span, large_values })
    }

    /// The large values that were taken, if all of them could be written.
    pub(crate) fn finish(self) -> io::Result<Vec<LargeValue>> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.large_values),
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
    pub(crate) fn take(
        &mut self,
        owner: Owner,
        key: &str,
        value: ValueRef<'_>,
        kept: &mut Vec<KeyValue>,
    ) {
        let occurrence = || kept.iter().filter(|it| it.key == key).count();
        let value = self.keep(owner, key, occurrence, value);
        kept.push(KeyValue {
            key: key.to_owned().into(),
            value,
        });
    }

    /// What is kept of a value: all of it, unless it is large.
    pub(crate) fn keep(
        &mut self,
        owner: Owner,
        key: &str,
        occurrence: impl FnOnce() -> usize,
        value: ValueRef<'_>,
    ) -> Value {
        let Some(bytes) = value.large_bytes() else {
            return value.to_value();
        };
        match self.payload.add(&bytes) {
            Ok(stored) => self.large_values.push(LargeValue {
                owner,
                key: key.to_owned(),
                occurrence: occurrence() as u32,
                stored,
            }),
            Err(error) => self.failure = Some(error),
        }
        kept_value(value)
    }
}

#[cfg(test)]
mod tests;
