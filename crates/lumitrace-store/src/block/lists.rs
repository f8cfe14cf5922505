//! The events and links of spans into columns of lists.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, FixedSizeBinaryBuilder, ListArray, StringBuilder, StructArray,
    UInt32Builder, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;

use super::attributes::AttributesBuilder;
use super::row::Row;
use super::schema::{self, EVENT_FIELDS, LINK_FIELDS};

/// Collects event lists into a column of [`EVENT_FIELDS`].
#[derive(Debug)]
pub(crate) struct EventsBuilder {
    offsets: Vec<i32>,
    time: UInt64Builder,
    name: StringBuilder,
    dropped_attributes: UInt32Builder,
    attributes: AttributesBuilder,
}

impl Default for EventsBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            time: UInt64Builder::new(),
            name: StringBuilder::new(),
            dropped_attributes: UInt32Builder::new(),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl EventsBuilder {
    /// Appends the events of a span.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        row.each_event(|event| {
            self.time.append_value(event.time_unix_nano);
            self.name.append_value(event.name);
            self.dropped_attributes
                .append_value(event.dropped_attributes_count);
            self.attributes.push_list(event.attributes);
        });
        self.offsets.push(self.time.len() as i32);
    }

    pub(crate) fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.attributes.finish()),
        ];
        let values = StructArray::new(EVENT_FIELDS.clone(), columns, None);
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        ListArray::new(
            schema::element(&EVENT_FIELDS),
            offsets,
            Arc::new(values),
            None,
        )
    }
}

/// Collects link lists into a column of [`LINK_FIELDS`].
#[derive(Debug)]
pub(crate) struct LinksBuilder {
    offsets: Vec<i32>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    trace_state: StringBuilder,
    flags: UInt32Builder,
    dropped_attributes: UInt32Builder,
    attributes: AttributesBuilder,
}

impl Default for LinksBuilder {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            trace_state: StringBuilder::new(),
            flags: UInt32Builder::new(),
            dropped_attributes: UInt32Builder::new(),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl LinksBuilder {
    /// Appends the links of a span.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        let mut ids = Ok(());
        row.each_link(|link| {
            let trace_id = self.trace_id.append_value(link.trace_id.as_bytes());
            let span_id = self.span_id.append_value(link.span_id.as_bytes());
            if let Err(error) = trace_id.and(span_id) {
                ids = Err(error);
            }
            self.trace_state.append_value(link.trace_state);
            self.flags.append_value(link.flags);
            self.dropped_attributes
                .append_value(link.dropped_attributes_count);
            self.attributes.push_list(link.attributes);
        });
        self.offsets.push(self.flags.len() as i32);
        ids
    }

    pub(crate) fn finish(&mut self) -> ListArray {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.attributes.finish()),
        ];
        let values = StructArray::new(LINK_FIELDS.clone(), columns, None);
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        ListArray::new(
            schema::element(&LINK_FIELDS),
            offsets,
            Arc::new(values),
            None,
        )
    }
}
