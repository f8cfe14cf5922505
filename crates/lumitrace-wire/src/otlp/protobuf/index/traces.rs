//! Where the spans of a request are.

use std::ops::Range;

use lumitrace_model::{
    Event, Link, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, StatusCode, TraceId,
};

use super::super::check::Checker;
use super::{Items, Origin, index, origins_bytes, slice};
use crate::otlp::INVALID_IDS;
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Where the spans of a checked request are, and what every reader of them asks first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracesIndex {
    /// The spans with valid ids, in the request's order.
    pub spans: Vec<SpanHead>,
    /// What the spans come from: one for each scope of each resource that has spans.
    pub origins: Vec<Origin>,
    /// How many spans are left out because their trace or span id is invalid.
    pub rejected_spans: u64,
    /// Why, for the sender's eyes.
    pub rejection: Option<String>,
}

impl TracesIndex {
    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.spans.len() * size_of::<SpanHead>() + origins_bytes(&self.origins)
    }
}

/// The parts of a span that decide where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanHead {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its id within the trace.
    pub span_id: SpanId,
    /// The span that caused it, unless it is a root.
    pub parent_span_id: Option<SpanId>,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// When it ended; of an announcement, when that was made.
    pub end_unix_nano: u64,
    /// Its kind.
    pub kind: SpanKind,
    /// Its status.
    pub status_code: StatusCode,
    /// Whether it announces a span that was still open.
    pub pending: bool,
    /// Number of its origin among [`TracesIndex::origins`].
    pub origin: u32,
    /// Where its name is in the request.
    pub name: Range<u32>,
    /// Where the `Span` message is in the request.
    pub message: Range<u32>,
}

impl SpanHead {
    /// The span's name, out of the request's `bytes`.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        // Checked to be UTF-8 when the head was made.
        std::str::from_utf8(slice(bytes, &self.name)).unwrap_or_default()
    }

    /// The `Span` message, out of the request's `bytes`.
    pub fn message<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, &self.message)
    }
}

/// Checks every byte of an `ExportTraceServiceRequest`, and says where its spans are.
///
/// Spans with invalid ids are left out and counted. Takes about as much memory as the request has
/// bytes, at most five times as much: of spans with nothing but ids, each in a scope of its own.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand beyond
/// the limit once they are decoded. A request must be smaller than 4 GiB.
pub fn index_traces(bytes: &[u8], limits: &DecodeLimits) -> Result<TracesIndex, DecodeError> {
    let (found, origins) = index::<TracesIndex>(bytes, limits)?;
    Ok(TracesIndex { origins, ..found })
}

impl Items for TracesIndex {
    type ResourceGroup = ResourceSpans;
    type ScopeGroup = ScopeSpans;

    fn len(&self) -> usize {
        self.spans.len()
    }

    fn add(
        &mut self,
        checker: &mut Checker,
        field: Field<'_>,
        origin: u32,
    ) -> Result<(), DecodeError> {
        let mut head = SpanHead {
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            parent_span_id: None,
            start_unix_nano: 0,
            end_unix_nano: 0,
            kind: SpanKind::Unspecified,
            status_code: StatusCode::Unset,
            pending: false,
            origin,
            name: 0..0,
            message: field.range()?,
        };
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => head.trace_id = TraceId::from_slice(field.bytes()?).unwrap_or_default(),
                2 => head.span_id = SpanId::from_slice(field.bytes()?).unwrap_or_default(),
                3 => drop(field.string()?),
                4 => head.parent_span_id = SpanId::from_slice(field.bytes()?),
                5 => {
                    field.string()?;
                    head.name = field.range()?;
                }
                6 => head.kind = SpanKind::from_code(field.varint()? as i64),
                7 => head.start_unix_nano = field.fixed64()?,
                8 => head.end_unix_nano = field.fixed64()?,
                9 => head.pending |= checker.attribute(field)?,
                11 => {
                    checker.count::<Event>()?;
                    event(checker, field.message()?)?;
                }
                13 => {
                    checker.count::<Link>()?;
                    link(checker, field.message()?)?;
                }
                10 | 12 | 14 => drop(field.uint32()?),
                15 => head.status_code = status_code(field.message()?)?,
                16 => drop(field.fixed32()?),
                _ => {}
            }
        }
        if head.trace_id.is_valid() && head.span_id.is_valid() {
            checker.count::<Span>()?;
            self.spans.push(head);
        } else {
            self.rejected_spans += 1;
            self.rejection.get_or_insert_with(|| INVALID_IDS.to_owned());
        }
        Ok(())
    }
}

fn event(checker: &mut Checker, mut message: Reader<'_>) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => drop(field.fixed64()?),
            2 => drop(field.string()?),
            3 => drop(checker.attribute(field)?),
            4 => drop(field.uint32()?),
            _ => {}
        }
    }
    Ok(())
}

fn link(checker: &mut Checker, mut message: Reader<'_>) -> Result<(), DecodeError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 | 2 => drop(field.bytes()?),
            3 => drop(field.string()?),
            4 => drop(checker.attribute(field)?),
            5 => drop(field.uint32()?),
            6 => drop(field.fixed32()?),
            _ => {}
        }
    }
    Ok(())
}

fn status_code(mut message: Reader<'_>) -> Result<StatusCode, DecodeError> {
    let mut code = StatusCode::Unset;
    while let Some(field) = message.next()? {
        match field.number {
            2 => drop(field.string()?),
            3 => code = StatusCode::from_code(field.varint()? as i64),
            _ => {}
        }
    }
    Ok(code)
}
