//! Columns back into spans.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, FixedSizeBinaryArray, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, UInt8Array, UInt32Array, UInt64Array,
};
use lumitrace_model::{Event, Link, Span, SpanId, SpanKind, Status, StatusCode, Text, TraceId};

use super::attributes::{AttributesColumn, field};
use super::index::{Resources, Scopes};
use super::schema;
use crate::SpanRecord;

/// The columns of a batch that was read. Parts that were not asked for are absent.
struct Columns<'a> {
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    parent_span_id: &'a FixedSizeBinaryArray,
    start: &'a UInt64Array,
    duration: &'a Int64Array,
    name: &'a StringArray,
    kind: &'a UInt8Array,
    status_code: &'a UInt8Array,
    status_message: &'a StringArray,
    trace_state: &'a StringArray,
    flags: &'a UInt32Array,
    resource_id: &'a UInt32Array,
    scope_id: &'a UInt32Array,
    dropped_attributes: &'a UInt32Array,
    dropped_events: &'a UInt32Array,
    dropped_links: &'a UInt32Array,
    seq: &'a UInt64Array,
    received: &'a UInt64Array,
    pending: &'a BooleanArray,
    attributes: Option<AttributesColumn<'a>>,
    events: Option<EventsColumn<'a>>,
    links: Option<LinksColumn<'a>>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            trace_id: column(batch, schema::TRACE_ID)?,
            span_id: column(batch, schema::SPAN_ID)?,
            parent_span_id: column(batch, schema::PARENT_SPAN_ID)?,
            start: column(batch, schema::START)?,
            duration: column(batch, schema::DURATION)?,
            name: column(batch, schema::NAME)?,
            kind: column(batch, schema::KIND)?,
            status_code: column(batch, schema::STATUS_CODE)?,
            status_message: column(batch, schema::STATUS_MESSAGE)?,
            trace_state: column(batch, schema::TRACE_STATE)?,
            flags: column(batch, schema::FLAGS)?,
            resource_id: column(batch, schema::RESOURCE_ID)?,
            scope_id: column(batch, schema::SCOPE_ID)?,
            dropped_attributes: column(batch, schema::DROPPED_ATTRIBUTES)?,
            dropped_events: column(batch, schema::DROPPED_EVENTS)?,
            dropped_links: column(batch, schema::DROPPED_LINKS)?,
            seq: column(batch, schema::SEQ)?,
            received: column(batch, schema::RECEIVED)?,
            pending: column(batch, schema::PENDING)?,
            attributes: part(batch, schema::ATTRIBUTES, AttributesColumn::new)?,
            events: part(batch, schema::EVENTS, EventsColumn::new)?,
            links: part(batch, schema::LINKS, LinksColumn::new)?,
        })
    }

    fn span(&self, row: usize) -> Option<Span> {
        let start_unix_nano = self.start.value(row);
        let parent = self.parent_span_id;
        let parent_span_id = if parent.is_null(row) {
            None
        } else {
            Some(span_id(parent, row)?)
        };
        Some(Span {
            trace_id: trace_id(self.trace_id, row)?,
            span_id: span_id(self.span_id, row)?,
            parent_span_id,
            trace_state: text(self.trace_state, row),
            flags: self.flags.value(row),
            name: text(self.name, row),
            kind: SpanKind::from_code(self.kind.value(row).into()),
            start_unix_nano,
            end_unix_nano: start_unix_nano.wrapping_add(self.duration.value(row) as u64),
            attributes: part_of(&self.attributes, |column| column.get(row))?,
            dropped_attributes_count: self.dropped_attributes.value(row),
            events: part_of(&self.events, |column| column.get(row))?,
            dropped_events_count: self.dropped_events.value(row),
            links: part_of(&self.links, |column| column.get(row))?,
            dropped_links_count: self.dropped_links.value(row),
            status: Status {
                code: StatusCode::from_code(self.status_code.value(row).into()),
                message: text(self.status_message, row),
            },
            pending: self.pending.value(row),
        })
    }
}

