//! Spans, their events and links.

use lumitrace_model::{SpanId, TraceId, names};

use super::{AttributeView, AttributesView, ValueView, fields, messages, number, text};
use crate::proto::Field;

/// What a `Span` message holds beside its [`SpanHead`](super::super::SpanHead).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SpanView<'a> {
    /// W3C trace state, as it was sent.
    pub trace_state: &'a str,
    /// W3C trace flags and OTLP's own, as they were sent.
    pub flags: u32,
    /// What went wrong, for people.
    pub status_message: &'a str,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    /// How many events the sender's limits cut off.
    pub dropped_events_count: u32,
    /// How many links the sender's limits cut off.
    pub dropped_links_count: u32,
    /// Whether there is an event.
    pub has_events: bool,
    /// Whether there is a link.
    pub has_links: bool,
    message: &'a [u8],
}

/// An event of a span.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventView<'a> {
    /// When it happened, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What happened.
    pub name: &'a str,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    message: &'a [u8],
}

/// A link of a span.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LinkView<'a> {
    /// The trace pointed at.
    pub trace_id: TraceId,
    /// The span pointed at.
    pub span_id: SpanId,
    /// The W3C trace state of that span.
    pub trace_state: &'a str,
    /// The W3C trace flags of that span.
    pub flags: u32,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    message: &'a [u8],
}

impl<'a> SpanView<'a> {
    /// Reads a `Span` message.
    pub fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            message,
            ..Self::default()
        };
        for field in fields(message) {
            match field.number {
                3 => view.trace_state = text(field),
                10 => view.dropped_attributes_count = number(field),
                11 => view.has_events = true,
                12 => view.dropped_events_count = number(field),
                13 => view.has_links = true,
                14 => view.dropped_links_count = number(field),
                15 => view.status_message = status_message(field),
                16 => view.flags = field.fixed32().unwrap_or_default(),
                _ => {}
            }
        }
        view
    }

    /// The span's attributes, without the mark of an announcement.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeView<'a>> + use<'a> {
        let is_mark = |attribute: &AttributeView<'_>| {
            attribute.key == names::PENDING_ATTRIBUTE && attribute.value == ValueView::Bool(true)
        };
        let mut mark_is_past = false;
        AttributesView::new(self.message, 9)
            .iter()
            .filter(move |attribute| {
                let is_content = mark_is_past || !is_mark(attribute);
                mark_is_past |= !is_content;
                is_content
            })
    }

    /// The span's events.
    pub fn events(&self) -> impl Iterator<Item = EventView<'a>> + use<'a> {
        // Most spans have none: their bytes are not looked through again.
        let message = if self.has_events { self.message } else { &[] };
        messages(message, 11).map(EventView::new)
    }

    /// The span's links.
    pub fn links(&self) -> impl Iterator<Item = LinkView<'a>> + use<'a> {
        let message = if self.has_links { self.message } else { &[] };
        messages(message, 13).map(LinkView::new)
    }
}

impl<'a> EventView<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            message,
            ..Self::default()
        };
        for field in fields(message) {
            match field.number {
                1 => view.time_unix_nano = field.fixed64().unwrap_or_default(),
                2 => view.name = text(field),
                4 => view.dropped_attributes_count = number(field),
                _ => {}
            }
        }
        view
    }

    /// The facts.
    pub fn attributes(&self) -> AttributesView<'a> {
        AttributesView::new(self.message, 3)
    }
}

impl<'a> LinkView<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            message,
            ..Self::default()
        };
        let bytes = |field: Field<'a>| field.bytes().unwrap_or_default();
        for field in fields(message) {
            match field.number {
                1 => view.trace_id = TraceId::from_slice(bytes(field)).unwrap_or_default(),
                2 => view.span_id = SpanId::from_slice(bytes(field)).unwrap_or_default(),
                3 => view.trace_state = text(field),
                5 => view.dropped_attributes_count = number(field),
                6 => view.flags = field.fixed32().unwrap_or_default(),
                _ => {}
            }
        }
        view
    }

    /// The facts.
    pub fn attributes(&self) -> AttributesView<'a> {
        AttributesView::new(self.message, 4)
    }
}

fn status_message(status: Field<'_>) -> &str {
    let message = status.bytes().unwrap_or_default();
    let last = fields(message).filter(|field| field.number == 2).last();
    last.map(text).unwrap_or_default()
}
