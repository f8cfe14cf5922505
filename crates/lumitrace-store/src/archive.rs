//! Copying chosen traces to a shelf where they stay, whatever the spans' retention.

use std::sync::Arc;

use lumitrace_model::{ResourceSpans, ScopeSpans, TraceId};
use lumitrace_wire::DecodeError;

use crate::append::AppendError;
use crate::shelf::{LateShelf, Shelf};
use crate::spans::Spans;
use crate::trace::{SpansThatCount, TraceLookup};
use crate::{LookupError, QueryBudget, SpanBatch, SpanParts, SpanRecord};

/// Spans that are copied together, ...
const BATCH_SPANS: usize = 4096;
/// ... unless they take more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// Why a trace was not archived, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its spans cannot be read.
    #[error(transparent)]
    Read(#[from] LookupError),
    /// Its spans cannot be encoded.
    #[error("could not encode spans for the archive: {0}")]
    Encode(#[from] DecodeError),
    /// The archive does not take them.
    #[error("could not write to the archive: {0}")]
    Append(#[from] AppendError),
}

/// See [`Store::archive_trace`](crate::Store::archive_trace).
pub(crate) fn archive_trace(
    spans: &Shelf<Spans>,
    archive: &LateShelf<Spans>,
    trace_id: TraceId,
) -> Result<usize, ArchiveError> {
    let budget = QueryBudget::unlimited();
    let lookup = |parts| TraceLookup { trace_id, parts };
    let mut spans =
        SpansThatCount::of_trace(spans, lookup(SpanParts::ALL), &budget, &mut |record| {
            Ok(Arc::new(record))
        })?;
    if let Some(archive) = archive.get() {
        let ids = lookup(SpanParts::NONE);
        let known = SpansThatCount::of_trace(archive, ids, &budget, &mut |_| Ok(()))?;
        spans.retain_not_final_in(&known);
    }
    let missing = spans.by_start();
    let mut rest = missing.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest));
        let batch = SpanBatch::from_resource_spans(&resource_spans(batch))?;
        archive.get_or_begin()?.append(batch).wait()?;
        rest = after;
    }
    Ok(missing.len())
}

/// How many of these spans are copied together; at least one.
fn batch_len(records: &[Arc<SpanRecord>]) -> usize {
    let mut bytes = 0;
    let fitting = records.iter().take(BATCH_SPANS).take_while(|record| {
        bytes += record.memory_bytes();
        bytes <= BATCH_BYTES
    });
    fitting.count().max(1)
}

/// The spans as a request has them; neighbours share their resource and scope.
fn resource_spans(records: &[Arc<SpanRecord>]) -> Vec<ResourceSpans> {
    let same_origin = |one: &Arc<SpanRecord>, other: &Arc<SpanRecord>| {
        one.resource == other.resource
            && one.resource_schema_url == other.resource_schema_url
            && one.scope == other.scope
            && one.scope_schema_url == other.scope_schema_url
    };
    let of_one = |group: &[Arc<SpanRecord>]| {
        let first = group.first()?;
        Some(ResourceSpans {
            resource: (*first.resource).clone(),
            schema_url: first.resource_schema_url.to_string().into(),
            scope_spans: vec![ScopeSpans {
                scope: (*first.scope).clone(),
                schema_url: first.scope_schema_url.to_string().into(),
                spans: group.iter().map(|record| record.span.clone()).collect(),
            }],
        })
    };
    let groups = records.chunk_by(same_origin);
    groups.filter_map(of_one).collect()
}
