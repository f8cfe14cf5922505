//! Parts of a span read in place, out of the bytes of a request that was checked.
//!
//! Nothing here fails: the bytes went through [`super::index_traces`]. Out of others come fewer
//! parts, or empty ones, but never a panic.

use lumitrace_model::{KeyValue, SpanId, TraceId, Value, names};

use super::decode;
use crate::proto::{Field, Reader};

/// What a `Span` message holds beside its [`SpanHead`](super::SpanHead).
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

/// An attribute of a span, event, link, resource or scope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttributeView<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: ValueView<'a>,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueView<'a> {
    /// No value was given.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// UTF-8 text.
    String(&'a str),
    /// Bytes without meaning to us.
    Bytes(&'a [u8]),
    /// A list of values, or of keys and values.
    Nested(NestedView<'a>),
}

/// An array or a map: the bytes of its `AnyValue` message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NestedView<'a> {
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
        attributes(self.message, 9).filter(move |attribute| {
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
    pub fn attributes(&self) -> impl Iterator<Item = AttributeView<'a>> + use<'a> {
        attributes(self.message, 3)
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
    pub fn attributes(&self) -> impl Iterator<Item = AttributeView<'a>> + use<'a> {
        attributes(self.message, 4)
    }
}

impl<'a> AttributeView<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            key: "",
            value: ValueView::Null,
        };
        for field in fields(message) {
            match field.number {
                1 => view.key = text(field),
                2 => view.value = ValueView::new(field.bytes().unwrap_or_default()),
                _ => {}
            }
        }
        view
    }
}

impl From<AttributeView<'_>> for KeyValue {
    fn from(attribute: AttributeView<'_>) -> Self {
        Self {
            key: attribute.key.to_owned().into(),
            value: attribute.value.into(),
        }
    }
}

impl<'a> ValueView<'a> {
    /// Reads an `AnyValue` message.
    fn new(message: &'a [u8]) -> Self {
        // Of several cases of a `oneof`, the last one counts.
        fields(message).fold(ValueView::Null, |value, field| match field.number {
            1 => ValueView::String(text(field)),
            2 => ValueView::Bool(field.varint().unwrap_or_default() != 0),
            3 => ValueView::Int(field.varint().unwrap_or_default() as i64),
            4 => ValueView::Double(field.double().unwrap_or_default()),
            5 | 6 => ValueView::Nested(NestedView { message }),
            7 => ValueView::Bytes(field.bytes().unwrap_or_default()),
            _ => value,
        })
    }
}

impl From<ValueView<'_>> for Value {
    fn from(view: ValueView<'_>) -> Self {
        match view {
            ValueView::Null => Value::Null,
            ValueView::Bool(bool) => Value::Bool(bool),
            ValueView::Int(int) => Value::Int(int),
            ValueView::Double(double) => Value::Double(double),
            ValueView::String(text) => Value::String(text.to_owned().into()),
            ValueView::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            ValueView::Nested(nested) => nested.to_value(),
        }
    }
}

impl<'a> NestedView<'a> {
    /// The array or map.
    pub fn to_value(&self) -> Value {
        decode::value(Reader::new(self.message)).unwrap_or_default()
    }

    /// Whether it is a map rather than an array.
    pub fn is_map(&self) -> bool {
        self.list().is_some_and(|field| field.number == 6)
    }

    /// Whether a text anywhere in it is one for which `is_wanted` says yes. Keys are not asked.
    pub fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        self.values().any(|value| match value {
            ValueView::String(text) => is_wanted(text),
            ValueView::Nested(nested) => nested.any_text(is_wanted),
            _ => false,
        })
    }

    /// The field that counts; there may be unknown ones behind it.
    fn list(&self) -> Option<Field<'a>> {
        fields(self.message)
            .filter(|field| matches!(field.number, 5 | 6))
            .last()
    }

    /// The elements of the array, or the values of the map.
    fn values(&self) -> impl Iterator<Item = ValueView<'a>> + use<'a> {
        let list = self.list();
        let is_map = list.is_some_and(|field| field.number == 6);
        let list = list
            .and_then(|field| field.bytes().ok())
            .unwrap_or_default();
        messages(list, 1).map(move |item| {
            if is_map {
                AttributeView::new(item).value
            } else {
                ValueView::new(item)
            }
        })
    }
}

/// The fields of a message that was checked, as far as it is one.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || reader.next().ok().flatten())
}

/// The messages in the fields with this number.
fn messages(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    fields(message)
        .filter(move |field| field.number == wanted)
        .filter_map(|field| field.bytes().ok())
}

fn attributes(message: &[u8], number: u32) -> impl Iterator<Item = AttributeView<'_>> {
    messages(message, number).map(AttributeView::new)
}

fn text(field: Field<'_>) -> &str {
    field.string().unwrap_or_default()
}

fn number(field: Field<'_>) -> u32 {
    field.uint32().unwrap_or_default()
}

fn status_message(status: Field<'_>) -> &str {
    let message = status.bytes().unwrap_or_default();
    let last = fields(message).filter(|field| field.number == 2).last();
    last.map(text).unwrap_or_default()
}
