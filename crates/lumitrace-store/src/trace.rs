//! A trace by its id: its spans out of memtables and blocks, each once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

use crate::block::Block;
use crate::error::ReadError;
use crate::identity::{Identity, supersedes};
use crate::memtable::Memtable;
use crate::shelf::Shelf;
use crate::spans::Spans;
use crate::{SpanParts, SpanRecord, SpanRef};

/// Of the records of some spans, those that count.
#[derive(Debug, Default)]
pub(crate) struct SpansThatCount(HashMap<Identity, Arc<SpanRecord>>);

impl SpansThatCount {
    /// These parts of the spans of a trace.
    pub(crate) fn of_trace(
        shelf: &Shelf<Spans>,
        trace_id: TraceId,
        parts: SpanParts,
    ) -> Result<Self, ReadError> {
        Self::read(
            shelf,
            |memtable| records_of(memtable, trace_id, parts, |_| true),
            |block| block.trace(trace_id, parts),
        )
    }

    /// The spans of a trace that have this id.
    pub(crate) fn of_span(
        shelf: &Shelf<Spans>,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<Self, ReadError> {
        let is_it = |span: SpanRef<'_>| span.span_id() == span_id;
        let in_memory = |memtable: &_| records_of(memtable, trace_id, SpanParts::ALL, is_it);
        Self::read(shelf, in_memory, |block| block.span(trace_id, span_id))
    }

    fn read(
        shelf: &Shelf<Spans>,
        in_memory: impl Fn(&Memtable) -> Vec<SpanRecord>,
        in_block: impl Fn(&Block) -> Result<Vec<SpanRecord>, ReadError>,
    ) -> Result<Self, ReadError> {
        let sources = shelf.snapshot();
        let mut spans = Self::default();
        for memtable in sources.memtables() {
            in_memory(&memtable)
                .into_iter()
                .for_each(|it| spans.add(it));
        }
        for block in &sources.blocks {
            in_block(block)?.into_iter().for_each(|it| spans.add(it));
        }
        Ok(spans)
    }

    fn add(&mut self, record: SpanRecord) {
        match self.0.entry(Identity::of(&record.span)) {
            Entry::Occupied(mut known) => {
                if supersedes(&record, known.get()) {
                    known.insert(Arc::new(record));
                }
            }
            Entry::Vacant(new) => {
                new.insert(Arc::new(record));
            }
        }
    }

    /// Adds what only the archive has: spans that are not there, and the ends of announced ones.
    ///
    /// The archive numbers its copies by itself. Here they get number 0, since they are older than
    /// whatever comes.
    pub(crate) fn add_archived(&mut self, archived: Self) {
        for (identity, record) in archived.0 {
            let known = self.0.get(&identity);
            if known.is_none_or(|known| known.span.pending && !record.span.pending) {
                let mut record = Arc::unwrap_or_clone(record);
                record.seq = 0;
                self.0.insert(identity, Arc::new(record));
            }
        }
    }

    /// Those of which `others` have no final record, by start.
    pub(crate) fn not_final_in(self, others: &Self) -> Vec<Arc<SpanRecord>> {
        let mut spans = self.0;
        spans.retain(|identity, _| {
            let other = others.0.get(identity);
            other.is_none_or(|other| other.span.pending)
        });
        Self(spans).by_start()
    }

    pub(crate) fn by_start(self) -> Vec<Arc<SpanRecord>> {
        let mut spans: Vec<_> = self.0.into_values().collect();
        spans.sort_unstable_by_key(|record| (record.span.start_unix_nano, record.seq));
        spans
    }
}

/// These parts of the spans of a trace for which `is_wanted` says yes.
fn records_of(
    memtable: &Memtable,
    trace_id: TraceId,
    parts: SpanParts,
    is_wanted: impl Fn(SpanRef<'_>) -> bool,
) -> Vec<SpanRecord> {
    let spans = memtable.trace(trace_id);
    let wanted = spans.iter().filter(|span| is_wanted(*span));
    wanted.map(|span| span.record(parts)).collect()
}
