//! The newest log records, by time and by trace.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use lumitrace_model::TraceId;
use parking_lot::RwLock;

use super::batch::{LogEntry, StoredLogs};
use super::row::{self, SortKey, sort_key};
use crate::manifest::BlockId;
use crate::memtable::MemtableSize;
use crate::signal;
use crate::summary::Summaries;

/// Log records in the order of blocks.
#[derive(Debug, Default)]
pub(crate) struct LogMemtable {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    entries: BTreeMap<SortKey, Arc<LogEntry>>,
    by_trace: HashMap<TraceId, Vec<SortKey>>,
    summaries: Summaries,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

impl LogMemtable {
    /// All log records, in the order of blocks.
    pub(crate) fn entries(&self) -> Vec<Arc<LogEntry>> {
        self.content.read().entries.values().cloned().collect()
    }

    /// The last `count` of those in `keys`, the last one first.
    pub(crate) fn newest(&self, keys: Range<SortKey>, count: usize) -> Vec<Arc<LogEntry>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let content = self.content.read();
        let newest = content.entries.range(keys).rev().take(count);
        newest.map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// The log records of a trace.
    pub(crate) fn trace(&self, trace_id: TraceId) -> Vec<Arc<LogEntry>> {
        let content = self.content.read();
        let keys = content.by_trace.get(&trace_id).into_iter().flatten();
        let entries = keys.filter_map(|key| content.entries.get(key));
        entries.cloned().collect()
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl signal::Memtable for LogMemtable {
    type Stored = StoredLogs;

    fn insert(&self, batch: &Arc<StoredLogs>, _: &[Arc<Self>]) {
        let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) else {
            return;
        };
        let mut content = self.content.write();
        content.first_insert.get_or_insert_with(Instant::now);
        let first_seq = content.seqs.map_or(first.seq, |own| own.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: last.seq + 1,
        });
        let mut last_origin = None;
        for entry in &batch.entries {
            content.bytes += entry.memory_bytes();
            let origin = Arc::as_ptr(&entry.origin);
            if last_origin.replace(origin) != Some(origin) {
                content.bytes += entry.origin.memory_bytes();
            }
            let key = sort_key(entry);
            if let Some(trace_id) = entry.log.trace_id {
                content.by_trace.entry(trace_id).or_default().push(key);
            }
            row::add_to(&mut content.summaries, entry);
            content.entries.insert(key, Arc::clone(entry));
        }
    }

    fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            records: content.entries.len(),
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }
}
