//! Copying chosen traces to a shelf where they stay, whatever the spans' retention.

use std::thread;
use std::time::{Duration, Instant};

use lumitrace_model::{ResourceSpans, ScopeSpans, TraceId};
use lumitrace_wire::DecodeError;

use crate::append::AppendError;
use crate::identity::{Identity, Version};
use crate::shelf::{LateShelf, Shelf};
use crate::spans::Spans;
use crate::trace::{SpansThatCount, TraceLookup, visit_records};
use crate::{
    Damaged, Exhausted, LookupError, QueryBudget, ReadError, SpanBatch, SpanParts, SpanRecord,
};

/// Spans that are copied together, ...
const BATCH_SPANS: usize = 4096;
/// ... unless they take more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// Before an archive that is behind its disk is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// An archive that takes no batch for so long does not catch up by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was done to archive a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archived {
    /// Spans that were copied: those that the archive did not have yet.
    pub copied_spans: usize,
    /// Damage that was met: spans of the trace may not be in the archive for it, or only with the
    /// beginnings of large values.
    pub damaged: Damaged,
}

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

impl From<ReadError> for ArchiveError {
    fn from(error: ReadError) -> Self {
        Self::Read(error.into())
    }
}

impl From<Exhausted> for ArchiveError {
    fn from(error: Exhausted) -> Self {
        Self::Read(error.into())
    }
}

/// See [`Store::archive_trace`](crate::Store::archive_trace).
///
/// The trace is read twice: first the ids of its spans, some hundred bytes each, to know which records
/// count; then the spans, of which one batch is in memory at a time.
pub(crate) fn archive_trace(
    spans: &Shelf<Spans>,
    archive: &LateShelf<Spans>,
    trace_id: TraceId,
    budget: &QueryBudget,
) -> Result<Archived, ArchiveError> {
    let lookup = |parts| TraceLookup { trace_id, parts };
    let sources = spans.snapshot();
    let ids = lookup(SpanParts::NONE);
    let mut missing = SpansThatCount::of_sources(&sources, ids, budget, &mut |_| Ok(()))?;
    if let Some(archive) = archive.get() {
        let known = SpansThatCount::of_trace(archive, ids, budget, &mut |_| Ok(()))?;
        missing.retain_not_final_in(&known);
    }
    let (mut missing, mut damaged) = missing.into_versions();
    if missing.is_empty() {
        return Ok(Archived {
            copied_spans: 0,
            damaged,
        });
    }
    let mut batch = CopiedBatch::new(archive.get_or_begin()?, budget);
    let mut copy = |record: SpanRecord| {
        let (identity, version) = (Identity::of(&record.span), Version::of(&record));
        let counts = missing.get(&identity);
        // Or one that came since.
        if !counts.is_some_and(|it| version == *it || version.supersedes(*it)) {
            return Ok(());
        }
        missing.remove(&identity);
        batch.add(record)
    };
    let whole = lookup(SpanParts::ALL);
    visit_records::<ArchiveError>(&sources, whole, budget, &mut damaged, &mut copy)?;
    batch.write()?;
    Ok(Archived {
        copied_spans: batch.copied_spans,
        damaged,
    })
}

/// Spans on their way into the archive.
struct CopiedBatch<'a> {
    archive: &'a Shelf<Spans>,
    budget: &'a QueryBudget,
    records: Vec<SpanRecord>,
    bytes: usize,
    copied_spans: usize,
}

impl<'a> CopiedBatch<'a> {
    fn new(archive: &'a Shelf<Spans>, budget: &'a QueryBudget) -> Self {
        Self {
            archive,
            budget,
            records: Vec::new(),
            bytes: 0,
            copied_spans: 0,
        }
    }

    fn add(&mut self, record: SpanRecord) -> Result<(), ArchiveError> {
        let bytes = record.memory_bytes();
        if self.records.len() == BATCH_SPANS || self.bytes + bytes > BATCH_BYTES {
            self.write()?;
        }
        self.bytes += bytes;
        self.records.push(record);
        Ok(())
    }

    /// Writes them, which takes a while when the archive is behind its disk.
    fn write(&mut self) -> Result<(), ArchiveError> {
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let batch = SpanBatch::from_resource_spans(&resource_spans(&records))?;
        let begun = Instant::now();
        loop {
            match self.archive.append(batch.clone()).wait() {
                Err(AppendError::Full { .. }) if begun.elapsed() < PATIENCE => {
                    thread::sleep(PAUSE);
                    self.budget.check()?;
                }
                answer => {
                    answer?;
                    self.copied_spans += records.len();
                    return Ok(());
                }
            }
        }
    }
}

/// The spans as a request has them; neighbours share their resource and scope.
fn resource_spans(records: &[SpanRecord]) -> Vec<ResourceSpans> {
    let same_origin = |one: &SpanRecord, other: &SpanRecord| {
        one.resource == other.resource
            && one.resource_schema_url == other.resource_schema_url
            && one.scope == other.scope
            && one.scope_schema_url == other.scope_schema_url
    };
    let of_one = |group: &[SpanRecord]| {
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
