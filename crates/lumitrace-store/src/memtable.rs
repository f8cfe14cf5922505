//! The newest spans, in memory: searchable the moment they are logged, until a block holds them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lumitrace_model::TraceId;
use parking_lot::RwLock;

use crate::SpanRecord;
use crate::batch::{BatchMeter, memory_bytes};
use crate::identity::{Identity, supersedes};
use crate::manifest::BlockId;
use crate::scan::SCAN_WINDOW_NANO;
use crate::summary::Summaries;

/// Spans by trace, window and identity. Each span is in it once.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    records: Vec<Arc<SpanRecord>>,
    /// Index of each span's record in `records`.
    by_identity: HashMap<Identity, usize>,
    by_trace: HashMap<TraceId, Vec<usize>>,
    /// By the number of the window in which they start.
    by_window: BTreeMap<u64, Vec<usize>>,
    summaries: Summaries,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

/// How much a memtable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemtableSize {
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
    pub(crate) first_insert: Option<Instant>,
}

impl Memtable {
    /// Adds the records of a batch. They must follow those inserted before in sequence.
    pub(crate) fn insert(&self, records: &[Arc<SpanRecord>]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return;
        };
        let mut content = self.content.write();
        content.first_insert.get_or_insert_with(Instant::now);
        let first_seq = content.seqs.map_or(first.seq, |seqs| seqs.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: last.seq + 1,
        });
        let mut meter = BatchMeter::default();
        for record in records {
            content.insert(record, &mut meter);
        }
    }

    pub(crate) fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            spans: content.records.len(),
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    /// The block that this memtable becomes; none while it is empty.
    pub(crate) fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }

    pub(crate) fn trace(&self, trace_id: TraceId) -> Vec<Arc<SpanRecord>> {
        let content = self.content.read();
        let indices = content.by_trace.get(&trace_id).into_iter().flatten();
        indices
            .map(|index| Arc::clone(&content.records[*index]))
            .collect()
    }

    /// Whether it holds a record of the same span that counts rather than `record`.
    pub(crate) fn supersedes(&self, record: &SpanRecord) -> bool {
        let content = self.content.read();
        let own = content.by_identity.get(&Identity::of(&record.span));
        own.is_some_and(|index| supersedes(&content.records[*index], record))
    }

    /// The newest window within `windows` with its spans, or the oldest.
    pub(crate) fn window(
        &self,
        windows: std::ops::RangeInclusive<u64>,
        newest: bool,
    ) -> Option<(u64, Vec<Arc<SpanRecord>>)> {
        if windows.is_empty() {
            return None;
        }
        let content = self.content.read();
        let mut range = content.by_window.range(windows);
        let (window, indices) = if newest {
            range.next_back()
        } else {
            range.next()
        }?;
        let records = indices
            .iter()
            .map(|index| Arc::clone(&content.records[*index]))
            .collect();
        Some((*window, records))
    }

    /// All records, in the order of insertion.
    pub(crate) fn records(&self) -> Vec<Arc<SpanRecord>> {
        self.content.read().records.clone()
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl Content {
    fn insert<'a>(&mut self, record: &'a Arc<SpanRecord>, meter: &mut BatchMeter<'a>) {
        let identity = Identity::of(&record.span);
        let window = record.span.start_unix_nano / SCAN_WINDOW_NANO;
        if let Some(&index) = self.by_identity.get(&identity) {
            if supersedes(record, &self.records[index]) {
                let bytes = meter.bytes(record);
                self.replace(index, record, bytes, window);
            }
            return;
        }
        let index = self.records.len();
        self.records.push(Arc::clone(record));
        self.by_identity.insert(identity, index);
        self.by_trace
            .entry(record.span.trace_id)
            .or_default()
            .push(index);
        self.by_window.entry(window).or_default().push(index);
        self.summaries.add_record(record);
        self.bytes += meter.bytes(record);
    }

    fn replace(&mut self, index: usize, record: &Arc<SpanRecord>, bytes: usize, window: u64) {
        let old = std::mem::replace(&mut self.records[index], Arc::clone(record));
        // What the old record shared stays counted: others may still share it.
        self.bytes = self.bytes + bytes - memory_bytes(&old);
        let old_window = old.span.start_unix_nano / SCAN_WINDOW_NANO;
        if old_window == window {
            return;
        }
        // A sender that changes a span's start is rare enough to search the window for it.
        if let Some(indices) = self.by_window.get_mut(&old_window) {
            indices.retain(|other| *other != index);
            if indices.is_empty() {
                self.by_window.remove(&old_window);
            }
        }
        self.by_window.entry(window).or_default().push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::testing::record;

    #[test]
    fn a_final_span_replaces_its_announcement_in_place() {
        let memtable = Memtable::default();
        let mut announced = record(1, 1);
        announced.span.pending = true;
        announced.seq = 1;
        let mut finished = record(1, 1);
        finished.span.start_unix_nano += 60_000_000_000;
        finished.seq = 2;
        memtable.insert(&[Arc::new(announced.clone())]);
        memtable.insert(&[Arc::new(finished.clone())]);
        memtable.insert(&[Arc::new(SpanRecord {
            seq: 3,
            ..announced.clone()
        })]);
        assert_eq!(memtable.size().spans, 1);
        assert_eq!(*memtable.trace(announced.span.trace_id)[0], finished);
        let (_, newest) = memtable.window(0..=u64::MAX, true).unwrap();
        let (_, oldest) = memtable.window(0..=u64::MAX, false).unwrap();
        assert_eq!((newest.len(), oldest.len()), (1, 1));
        assert_eq!(*oldest[0], finished);
        assert!(memtable.supersedes(&announced));
        assert_eq!(
            memtable.block_id(),
            Some(BlockId {
                first_seq: 1,
                end_seq: 4
            })
        );
    }
}
