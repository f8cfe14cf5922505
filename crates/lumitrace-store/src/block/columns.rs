//! Spans into columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use lumitrace_model::{SpanId, TraceId};

use super::attribute_columns::AttributeColumnsBuilder;
use super::attributes::AttributesBuilder;
use super::large_values::LargeValuesBuilder;
use super::layout::Layout;
use super::lists::{EventsBuilder, LinksBuilder};
use super::row::{BlockRow, Row};
use super::schema::{self, RowSchema, SPAN_SCHEMA};

/// Collects rows of one kind into record batches with the columns of a [`Layout`].
pub(crate) trait Columns: Sized {
    type Row<'a>: BlockRow;

    /// Which columns there may be.
    fn kind() -> &'static RowSchema;

    /// For a block with this layout, whose schema is `schema`.
    fn new(layout: &Layout, schema: SchemaRef) -> Self;

    /// Appends a row whose resource and scope the block knows by these numbers.
    fn push(
        &mut self,
        row: &Self::Row<'_>,
        resource_id: u32,
        scope_id: u32,
    ) -> Result<(), ArrowError>;

    /// Whether it is time to [`finish`](Self::finish) a batch.
    fn is_full(&self) -> bool;

    fn is_empty(&self) -> bool;

    /// The batch of the rows pushed since the last call.
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
}

/// A batch is closed at this many rows ...
pub(crate) const BATCH_ROWS: usize = 4096;
/// ... or this many bytes: far below the 2^31 that offsets in a column can count.
pub(crate) const BATCH_BYTES: usize = 16 << 20;
/// Spans of a trace side by side up to which looking at all of them is the quickest way to a
/// parent.
const FEW_SPANS: usize = 32;

/// How long a span took, as blocks keep it and searches compare it: negative where its clock ran
/// backwards, and modulo 2^64 so that the end can be computed back from it whatever it was.
pub(crate) fn stored_duration_nano(start_unix_nano: u64, end_unix_nano: u64) -> i64 {
    end_unix_nano.wrapping_sub(start_unix_nano) as i64
}

/// How long a span took whose duration is stored like this, for whoever counts or compares: one whose
/// clock ran backwards took no time.
pub(crate) fn duration_of_stored(stored_duration_nano: i64) -> u64 {
    stored_duration_nano.max(0) as u64
}

/// Collects spans into record batches with the columns of a [`Layout`].
#[derive(Debug)]
pub(crate) struct SpanColumns {
    schema: SchemaRef,
    ids: Vec<SpanIds>,
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
    pending: BooleanBuilder,
    attribute_columns: AttributeColumnsBuilder,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    large_values: LargeValuesBuilder,
    bytes: usize,
}

/// The ids of a span, kept until its parent can be looked for among its neighbours.
#[derive(Debug, Clone, Copy)]
struct SpanIds {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
}

impl Columns for SpanColumns {
    type Row<'a> = Row<'a>;

