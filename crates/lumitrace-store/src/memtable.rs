//! The newest spans, in memory: searchable the moment they are logged, until a block holds them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{DefaultHashBuilder, HashTable};
use lumitrace_model::TraceId;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::identity::{Identity, Version};
use crate::manifest::BlockId;
use crate::places::{Place, PlacedRecords};
use crate::scan::SCAN_WINDOW_NANO;
use crate::signal;
use crate::stored::{SpanRef, StoredBatch};
use crate::summary::Summaries;

/// Memory of a span beside that of its batch: its row, and its entries in tables and windows.
const ROW_BYTES: usize = size_of::<Row>() + 3 * size_of::<u32>();

/// Spans by trace, window and identity. Each span is in it once.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    content: RwLock<Content>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    place: Place,
    /// The row before of the same trace; its own number in the first one.
    previous_of_trace: u32,
}

#[derive(Debug, Default)]
struct Content {
    batches: Vec<Arc<StoredBatch>>,
    /// One for each span, in the order in which spans came first.
    rows: Vec<Row>,
    /// Rows by the identity of their span.
    by_identity: HashTable<u32>,
    /// The last row of each trace, by its id.
    by_trace: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Rows by the number of the window in which the span starts.
    by_window: BTreeMap<u64, Vec<u32>>,
    summaries: Summaries,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

/// How much a memtable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemtableSize {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) first_insert: Option<Instant>,
}

/// Spans of a memtable as of one moment, readable without holding it up.
pub(crate) type MemtableSpans = PlacedRecords<StoredBatch>;

impl Memtable {
    /// The spans of a trace, in the order in which they came.
    pub(crate) fn trace(&self, trace_id: TraceId) -> MemtableSpans {
        let content = self.content.read();
        let mut places = content.places_of(trace_id);
        places.reverse();
        PlacedRecords::new(&content.batches, places)
    }

    /// Which record of this span it holds, if any.
    pub(crate) fn version_of(&self, identity: Identity) -> Option<Version> {
        let content = self.content.read();
        let row = content.find(content.hasher.hash_one(identity), &identity)?;
        Some(content.span(row).version())
    }

    /// The newest window within `windows` with its spans, or the oldest.
    pub(crate) fn window(
        &self,
        windows: std::ops::RangeInclusive<u64>,
        newest: bool,
    ) -> Option<(u64, MemtableSpans)> {
        if windows.is_empty() {
            return None;
        }
        let content = self.content.read();
        let mut range = content.by_window.range(windows);
        let (window, rows) = if newest {
            range.next_back()
        } else {
            range.next()
        }?;
        let places = rows.iter().map(|row| content.rows[*row as usize].place);
        Some((
            *window,
            PlacedRecords::new(&content.batches, places.collect()),
        ))
    }

    /// All spans, in the order of insertion.
    pub(crate) fn spans(&self) -> MemtableSpans {
        let content = self.content.read();
        PlacedRecords::new(
            &content.batches,
            content.rows.iter().map(|row| row.place).collect(),
        )
    }

    /// What `look` makes of the counts of its operations.
    pub(crate) fn with_summaries<T>(&self, look: impl FnOnce(&Summaries) -> T) -> T {
        look(&self.content.read().summaries)
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl signal::Memtable for Memtable {
    type Stored = StoredBatch;

    fn insert(&self, batch: &Arc<StoredBatch>, older: &[Arc<Self>]) {
        if batch.is_empty() {
            return;
        }
        let older: Vec<_> = older.iter().map(|older| older.content.read()).collect();
        let mut content = self.content.write();
        let seqs = batch.seqs();
        let first_seq = content.seqs.map_or(seqs.start, |own| own.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: seqs.end,
        });
        content.insert(batch, &older);
        if !content.rows.is_empty() {
            content.first_insert.get_or_insert_with(Instant::now);
        }
    }

    fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            records: content.rows.len(),
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }
}

