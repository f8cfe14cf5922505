//! From bytes that were checked to spans.

use std::borrow::Cow;

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value,
};

use super::check::{check_attributes, index_traces};
use crate::otlp::{DecodedTraces, has_valid_ids, take_pending_marker};
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportTraceServiceRequest`.
///
/// Spans with invalid ids are left out and counted; everything else is kept as it is.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand in memory
/// beyond the limit.
pub fn decode_traces(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedTraces, DecodeError> {
    let index = index_traces(bytes, limits)?;
    let mut resource_spans = Vec::new();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            resource_spans.push(self::resource_spans(field.message()?)?);
        }
    }
    Ok(DecodedTraces {
        resource_spans,
        rejected_spans: index.rejected_spans,
        rejection: index.rejection,
    })
}

/// Decodes a `Span` of a request that [`index_traces`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_span(bytes: &[u8]) -> Result<Span, DecodeError> {
    span(Reader::new(bytes))
}

/// Decodes a `Resource` of a request that [`index_traces`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_resource(bytes: &[u8]) -> Result<Resource, DecodeError> {
    let mut decoded = Resource::default();
    resource(Reader::new(bytes), &mut decoded)?;
    Ok(decoded)
}

/// Decodes an `InstrumentationScope` of a request that [`index_traces`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_scope(bytes: &[u8]) -> Result<Scope, DecodeError> {
    let mut decoded = Scope::default();
    scope(Reader::new(bytes), &mut decoded)?;
    Ok(decoded)
}

/// Decodes what [`super::encode_attributes`] wrote.
///
/// # Errors
/// As [`decode_traces`].
pub fn decode_attributes(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<KeyValue>, DecodeError> {
    check_attributes(bytes, limits)?;
    key_value_list(Reader::new(bytes))
}

fn resource_spans(mut message: Reader<'_>) -> Result<ResourceSpans, DecodeError> {
    let mut decoded = ResourceSpans::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => resource(field.message()?, &mut decoded.resource)?,
            2 => {
                let scope_spans = scope_spans(field.message()?)?;
                decoded.scope_spans.push(scope_spans);
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn resource(mut message: Reader<'_>, resource: &mut Resource) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => attribute(field, &mut resource.attributes)?,
            2 => resource.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

fn scope_spans(mut message: Reader<'_>) -> Result<ScopeSpans, DecodeError> {
    let mut decoded = ScopeSpans::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => scope(field.message()?, &mut decoded.scope)?,
            2 => {
                let span = span(field.message()?)?;
                if has_valid_ids(&span) {
                    decoded.spans.push(span);
                }
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn scope(mut message: Reader<'_>, scope: &mut Scope) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => scope.name = text(field)?,
            2 => scope.version = text(field)?,
            3 => attribute(field, &mut scope.attributes)?,
            4 => scope.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

fn span(mut message: Reader<'_>) -> Result<Span, DecodeError> {
    let mut span = Span {
        kind: SpanKind::Unspecified,
        ..Span::default()
    };
    while let Some(field) = message.next()? {
        match field.number {
            1 => span.trace_id = TraceId::from_slice(field.bytes()?).unwrap_or_default(),
            2 => span.span_id = SpanId::from_slice(field.bytes()?).unwrap_or_default(),
            3 => span.trace_state = text(field)?,
            4 => span.parent_span_id = SpanId::from_slice(field.bytes()?),
            5 => span.name = text(field)?,
            6 => span.kind = SpanKind::from_code(field.varint()? as i64),
            7 => span.start_unix_nano = field.fixed64()?,
            8 => span.end_unix_nano = field.fixed64()?,
            9 => attribute(field, &mut span.attributes)?,
            10 => span.dropped_attributes_count = field.uint32()?,
            11 => {
                let event = event(field.message()?)?;
                span.events.push(event);
            }
            12 => span.dropped_events_count = field.uint32()?,
            13 => {
                let link = link(field.message()?)?;
                span.links.push(link);
            }
            14 => span.dropped_links_count = field.uint32()?,
            15 => span.status = status(field.message()?)?,
            16 => span.flags = field.fixed32()?,
            _ => {}
        }
    }
    take_pending_marker(&mut span);
    Ok(span)
}

fn event(mut message: Reader<'_>) -> Result<Event, DecodeError> {
    let mut event = Event::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => event.time_unix_nano = field.fixed64()?,
            2 => event.name = text(field)?,
            3 => attribute(field, &mut event.attributes)?,
            4 => event.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(event)
}

fn link(mut message: Reader<'_>) -> Result<Link, DecodeError> {
    let mut link = Link::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => link.trace_id = TraceId::from_slice(field.bytes()?).unwrap_or_default(),
            2 => link.span_id = SpanId::from_slice(field.bytes()?).unwrap_or_default(),
            3 => link.trace_state = text(field)?,
            4 => attribute(field, &mut link.attributes)?,
            5 => link.dropped_attributes_count = field.uint32()?,
            6 => link.flags = field.fixed32()?,
            _ => {}
        }
    }
    Ok(link)
}

fn attribute(field: Field<'_>, attributes: &mut Vec<KeyValue>) -> Result<(), DecodeError> {
    let attribute = key_value(field.message()?)?;
    attributes.push(attribute);
    Ok(())
}

fn key_value(mut message: Reader<'_>) -> Result<KeyValue, DecodeError> {
    let mut attribute = KeyValue {
        key: Text::default(),
        value: Value::Null,
    };
    while let Some(field) = message.next()? {
        match field.number {
            1 => attribute.key = text(field)?,
            2 => attribute.value = value(field.message()?)?,
            _ => {}
        }
    }
    Ok(attribute)
}

fn key_value_list(mut message: Reader<'_>) -> Result<Vec<KeyValue>, DecodeError> {
    let mut list = Vec::new();
    while let Some(field) = message.next()? {
        if field.number == 1 {
            let attribute = key_value(field.message()?)?;
            list.push(attribute);
        }
    }
    Ok(list)
}

pub(super) fn value(mut message: Reader<'_>) -> Result<Value, DecodeError> {
    let mut value = Value::Null;
    // Of several cases of a `oneof`, the last one counts.
    while let Some(field) = message.next()? {
        value = match field.number {
            1 => Value::String(text(field)?),
            2 => Value::Bool(field.varint()? != 0),
            3 => Value::Int(field.varint()? as i64),
            4 => Value::Double(field.double()?),
            5 => Value::Array(array(field.message()?)?),
            6 => Value::Map(key_value_list(field.message()?)?),
            7 => Value::Bytes(field.bytes()?.to_vec()),
            _ => value,
        };
    }
    Ok(value)
}

fn array(mut message: Reader<'_>) -> Result<Vec<Value>, DecodeError> {
    let mut array = Vec::new();
    while let Some(field) = message.next()? {
        if field.number == 1 {
            let value = value(field.message()?)?;
            array.push(value);
        }
    }
    Ok(array)
}

fn status(mut message: Reader<'_>) -> Result<Status, DecodeError> {
    let mut status = Status::default();
    while let Some(field) = message.next()? {
        match field.number {
            2 => status.message = text(field)?,
            3 => status.code = StatusCode::from_code(field.varint()? as i64),
            _ => {}
        }
    }
    Ok(status)
}

fn text(field: Field<'_>) -> Result<Text, DecodeError> {
    Ok(Cow::Owned(field.string()?.to_owned()))
}