/// The spans in `batch`, with their resources and scopes from the block's tables; none if the
/// batch cannot have been written by this release's writer or an earlier one.
pub(crate) fn decode(
    batch: &RecordBatch,
    resources: &Resources,
    scopes: &Scopes,
) -> Option<Vec<SpanRecord>> {
    let columns = Columns::new(batch)?;
    let record = |row| {
        let resource = resources.get(columns.resource_id.value(row) as usize)?;
        let scope = scopes.get(columns.scope_id.value(row) as usize)?;
        Some(SpanRecord {
            span: columns.span(row)?,
            resource: Arc::clone(&resource.resource),
            resource_schema_url: Arc::clone(&resource.schema_url),
            scope: Arc::clone(&scope.scope),
            scope_schema_url: Arc::clone(&scope.schema_url),
            seq: columns.seq.value(row),
            received_unix_nano: columns.received.value(row),
        })
    };
    (0..batch.num_rows()).map(record).collect()
}

/// The column `name`, if it is there and has the expected type.
pub(crate) fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a T> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}

/// The outer option says whether the column, if it is there, has the expected type.
fn part<'a, T>(
    batch: &'a RecordBatch,
    name: &str,
    read: impl FnOnce(&'a dyn Array) -> Option<T>,
) -> Option<Option<T>> {
    match batch.column_by_name(name) {
        Some(column) => Some(Some(read(column.as_ref())?)),
        None => Some(None),
    }
}

/// The part of a span, empty if its column was not asked for.
fn part_of<C, T>(column: &Option<C>, get: impl FnOnce(&C) -> Option<Vec<T>>) -> Option<Vec<T>> {
    column.as_ref().map_or_else(|| Some(Vec::new()), get)
}

fn text(column: &StringArray, row: usize) -> Text {
    match column.value(row) {
        "" => Cow::Borrowed(""),
        text => Cow::Owned(text.to_owned()),
    }
}

fn trace_id(column: &FixedSizeBinaryArray, row: usize) -> Option<TraceId> {
    column.value(row).try_into().ok().map(TraceId::from_bytes)
}

fn span_id(column: &FixedSizeBinaryArray, row: usize) -> Option<SpanId> {
    column.value(row).try_into().ok().map(SpanId::from_bytes)
}

fn list_values(column: &dyn Array) -> Option<(&ListArray, &StructArray)> {
    let list = column.as_any().downcast_ref::<ListArray>()?;
    Some((list, list.values().as_any().downcast_ref()?))
}

fn element_range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    // Offsets are never negative.
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

struct EventsColumn<'a> {
    list: &'a ListArray,
    time: &'a UInt64Array,
    name: &'a StringArray,
    dropped_attributes: &'a UInt32Array,
    attributes: AttributesColumn<'a>,
}

impl<'a> EventsColumn<'a> {
    fn new(column: &'a dyn Array) -> Option<Self> {
        let (list, values) = list_values(column)?;
        Some(Self {
            list,
            time: field(values, 0)?,
            name: field(values, 1)?,
            dropped_attributes: field(values, 2)?,
            attributes: AttributesColumn::new(values.columns().get(3)?.as_ref())?,
        })
    }

    fn get(&self, row: usize) -> Option<Vec<Event>> {
        let event = |index| {
            Some(Event {
                time_unix_nano: self.time.value(index),
                name: text(self.name, index),
                attributes: self.attributes.get(index)?,
                dropped_attributes_count: self.dropped_attributes.value(index),
            })
        };
        element_range(self.list, row).map(event).collect()
    }
}

struct LinksColumn<'a> {
    list: &'a ListArray,
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    trace_state: &'a StringArray,
    flags: &'a UInt32Array,
    dropped_attributes: &'a UInt32Array,
    attributes: AttributesColumn<'a>,
}

impl<'a> LinksColumn<'a> {
    fn new(column: &'a dyn Array) -> Option<Self> {
        let (list, values) = list_values(column)?;
        Some(Self {
            list,
            trace_id: field(values, 0)?,
            span_id: field(values, 1)?,
            trace_state: field(values, 2)?,
            flags: field(values, 3)?,
            dropped_attributes: field(values, 4)?,
            attributes: AttributesColumn::new(values.columns().get(5)?.as_ref())?,
        })
    }

    fn get(&self, row: usize) -> Option<Vec<Link>> {
        let link = |index| {
            Some(Link {
                trace_id: trace_id(self.trace_id, index)?,
                span_id: span_id(self.span_id, index)?,
                trace_state: text(self.trace_state, index),
                attributes: self.attributes.get(index)?,
                dropped_attributes_count: self.dropped_attributes.value(index),
                flags: self.flags.value(index),
            })
        };
        element_range(self.list, row).map(link).collect()
    }
}
