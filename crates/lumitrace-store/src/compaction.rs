//! The thread that merges small neighbouring blocks, so that their number stays bounded.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::block::Block;
use crate::block::writer::remove_files;
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::flush::commit_block;
use crate::manifest::BlockId;
use crate::retention;
use crate::shelf::unix_nano_now;
use crate::signal::{BlockRows, Signal};
use crate::stats::count;

/// Blocks that are merged at once.
const MERGED_BLOCKS: usize = 8;
/// Time passes without new blocks too, and what is kept by age or free space expires.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);
/// Small neighbours beyond this number are merged even where one outweighs the others.
const MAX_SMALL_BLOCKS: usize = 32;
/// Of zstd: what is merged is kept for long.
pub(crate) const COMPRESSION_LEVEL: i32 = 3;

#[derive(Debug, Default)]
struct SignalState {
    woken: bool,
    stopping: bool,
}

/// How others talk to the merging thread.
#[derive(Debug, Default)]
pub(crate) struct CompactionSignal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

impl CompactionSignal {
    /// Says that there is a new block.
    pub(crate) fn wake(&self) {
        self.state.lock().woken = true;
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Waits for a new block, but not for ever; false when it is time to end.
    fn wait(&self) -> bool {
        let deadline = Instant::now() + UPKEEP_EVERY;
        let mut state = self.state.lock();
        while !state.woken
            && !state.stopping
            && !self.changed.wait_until(&mut state, deadline).timed_out()
        {}
        state.woken = false;
        !state.stopping
    }
}

/// Lets go of old blocks and merges the others, whenever there are new ones and once in a while,
/// until told to stop.
pub(crate) fn run<S: Signal>(engine: &Engine<S>, signal: &CompactionSignal) {
    // A merge that failed would fail again: its blocks are left alone until the next start.
    let mut failed = HashSet::new();
    while signal.wait() {
        retention::enforce(engine, unix_nano_now());
        while !signal.is_stopping()
            && engine.failure().is_none()
            && let Some(blocks) = next_merge(engine, &failed)
        {
            // Merging is a service to readers: a panic in it must not keep records from being stored.
            let merged = catch_unwind(AssertUnwindSafe(|| merge(engine, &blocks, signal)));
            match merged.unwrap_or_else(|_| Err("merging them has panicked".to_owned())) {
                Ok(true) => count(&engine.counters.compactions, 1),
                Ok(false) => return,
                Err(reason) => {
                    tracing::warn!(reason, "could not merge blocks; they stay as they are");
                    failed.extend(blocks.iter().map(|block| block.id()));
                }
            }
        }
    }
}

fn next_merge<S: Signal>(engine: &Engine<S>, failed: &HashSet<BlockId>) -> Option<Vec<Arc<Block>>> {
    let sources = engine.snapshot();
    let size = |block: &Arc<Block>| {
        let usable = !failed.contains(&block.id());
        if usable {
            block.record().data_bytes + block.record().payload_bytes
        } else {
            u64::MAX
        }
    };
    let sizes: Vec<u64> = sources.blocks.iter().map(size).collect();
    let chosen = choose(&sizes, engine.options.compact_below_bytes)?;
    Some(sources.blocks[chosen].to_vec())
}

/// Which neighbours to merge, of blocks with these sizes.
///
/// Of all runs of eight small blocks the one that costs least, if none of them makes up more than
/// half of it: so a record is rewritten once for each doubling, not with every new block.
fn choose(sizes: &[u64], small_below: u64) -> Option<Range<usize>> {
    let is_small = |size: &u64| *size < small_below;
    let crowded = sizes.iter().filter(|size| is_small(size)).count() > MAX_SMALL_BLOCKS;
    sizes
        .windows(MERGED_BLOCKS)
        .enumerate()
        .filter(|(_, run)| run.iter().all(is_small))
        .filter(|(_, run)| {
            let largest = run.iter().max().copied().unwrap_or(0);
            crowded || largest <= run.iter().sum::<u64>() / 2
        })
        .min_by_key(|(_, run)| run.iter().sum::<u64>())
        .map(|(start, _)| start..start + MERGED_BLOCKS)
}

/// Puts one block in the place of `blocks`, which must be neighbours; false if told to stop before
/// it was done.
pub(crate) fn merge<S: Signal>(
    engine: &Engine<S>,
    blocks: &[Arc<Block>],
    signal: &CompactionSignal,
) -> Result<bool, String> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Ok(true);
    };
    let id = BlockId {
        first_seq: first.id().first_seq,
        end_seq: last.id().end_seq,
    };
    let rows: Vec<BlockRows<'_>> = blocks.iter().map(|block| BlockRows::all(block)).collect();
    let target = engine.block_target(id, COMPRESSION_LEVEL);
    let written = S::write_rows(&rows, target, &|| signal.is_stopping());
    if !matches!(written, Ok(Some(_))) {
        // Space matters most when there is none.
        let _ = remove_files(&*engine.disk, &engine.folder.blocks_dir(), id);
    }
    let Some(record) = written.map_err(|error| format!("block {id}: {error}"))? else {
        return Ok(false);
    };
    let merged = commit_block(engine, record).map_err(|problem| problem.to_string())?;
    engine.change_sources(|sources| {
        let replaced = |block: &Arc<Block>| blocks.iter().any(|other| Arc::ptr_eq(block, other));
        let position = sources.blocks.iter().position(replaced);
        sources.blocks.retain(|block| !replaced(block));
        sources.blocks.insert(position.unwrap_or(0), merged);
    });
    reached(Failpoint::InputsReplaced);
    blocks.iter().for_each(|block| block.mark_replaced());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_run_of_similar_small_neighbours_is_merged() {
        assert_eq!(choose(&[1; 7], 64), None);
        assert_eq!(choose(&[5, 1, 1, 1, 1, 1, 1, 1, 1], 64), Some(1..9));
        assert_eq!(choose(&[100, 1, 1, 1, 1, 1, 1, 1, 1], 64), Some(1..9));
        assert_eq!(
            choose(&[1, 1, 1, 1, 100, 1, 1, 1, 1], 64),
            None,
            "only neighbours"
        );
        assert_eq!(
            choose(&[50, 1, 1, 1, 1, 1, 1, 1], 64),
            None,
            "50 bytes for seven"
        );
        assert_eq!(choose(&[1; 8], 0), None, "switched off");
    }

    #[test]
    fn the_number_of_small_blocks_stays_bounded_whatever_their_sizes() {
        let mut sizes = Vec::new();
        for new in 0..500_u64 {
            sizes.push(1 + new * 7919 % 40);
            while let Some(run) = choose(&sizes, 1000) {
                let merged = sizes[run.clone()].iter().sum();
                sizes.splice(run, [merged]);
            }
            let small = sizes.iter().filter(|size| **size < 1000).count();
            assert!(small <= MAX_SMALL_BLOCKS + MERGED_BLOCKS, "{sizes:?}");
        }
    }
}
