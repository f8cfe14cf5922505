//! A span on its way into a block: borrowed, whether it lies in a request's bytes or in a record.

use std::sync::Arc;

use lumitrace_model::{Event, KeyValue, Link, Resource, Scope, Span, SpanId, TraceId};
use lumitrace_wire::otlp::protobuf::SpanHead;
use lumitrace_wire::otlp::protobuf::view::{AttributesView, EventView, LinkView, SpanView};

use super::index::IndexContent;
use super::large_values::{CutLists, CutRecord, LargeValue, bytes_of_cut};
use super::layout::OptionalColumns;
use super::schema;
use super::value::{LARGE_VALUE_BYTES, ValueRef};
use crate::SpanRecord;
use crate::batch::memory_bytes;
use crate::scan::SCAN_WINDOW_NANO;
use crate::stored::SpanRef;

/// A row on its way into a block, of whatever kind.
pub(crate) trait BlockRow {
    fn head(&self) -> RowHead<'_>;

    /// Hands each attribute to `take`.
    fn each_attribute(&self, take: impl FnMut(&str, ValueRef<'_>));

    /// What the columns have of the value of an attribute.
    fn kept<'v>(&self, value: ValueRef<'v>) -> ValueRef<'v> {
        value
    }

    /// Counts the row in what the index says of its kind.
    fn add_to_index(&self, index: &mut IndexContent);

    /// Notes which columns that not every block has the row needs, but for those of attributes,
    /// resource and scope.
    fn note_used_columns(&self, used: &mut OptionalColumns);
}

/// What every row has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHead<'a> {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) start_unix_nano: u64,
    pub(crate) end_unix_nano: u64,
    pub(crate) seq: u64,
    pub(crate) received_unix_nano: u64,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) resource_schema_url: &'a str,
    pub(crate) scope: &'a Arc<Scope>,
    pub(crate) scope_schema_url: &'a str,
}

/// What a block keeps of a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_span_id: Option<SpanId>,
    pub(crate) start_unix_nano: u64,
    pub(crate) end_unix_nano: u64,
    pub(crate) service_name: &'a str,
    pub(crate) name: &'a str,
    /// OTLP's number.
    pub(crate) kind: u8,
    /// OTLP's number.
    pub(crate) status_code: u8,
    pub(crate) status_message: &'a str,
    pub(crate) trace_state: &'a str,
    pub(crate) flags: u32,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) dropped_events_count: u32,
    pub(crate) dropped_links_count: u32,
    pub(crate) seq: u64,
    pub(crate) received_unix_nano: u64,
    pub(crate) pending: bool,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) resource_schema_url: &'a str,
    pub(crate) scope: &'a Arc<Scope>,
    pub(crate) scope_schema_url: &'a str,
    /// About how many bytes it takes in columns.
    pub(crate) bytes: usize,
    /// Of those that were cut, where the whole is; see [`Row::has_large_values`] for others.
    pub(crate) large_values: &'a [LargeValue],
    lists: Lists<'a>,
}

/// Where a span's attributes, events and links are.
#[derive(Debug, Clone, Copy)]
enum Lists<'a> {
    Span(&'a Span),
    View(SpanView<'a>),
}

/// What a block keeps of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventRow<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) name: &'a str,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) attributes: AttributeList<'a>,
}

/// What a block keeps of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkRow<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) trace_state: &'a str,
    pub(crate) flags: u32,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) attributes: AttributeList<'a>,
}

