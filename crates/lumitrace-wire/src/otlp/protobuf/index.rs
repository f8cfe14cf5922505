//! Checking a request without building anything of it: what is refused, and where each span, log
//! record or point is.
//!
//! This is the one place that decides what a request may hold. Whoever wants the records themselves
//! reads them afterwards from the bytes, which then cannot be wrong any more: see [`super::view`] and
//! [`super::decode`].
//!
//! Requests of all signals are groups by resource, and in these by scope: they are walked here. What is
//! in a scope is each signal's own.

mod logs;
mod metrics;
mod traces;

pub use logs::{LogHead, LogsIndex, index_logs};
pub use metrics::{MetricHead, MetricsIndex, PointHead, index_metrics};
pub use traces::{SpanHead, TracesIndex, index_traces};

pub(super) use metrics::kind_of_data;

use std::ops::Range;
use std::sync::Arc;

use super::check::Checker;
use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// The resource and the scope of records, as they are in the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The `Resource` message.
    pub resource: Part,
    /// The schema of the resource.
    pub resource_schema_url: Part,
    /// The `InstrumentationScope` message.
    pub scope: Part,
    /// The schema of the scope and its records.
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

/// How much memory these take, in bytes; about.
fn origins_bytes(origins: &[Origin]) -> usize {
    let mut last: Option<&Arc<[u8]>> = None;
    let mut joined_bytes = 0;
    for origin in origins {
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
    size_of_val(origins) + joined_bytes
}

/// What is found in the scopes of a signal's requests.
trait Items: Default {
    /// What decoding makes of the records of a resource, and of a scope.
    type ResourceGroup;
    type ScopeGroup;

    /// How many records were found.
    fn len(&self) -> usize;

    /// Checks what a scope has in `field`, which comes from origin number `origin`.
    fn add(
        &mut self,
        checker: &mut Checker,
        field: Field<'_>,
        origin: u32,
    ) -> Result<(), DecodeError>;
}

/// Checks every byte of a request. Returns what is in its scopes, and what that comes from: one origin
/// for each scope of each resource in which something was found.
fn index<I: Items>(bytes: &[u8], limits: &DecodeLimits) -> Result<(I, Vec<Origin>), DecodeError> {
    if u32::try_from(bytes.len()).is_err() {
        let reason = "a request must be smaller than 4 GiB";
        return Err(DecodeError::Malformed { offset: 0, reason });
    }
    let mut indexer = Indexer {
        bytes,
        checker: Checker::new(bytes, limits),
        items: I::default(),
        origins: Vec::new(),
    };
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            indexer.checker.count::<I::ResourceGroup>()?;
            indexer.resource_group(field)?;
        }
    }
    Ok((indexer.items, indexer.origins))
}

struct Indexer<'a, I> {
    bytes: &'a [u8],
    checker: Checker,
    items: I,
    origins: Vec<Origin>,
}

impl<'a, I: Items> Indexer<'a, I> {
    fn resource_group(&mut self, field: Field<'a>) -> Result<(), DecodeError> {
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
                self.checker.count::<I::ScopeGroup>()?;
                self.scope_group(field, &origin)?;
            }
        }
        Ok(())
    }

    fn scope_group(&mut self, field: Field<'a>, resource: &Origin) -> Result<(), DecodeError> {
        let (mut pieces, mut scope_schema_url) = (Vec::new(), Part::default());
        let origin = self.origins.len() as u32;
        let found_before = self.items.len();
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    self.checker.scope(field.message()?)?;
                    pieces.push(field.range()?);
                }
                2 => self.items.add(&mut self.checker, field, origin)?,
                3 => {
                    field.string()?;
                    scope_schema_url = Part::Range(field.range()?);
                }
                _ => {}
            }
        }
        if self.items.len() > found_before {
            self.checker.count::<Origin>()?;
            self.origins.push(Origin {
                scope: Part::join(self.bytes, &pieces),
                scope_schema_url,
                ..resource.clone()
            });
        }
        Ok(())
    }
}
