//! Columns back into spans.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, UInt8Array, UInt32Array, UInt64Array,
};
use lumitrace_model::{
    Event, KeyValue, Link, Span, SpanId, SpanKind, Status, StatusCode, Text, TraceId,
};

use super::attribute_columns::AttributeValues;
use super::attributes::{AttributesColumn, field};
use super::footer::AttributeName;
use super::schema;
use super::tables::Tables;
use super::text::TextColumn;
use crate::SpanRecord;

/// The columns of a batch that was read. What the block or the reader has left out is absent.
struct Columns<'a> {
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    parent_row: Option<&'a Int32Array>,
    parent_span_id: Option<&'a FixedSizeBinaryArray>,
    start: &'a UInt64Array,
    duration: &'a Int64Array,
    service: Option<TextColumn<'a>>,
    name: TextColumn<'a>,
    kind: &'a UInt8Array,
    status_code: &'a UInt8Array,
    status_message: Option<&'a StringArray>,
    trace_state: Option<&'a StringArray>,
    flags: Option<&'a UInt32Array>,
    resource_id: Option<&'a UInt32Array>,
    scope_id: Option<&'a UInt32Array>,
    dropped_attributes: Option<&'a UInt32Array>,
    dropped_events: Option<&'a UInt32Array>,
    dropped_links: Option<&'a UInt32Array>,
    seq: &'a UInt64Array,
    /// Only in version 1.
    received: Option<&'a UInt64Array>,
    pending: Option<&'a BooleanArray>,
    attributes: Option<AttributesColumn<'a>>,
    events: Option<EventsColumn<'a>>,
    links: Option<LinksColumn<'a>>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            trace_id: column(batch, schema::TRACE_ID)?,
            span_id: column(batch, schema::SPAN_ID)?,
            parent_row: optional(batch, schema::PARENT_ROW)?,
            parent_span_id: optional(batch, schema::PARENT_SPAN_ID)?,
            start: column(batch, schema::START)?,
            duration: column(batch, schema::DURATION)?,
            service: part(batch, schema::SERVICE, TextColumn::new)?,
            name: TextColumn::new(batch.column_by_name(schema::NAME)?.as_ref())?,
            kind: column(batch, schema::KIND)?,
            status_code: column(batch, schema::STATUS_CODE)?,
            status_message: optional(batch, schema::STATUS_MESSAGE)?,
            trace_state: optional(batch, schema::TRACE_STATE)?,
            flags: optional(batch, schema::FLAGS)?,
            resource_id: optional(batch, schema::RESOURCE_ID)?,
            scope_id: optional(batch, schema::SCOPE_ID)?,
            dropped_attributes: optional(batch, schema::DROPPED_ATTRIBUTES)?,
            dropped_events: optional(batch, schema::DROPPED_EVENTS)?,
            dropped_links: optional(batch, schema::DROPPED_LINKS)?,
            seq: column(batch, schema::SEQ)?,
            received: optional(batch, schema::RECEIVED)?,
            pending: optional(batch, schema::PENDING)?,
            attributes: part(batch, schema::ATTRIBUTES, AttributesColumn::new)?,
            events: part(batch, schema::EVENTS, EventsColumn::new)?,
            links: part(batch, schema::LINKS, LinksColumn::new)?,
        })
    }

    /// The span in row `row`, of whose attributes those that have columns are given.
    fn span(&self, row: usize, mut attributes: Vec<KeyValue>) -> Option<Span> {
        let start_unix_nano = self.start.value(row);
        let parent = self.parent_span_id.filter(|ids| ids.is_valid(row));
        let parent_span_id = match parent {
            Some(ids) => Some(span_id(ids, row)?),
            None => None,
        };
        let number = |column: Option<&UInt32Array>| column.map_or(0, |column| column.value(row));
        let text = |column: Option<&StringArray>| {
            column.map_or(Cow::Borrowed(""), |column| text(column.value(row)))
        };
        if let Some(list) = &self.attributes {
            attributes.extend(list.get(row)?);
        }
        Some(Span {
            trace_id: trace_id(self.trace_id, row)?,
            span_id: span_id(self.span_id, row)?,
            parent_span_id,
            trace_state: text(self.trace_state),
            flags: number(self.flags),
            name: self::text(self.name.get(row)?),
            kind: SpanKind::from_code(self.kind.value(row).into()),
            start_unix_nano,
            end_unix_nano: start_unix_nano.wrapping_add(self.duration.value(row) as u64),
            attributes,
            dropped_attributes_count: number(self.dropped_attributes),
            events: part_of(&self.events, |column| column.get(row))?,
            dropped_events_count: number(self.dropped_events),
            links: part_of(&self.links, |column| column.get(row))?,
            dropped_links_count: number(self.dropped_links),
            status: Status {
                code: StatusCode::from_code(self.status_code.value(row).into()),
                message: text(self.status_message),
            },
            pending: self.pending.is_some_and(|column| column.value(row)),
        })
    }

    /// The number of the resource of row `row`: its own, or that of its service.
    fn resource_id(&self, row: usize, tables: &Tables) -> Option<u32> {
        match self.resource_id {
            Some(column) => Some(column.value(row)),
            None => tables.resource_of_service(self.service.as_ref()?.get(row)?),
        }
    }
}