/// Attributes, wherever they lie. Those of spans have a mark among them, and are read by [`Row`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttributeList<'a> {
    Slice(&'a [KeyValue]),
    View(AttributesView<'a>),
}

/// See [`sort_key`].
pub(crate) type SortKey = (u64, TraceId, u64, SpanId, u8);

/// The order of spans in a block: by window of start, so that a search for the newest reads the
/// end; by trace within it, so that a trace's rows lie together; then so that records of the same
/// span are neighbours when blocks are merged.
pub(crate) fn sort_key(record: &SpanRecord) -> SortKey {
    let span = &record.span;
    key(
        span.start_unix_nano,
        span.trace_id,
        span.span_id,
        span.kind.code(),
    )
}

/// [`sort_key`] of a span in memory.
pub(crate) fn sort_key_of_head(head: &SpanHead) -> SortKey {
    key(
        head.start_unix_nano,
        head.trace_id,
        head.span_id,
        head.kind.code(),
    )
}

fn key(start_unix_nano: u64, trace_id: TraceId, span_id: SpanId, kind: u8) -> SortKey {
    let window = start_unix_nano / SCAN_WINDOW_NANO;
    (window, trace_id, start_unix_nano, span_id, kind)
}

impl<'a> From<&'a SpanRecord> for Row<'a> {
    fn from(record: &'a SpanRecord) -> Self {
        let span = &record.span;
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            service_name: record.service_name(),
            name: &span.name,
            kind: span.kind.code(),
            status_code: span.status.code.code(),
            status_message: &span.status.message,
            trace_state: &span.trace_state,
            flags: span.flags,
            dropped_attributes_count: span.dropped_attributes_count,
            dropped_events_count: span.dropped_events_count,
            dropped_links_count: span.dropped_links_count,
            seq: record.seq,
            received_unix_nano: record.received_unix_nano,
            pending: span.pending,
            resource: &record.resource,
            resource_schema_url: &record.resource_schema_url,
            scope: &record.scope,
            scope_schema_url: &record.scope_schema_url,
            bytes: memory_bytes(record),
            large_values: &[],
            lists: Lists::Span(span),
        }
    }
}

impl<'a> From<SpanRef<'a>> for Row<'a> {
    fn from(span: SpanRef<'a>) -> Self {
        let (head, view, origin) = (span.head(), span.view(), span.origin());
        Self {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_span_id: head.parent_span_id,
            start_unix_nano: head.start_unix_nano,
            end_unix_nano: head.end_unix_nano,
            service_name: origin.service_name(),
            name: span.name(),
            kind: head.kind.code(),
            status_code: head.status_code.code(),
            status_message: view.status_message,
            trace_state: view.trace_state,
            flags: view.flags,
            dropped_attributes_count: view.dropped_attributes_count,
            dropped_events_count: view.dropped_events_count,
            dropped_links_count: view.dropped_links_count,
            seq: span.seq(),
            received_unix_nano: span.received_unix_nano(),
            pending: head.pending,
            resource: &origin.resource,
            resource_schema_url: &origin.resource_schema_url,
            scope: &origin.scope,
            scope_schema_url: &origin.scope_schema_url,
            bytes: size_of::<Span>() + head.message.len(),
            large_values: &[],
            lists: Lists::View(view),
        }
    }
}

impl<'a> From<&'a CutRecord> for Row<'a> {
    fn from(cut: &'a CutRecord) -> Self {
        Self {
            large_values: &cut.large_values,
            ..Self::from(&cut.record)
        }
    }
}

impl<'a> Row<'a> {
    /// The row of which these are what was cut.
    pub(crate) fn with_large_values(self, large_values: &'a [LargeValue]) -> Self {
        Self {
            large_values,
            ..self
        }
    }

    /// The row with what is kept of its attributes, events and links.
    pub(crate) fn with_lists(self, kept: &'a CutLists) -> Self {
        let large_values = &kept.large_values;
        Self {
            bytes: bytes_of_cut(self.bytes, large_values),
            lists: Lists::Span(&kept.span),
            ..self.with_large_values(large_values)
        }
    }

    /// Whether an attribute of the span, of an event or of a link has a large value that was not cut.
    pub(crate) fn has_large_values(&self) -> bool {
        if self.bytes <= LARGE_VALUE_BYTES {
            return false;
        }
        let mut any = false;
        let mut ask = |_: &str, value: ValueRef<'_>| any = any || value.large_bytes().is_some();
        self.each_attribute(&mut ask);
        self.each_event(|event| event.attributes.each(&mut ask));
        self.each_link(|link| link.attributes.each(&mut ask));
        any
    }
}