    fn kind() -> &'static RowSchema {
        &SPAN_SCHEMA
    }

    fn new(layout: &Layout, schema: SchemaRef) -> Self {
        Self {
            schema,
            ids: Vec::new(),
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
            pending: BooleanBuilder::new(),
            attribute_columns: AttributeColumnsBuilder::new(&layout.attributes),
            attributes: AttributesBuilder::default(),
            events: EventsBuilder::default(),
            links: LinksBuilder::default(),
            large_values: LargeValuesBuilder::default(),
            bytes: 0,
        }
    }

    fn push(&mut self, row: &Row<'_>, resource_id: u32, scope_id: u32) -> Result<(), ArrowError> {
        self.ids.push(SpanIds {
            trace_id: row.trace_id,
            span_id: row.span_id,
            parent_span_id: row.parent_span_id,
        });
        self.start.append_value(row.start_unix_nano);
        self.duration
            .append_value(stored_duration_nano(row.start_unix_nano, row.end_unix_nano));
        self.service.append_value(row.service_name);
        self.name.append_value(row.name);
        self.kind.append_value(row.kind);
        self.status_code.append_value(row.status_code);
        self.status_message.append_value(row.status_message);
        self.trace_state.append_value(row.trace_state);
        self.flags.append_value(row.flags);
        self.resource_id.append_value(resource_id);
        self.scope_id.append_value(scope_id);
        self.dropped_attributes
            .append_value(row.dropped_attributes_count);
        self.dropped_events.append_value(row.dropped_events_count);
        self.dropped_links.append_value(row.dropped_links_count);
        self.seq.append_value(row.seq);
        self.pending.append_value(row.pending);
        self.attribute_columns.begin_row();
        row.each_attribute(|key, value| {
            if !self.attribute_columns.take(key, value) {
                self.attributes.push(key, value);
            }
        });
        self.attributes.end_list();
        self.events.push(row);
        self.links.push(row)?;
        self.large_values.push(row.large_values)?;
        self.bytes += row.bytes;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        let [trace_id, span_id, parent_row, parent_span_id] =
            id_columns(&std::mem::take(&mut self.ids))?;
        let columns: HashMap<&str, ArrayRef> = HashMap::from([
            (schema::TRACE_ID, trace_id),
            (schema::SPAN_ID, span_id),
            (schema::PARENT_ROW, parent_row),
            (schema::PARENT_SPAN_ID, parent_span_id),
            (schema::START, Arc::new(self.start.finish()) as ArrayRef),
            (schema::DURATION, Arc::new(self.duration.finish())),
            (schema::SERVICE, Arc::new(self.service.finish())),
            (schema::NAME, Arc::new(self.name.finish())),
            (schema::KIND, Arc::new(self.kind.finish())),
            (schema::STATUS_CODE, Arc::new(self.status_code.finish())),
            (
                schema::STATUS_MESSAGE,
                Arc::new(self.status_message.finish()),
            ),
            (schema::TRACE_STATE, Arc::new(self.trace_state.finish())),
            (schema::FLAGS, Arc::new(self.flags.finish())),
            (schema::RESOURCE_ID, Arc::new(self.resource_id.finish())),
            (schema::SCOPE_ID, Arc::new(self.scope_id.finish())),
            (
                schema::DROPPED_ATTRIBUTES,
                Arc::new(self.dropped_attributes.finish()),
            ),
            (
                schema::DROPPED_EVENTS,
                Arc::new(self.dropped_events.finish()),
            ),
            (schema::DROPPED_LINKS, Arc::new(self.dropped_links.finish())),
            (schema::SEQ, Arc::new(self.seq.finish())),
            (schema::PENDING, Arc::new(self.pending.finish())),
            (schema::ATTRIBUTES, Arc::new(self.attributes.finish())),
            (schema::EVENTS, Arc::new(self.events.finish())),
            (schema::LINKS, Arc::new(self.links.finish())),
            (schema::LARGE_VALUES, Arc::new(self.large_values.finish())),
        ]);
        let attribute_columns = self.attribute_columns.finish();
        schema::batch_of(&self.schema, columns, attribute_columns)
    }
}

/// The columns of trace ids, span ids, distances to parents, and ids of parents that are not near.
fn id_columns(ids: &[SpanIds]) -> Result<[ArrayRef; 4], ArrowError> {
    let mut trace_id = FixedSizeBinaryBuilder::new(16);
    let mut span_id = FixedSizeBinaryBuilder::new(8);
    let mut parent_row = Int32Builder::new();
    let mut parent_span_id = FixedSizeBinaryBuilder::new(8);
    for trace in ids.chunk_by(|one, next| one.trace_id == next.trace_id) {
        let rows = Neighbours::new(trace);
        for (row, ids) in trace.iter().enumerate() {
            trace_id.append_value(ids.trace_id.as_bytes())?;
            span_id.append_value(ids.span_id.as_bytes())?;
            let parent = ids.parent_span_id;
            let near = parent.and_then(|parent| rows.row_of(parent));
            // A batch has few rows.
            parent_row.append_option(near.map(|near| near as i32 - row as i32));
            match parent {
                Some(parent) if near.is_none() => {
                    parent_span_id.append_value(parent.as_bytes())?;
                }
                _ => parent_span_id.append_null(),
            }
        }
    }
    Ok([
        Arc::new(trace_id.finish()),
        Arc::new(span_id.finish()),
        Arc::new(parent_row.finish()),
        Arc::new(parent_span_id.finish()),
    ])
}

/// The spans of a trace that lie side by side.
enum Neighbours<'a> {
    Few(&'a [SpanIds]),
    Many(HashMap<SpanId, usize>),
}

impl<'a> Neighbours<'a> {
    fn new(spans: &'a [SpanIds]) -> Self {
        if spans.len() <= FEW_SPANS {
            return Self::Few(spans);
        }
        Self::Many(spans.iter().map(|ids| ids.span_id).zip(0..).collect())
    }

    fn row_of(&self, span_id: SpanId) -> Option<usize> {
        match self {
            Self::Few(spans) => spans.iter().position(|ids| ids.span_id == span_id),
            Self::Many(rows) => rows.get(&span_id).copied(),
        }
    }
}