impl Content {
    fn insert(&mut self, batch: &Arc<StoredBatch>, older: &[RwLockReadGuard<'_, Self>]) {
        // Memory runs out long before there are 2^32 batches or spans.
        let number = self.batches.len() as u32;
        self.batches.push(Arc::clone(batch));
        let mut is_needed = false;
        for index in 0..batch.len() as u32 {
            let (place, span) = (
                Place {
                    batch: number,
                    record: index,
                },
                batch.span(index as usize),
            );
            if !older.iter().any(|older| older.holds_what_counts_of(span)) {
                is_needed |= self.insert_span(place, span);
            }
        }
        if is_needed {
            self.bytes += batch.memory_bytes();
        } else {
            // A request that was sent again.
            self.batches.pop();
        }
    }

    /// Whether it has a record of the same span that counts rather than this one.
    fn holds_what_counts_of(&self, span: SpanRef<'_>) -> bool {
        let identity = Identity::of_head(span.head());
        let row = self.find(self.hasher.hash_one(identity), &identity);
        row.is_some_and(|row| !span.version().supersedes(self.span(row).version()))
    }

    /// Adds a span, unless what it has of it counts rather; says whether it did.
    fn insert_span(&mut self, place: Place, span: SpanRef<'_>) -> bool {
        let identity = Identity::of_head(span.head());
        let hash = self.hasher.hash_one(identity);
        if let Some(row) = self.find(hash, &identity) {
            let counts = span.version().supersedes(self.span(row).version());
            if counts {
                self.replace(row, place, span);
            }
            return counts;
        }
        let row = self.rows.len() as u32;
        self.rows.push(Row {
            place,
            previous_of_trace: row,
        });
        let (rows, batches, hasher) = (&self.rows, &self.batches, &self.hasher);
        let span_of = |row: &u32| rows[*row as usize].place.of(batches);
        self.by_identity.insert_unique(hash, row, |row| {
            hasher.hash_one(Identity::of_head(span_of(row).head()))
        });
        let trace_id = span.trace_id();
        let last = self.by_trace.entry(
            hasher.hash_one(trace_id),
            |row| span_of(row).trace_id() == trace_id,
            |row| hasher.hash_one(span_of(row).trace_id()),
        );
        match last {
            hashbrown::hash_table::Entry::Occupied(mut last) => {
                let previous = std::mem::replace(last.get_mut(), row);
                self.rows[row as usize].previous_of_trace = previous;
            }
            hashbrown::hash_table::Entry::Vacant(first) => {
                first.insert(row);
            }
        }
        self.by_window.entry(window_of(span)).or_default().push(row);
        self.summaries.add_span(span);
        self.bytes += ROW_BYTES;
        true
    }

    /// Puts another record of the same span in the place of the one in `row`.
    fn replace(&mut self, row: u32, place: Place, span: SpanRef<'_>) {
        let (old_window, window) = (window_of(self.span(row)), window_of(span));
        self.rows[row as usize].place = place;
        if old_window == window {
            return;
        }
        // A sender that changes a span's start is rare enough to search the window for it.
        if let Some(rows) = self.by_window.get_mut(&old_window) {
            rows.retain(|other| *other != row);
            if rows.is_empty() {
                self.by_window.remove(&old_window);
            }
        }
        self.by_window.entry(window).or_default().push(row);
    }

    fn find(&self, hash: u64, identity: &Identity) -> Option<u32> {
        let is_it = |row: &u32| Identity::of_head(self.span(*row).head()) == *identity;
        self.by_identity.find(hash, is_it).copied()
    }

    fn span(&self, row: u32) -> SpanRef<'_> {
        self.rows[row as usize].place.of(&self.batches)
    }

    /// Where the spans of a trace are, the last one first.
    fn places_of(&self, trace_id: TraceId) -> Vec<Place> {
        let hash = self.hasher.hash_one(trace_id);
        let is_it = |row: &u32| self.span(*row).trace_id() == trace_id;
        let mut next = self.by_trace.find(hash, is_it).copied();
        let mut places = Vec::new();
        while let Some(number) = next {
            let row = self.rows[number as usize];
            places.push(row.place);
            next = (row.previous_of_trace != number).then_some(row.previous_of_trace);
        }
        places
    }
}

