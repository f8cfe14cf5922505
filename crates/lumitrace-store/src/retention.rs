//! Which blocks were kept long enough, and letting go of them.
//!
//! The unit is the block: one goes when all of it is too old, or when it is the oldest of too much.
//!
//! **How old a block is.** Senders' clocks may be wrong by years in both directions, and late spans
//! are old when they come. So a block is as old as its last span's receipt, which our own clock says;
//! or as the latest end of a span, where that is later, since our clock may have been behind. What is
//! in the future counts for neither: it is wrong, and would keep a block for ever. Of blocks of
//! version 1 only the end is known.

use std::path::Path;
use std::time::Duration;

use crate::block::Block;
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::manifest::{BlockId, ManifestFailure};
use crate::signal::Signal;
use crate::stats::count;

/// How long records are kept. The default is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Records that were received longer ago than this may go.
    pub max_age: Option<Duration>,
    /// While blocks take more than this, in bytes, the oldest go.
    pub max_bytes: Option<u64>,
    /// While less than this is free on the disk, in bytes, the oldest go.
    pub min_free_bytes: Option<u64>,
}

impl Retention {
    fn is_for_ever(&self) -> bool {
        *self == Self::default()
    }
}

/// What decides whether a block goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeptBlock {
    id: BlockId,
    bytes: u64,
    /// When its last span was received, if that is known.
    last_received_unix_nano: Option<u64>,
    last_end_unix_nano: u64,
}

impl KeptBlock {
    fn of(block: &Block) -> Self {
        Self {
            id: block.id(),
            bytes: block.record().bytes(),
            last_received_unix_nano: received_range(block).map(|(_, last)| last),
            last_end_unix_nano: block.record().last_end_unix_nano,
        }
    }

    /// Since when all of it is there. One of which nothing is known counts as new.
    fn complete_since(&self, now_unix_nano: u64) -> u64 {
        let times = [self.last_received_unix_nano, Some(self.last_end_unix_nano)];
        let past = times
            .into_iter()
            .flatten()
            .filter(|time| *time <= now_unix_nano);
        past.max().unwrap_or(now_unix_nano)
    }
}

/// When the first and the last span of a block were received, if that is known.
pub(crate) fn received_range(block: &Block) -> Option<(u64, u64)> {
    let range = block.index().received_range_unix_nano();
    range.unwrap_or_else(|error| {
        tracing::warn!(block = %block.id(), %error, "could not tell when a block was received");
        None
    })
}

/// Removes the blocks that were kept long enough as of `now_unix_nano`. What cannot be removed now is
/// tried again.
pub(crate) fn enforce<S: Signal>(engine: &Engine<S>, now_unix_nano: u64) {
    let retention = engine.options.retention;
    if retention.is_for_ever() || engine.failure().is_some() {
        return;
    }
    let free_bytes = retention
        .min_free_bytes
        .and_then(|_| free_bytes(&engine.options.dir));
    let sources = engine.snapshot();
    let blocks: Vec<_> = sources
        .blocks
        .iter()
        .map(|block| KeptBlock::of(block))
        .collect();
    let expired = expired(&blocks, &retention, now_unix_nano, free_bytes);
    if !expired.is_empty() {
        remove(engine, expired);
    }
}

/// The blocks to remove, out of all.
fn expired(
    blocks: &[KeptBlock],
    retention: &Retention,
    now_unix_nano: u64,
    free_bytes: Option<u64>,
) -> Vec<BlockId> {
    let since = |block: &KeptBlock| block.complete_since(now_unix_nano);
    let mut by_age: Vec<&KeptBlock> = blocks.iter().collect();
    by_age.sort_by_key(|block| (since(block), block.id));
    let too_old = |block: &KeptBlock| {
        let age_nano = now_unix_nano - since(block);
        retention
            .max_age
            .is_some_and(|max| u128::from(age_nano) > max.as_nanos())
    };
    let total: u64 = blocks.iter().map(|block| block.bytes).sum();
    let beyond_total = retention
        .max_bytes
        .map_or(0, |max| total.saturating_sub(max));
    let missing = retention
        .min_free_bytes
        .zip(free_bytes)
        .map_or(0, |(min, free)| min.saturating_sub(free));
    let mut to_free = beyond_total.max(missing);
    let mut expired = Vec::new();
    for block in by_age {
        if to_free == 0 && !too_old(block) {
            break;
        }
        to_free = to_free.saturating_sub(block.bytes);
        expired.push(block.id);
    }
    expired
}

pub(crate) fn remove<S: Signal>(engine: &Engine<S>, ids: Vec<BlockId>) {
    match engine.manifest.lock().remove_blocks(ids.clone()) {
        Ok(()) => reached(Failpoint::RemovalSynced),
        Err(ManifestFailure::NoSpace(error)) => {
            tracing::warn!(%error, "could not note in the manifest which blocks are expired");
            return;
        }
        Err(ManifestFailure::Fatal(reason)) => return engine.fail(reason),
    }
    let mut removed = Vec::new();
    engine.change_sources(|sources| {
        sources.blocks.retain(|block| {
            let is_expired = ids.contains(&block.id());
            if is_expired {
                removed.push(std::sync::Arc::clone(block));
            }
            !is_expired
        });
    });
    let records = removed.iter().map(|block| block.record().rows).sum();
    let bytes: u64 = removed.iter().map(|block| block.record().bytes()).sum();
    tracing::info!(
        blocks = removed.len(),
        records,
        bytes,
        "removed expired blocks"
    );
    count(&engine.counters.expired_blocks, removed.len() as u64);
    count(&engine.counters.expired_records, records);
    // The files go with their last reader.
    removed.iter().for_each(|block| block.mark_replaced());
}

/// Bytes that are free for us on the disk of `dir`; none if the system does not say.
fn free_bytes(dir: &Path) -> Option<u64> {
    match rustix::fs::statvfs(dir) {
        Ok(disk) => Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "could not tell how much of the disk is free");
            None
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn at_hour_10(retention: Retention, free_bytes: Option<u64>) -> Vec<BlockId> {
        // Stored in another order than they were received: their clock went back.
        let blocks = [block(1, 8), block(2, 4), block(3, 9), block(4, 6)];
        expired(&blocks, &retention, 10 * HOUR_NANO, free_bytes)
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
        let max_bytes = |max| Retention {
            max_bytes: Some(max),
            ..Retention::default()
        };
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
}
