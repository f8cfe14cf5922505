//! What all shelves of a store keep: so that sizes, and what is free of their one disk, count over all
//! of them. Which blocks go is decided here.
//!
//! Each shelf says what it has and removes what is its own of the blocks that go; the others remove
//! theirs when it is their turn, within seconds. So no shelf frees what another one is about to free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Retention, received_range};
use crate::block::Block;
use crate::manifest::BlockId;
use crate::shelf::ShelfName;

/// What was received up to a day from now says that the clock was set back, or read a moment ago; what
/// was received still later says that it was wrong.
const CLOCK_TOLERANCE_NANO: u64 = 86_400_000_000_000;

/// What decides whether a block goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptBlock {
    id: BlockId,
    bytes: u64,
    /// When its last span was received, if that is known.
    last_received_unix_nano: Option<u64>,
    last_end_unix_nano: u64,
}

impl KeptBlock {
    pub(super) fn of(block: &Block) -> Self {
        Self {
            id: block.id(),
            bytes: block.record().bytes(),
            last_received_unix_nano: received_range(block).map(|(_, last)| last),
            last_end_unix_nano: block.record().last_end_unix_nano,
        }
    }

    /// Since when all of it is there. One of which nothing is known counts as new; so does one whose last
    /// span came after `now_unix_nano` was read from the clock, or before the clock was set back a little.
    fn complete_since(&self, now_unix_nano: u64) -> u64 {
        let just_received = now_unix_nano..=now_unix_nano.saturating_add(CLOCK_TOLERANCE_NANO);
        if (self.last_received_unix_nano).is_some_and(|last| just_received.contains(&last)) {
            return now_unix_nano;
        }
        let times = [self.last_received_unix_nano, Some(self.last_end_unix_nano)];
        let past = times
            .into_iter()
            .flatten()
            .filter(|time| *time <= now_unix_nano);
        past.max().unwrap_or(now_unix_nano)
    }
}

/// What a shelf has, and how long that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptShelf {
    pub(super) retention: Retention,
    /// Whether its size counts by itself, and not with that of the others.
    pub(super) has_own_size: bool,
    pub(super) blocks: Vec<KeptBlock>,
}

/// Shared by all shelves of a store.
#[derive(Debug, Default)]
pub(crate) struct KeptBlocks {
    shelves: Mutex<BTreeMap<ShelfName, KeptShelf>>,
    /// Whether all shelves have said what they have.
    is_complete: AtomicBool,
    leaving: LeavingBytes,
}

impl KeptBlocks {
    /// Says what a shelf has now.
    pub(super) fn say(&self, name: ShelfName, shelf: KeptShelf) {
        self.shelves.lock().insert(name, shelf);
    }

    /// Says that a shelf will remove nothing any more.
    pub(super) fn withdraw(&self, name: ShelfName) {
        self.shelves.lock().remove(&name);
    }

    /// Says that all shelves have said what they have. Before nothing goes: one alone would have to
    /// make room for all.
    pub(crate) fn set_complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    pub(crate) fn leaving(&self) -> &LeavingBytes {
        &self.leaving
    }

    /// The blocks of a shelf that are to be removed, while so many bytes of the disk are free or
    /// about to be.
    pub(super) fn expired_of(
        &self,
        name: ShelfName,
        now_unix_nano: u64,
        free_bytes: Option<u64>,
    ) -> Vec<BlockId> {
        if !self.is_complete.load(Ordering::Acquire) {
            return Vec::new();
        }
        let expired = expired(&self.shelves.lock(), now_unix_nano, free_bytes);
        let own = expired.into_iter().filter(|(shelf, _)| *shelf == name);
        own.map(|(_, id)| id).collect()
    }
}

