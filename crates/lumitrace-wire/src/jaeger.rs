//! Jaeger's Thrift model (jaegertracing/jaeger-idl, `thrift/jaeger.thrift` and `agent.thrift`), from
//! spans as the OpenTelemetry specification maps them (`trace/sdk_exporters/jaeger.md`).

use std::borrow::Cow;

use lumitrace_model::{
    Event, Link, Resource, Scope, Span, SpanId, SpanKind, StatusCode, TraceId, Value, names,
};

use crate::tags::{Tag, attribute_tags, general_tags, text};
use crate::thrift::{Encoding, Writer};

/// Encodes a `Batch` in Thrift's binary form: the body of `POST /api/traces` to a collector.
///
/// ```
/// use lumitrace_model::{Resource, Scope, Span};
/// let span = Span { name: "training_epoch".into(), ..Span::default() };
/// let body = lumitrace_wire::jaeger::encode_batch(&Resource::default(), [(&Scope::default(), &span)]);
/// assert!(body.windows(14).any(|bytes| bytes == b"training_epoch"));
/// ```
pub fn encode_batch<'a>(
    resource: &Resource,
    spans: impl IntoIterator<Item = (&'a Scope, &'a Span)>,
) -> Vec<u8> {
    let encoding = Encoding::Binary;
    let spans: Vec<_> = encoded(encoding, spans).collect();
    let process = encoded_process(encoding, resource);
    let mut writer = Writer::new(encoding);
    writer.structure(|batch| batch_fields(batch, &process, &spans));
    writer.into_bytes()
}

/// Messages for an agent, and what did not fit into any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentPackets {
    /// Each for one datagram.
    pub packets: Vec<AgentPacket>,
    /// How many spans are larger than a packet may be.
    pub too_large_spans: u64,
}

/// One `emitBatch` message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPacket {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// How many spans it carries.
    pub span_count: u64,
}

/// Encodes `emitBatch` messages in Thrift's compact form for an agent, none of them larger than
/// `max_packet_bytes`.
pub fn encode_agent_packets<'a>(
    resource: &Resource,
    spans: impl IntoIterator<Item = (&'a Scope, &'a Span)>,
    max_packet_bytes: usize,
) -> AgentPackets {
    /// The longest length of a list, over that of an empty one.
    const LIST_LENGTH_BYTES: usize = 5;
    let process = encoded_process(Encoding::Compact, resource);
    let frame_bytes = agent_packet(&process, &[]).len() + LIST_LENGTH_BYTES;
    let room = max_packet_bytes.saturating_sub(frame_bytes);
    let mut encoded_packets = AgentPackets::default();
    let (mut spans_of_packet, mut used): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let mut finish = |spans: &mut Vec<Vec<u8>>| {
        if !spans.is_empty() {
            encoded_packets.packets.push(AgentPacket {
                bytes: agent_packet(&process, spans),
                span_count: spans.len() as u64,
            });
            spans.clear();
        }
    };
    let mut too_large_spans = 0;
    for span in encoded(Encoding::Compact, spans) {
        if span.len() > room {
            too_large_spans += 1;
            continue;
        }
        if used + span.len() > room {
            finish(&mut spans_of_packet);
            used = 0;
        }
        used += span.len();
        spans_of_packet.push(span);
    }
    finish(&mut spans_of_packet);
    AgentPackets {
        too_large_spans,
        ..encoded_packets
    }
}

fn agent_packet(process: &[u8], spans: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Encoding::Compact);
    writer.oneway_call("emitBatch");
    writer.structure(|arguments| {
        arguments.structure_field(1, |batch| batch_fields(batch, process, spans));
    });
    writer.into_bytes()
}

/// The fields of a `Batch` of structures that are encoded already.
fn batch_fields(writer: &mut Writer, process: &[u8], spans: &[Vec<u8>]) {
    writer.encoded_structure_field(1, process);
    writer.structures_field(2, spans.len());
    spans.iter().for_each(|span| writer.raw(span));
}

/// A `Process`: the name of the service and the other attributes of the resource.
fn encoded_process(encoding: Encoding, resource: &Resource) -> Vec<u8> {
    let others = attribute_tags(&resource.attributes)
        .filter(|(key, _)| *key != names::SERVICE_NAME)
        .collect();
    let mut writer = Writer::new(encoding);
    writer.structure(|process| {
        process.string_field(1, resource.service_name());
        tags(process, 2, others);
    });
    writer.into_bytes()
}

fn encoded<'a>(
    encoding: Encoding,
    spans: impl IntoIterator<Item = (&'a Scope, &'a Span)>,
) -> impl Iterator<Item = Vec<u8>> {
    spans.into_iter().map(move |(scope, span)| {
        let mut writer = Writer::new(encoding);
        writer.structure(|fields| span_fields(fields, scope, span));
        writer.into_bytes()
    })
}

/// The fields of a `Span`.
fn span_fields(writer: &mut Writer, scope: &Scope, span: &Span) {
    let (high, low) = trace_id_halves(span.trace_id);
    writer.i64_field(1, low);
    writer.i64_field(2, high);
    writer.i64_field(3, span_id_number(span.span_id));
    writer.i64_field(4, span.parent_span_id.map_or(0, span_id_number));
    writer.string_field(5, &*span.name);
    if !span.links.is_empty() {
        writer.structures_field(6, span.links.len());
        span.links.iter().for_each(|link| reference(writer, link));
    }
    writer.i32_field(7, flags(span.flags));
    writer.i64_field(8, micros(span.start_unix_nano));
    writer.i64_field(9, micros(span.duration_nano()));
    tags(writer, 10, span_tags(scope, span));
    let logs = logs(span);
    if !logs.is_empty() {
        writer.structures_field(11, logs.len());
        for (time_unix_nano, fields) in logs {
            writer.structure(|log| {
                log.i64_field(1, micros(time_unix_nano));
                // Required, even if empty.
                all_tags(log, 2, fields);
            });
        }
    }
}

