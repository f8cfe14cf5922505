//! Spans into columns.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, ListArray,
    RecordBatch, StringBuilder, StructArray, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::error::ArrowError;
use lumitrace_model::{Event, Link};

use super::attributes::AttributesBuilder;
use super::schema::{self, EVENT_FIELDS, LINK_FIELDS, SCHEMA};
use crate::SpanRecord;
use crate::batch::memory_bytes;

/// A batch is closed at this many rows ...
const BATCH_ROWS: usize = 4096;
/// ... or this many bytes: far below the 2^31 that offsets in a column can count.
const BATCH_BYTES: usize = 16 << 20;

/// How long a span took, as blocks keep it and searches compare it: negative where its clock ran
/// backwards, and modulo 2^64 so that the end can be computed back from it whatever it was.
pub(crate) fn stored_duration_nano(start_unix_nano: u64, end_unix_nano: u64) -> i64 {
    end_unix_nano.wrapping_sub(start_unix_nano) as i64
}

/// Collects spans into record batches of [`SCHEMA`].
#[derive(Debug)]
pub(crate) struct SpanColumns {
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    start: UInt64Builder,
    duration: Int64Builder,
    service: StringBuilder,
    name: StringBuilder,
    kind: UInt8Builder,
    status_code: UInt8Builder,
    status_message: StringBuilder,
    trace_state: StringBuilder,
    flags: UInt32Builder,
    resource_id: UInt32Builder,
    scope_id: UInt32Builder,
    dropped_attributes: UInt32Builder,
    dropped_events: UInt32Builder,
    dropped_links: UInt32Builder,
    seq: UInt64Builder,
    received: UInt64Builder,
    pending: BooleanBuilder,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    rows: usize,
    bytes: usize,
}

impl Default for SpanColumns {
    fn default() -> Self {
        Self {
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            parent_span_id: FixedSizeBinaryBuilder::new(8),
            start: UInt64Builder::new(),
            duration: Int64Builder::new(),
            service: StringBuilder::new(),
            name: StringBuilder::new(),
            kind: UInt8Builder::new(),
            status_code: UInt8Builder::new(),
            status_message: StringBuilder::new(),
            trace_state: StringBuilder::new(),
            flags: UInt32Builder::new(),
            resource_id: UInt32Builder::new(),
            scope_id: UInt32Builder::new(),
            dropped_attributes: UInt32Builder::new(),
            dropped_events: UInt32Builder::new(),
            dropped_links: UInt32Builder::new(),
            seq: UInt64Builder::new(),
            received: UInt64Builder::new(),
            pending: BooleanBuilder::new(),
            attributes: AttributesBuilder::default(),
            events: EventsBuilder::default(),
            links: LinksBuilder::default(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl SpanColumns {
    /// Appends a span whose resource and scope the block knows by these numbers.
    pub(crate) fn push(
        &mut self,
        record: &SpanRecord,
        resource_id: u32,
        scope_id: u32,
    ) -> Result<(), ArrowError> {
        let span = &record.span;
        self.trace_id.append_value(span.trace_id.as_bytes())?;
        self.span_id.append_value(span.span_id.as_bytes())?;
        match &span.parent_span_id {
            Some(parent) => self.parent_span_id.append_value(parent.as_bytes())?,
            None => self.parent_span_id.append_null(),
        }
        self.start.append_value(span.start_unix_nano);
        self.duration.append_value(stored_duration_nano(
            span.start_unix_nano,
            span.end_unix_nano,
        ));
        self.service.append_value(record.service_name());
        self.name.append_value(&span.name);
        self.kind.append_value(span.kind.code());
        self.status_code.append_value(span.status.code.code());
        self.status_message.append_value(&span.status.message);
        self.trace_state.append_value(&span.trace_state);
        self.flags.append_value(span.flags);
        self.resource_id.append_value(resource_id);
        self.scope_id.append_value(scope_id);
        self.dropped_attributes
            .append_value(span.dropped_attributes_count);
        self.dropped_events.append_value(span.dropped_events_count);
        self.dropped_links.append_value(span.dropped_links_count);
        self.seq.append_value(record.seq);
        self.received.append_value(record.received_unix_nano);
        self.pending.append_value(span.pending);
        self.attributes.push(&span.attributes);
        self.events.push(&span.events);
        self.links.push(&span.links)?;
        self.rows += 1;
        self.bytes += memory_bytes(record);
        Ok(())
    }

    /// Whether it is time to [`finish`](Self::finish) a batch.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The batch of the spans pushed since the last call.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.duration.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.status_code.finish()),
            Arc::new(self.status_message.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.resource_id.finish()),
            Arc::new(self.scope_id.finish()),
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.dropped_events.finish()),
            Arc::new(self.dropped_links.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.received.finish()),
            Arc::new(self.pending.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.links.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
    }
}

/// Collects event lists into a column of [`EVENT_FIELDS`].
#[derive(Debug)]
struct EventsBuilder {
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
    fn push(&mut self, events: &[Event]) {
        for event in events {
            self.time.append_value(event.time_unix_nano);
            self.name.append_value(&event.name);
            self.dropped_attributes
                .append_value(event.dropped_attributes_count);
            self.attributes.push(&event.attributes);
        }
        self.offsets.push(self.time.len() as i32);
    }

    fn finish(&mut self) -> ListArray {
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
struct LinksBuilder {
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
    fn push(&mut self, links: &[Link]) -> Result<(), ArrowError> {
        for link in links {
            self.trace_id.append_value(link.trace_id.as_bytes())?;
            self.span_id.append_value(link.span_id.as_bytes())?;
            self.trace_state.append_value(&link.trace_state);
            self.flags.append_value(link.flags);
            self.dropped_attributes
                .append_value(link.dropped_attributes_count);
            self.attributes.push(&link.attributes);
        }
        self.offsets.push(self.flags.len() as i32);
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
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