/// The blocks to remove, out of all, oldest first.
fn expired(
    shelves: &BTreeMap<ShelfName, KeptShelf>,
    now_unix_nano: u64,
    free_bytes: Option<u64>,
) -> Vec<(ShelfName, BlockId)> {
    let mut by_age: Vec<_> = shelves
        .iter()
        .flat_map(|(name, shelf)| shelf.blocks.iter().map(move |block| (*name, shelf, block)))
        .map(|(name, shelf, block)| (block.complete_since(now_unix_nano), name, shelf, block))
        .collect();
    by_age.sort_by_key(|(since, name, _, block)| (*since, *name, block.id));
    // Of the shelves that count together, and of each that counts by itself.
    let group = |name: ShelfName, shelf: &KeptShelf| shelf.has_own_size.then_some(name);
    let mut sizes: BTreeMap<Option<ShelfName>, u64> = BTreeMap::new();
    for (_, name, shelf, block) in &by_age {
        *sizes.entry(group(*name, shelf)).or_default() += block.bytes;
    }
    let mut free_bytes = free_bytes;
    let mut expired = Vec::new();
    for (since, name, shelf, block) in by_age {
        let size = sizes.entry(group(name, shelf)).or_default();
        let Retention {
            max_age,
            max_bytes,
            min_free_bytes,
        } = shelf.retention;
        let age_nano = u128::from(now_unix_nano - since);
        let goes = max_age.is_some_and(|max| age_nano > max.as_nanos())
            || max_bytes.is_some_and(|max| *size > max)
            || min_free_bytes
                .zip(free_bytes)
                .is_some_and(|(min, free)| free < min);
        if goes {
            *size -= block.bytes;
            free_bytes = free_bytes.map(|free| free.saturating_add(block.bytes));
            expired.push((name, block.id));
        }
    }
    expired
}

/// Bytes of blocks that count no more, and whose files go with their last reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeavingBytes(Arc<AtomicU64>);

impl LeavingBytes {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts so many bytes until the value is dropped, once they are gone.
    pub(crate) fn add(&self, bytes: u64) -> Leaving {
        self.0.fetch_add(bytes, Ordering::AcqRel);
        Leaving {
            bytes,
            total: self.clone(),
        }
    }
}

/// See [`LeavingBytes::add`].
#[derive(Debug)]
pub(crate) struct Leaving {
    bytes: u64,
    total: LeavingBytes,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR_NANO: u64 = 3_600_000_000_000;

    /// A block of ten bytes whose last span was received so many hours after the epoch.
    fn block(number: u64, received_at_hour: u64) -> KeptBlock {
        KeptBlock {
            id: id(number),
            bytes: 10,
            last_received_unix_nano: Some(received_at_hour * HOUR_NANO),
            last_end_unix_nano: received_at_hour * HOUR_NANO - 1,
        }
    }

    fn id(number: u64) -> BlockId {
        BlockId {
            first_seq: number,
            end_seq: number + 1,
        }
    }

    fn shelf(retention: Retention, blocks: &[KeptBlock]) -> KeptShelf {
        KeptShelf {
            retention,
            has_own_size: false,
            blocks: blocks.to_vec(),
        }
    }

    fn max_bytes(max: u64) -> Retention {
        Retention {
            max_bytes: Some(max),
            ..Retention::default()
        }
    }

    fn at_hour_10(retention: Retention, free_bytes: Option<u64>) -> Vec<BlockId> {
        // Stored in another order than they were received: their clock went back.
        let blocks = [block(1, 8), block(2, 4), block(3, 9), block(4, 6)];
        let spans = shelf(retention, &blocks);
        let shelves = BTreeMap::from([(ShelfName::Spans, spans)]);
        let expired = expired(&shelves, 10 * HOUR_NANO, free_bytes).into_iter();
        expired.map(|(_, id)| id).collect()
    }

    #[test]
    fn blocks_go_once_all_of_them_is_too_old() {
        let max_age = |hours: u64| Retention {
            max_age: Some(Duration::from_secs(hours * 3600)),
            ..Retention::default()
        };
        assert_eq!(at_hour_10(max_age(3), None), [id(2), id(4)]);
        assert_eq!(at_hour_10(max_age(4), None), [id(2)]);
        assert!(at_hour_10(max_age(6), None).is_empty());
    }

    #[test]
    fn the_oldest_go_until_the_rest_is_small_enough() {
        assert!(at_hour_10(max_bytes(40), None).is_empty());
        assert_eq!(at_hour_10(max_bytes(39), None), [id(2)]);
        assert_eq!(at_hour_10(max_bytes(20), None), [id(2), id(4)]);
        assert_eq!(at_hour_10(max_bytes(0), None).len(), 4);
    }

    #[test]
    fn the_oldest_go_until_enough_of_the_disk_is_free() {
        let retention = Retention {
            min_free_bytes: Some(100),
            ..Retention::default()
        };
        assert!(at_hour_10(retention, Some(100)).is_empty());
        assert_eq!(at_hour_10(retention, Some(85)), [id(2), id(4)]);
        assert!(at_hour_10(retention, None).is_empty(), "nobody knows");
    }

