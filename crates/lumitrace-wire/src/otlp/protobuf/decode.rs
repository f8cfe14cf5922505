//! From bytes to spans.

use std::borrow::Cow;

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value,
};

use crate::otlp::{DecodedTraces, INVALID_IDS, has_valid_ids, take_pending_marker};
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
    let mut decoder = Decoder::new(bytes, limits);
    let mut traces = DecodedTraces::default();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            let resource_spans = decoder.resource_spans(field.message()?, &mut traces)?;
            decoder.push(&mut traces.resource_spans, resource_spans)?;
        }
    }
    Ok(traces)
}

/// Decodes what [`super::encode_attributes`] wrote.
///
/// # Errors
/// As [`decode_traces`].
pub fn decode_attributes(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<KeyValue>, DecodeError> {
    let mut decoder = Decoder::new(bytes, limits);
    decoder.key_value_list(Reader::new(bytes), limits.max_depth)
}

struct Decoder {
    limits: DecodeLimits,
    remaining_bytes: usize,
}

impl Decoder {
    fn new(input: &[u8], limits: &DecodeLimits) -> Self {
        let remaining_bytes = input.len().saturating_mul(limits.max_expansion);
        Self {
            limits: *limits,
            remaining_bytes,
        }
    }

    /// Appends `item`, unless the message turns out to be made of empty items that only exist to
    /// fill memory.
    fn push<T>(&mut self, items: &mut Vec<T>, item: T) -> Result<(), DecodeError> {
        self.remaining_bytes =
            self.remaining_bytes
                .checked_sub(size_of::<T>())
                .ok_or(DecodeError::TooManyItems {
                    ratio: self.limits.max_expansion,
                })?;
        items.push(item);
        Ok(())
    }

    fn resource_spans(
        &mut self,
        mut message: Reader<'_>,
        traces: &mut DecodedTraces,
    ) -> Result<ResourceSpans, DecodeError> {
        let mut decoded = ResourceSpans::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.resource(field.message()?, &mut decoded.resource)?,
                2 => {
                    let scope_spans = self.scope_spans(field.message()?, traces)?;
                    self.push(&mut decoded.scope_spans, scope_spans)?;
                }
                3 => decoded.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(decoded)
    }

    fn resource(
        &mut self,
        mut message: Reader<'_>,
        resource: &mut Resource,
    ) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.attribute(field, &mut resource.attributes)?,
                2 => resource.dropped_attributes_count = field.uint32()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        mut message: Reader<'_>,
        traces: &mut DecodedTraces,
    ) -> Result<ScopeSpans, DecodeError> {
        let mut decoded = ScopeSpans::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.scope(field.message()?, &mut decoded.scope)?,
                2 => {
                    let span = self.span(field.message()?)?;
                    if has_valid_ids(&span) {
                        self.push(&mut decoded.spans, span)?;
                    } else {
                        traces.reject(INVALID_IDS);
                    }
                }
                3 => decoded.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(decoded)
    }

    fn scope(&mut self, mut message: Reader<'_>, scope: &mut Scope) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => scope.name = text(field)?,
                2 => scope.version = text(field)?,
                3 => self.attribute(field, &mut scope.attributes)?,
                4 => scope.dropped_attributes_count = field.uint32()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&mut self, mut message: Reader<'_>) -> Result<Span, DecodeError> {
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
                9 => self.attribute(field, &mut span.attributes)?,
                10 => span.dropped_attributes_count = field.uint32()?,
                11 => {
                    let event = self.event(field.message()?)?;
                    self.push(&mut span.events, event)?;
                }
                12 => span.dropped_events_count = field.uint32()?,
                13 => {
                    let link = self.link(field.message()?)?;
                    self.push(&mut span.links, link)?;
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

    fn event(&mut self, mut message: Reader<'_>) -> Result<Event, DecodeError> {
        let mut event = Event::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => event.time_unix_nano = field.fixed64()?,
                2 => event.name = text(field)?,
                3 => self.attribute(field, &mut event.attributes)?,
                4 => event.dropped_attributes_count = field.uint32()?,
                _ => {}
            }
        }
        Ok(event)
    }

    fn link(&mut self, mut message: Reader<'_>) -> Result<Link, DecodeError> {
        let mut link = Link::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => link.trace_id = TraceId::from_slice(field.bytes()?).unwrap_or_default(),
                2 => link.span_id = SpanId::from_slice(field.bytes()?).unwrap_or_default(),
                3 => link.trace_state = text(field)?,
                4 => self.attribute(field, &mut link.attributes)?,
                5 => link.dropped_attributes_count = field.uint32()?,
                6 => link.flags = field.fixed32()?,
                _ => {}
            }
        }
        Ok(link)
    }

    fn attribute(
        &mut self,
        field: Field<'_>,
        attributes: &mut Vec<KeyValue>,
    ) -> Result<(), DecodeError> {
        let attribute = self.key_value(field.message()?, self.limits.max_depth)?;
        self.push(attributes, attribute)
    }

    fn key_value(
        &mut self,
        mut message: Reader<'_>,
        depth_left: usize,
    ) -> Result<KeyValue, DecodeError> {
        let mut attribute = KeyValue {
            key: Text::default(),
            value: Value::Null,
        };
        while let Some(field) = message.next()? {
            match field.number {
                1 => attribute.key = text(field)?,
                2 => attribute.value = self.value(field.message()?, depth_left)?,
                _ => {}
            }
        }
        Ok(attribute)
    }

    fn key_value_list(
        &mut self,
        mut message: Reader<'_>,
        depth_left: usize,
    ) -> Result<Vec<KeyValue>, DecodeError> {
        let mut list = Vec::new();
        while let Some(field) = message.next()? {
            if field.number == 1 {
                let attribute = self.key_value(field.message()?, depth_left)?;
                self.push(&mut list, attribute)?;
            }
        }
        Ok(list)
    }

    fn value(&mut self, mut message: Reader<'_>, depth_left: usize) -> Result<Value, DecodeError> {
        let deeper = depth_left.checked_sub(1).ok_or(DecodeError::TooDeep {
            max_depth: self.limits.max_depth,
        })?;
        let mut value = Value::Null;
        // Of several cases of a `oneof`, the last one counts.
        while let Some(field) = message.next()? {
            value = match field.number {
                1 => Value::String(text(field)?),
                2 => Value::Bool(field.varint()? != 0),
                3 => Value::Int(field.varint()? as i64),
                4 => Value::Double(field.double()?),
                5 => Value::Array(self.array(field.message()?, deeper)?),
                6 => Value::Map(self.key_value_list(field.message()?, deeper)?),
                7 => Value::Bytes(field.bytes()?.to_vec()),
                _ => value,
            };
        }
        Ok(value)
    }

    fn array(
        &mut self,
        mut message: Reader<'_>,
        depth_left: usize,
    ) -> Result<Vec<Value>, DecodeError> {
        let mut array = Vec::new();
        while let Some(field) = message.next()? {
            if field.number == 1 {
                let value = self.value(field.message()?, depth_left)?;
                self.push(&mut array, value)?;
            }
        }
        Ok(array)
    }
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
