//! Checking a request of spans without building anything of it: what is refused, and where each
//! span is.
//!
//! This is the one place that decides what such a request may hold. Whoever wants the spans
//! themselves reads them afterwards from the bytes, which then cannot be wrong any more: see
//! [`super::view`] and [`super::decode`].

use std::ops::Range;
use std::sync::Arc;

use lumitrace_model::{
    Event, Link, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, StatusCode, TraceId,
};

use super::check::Checker;
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
        let mut last: Option<&Arc<[u8]>> = None;
        let mut joined_bytes = 0;
        for origin in &self.origins {
            // One after the other, the origins of a resource share it.
            if let Part::Joined(resource) = &origin.resource
                && !last.is_some_and(|last| Arc::ptr_eq(last, resource))
            {
                joined_bytes += resource.len();
                last = Some(resource);
            }
            if let Part::Joined(scope) = &origin.scope {
                joined_bytes += scope.len();
            }
        }
        self.spans.len() * size_of::<SpanHead>()
            + self.origins.len() * size_of::<Origin>()
            + joined_bytes
    }
}

/// The resource and the scope of spans, as they are in the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The `Resource` message.
    pub resource: Part,
    /// The schema of the resource.
    pub resource_schema_url: Part,
    /// The `InstrumentationScope` message.
    pub scope: Part,
    /// The schema of the scope and its spans.
    pub scope_schema_url: Part,
}

/// A field's content in the bytes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It lies here.
    Range(Range<u32>),
    /// The message came in several pieces, which protobuf says to read as one. Shared: a resource
    /// in pieces may be that of very many scopes.
    Joined(Arc<[u8]>),
}

impl Default for Part {
    fn default() -> Self {
        Self::Range(0..0)
    }
}

impl Part {
    /// The content, out of the request's `bytes`.
    pub fn bytes<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Range(range) => slice(bytes, range),
            Self::Joined(joined) => joined,
        }
    }

    /// The message that came in these pieces. Joined at once: there may be very many of them.
    fn join(bytes: &[u8], pieces: &[Range<u32>]) -> Self {
        match pieces {
            [] => Self::default(),
            [piece] => Self::Range(piece.clone()),
            _ => {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| slice(bytes, piece)).collect();
                Self::Joined(pieces.concat().into())
            }
        }
    }
}

pub(super) fn slice<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    bytes
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
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
    if u32::try_from(bytes.len()).is_err() {
        let reason = "a request must be smaller than 4 GiB";
        return Err(DecodeError::Malformed { offset: 0, reason });
    }
    let mut indexer = Indexer {
        bytes,
        checker: Checker::new(bytes, limits),
        index: TracesIndex::default(),
    };
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            indexer.checker.count::<ResourceSpans>()?;
            indexer.resource_spans(field)?;
        }
    }
    Ok(indexer.index)
}

struct Indexer<'a> {
    bytes: &'a [u8],
    checker: Checker,
    index: TracesIndex,
}

impl<'a> Indexer<'a> {
    fn resource_spans(&mut self, field: Field<'a>) -> Result<(), DecodeError> {
        let mut origin = Origin::default();
        let mut pieces = Vec::new();
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    self.checker.resource(field.message()?)?;
                    pieces.push(field.range()?);
                }
                3 => {
                    field.string()?;
                    origin.resource_schema_url = Part::Range(field.range()?);
                }
                _ => {}
            }
        }
        // Now that all of the resource is known.
        origin.resource = Part::join(self.bytes, &pieces);
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            if field.number == 2 {
                self.checker.count::<ScopeSpans>()?;
                self.scope_spans(field, &origin)?;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, field: Field<'a>, resource: &Origin) -> Result<(), DecodeError> {
        let (mut pieces, mut scope_schema_url) = (Vec::new(), Part::default());
        let origin = self.index.origins.len() as u32;
        let spans_before = self.index.spans.len();
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    self.checker.scope(field.message()?)?;
                    pieces.push(field.range()?);
                }
                2 => self.span(field, origin)?,
                3 => {
                    field.string()?;
                    scope_schema_url = Part::Range(field.range()?);
                }
                _ => {}
            }
        }
        if self.index.spans.len() > spans_before {
            self.checker.count::<Origin>()?;
            self.index.origins.push(Origin {
                scope: Part::join(self.bytes, &pieces),
                scope_schema_url,
                ..resource.clone()
            });
        }
        Ok(())
    }

    fn span(&mut self, field: Field<'a>, origin: u32) -> Result<(), DecodeError> {
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
                9 => head.pending |= self.checker.attribute(field)?,
                11 => {
                    self.checker.count::<Event>()?;
                    self.event(field.message()?)?;
                }
                13 => {
                    self.checker.count::<Link>()?;
                    self.link(field.message()?)?;
                }
                10 | 12 | 14 => drop(field.uint32()?),
                15 => head.status_code = status_code(field.message()?)?,
                16 => drop(field.fixed32()?),
                _ => {}
            }
        }
        if head.trace_id.is_valid() && head.span_id.is_valid() {
            self.checker.count::<Span>()?;
            self.index.spans.push(head);
        } else {
            self.index.rejected_spans += 1;
            self.index
                .rejection
                .get_or_insert_with(|| INVALID_IDS.to_owned());
        }
        Ok(())
    }

    fn event(&mut self, mut message: Reader<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => drop(field.fixed64()?),
                2 => drop(field.string()?),
                3 => drop(self.checker.attribute(field)?),
                4 => drop(field.uint32()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn link(&mut self, mut message: Reader<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 | 2 => drop(field.bytes()?),
                3 => drop(field.string()?),
                4 => drop(self.checker.attribute(field)?),
                5 => drop(field.uint32()?),
                6 => drop(field.fixed32()?),
                _ => {}
            }
        }
        Ok(())
    }
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
