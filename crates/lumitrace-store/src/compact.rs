//! Merging a folder's blocks into few, while no server runs on it.
//!
//! An open store merges small blocks as it goes ([`crate::StoreOptions::compact_below_bytes`]); here
//! all neighbours are merged that together stay below a size.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use crate::compaction::{self, CompactionSignal};
use crate::engine::Engine;
use crate::error::{FlushError, OpenError};
use crate::signal::Signal;
use crate::{ShelfName, ShelfStats, Store, StoreOptions};

/// Blocks that are merged at once: each of them has rows in memory.
const MERGED_BLOCKS: usize = 16;

/// What was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Blocks before, those included that were made of the log.
    pub blocks_before: u64,
    /// Blocks after.
    pub blocks_after: u64,
    /// Size of all files before, in bytes.
    pub bytes_before: u64,
    /// Size of all files after, in bytes.
    pub bytes_after: u64,
    /// Records in blocks after: repetitions are gone.
    pub records: u64,
    /// Merges.
    pub merges: u64,
    /// Whether it was ended before nothing was left to merge.
    pub stopped: bool,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactProgress {
    /// Bytes of blocks that were merged.
    pub bytes: u64,
    /// Bytes of blocks that are to be merged.
    pub total_bytes: u64,
}

/// Why a compaction failed. What was merged by then stays.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The store cannot be opened, or not all of its blocks.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in the log cannot be written out as a block.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// Blocks cannot be merged.
    #[error("could not merge blocks: {reason}; they stay as they are")]
    Merge {
        /// What happened.
        reason: String,
    },
}

/// Writes the log of the store that `options` open out as blocks, and merges neighbours into blocks of up to
/// `block_bytes`. Tells `watch` how far it is, until that breaks.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let dir = example::folder()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::{StoreOptions, compact::compact};
///
/// # let dir = dir.path();
/// let done = compact(StoreOptions::new(dir), 512 << 20, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!((done.merges, done.blocks_after), (0, 3)); // no shelf has two blocks
/// assert_eq!(done.records, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`CompactError`].
pub fn compact(
    options: StoreOptions,
    block_bytes: u64,
    watch: &mut dyn FnMut(CompactProgress) -> ControlFlow<()>,
) -> Result<Compacted, CompactError> {
    let store = Store::open(StoreOptions {
        // All merging is done here.
        compact_below_bytes: 0,
        flush_after: Duration::from_secs(86_400),
        ..options
    })?;
    // Whoever does this is there to decide what becomes of damage.
    let mut shelves = ShelfName::ALL.into_iter();
    if let Some(damage) = shelves.find_map(|name| store.stats_of(name)?.damages.pop()) {
        return Err(OpenError::Corrupt(damage).into());
    }
    let bytes_before = sum(&store, |stats| stats.disk_bytes);
    store.flush()?;
    let blocks_before = sum(&store, |stats| stats.blocks);
    let (spans, archive) = (store.engine(), store.archive_engine());
    let (logs, metrics) = (store.logs_engine(), store.metrics_engine());
    let mut total_bytes = bytes_to_merge(spans, block_bytes);
    total_bytes += archive.map_or(0, |archive| bytes_to_merge(archive, block_bytes));
    total_bytes += logs.map_or(0, |logs| bytes_to_merge(logs, block_bytes));
    total_bytes += metrics.map_or(0, |metrics| bytes_to_merge(metrics, block_bytes));
    let mut work = Work {
        block_bytes,
        progress: CompactProgress {
            bytes: 0,
            total_bytes,
        },
        merges: 0,
        stopped: false,
        watch,
    };
    work.compact_shelf(spans)?;
    archive.map_or(Ok(()), |archive| work.compact_shelf(archive))?;
    logs.map_or(Ok(()), |logs| work.compact_shelf(logs))?;
    metrics.map_or(Ok(()), |metrics| work.compact_shelf(metrics))?;
    Ok(Compacted {
        blocks_before,
        blocks_after: sum(&store, |stats| stats.blocks),
        bytes_before,
        bytes_after: sum(&store, |stats| stats.disk_bytes),
        records: sum(&store, |stats| stats.records),
        merges: work.merges,
        stopped: work.stopped,
    })
}

/// What all shelves of a store together have of something.
fn sum(store: &Store, of: impl Fn(&ShelfStats) -> u64) -> u64 {
    let stats = ShelfName::ALL
        .into_iter()
        .filter_map(|name| store.stats_of(name));
    stats.map(|stats| of(&stats)).sum()
}

fn bytes_to_merge<S: Signal>(engine: &Engine<S>, block_bytes: u64) -> u64 {
    let sizes = sizes(engine);
    let runs = runs(&sizes, block_bytes).into_iter();
    runs.map(|run| sizes[run].iter().sum::<u64>()).sum()
}

/// The sizes of a shelf's blocks.
fn sizes<S: Signal>(engine: &Engine<S>) -> Vec<u64> {
    let sources = engine.snapshot();
    let blocks = sources.blocks.iter();
    blocks.map(|block| block.record().bytes()).collect()
}

/// A compaction at work.
struct Work<'a> {
    block_bytes: u64,
    progress: CompactProgress,
    merges: u64,
    stopped: bool,
    watch: &'a mut dyn FnMut(CompactProgress) -> ControlFlow<()>,
}

impl Work<'_> {
    fn compact_shelf<S: Signal>(&mut self, engine: &Engine<S>) -> Result<(), CompactError> {
        let signal = CompactionSignal::default();
        while let Some(run) = runs(&sizes(engine), self.block_bytes).first().cloned() {
            self.stopped |= (self.watch)(self.progress).is_break();
            if self.stopped {
                break;
            }
            let blocks: Vec<Arc<_>> = engine.snapshot().blocks[run].to_vec();
            let bytes = blocks.iter().map(|block| block.record().bytes());
            self.progress.bytes += bytes.sum::<u64>();
            compaction::merge(engine, &blocks, &signal).map_err(|failure| CompactError::Merge {
                reason: failure.to_string(),
            })?;
            self.merges += 1;
        }
        Ok(())
    }
}

/// Runs of neighbours that together stay below `block_bytes`, out of blocks with these sizes.
fn runs(sizes: &[u64], block_bytes: u64) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in sizes.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if bytes + size <= block_bytes && run.len() < MERGED_BLOCKS => {
                run.end += 1;
                bytes += size;
            }
            _ => {
                runs.push(index..index + 1);
                bytes = *size;
            }
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_merged_up_to_the_size() {
        assert_eq!(runs(&[1, 2, 3, 10, 4, 4], 9), [0..3, 4..6]);
        assert!(runs(&[9, 9], 9).is_empty());
        assert!(runs(&[], 9).is_empty());
        assert_eq!(runs(&[1; 40], 100), [0..16, 16..32, 32..40]);
    }

    #[test]
    fn merging_ends_whatever_the_sizes() {
        let mut sizes: Vec<u64> = (0..300).map(|number| 1 + number * 7919 % 40).collect();
        let total: u64 = sizes.iter().sum();
        while let Some(run) = runs(&sizes, 200).first().cloned() {
            let merged = sizes[run.clone()].iter().sum();
            sizes.splice(run, [merged]);
        }
        assert_eq!(sizes.iter().sum::<u64>(), total);
        assert!(sizes.windows(2).all(|pair| pair[0] + pair[1] > 200));
    }
}
