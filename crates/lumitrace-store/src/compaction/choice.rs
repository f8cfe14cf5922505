//! Which neighbours are merged: decided from their sizes and times alone.
//!
//! There are two tiers. *Small* blocks are merged eight at a time, as they come. What comes out of
//! that is merged once more where neighbours make up a *full* block, so that also a store of a
//! terabyte has no more than a few thousand blocks.

use std::ops::Range;
use std::time::Duration;

use crate::options::StoreOptions;

/// Small blocks that are merged at once.
const MERGED_SMALL: usize = 8;
/// Blocks that are merged at once into a full one, at most: each of them has rows in memory.
const MAX_MERGED: usize = 16;
/// Small neighbours beyond this number are merged even where one outweighs the others.
const MAX_SMALL_BLOCKS: usize = 32;
/// A full block holds this part of all ...
const FULL_SHARE: u64 = 64;
/// ... but never more than so many bytes are asked for: a merge has the tables of its block's index in
/// memory, which grow with it.
const MAX_FULL_BYTES: u64 = 512 << 20;
/// A merged block outlives its oldest record by at most this part of what records are kept.
const RANGE_SHARE: u32 = 10;

/// A block that may be merged with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Size of its files.
    pub(super) bytes: u64,
    /// When its first and its last record were received.
    pub(super) received_unix_nano: (u64, u64),
    /// Whether it is left alone, since a merge of it failed.
    pub(super) is_left_alone: bool,
}

/// What a choice keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Blocks of fewer bytes are small.
    small_below_bytes: u64,
    /// Records that are merged were received within this time.
    max_range_nano: u64,
}

impl Limits {
    pub(crate) fn of(options: &StoreOptions) -> Self {
        // A block goes when all of it is old enough: one of records from months would keep the oldest
        // of them for months too long. What one memtable takes in is together anyway.
        let max_range = options
            .retention
            .max_age
            .map(|age| (age / RANGE_SHARE).max(options.flush_after));
        Self {
            small_below_bytes: options.compact_below_bytes,
            max_range_nano: nanos(max_range.unwrap_or(Duration::MAX)),
        }
    }

    /// How large a full block is, in a shelf of so many bytes; none where small ones do.
    fn full_bytes(&self, total_bytes: u64) -> Option<u64> {
        let share = (total_bytes / FULL_SHARE).min(MAX_FULL_BYTES);
        (share > self.small_below_bytes).then_some(share)
    }

