//! The newest log records, by time and by trace.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use lumitrace_model::TraceId;
use parking_lot::RwLock;

use super::row::{self, SortKey, sort_key_of};
use super::stored::StoredLogs;
use crate::manifest::BlockId;
use crate::memtable::MemtableSize;
use crate::places::{Place, PlacedRecords};
use crate::signal;
use crate::summary::Summaries;

/// Memory of a log record beside that of its batch: its entries in the maps, about.
const ROW_BYTES: usize = 2 * (size_of::<SortKey>() + size_of::<Place>());

/// Log records in the order of blocks.
#[derive(Debug, Default)]
pub(crate) struct LogMemtable {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    batches: Vec<Arc<StoredLogs>>,
    by_time: BTreeMap<SortKey, Place>,
    by_trace: HashMap<TraceId, Vec<Place>>,
    summaries: Summaries,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

impl LogMemtable {
    /// All log records, in the order of blocks.
    pub(crate) fn logs(&self) -> PlacedRecords<StoredLogs> {
        let content = self.content.read();
        let places = content.by_time.values().copied().collect();
        PlacedRecords::new(&content.batches, places)
    }

    /// The last `count` of those in `keys`, the last one first.
    pub(crate) fn newest(&self, keys: Range<SortKey>, count: usize) -> PlacedRecords<StoredLogs> {
        if keys.is_empty() {
            return PlacedRecords::default();
        }
        let content = self.content.read();
        let newest = content.by_time.range(keys).rev().take(count);
        let places = newest.map(|(_, place)| *place).collect();
        PlacedRecords::new(&content.batches, places)
    }

    /// The log records of a trace.
    pub(crate) fn trace(&self, trace_id: TraceId) -> PlacedRecords<StoredLogs> {
        let content = self.content.read();
        let places = content.by_trace.get(&trace_id).cloned();
        PlacedRecords::new(&content.batches, places.unwrap_or_default())
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl signal::Memtable for LogMemtable {
    type Stored = StoredLogs;

    fn insert(&self, batch: &Arc<StoredLogs>, _: &[Arc<Self>]) {
        if batch.is_empty() {
            return;
        }
        let mut content = self.content.write();
        content.first_insert.get_or_insert_with(Instant::now);
        let seqs = batch.seqs();
        let first_seq = content.seqs.map_or(seqs.start, |own| own.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: seqs.end,
        });
        content.insert(batch);
    }

    fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            records: content.by_time.len(),
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }
}

impl Content {
    fn insert(&mut self, batch: &Arc<StoredLogs>) {
        // Memory runs out long before there are 2^32 batches or log records.
        let number = self.batches.len() as u32;
        self.batches.push(Arc::clone(batch));
        for (record, log) in (0..).zip(batch.logs()) {
            let place = Place {
                batch: number,
                record,
            };
            if let Some(trace_id) = log.head().trace_id {
                self.by_trace.entry(trace_id).or_default().push(place);
            }
            row::add_to(&mut self.summaries, &log.into());
            self.by_time.insert(sort_key_of(log), place);
        }
        self.bytes += batch.memory_bytes() + batch.len() * ROW_BYTES;
    }
}