/// A `SpanRef` to a span that does not wait for this one.
fn reference(writer: &mut Writer, link: &Link) {
    const FOLLOWS_FROM: i32 = 1;
    let (high, low) = trace_id_halves(link.trace_id);
    writer.structure(|reference| {
        reference.i32_field(1, FOLLOWS_FROM);
        reference.i64_field(2, low);
        reference.i64_field(3, high);
        reference.i64_field(4, span_id_number(link.span_id));
    });
}

/// Jaeger's flags: sampled or not. Its other bits mean something else than W3C's.
fn flags(trace_flags: u32) -> i32 {
    (trace_flags & 1) as i32
}

fn trace_id_halves(id: TraceId) -> (i64, i64) {
    let number = u128::from_be_bytes(id.to_bytes());
    ((number >> 64) as i64, number as i64)
}

fn span_id_number(id: SpanId) -> i64 {
    i64::from_be_bytes(id.to_bytes())
}

fn micros(nano: u64) -> i64 {
    // A thousandth of any number of nanoseconds fits.
    (nano / 1000) as i64
}

fn span_tags<'a>(scope: &'a Scope, span: &'a Span) -> Vec<Tag<'a>> {
    let is_error = span.status.code == StatusCode::Error;
    // The flag of failed spans takes the place of an attribute of its name.
    let attributes =
        attribute_tags(&span.attributes).filter(|(key, _)| !(is_error && *key == ERROR));
    let mut tags: Vec<_> = attributes.collect();
    if !matches!(span.kind, SpanKind::Internal | SpanKind::Unspecified) {
        tags.push(("span.kind", Cow::Owned(span.kind.as_str().into())));
    }
    tags.extend(general_tags(scope, span));
    if is_error {
        tags.push((ERROR, Cow::Owned(true.into())));
    }
    if !span.status.message.is_empty() && span.status.code != StatusCode::Unset {
        let message = Value::String(span.status.message.clone());
        tags.push(("otel.status_description", Cow::Owned(message)));
    }
    tags
}

const ERROR: &str = "error";

/// The times and fields of the logs of a span: its events, and those of its links that have
/// attributes, which references cannot carry.
fn logs(span: &Span) -> Vec<(u64, Vec<Tag<'_>>)> {
    let events = span
        .events
        .iter()
        .map(|event| (event.time_unix_nano, event_fields(event)));
    let links = span.links.iter().filter(|link| !link.attributes.is_empty());
    let links = links.map(|link| (span.start_unix_nano, link_fields(link)));
    events.chain(links).collect()
}

fn event_fields(event: &Event) -> Vec<Tag<'_>> {
    const EVENT: &str = "event";
    let is_named = event.attributes.iter().any(|field| field.key == EVENT);
    let mut fields = Vec::new();
    if !is_named {
        fields.push((EVENT, Cow::Owned(Value::String(event.name.clone()))));
    }
    fields.extend(attribute_tags(&event.attributes));
    if event.dropped_attributes_count > 0 {
        let count = Cow::Owned(event.dropped_attributes_count.into());
        fields.push(("otel.event.dropped_attributes_count", count));
    }
    fields
}

fn link_fields(link: &Link) -> Vec<Tag<'_>> {
    let mut fields: Vec<Tag<'_>> = vec![
        ("event", Cow::Owned("link".into())),
        ("trace_id", Cow::Owned(link.trace_id.to_string().into())),
        ("span_id", Cow::Owned(link.span_id.to_string().into())),
    ];
    fields.extend(attribute_tags(&link.attributes));
    fields
}

/// A list of `Tag`s, left out when empty.
fn tags(writer: &mut Writer, field: i16, tags: Vec<Tag<'_>>) {
    if !tags.is_empty() {
        all_tags(writer, field, tags);
    }
}

fn all_tags(writer: &mut Writer, field: i16, tags: Vec<Tag<'_>>) {
    writer.structures_field(field, tags.len());
    for (key, value) in tags {
        writer.structure(|tag| {
            tag.string_field(1, key);
            tag_value(tag, &value);
        });
    }
}

/// The type of a `Tag`'s value (field 2), and the value in the field of its type.
fn tag_value(tag: &mut Writer, value: &Value) {
    let mut value_type = |number| tag.i32_field(2, number);
    match value {
        Value::Double(number) => {
            value_type(1);
            tag.double_field(4, *number);
        }
        Value::Bool(truth) => {
            value_type(2);
            tag.bool_field(5, *truth);
        }
        Value::Int(int) => {
            value_type(3);
            tag.i64_field(6, *int);
        }
        Value::Bytes(bytes) => {
            value_type(4);
            tag.string_field(7, bytes);
        }
        Value::String(_) | Value::Null | Value::Array(_) | Value::Map(_) => {
            value_type(0);
            tag.string_field(3, &*text(value));
        }
    }
}

#[cfg(test)]
mod tests;