    fn is_close(&self, run: &[Candidate]) -> bool {
        let first = run.iter().map(|block| block.received_unix_nano.0).min();
        let last = run.iter().map(|block| block.received_unix_nano.1).max();
        let range = first.zip(last).map(|(first, last)| last - first.min(last));
        range.is_none_or(|range| range <= self.max_range_nano)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which of these neighbours to merge, by sequence numbers.
pub(super) fn choose(blocks: &[Candidate], limits: &Limits) -> Option<Range<usize>> {
    if limits.small_below_bytes == 0 {
        return None;
    }
    small_run(blocks, limits).or_else(|| full_run(blocks, limits))
}

/// Of all runs of eight small blocks the one that costs least, if none of them makes up more than
/// half of it: so a record is rewritten once for each doubling, not with every new block.
fn small_run(blocks: &[Candidate], limits: &Limits) -> Option<Range<usize>> {
    let is_small =
        |block: &Candidate| !block.is_left_alone && block.bytes < limits.small_below_bytes;
    let is_crowded = blocks.iter().filter(|block| is_small(block)).count() > MAX_SMALL_BLOCKS;
    blocks
        .windows(MERGED_SMALL)
        .enumerate()
        .filter(|(_, run)| run.iter().all(is_small) && limits.is_close(run))
        .filter(|(_, run)| is_crowded || is_balanced(run))
        .min_by_key(|(_, run)| bytes(run))
        .map(|(start, _)| start..start + MERGED_SMALL)
}

/// The oldest run that makes up a full block, or as many blocks as can be merged at once: no record
/// is rewritten for less, nor again before the store has doubled.
fn full_run(blocks: &[Candidate], limits: &Limits) -> Option<Range<usize>> {
    let full_bytes = limits.full_bytes(bytes(blocks))?;
    let is_part = |block: &Candidate| !block.is_left_alone && block.bytes < full_bytes;
    (0..blocks.len()).find_map(|start| {
        let parts = blocks[start..].iter().take(MAX_MERGED);
        let parts = parts.take_while(|block| is_part(block)).count();
        let run = (2..=parts).map(|len| start..start + len).find(|run| {
            let run = &blocks[run.clone()];
            bytes(run) >= full_bytes || run.len() == MAX_MERGED && is_balanced(run)
        })?;
        limits.is_close(&blocks[run.clone()]).then_some(run)
    })
}

/// Whether none of them makes up more than half of all.
fn is_balanced(run: &[Candidate]) -> bool {
    let largest = run.iter().map(|block| block.bytes).max().unwrap_or(0);
    largest <= bytes(run) / 2
}

fn bytes(blocks: &[Candidate]) -> u64 {
    blocks.iter().map(|block| block.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Limits = Limits {
        small_below_bytes: 64,
        max_range_nano: u64::MAX,
    };

    /// Blocks of these sizes, each received within its own ten nanoseconds.
    fn blocks(sizes: &[u64]) -> Vec<Candidate> {
        let block = |(number, bytes): (u64, &u64)| Candidate {
            bytes: *bytes,
            received_unix_nano: (number * 10, number * 10 + 9),
            is_left_alone: false,
        };
        (0..).zip(sizes).map(block).collect()
    }

    fn chosen(sizes: &[u64]) -> Option<Range<usize>> {
        choose(&blocks(sizes), &ALWAYS)
    }

    #[test]
    fn the_cheapest_run_of_similar_small_neighbours_is_merged() {
        assert_eq!(chosen(&[1; 7]), None);
        assert_eq!(chosen(&[5, 1, 1, 1, 1, 1, 1, 1, 1]), Some(1..9));
        assert_eq!(chosen(&[100, 1, 1, 1, 1, 1, 1, 1, 1]), Some(1..9));
        let interrupted = chosen(&[1, 1, 1, 1, 100, 1, 1, 1, 1]);
        assert_eq!(interrupted, None, "only neighbours");
        let unequal = chosen(&[50, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(unequal, None, "50 bytes for seven");
        let off = Limits {
            small_below_bytes: 0,
            ..ALWAYS
        };
        assert_eq!(choose(&blocks(&[1; 8]), &off), None);
    }

    #[test]
    fn what_was_received_long_apart_is_not_merged() {
        let within = |max_range_nano| Limits {
            max_range_nano,
            ..ALWAYS
        };
        let blocks = blocks(&[3, 3, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(choose(&blocks, &within(79)), Some(2..10));
        assert_eq!(choose(&blocks, &within(78)), None);
        let options = |max_age, flush_after| {
            let mut options = StoreOptions::new("");
            options.retention.max_age = max_age;
            options.flush_after = Duration::from_nanos(flush_after);
            Limits::of(&options).max_range_nano
        };
        let month = Some(Duration::from_nanos(3_000));
        assert_eq!((options(month, 60), options(month, 600)), (300, 600));
        assert_eq!(options(None, 60), u64::MAX);
    }

    #[test]
    fn blocks_of_which_a_merge_failed_are_left_alone() {
        let mut blocks = blocks(&[1; 12]);
        blocks[2].is_left_alone = true;
        assert_eq!(choose(&blocks, &ALWAYS), Some(3..11));
        blocks[6].is_left_alone = true;
        assert_eq!(choose(&blocks, &ALWAYS), None);
    }

    #[test]
    fn the_oldest_neighbours_that_make_up_a_full_block_are_merged_once_more() {
        // A full block has 100 of 6,400 bytes, or more.
        let large = |sizes: &[u64]| {
            let rest = 6_400 - sizes.iter().sum::<u64>();
            chosen(&[sizes, &[rest]].concat())
        };
        assert_eq!(large(&[70, 90]), Some(0..2));
        assert_eq!(large(&[100, 70, 20, 10, 90]), Some(1..4));
        assert_eq!(large(&[70, 100, 20, 70]), None, "only neighbours");
        assert_eq!(large(&[99, 100]), None);
        // As many as can be merged at once, where one needs a thousand bytes to be full.
        let eight = [&[70][..], &[1; 7]].concat();
        let sixteen = [&eight[..], &eight].concat();
        assert_eq!(chosen(&[&sixteen[..], &[64_000]].concat()), Some(0..16));
        assert_eq!(chosen(&[&sixteen[..15], &[64_000]].concat()), None);
        let mut apart = blocks(&[70, 90, 99, 99, 6_400]);
        apart[1].received_unix_nano = (1_000, 1_000);
        let within = Limits {
            max_range_nano: 500,
            ..ALWAYS
        };
        assert_eq!(choose(&apart, &within), Some(2..4));
    }

    /// Merges in sizes what is chosen, until nothing is. Returns how many bytes were rewritten.
    fn merge_all(sizes: &mut Vec<u64>, limits: &Limits) -> u64 {
        let mut rewritten = 0;
        while let Some(run) = choose(&blocks(sizes), limits) {
            let merged = sizes[run.clone()].iter().sum();
            rewritten += merged;
            sizes.splice(run, [merged]);
        }
        rewritten
    }

    #[test]
    fn the_number_of_small_blocks_stays_bounded_whatever_their_sizes() {
        let limits = Limits {
            small_below_bytes: 1_000,
            ..ALWAYS
        };
        let mut sizes = Vec::new();
        for new in 0..500_u64 {
            sizes.push(1 + new * 7919 % 40);
            merge_all(&mut sizes, &limits);
            let small = sizes.iter().filter(|size| **size < 1_000).count();
            assert!(small <= MAX_SMALL_BLOCKS + MERGED_SMALL, "{sizes:?}");
        }
    }

    #[test]
    fn a_store_of_terabytes_has_few_blocks_of_bounded_size_and_rewrites_no_record_often() {
        const MIB: u64 = 1 << 20;
        let limits = Limits::of(&StoreOptions::new(""));
        let (mut sizes, mut total, mut rewritten) = (Vec::new(), 0, 0);
        let mut random = fastrand::Rng::with_seed(7);
        while total < 200 << 30 {
            let size = random.u64(1..40) * MIB;
            sizes.push(size);
            total += size;
            rewritten += merge_all(&mut sizes, &limits);
        }
        let full = limits.full_bytes(total).unwrap();
        assert_eq!(full, MAX_FULL_BYTES);
        let most = 2 * (total / full) as usize + MAX_SMALL_BLOCKS + MERGED_SMALL;
        assert!(sizes.len() <= most, "{} of {most}", sizes.len());
        assert!(sizes.iter().all(|size| *size <= 2 * full));
        assert!(
            rewritten <= 6 * total,
            "{}",
            rewritten as f64 / total as f64
        );
    }
}
