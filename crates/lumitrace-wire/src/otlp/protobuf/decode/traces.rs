//! From bytes to spans.

use lumitrace_model::{
    Event, Link, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode, TraceId,
};

use super::super::index::index_traces;
use super::{attribute, resource, scope, text};
use crate::otlp::{DecodedTraces, has_valid_ids, take_pending_marker};
use crate::proto::Reader;
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