    #[test]
    fn sizes_and_the_free_disk_count_over_all_shelves_and_the_oldest_go_whosever_they_are() {
        let spans = [block(1, 2), block(2, 4), block(3, 9)];
        let logs = [block(1, 1), block(2, 3), block(3, 8)];
        let of = |retention: Retention, free_bytes| {
            let shelves = BTreeMap::from([
                (ShelfName::Spans, shelf(retention, &spans)),
                (ShelfName::Logs, shelf(retention, &logs)),
            ]);
            expired(&shelves, 10 * HOUR_NANO, free_bytes)
        };
        let (log, span) = (ShelfName::Logs, ShelfName::Spans);
        let oldest = [(log, id(1)), (span, id(1)), (log, id(2))];
        assert_eq!(of(max_bytes(30), None), oldest);
        let retention = Retention {
            min_free_bytes: Some(100),
            ..Retention::default()
        };
        assert_eq!(of(retention, Some(75)), oldest);
    }

    #[test]
    fn a_shelf_with_a_size_of_its_own_leaves_the_others_alone() {
        let own = KeptShelf {
            has_own_size: true,
            ..shelf(max_bytes(10), &[block(1, 1), block(2, 2)])
        };
        let mut shelves = BTreeMap::from([
            (ShelfName::Spans, shelf(max_bytes(20), &[block(1, 3)])),
            (ShelfName::Metrics, shelf(max_bytes(20), &[block(1, 4)])),
            (ShelfName::Logs, own),
        ]);
        let now = 10 * HOUR_NANO;
        assert_eq!(expired(&shelves, now, None), [(ShelfName::Logs, id(1))]);
        let metrics = shelf(max_bytes(20), &[block(1, 4), block(2, 5)]);
        shelves.insert(ShelfName::Metrics, metrics);
        let both = [(ShelfName::Logs, id(1)), (ShelfName::Spans, id(1))];
        assert_eq!(expired(&shelves, now, None), both);
    }

    #[test]
    fn nothing_goes_before_all_shelves_have_said_what_they_have() {
        let kept = KeptBlocks::default();
        kept.say(ShelfName::Spans, shelf(max_bytes(0), &[block(1, 1)]));
        let expired = || kept.expired_of(ShelfName::Spans, 10 * HOUR_NANO, None);
        assert!(expired().is_empty());
        kept.set_complete();
        assert_eq!(expired(), [id(1)]);
        kept.withdraw(ShelfName::Spans);
        assert!(expired().is_empty());
    }

    #[test]
    fn wrong_clocks_of_senders_neither_keep_a_block_nor_drop_it_early() {
        let now = 10 * HOUR_NANO;
        let since = |received: Option<u64>, end: u64| {
            let block = KeptBlock {
                last_received_unix_nano: received.map(|hour| hour * HOUR_NANO),
                last_end_unix_nano: end * HOUR_NANO,
                ..block(1, 1)
            };
            block.complete_since(now) / HOUR_NANO
        };
        assert_eq!(since(Some(8), 700_000), 8, "a sender in 2049");
        assert_eq!(since(Some(8), 0), 8, "a sender in 1970");
        assert_eq!(since(Some(0), 7), 7, "our own clock was behind");
        assert_eq!(since(Some(700_000), 7), 7, "our own clock was ahead");
        assert_eq!(since(Some(700_000), 700_000), 10);
        assert_eq!((since(None, 7), since(None, 11)), (7, 10), "version 1");
    }

    #[test]
    fn old_spans_that_arrive_while_retention_decides_are_new() {
        let now = 10 * HOUR_NANO;
        let just_received = |later_nano: u64| KeptBlock {
            last_received_unix_nano: Some(now + later_nano),
            last_end_unix_nano: HOUR_NANO,
            ..block(1, 1)
        };
        for later_nano in [0, 1, HOUR_NANO] {
            let max_age = Retention {
                max_age: Some(Duration::from_secs(3600)),
                ..Retention::default()
            };
            let shelves = [(
                ShelfName::Spans,
                shelf(max_age, &[just_received(later_nano)]),
            )];
            assert_eq!(
                expired(&BTreeMap::from(shelves), now, None),
                [],
                "{later_nano} ns"
            );
        }
    }
}