impl BlockRow for Row<'_> {
    fn head(&self) -> RowHead<'_> {
        RowHead {
            trace_id: Some(self.trace_id),
            start_unix_nano: self.start_unix_nano,
            end_unix_nano: self.end_unix_nano,
            seq: self.seq,
            received_unix_nano: self.received_unix_nano,
            resource: self.resource,
            resource_schema_url: self.resource_schema_url,
            scope: self.scope,
            scope_schema_url: self.scope_schema_url,
        }
    }

    fn each_attribute(&self, mut take: impl FnMut(&str, ValueRef<'_>)) {
        match self.lists {
            Lists::Span(span) => each_of(&span.attributes, &mut take),
            Lists::View(view) => view
                .attributes()
                .for_each(|attribute| take(attribute.key, attribute.value.into())),
        }
    }

    fn add_to_index(&self, index: &mut IndexContent) {
        index.summaries.add_row(self);
        index.rollup.add(self);
        index.time_ranges.add(self.start_unix_nano);
    }

    fn kept<'v>(&self, value: ValueRef<'v>) -> ValueRef<'v> {
        value.kept()
    }

    fn note_used_columns(&self, used: &mut OptionalColumns) {
        used.insert_used([
            // Whether a parent is beside its child is seen only when the rows are.
            (schema::PARENT_ROW, self.parent_span_id.is_some()),
            (schema::PARENT_SPAN_ID, self.parent_span_id.is_some()),
            (schema::STATUS_MESSAGE, !self.status_message.is_empty()),
            (schema::TRACE_STATE, !self.trace_state.is_empty()),
            (schema::FLAGS, self.flags != 0),
            (
                schema::DROPPED_ATTRIBUTES,
                self.dropped_attributes_count != 0,
            ),
            (schema::DROPPED_EVENTS, self.dropped_events_count != 0),
            (schema::DROPPED_LINKS, self.dropped_links_count != 0),
            (schema::PENDING, self.pending),
            (schema::EVENTS, self.has_events()),
            (schema::LINKS, self.has_links()),
            (
                schema::LARGE_VALUES,
                !self.large_values.is_empty() || self.has_large_values(),
            ),
        ]);
    }
}

impl<'a> Row<'a> {
    /// Hands each event to `take`.
    pub(crate) fn each_event(&self, mut take: impl FnMut(EventRow<'a>)) {
        match self.lists {
            Lists::Span(span) => span.events.iter().for_each(|event| take(event.into())),
            Lists::View(view) => view.events().for_each(|event| take(event.into())),
        }
    }

    /// Hands each link to `take`.
    pub(crate) fn each_link(&self, mut take: impl FnMut(LinkRow<'a>)) {
        match self.lists {
            Lists::Span(span) => span.links.iter().for_each(|link| take(link.into())),
            Lists::View(view) => view.links().for_each(|link| take(link.into())),
        }
    }

    pub(crate) fn has_events(&self) -> bool {
        match self.lists {
            Lists::Span(span) => !span.events.is_empty(),
            Lists::View(view) => view.has_events,
        }
    }

    pub(crate) fn has_links(&self) -> bool {
        match self.lists {
            Lists::Span(span) => !span.links.is_empty(),
            Lists::View(view) => view.has_links,
        }
    }
}

impl<'a> From<&'a Event> for EventRow<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            time_unix_nano: event.time_unix_nano,
            name: &event.name,
            dropped_attributes_count: event.dropped_attributes_count,
            attributes: AttributeList::Slice(&event.attributes),
        }
    }
}

impl<'a> From<EventView<'a>> for EventRow<'a> {
    fn from(event: EventView<'a>) -> Self {
        Self {
            time_unix_nano: event.time_unix_nano,
            name: event.name,
            dropped_attributes_count: event.dropped_attributes_count,
            attributes: AttributeList::View(event.attributes()),
        }
    }
}

impl<'a> From<&'a Link> for LinkRow<'a> {
    fn from(link: &'a Link) -> Self {
        Self {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: &link.trace_state,
            flags: link.flags,
            dropped_attributes_count: link.dropped_attributes_count,
            attributes: AttributeList::Slice(&link.attributes),
        }
    }
}

impl<'a> From<LinkView<'a>> for LinkRow<'a> {
    fn from(link: LinkView<'a>) -> Self {
        Self {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: link.trace_state,
            flags: link.flags,
            dropped_attributes_count: link.dropped_attributes_count,
            attributes: AttributeList::View(link.attributes()),
        }
    }
}

impl AttributeList<'_> {
    /// Hands each attribute to `take`.
    pub(crate) fn each(self, mut take: impl FnMut(&str, ValueRef<'_>)) {
        match self {
            Self::Slice(attributes) => each_of(attributes, &mut take),
            Self::View(attributes) => attributes
                .iter()
                .for_each(|attribute| take(attribute.key, attribute.value.into())),
        }
    }
}

fn each_of(attributes: &[KeyValue], take: &mut impl FnMut(&str, ValueRef<'_>)) {
    for attribute in attributes {
        take(&attribute.key, (&attribute.value).into());
    }
}
