//! From spans to bytes.

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, TraceId, Value, names,
};

use super::{key_values, messages, resource, scope, value};
use crate::proto::Writer;

/// Encodes an `ExportTraceServiceRequest`.
///
/// ```
/// use lumitrace_wire::{otlp::protobuf, DecodeLimits};
/// let bytes = protobuf::encode_traces(&[]);
/// assert_eq!(protobuf::decode_traces(&bytes, &DecodeLimits::default())?.span_count(), 0);
/// # Ok::<(), lumitrace_wire::DecodeError>(())
/// ```
pub fn encode_traces(resource_spans: &[ResourceSpans]) -> Vec<u8> {
    let mut request = Writer::default();
    messages(&mut request, 1, resource_spans, resource_group);
    request.into_bytes()
}

/// What is encoded of a span, wherever it lies.
#[derive(Debug, Clone, Copy)]
pub struct SpanFields<'a> {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its id within the trace.
    pub span_id: SpanId,
    /// The span that caused it, unless it is a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C trace state, as it is sent.
    pub trace_state: &'a str,
    /// W3C trace flags and OTLP's own.
    pub flags: u32,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// Its attributes, without the mark of an announcement.
    pub attributes: &'a [KeyValue],
    /// How many attributes were dropped.
    pub dropped_attributes_count: u32,
    /// Its events.
    pub events: &'a [Event],
    /// How many events were dropped.
    pub dropped_events_count: u32,
    /// Its links.
    pub links: &'a [Link],
    /// How many links were dropped.
    pub dropped_links_count: u32,
    /// How it went.
    pub status: &'a Status,
    /// Whether it announces a span that is still open.
    pub pending: bool,
}

impl<'a> From<&'a Span> for SpanFields<'a> {
    fn from(span: &'a Span) -> Self {
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            trace_state: &span.trace_state,
            flags: span.flags,
            name: &span.name,
            kind: span.kind,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            attributes: &span.attributes,
            dropped_attributes_count: span.dropped_attributes_count,
            events: &span.events,
            dropped_events_count: span.dropped_events_count,
            links: &span.links,
            dropped_links_count: span.dropped_links_count,
            status: &span.status,
            pending: span.pending,
        }
    }
}

/// Builds the request of one resource span by span, each encoded once, without holding the spans.
///
/// ```
/// use lumitrace_model::{Resource, Scope, Span};
/// use lumitrace_wire::otlp::protobuf::RequestEncoder;
/// let mut request = RequestEncoder::new(&Resource::default(), "");
/// request.span(&Scope::default(), &Span::default());
/// assert_eq!(request.span_count(), 1);
/// let body: Vec<u8> = request.finish();
/// # assert!(!body.is_empty());
/// ```
#[derive(Debug)]
pub struct RequestEncoder {
    resource: Vec<u8>,
    schema_url: String,
    scopes: Vec<(Scope, Writer)>,
    span_count: usize,
}

impl RequestEncoder {
    /// Starts the request of `resource`.
    pub fn new(resource_: &Resource, schema_url: &str) -> Self {
        let mut writer = Writer::default();
        resource(&mut writer, resource_);
        Self {
            resource: writer.into_bytes(),
            schema_url: schema_url.to_owned(),
            scopes: Vec::new(),
            span_count: 0,
        }
    }

    /// Appends a span, grouped with the earlier ones of its scope.
    pub fn span<'a>(&mut self, scope_: &Scope, span_: impl Into<SpanFields<'a>>) {
        // A batch has few scopes, and consecutive spans mostly share theirs.
        let index = self.scopes.iter().rposition(|(known, _)| known == scope_);
        let index = index.unwrap_or_else(|| {
            let mut writer = Writer::with_capacity(4096);
            writer.message(1, |message| scope(message, scope_));
            self.scopes.push((scope_.clone(), writer));
            self.scopes.len() - 1
        });
        self.scopes[index]
            .1
            .message(2, |message| span(message, span_.into()));
        self.span_count += 1;
    }

    /// How many spans the request holds.
    pub fn span_count(&self) -> usize {
        self.span_count
    }

    /// The size of the request so far, in bytes, but for a few bytes of lengths.
    pub fn encoded_len(&self) -> usize {
        let scopes = self.scopes.iter().map(|(_, writer)| writer.len());
        self.resource.len() + self.schema_url.len() + scopes.sum::<usize>()
    }

    /// The finished `ExportTraceServiceRequest`.
    pub fn finish(self) -> Vec<u8> {
        let mut request = Writer::with_capacity(self.encoded_len() + 64);
        request.message(1, |message| {
            message.bytes_always(1, &self.resource);
            for (_, writer) in self.scopes {
                message.bytes_always(2, &writer.into_bytes());
            }
            message.bytes(3, self.schema_url.as_bytes());
        });
        request.into_bytes()
    }
}

fn resource_group(message: &mut Writer, group: &ResourceSpans) {
    message.message(1, |message| resource(message, &group.resource));
    messages(message, 2, &group.scope_spans, scope_group);
    message.bytes(3, group.schema_url.as_bytes());
}

fn scope_group(message: &mut Writer, group: &ScopeSpans) {
    message.message(1, |message| scope(message, &group.scope));
    messages(message, 2, &group.spans, |message, it| {
        span(message, it.into());
    });
    message.bytes(3, group.schema_url.as_bytes());
}

fn span(message: &mut Writer, span: SpanFields<'_>) {
    message.bytes_always(1, span.trace_id.as_bytes());
    message.bytes_always(2, span.span_id.as_bytes());
    message.bytes(3, span.trace_state.as_bytes());
    if let Some(parent) = span.parent_span_id {
        message.bytes_always(4, parent.as_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.varint(6, span.kind.code().into());
    message.fixed64(7, span.start_unix_nano);
    message.fixed64(8, span.end_unix_nano);
    key_values(message, 9, span.attributes);
    if span.pending {
        message.message(9, |message| {
            message.bytes(1, names::PENDING_ATTRIBUTE.as_bytes());
            message.message(2, |message| value(message, &Value::Bool(true)));
        });
    }
    message.varint(10, span.dropped_attributes_count.into());
    messages(message, 11, span.events, event);
    message.varint(12, span.dropped_events_count.into());
    messages(message, 13, span.links, link);
    message.varint(14, span.dropped_links_count.into());
    if *span.status != Status::default() {
        message.message(15, |message| {
            message.bytes(2, span.status.message.as_bytes());
            message.varint(3, span.status.code.code().into());
        });
    }
    message.fixed32(16, span.flags);
}

fn event(message: &mut Writer, event: &Event) {
    message.fixed64(1, event.time_unix_nano);
    message.bytes(2, event.name.as_bytes());
    key_values(message, 3, &event.attributes);
    message.varint(4, event.dropped_attributes_count.into());
}

fn link(message: &mut Writer, link: &Link) {
    message.bytes_always(1, link.trace_id.as_bytes());
    message.bytes_always(2, link.span_id.as_bytes());
    message.bytes(3, link.trace_state.as_bytes());
    key_values(message, 4, &link.attributes);
    message.varint(5, link.dropped_attributes_count.into());
    message.fixed32(6, link.flags);
}