/// A parent of which a span only knows how far away its row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParentRow {
    /// Place of the child in the batch.
    pub(crate) child: usize,
    pub(crate) distance: i32,
}

/// The spans in `batch`, with what they share from the block's tables, and the parents that are
/// still to be found; none if the batch cannot have been written by this release's writer or an
/// earlier one. `attribute_columns` name the columns of attributes that may be in the batch.
pub(crate) fn decode(
    batch: &RecordBatch,
    attribute_columns: &[AttributeName],
    tables: &Tables,
) -> Option<(Vec<SpanRecord>, Vec<ParentRow>)> {
    let columns = Columns::new(batch)?;
    let mut attributes = vec![Vec::new(); batch.num_rows()];
    for name in attribute_columns {
        if let Some(column) = batch.column_by_name(&name.column) {
            AttributeValues::new(column.as_ref())?.add_to(&name.key, &mut attributes);
        }
    }
    let record = |(row, attributes): (usize, Vec<KeyValue>)| {
        let resource_id = columns.resource_id(row, tables)? as usize;
        let resource = tables.resources.get(resource_id)?;
        let scope_id = columns.scope_id.map_or(0, |column| column.value(row));
        let scope = tables.scopes.get(scope_id as usize)?;
        let seq = columns.seq.value(row);
        let received_unix_nano = match columns.received {
            Some(column) => column.value(row),
            None => tables.received.at(seq),
        };
        Some(SpanRecord {
            span: columns.span(row, attributes)?,
            resource: Arc::clone(&resource.resource),
            resource_schema_url: Arc::clone(&resource.schema_url),
            scope: Arc::clone(&scope.scope),
            scope_schema_url: Arc::clone(&scope.schema_url),
            seq,
            received_unix_nano,
        })
    };
    let records = attributes.into_iter().enumerate().map(record);
    let distances = columns.parent_row.into_iter().flatten().enumerate();
    let parents = distances.filter_map(|(child, distance)| {
        let distance = distance?;
        Some(ParentRow { child, distance })
    });
    Some((records.collect::<Option<_>>()?, parents.collect()))
}

/// The column `name`, if it is there and has the expected type.
pub(crate) fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a T> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}

/// The outer option says whether the column, if it is there, has the expected type.
pub(crate) fn optional<'a, T: 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Option<Option<&'a T>> {
    part(batch, name, |column| column.as_any().downcast_ref())
}

/// The outer option says whether the column, if it is there, has the expected type.
pub(crate) fn part<'a, T>(
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

pub(crate) fn text(text: &str) -> Text {
    match text {
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
                name: text(self.name.value(index)),
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
                trace_state: text(self.trace_state.value(index)),
                attributes: self.attributes.get(index)?,
                dropped_attributes_count: self.dropped_attributes.value(index),
                flags: self.flags.value(index),
            })
        };
        element_range(self.list, row).map(link).collect()
    }
}
