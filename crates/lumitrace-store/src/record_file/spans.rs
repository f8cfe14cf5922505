//! Spans into the columns of a file of spans.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, RecordBatch, StringBuilder,
    UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::origins::OriginColumns;
use super::{FileColumns, FileRecord};
use crate::SpanRecord;
use crate::block::attributes::AttributesBuilder;
use crate::block::columns::stored_duration_nano;
use crate::block::lists::{EventsBuilder, LinksBuilder};
use crate::block::row::{AttributeList, BlockRow, Row};
use crate::block::tables::Tables;
use crate::block::{rows, schema};
use crate::spans::Spans;

/// A batch is closed at this many rows ...
const BATCH_ROWS: usize = 4096;
/// ... or this many bytes: far below the 2^31 that offsets in a column can count.
const BATCH_BYTES: usize = 16 << 20;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let list_of = |fields: &Fields| DataType::List(schema::element(fields));
    let attributes = || list_of(&schema::ATTRIBUTE_FIELDS);
    let field = |(name, data_type): (&str, DataType)| {
        // Only roots have no parent.
        Field::new(name, data_type, name == schema::PARENT_SPAN_ID)
    };
    let columns = [
        (schema::TRACE_ID, DataType::FixedSizeBinary(16)),
        (schema::SPAN_ID, DataType::FixedSizeBinary(8)),
        (schema::PARENT_SPAN_ID, DataType::FixedSizeBinary(8)),
        (schema::START, DataType::UInt64),
        (schema::DURATION, DataType::Int64),
        (schema::SERVICE, DataType::Utf8),
        (schema::NAME, DataType::Utf8),
        (schema::KIND, DataType::UInt8),
        (schema::STATUS_CODE, DataType::UInt8),
        (schema::STATUS_MESSAGE, DataType::Utf8),
        (schema::TRACE_STATE, DataType::Utf8),
        (schema::FLAGS, DataType::UInt32),
        (schema::DROPPED_ATTRIBUTES, DataType::UInt32),
        (schema::DROPPED_EVENTS, DataType::UInt32),
        (schema::DROPPED_LINKS, DataType::UInt32),
        (schema::RECEIVED, DataType::UInt64),
        (schema::PENDING, DataType::Boolean),
        (schema::ATTRIBUTES, attributes()),
        (schema::EVENTS, list_of(&schema::EVENT_FIELDS)),
        (schema::LINKS, list_of(&schema::LINK_FIELDS)),
    ];
    let own = columns.into_iter().map(field);
    let fields: Vec<Field> = own.chain(OriginColumns::fields()).collect();
    Arc::new(Schema::new(fields))
});

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
    dropped_attributes: UInt32Builder,
    dropped_events: UInt32Builder,
    dropped_links: UInt32Builder,
    received: UInt64Builder,
    pending: BooleanBuilder,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    origins: OriginColumns,
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
            dropped_attributes: UInt32Builder::new(),
            dropped_events: UInt32Builder::new(),
            dropped_links: UInt32Builder::new(),
            received: UInt64Builder::new(),
            pending: BooleanBuilder::new(),
            attributes: AttributesBuilder::default(),
            events: EventsBuilder::default(),
            links: LinksBuilder::default(),
            origins: OriginColumns::default(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl FileRecord for SpanRecord {
    const NOUN: &'static str = "spans";
    type Signal = Spans;
    type Columns = SpanColumns;

    fn decode(batch: &RecordBatch, tables: &Tables) -> Option<Vec<Self>> {
        let (records, _) = rows::decode(batch, &[], tables)?;
        Some(records)
    }
}

impl FileColumns for SpanColumns {
    type Record = SpanRecord;

    fn schema(&self) -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn push(&mut self, record: &SpanRecord) -> Result<(), ArrowError> {
        let (span, row) = (&record.span, Row::from(record));
        let (start, end) = (span.start_unix_nano, span.end_unix_nano);
        self.trace_id.append_value(span.trace_id.as_bytes())?;
        self.span_id.append_value(span.span_id.as_bytes())?;
        match &span.parent_span_id {
            Some(parent) => self.parent_span_id.append_value(parent.as_bytes())?,
            None => self.parent_span_id.append_null(),
        }
        self.start.append_value(start);
        self.duration.append_value(stored_duration_nano(start, end));
        self.service.append_value(record.service_name());
        self.name.append_value(&span.name);
        self.kind.append_value(span.kind.code());
        self.status_code.append_value(span.status.code.code());
        self.status_message.append_value(&span.status.message);
        self.trace_state.append_value(&span.trace_state);
        self.flags.append_value(span.flags);
        self.dropped_attributes
            .append_value(span.dropped_attributes_count);
        self.dropped_events.append_value(span.dropped_events_count);
        self.dropped_links.append_value(span.dropped_links_count);
        self.received.append_value(record.received_unix_nano);
        self.pending.append_value(span.pending);
        self.attributes
            .push_list(AttributeList::Slice(&span.attributes));
        self.events.push(&row);
        self.links.push(&row)?;
        self.origins.push(&row.head());
        self.rows += 1;
        self.bytes += record.memory_bytes();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        let mut columns: Vec<ArrayRef> = vec![
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
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.dropped_events.finish()),
            Arc::new(self.dropped_links.finish()),
            Arc::new(self.received.finish()),
            Arc::new(self.pending.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.links.finish()),
        ];
        columns.extend(self.origins.finish());
        RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
    }
}