fn window_of(span: SpanRef<'_>) -> u64 {
    span.head().start_unix_nano / SCAN_WINDOW_NANO
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpanParts;
    use crate::batch::testing::{span, stored};
    use crate::signal::Memtable as _;
    use lumitrace_model::Span;

    #[test]
    fn a_final_span_replaces_its_announcement_in_place() {
        let memtable = Memtable::default();
        let mut announced = span(1, 1);
        announced.pending = true;
        let mut finished = span(1, 1);
        finished.start_unix_nano += 60_000_000_000;
        memtable.insert(&stored(vec![announced.clone()], 1), &[]);
        memtable.insert(&stored(vec![finished.clone()], 2), &[]);
        memtable.insert(&stored(vec![announced.clone()], 3), &[]);
        assert_eq!(memtable.size().records, 1);
        let record = |spans: &MemtableSpans| spans.get(0).record(SpanParts::ALL).span;
        assert_eq!(record(&memtable.trace(announced.trace_id)), finished);
        let (_, newest) = memtable.window(0..=u64::MAX, true).unwrap();
        let (_, oldest) = memtable.window(0..=u64::MAX, false).unwrap();
        assert_eq!((newest.len(), oldest.len()), (1, 1));
        assert_eq!(record(&oldest), finished);
        let version = memtable.version_of(Identity::of(&announced)).unwrap();
        assert_eq!((version.pending, version.seq), (false, 2));
        assert_eq!(
            memtable.block_id(),
            Some(BlockId {
                first_seq: 1,
                end_seq: 4
            })
        );
    }

    #[test]
    fn what_an_older_memtable_has_is_not_stored_again_but_what_replaces_it_is() {
        let older = Arc::new(Memtable::default());
        let pending = |number| Span {
            pending: true,
            ..span(1, number)
        };
        older.insert(&stored(vec![span(1, 1), pending(2)], 1), &[]);
        let memtable = Memtable::default();
        let insert = |spans: Vec<Span>, first_seq: u64| {
            memtable.insert(&stored(spans, first_seq), std::slice::from_ref(&older));
            memtable.size()
        };
        let repeated = insert(vec![span(1, 1), pending(1)], 3);
        assert_eq!((repeated.records, repeated.bytes), (0, 0));
        assert_eq!(repeated.first_insert, None, "nothing waits to be written");
        assert_eq!(insert(vec![span(1, 1), span(1, 3)], 5).records, 1);
        assert_eq!(insert(vec![pending(2)], 7).records, 2, "a later one");
        let before = insert(vec![span(1, 2)], 8);
        assert_eq!(before.records, 2);
        assert_eq!(insert(vec![span(1, 2)], 9), before);
        let ids = memtable.block_id().unwrap();
        assert_eq!(
            (ids.first_seq, ids.end_seq),
            (3, 10),
            "their numbers are used"
        );
    }

    #[test]
    fn a_trace_is_found_whole_and_in_order_among_others() {
        let memtable = Memtable::default();
        for number in 0..100 {
            let spans = vec![span(number as u8 % 3, 2 * number), span(3, 2 * number + 1)];
            memtable.insert(&stored(spans, 1 + 2 * number), &[]);
        }
        let ids = |trace: u8| -> Vec<u64> {
            let spans = memtable.trace(span(trace, 0).trace_id);
            let id = |span: SpanRef<'_>| u64::from_be_bytes(span.span_id().to_bytes());
            spans.iter().map(id).collect()
        };
        let every_third: Vec<u64> = (0..100).filter(|n| n % 3 == 1).map(|n| 2 * n).collect();
        assert_eq!(ids(1), every_third);
        assert_eq!(ids(3), (0..100).map(|n| 2 * n + 1).collect::<Vec<_>>());
        assert!(ids(4).is_empty());
    }
}
