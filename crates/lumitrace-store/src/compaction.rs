//! The thread that merges neighbouring blocks, so that their number stays bounded. [`choice`] says
//! which.

mod choice;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::block::Block;
use crate::block::writer::remove_files;
use crate::disk::retryable_refusal;
use crate::engine::Engine;
use crate::error::ReadError;
use crate::failpoint::{Failpoint, reached};
use crate::flush::commit_block;
use crate::manifest::BlockId;
use crate::retention;
use crate::shelf::unix_nano_now;
use crate::signal::{BlockRows, Signal};
use crate::stats::count;
pub(crate) use choice::Limits;
use choice::{Candidate, choose};

/// Time passes without new blocks too, and what is kept by age or free space expires.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);
/// Before blocks are merged again that could not be for a reason that may pass.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(300);
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

/// Why blocks were not merged. They stay as they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MergeFailure {
    reason: String,
    /// Whether it may succeed later, as when the disk was full.
    may_pass: bool,
}

impl MergeFailure {
    fn of_io(id: BlockId, error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|it| it.downcast_ref());
        let may_pass = match cause {
            Some(ReadError::Corrupt(_)) => false,
            Some(ReadError::Io { .. }) => true,
            None => error.raw_os_error().is_some() || retryable_refusal(error).is_some(),
        };
        Self {
            reason: format!("block {id}: {error}"),
            may_pass,
        }
    }
}

impl fmt::Display for MergeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Blocks that could not be merged.
#[derive(Debug, Default)]
pub(crate) struct LeftAlone {
    /// Until when; none for as long as the store is open, since it would fail again.
    until: HashMap<BlockId, Option<Instant>>,
}

impl LeftAlone {
    fn contains(&self, id: BlockId, now: Instant) -> bool {
        let until = self.until.get(&id);
        until.is_some_and(|until| until.is_none_or(|until| now < until))
    }

    fn add(&mut self, blocks: &[Arc<Block>], until: Option<Instant>) {
        let ids = blocks.iter().map(|block| (block.id(), until));
        self.until.extend(ids);
    }
}

/// Lets go of old blocks and merges the others, whenever there are new ones and once in a while,
/// until told to stop.
pub(crate) fn run<S: Signal>(engine: &Engine<S>, signal: &CompactionSignal) {
    let limits = Limits::of(&engine.options);
    let mut left_alone = LeftAlone::default();
    while signal.wait() {
        retention::enforce(engine, unix_nano_now());
        merge_all(engine, &limits, &mut left_alone, Instant::now(), signal);
    }
}

/// Merges what is to be merged as of `now`, until told to stop.
pub(crate) fn merge_all<S: Signal>(
    engine: &Engine<S>,
    limits: &Limits,
    left_alone: &mut LeftAlone,
    now: Instant,
    signal: &CompactionSignal,
) {
    while !signal.is_stopping()
        && engine.failure().is_none()
        && let Some(blocks) = next_merge(engine, limits, left_alone, now)
    {
        // Merging is a service to readers: a panic in it must not keep records from being stored.
        let is_merging = &engine.counters.is_merging;
        is_merging.store(true, Ordering::Relaxed);
        let merged = catch_unwind(AssertUnwindSafe(|| merge(engine, &blocks, signal)));
        is_merging.store(false, Ordering::Relaxed);
        let panicked = |_| {
            let (reason, may_pass) = ("merging them has panicked".to_owned(), false);
            Err(MergeFailure { reason, may_pass })
        };
        match merged.unwrap_or_else(panicked) {
            Ok(true) => count(&engine.counters.compactions, 1),
            Ok(false) => return,
            Err(failure) => {
                let MergeFailure { reason, may_pass } = failure;
                count(&engine.counters.compaction_failures, 1);
                tracing::warn!(
                    reason,
                    may_pass,
                    "could not merge blocks; they stay as they are"
                );
                left_alone.add(&blocks, may_pass.then(|| now + RETRY_AFTER));
                if may_pass {
                    // Others would hardly fare better at the moment.
                    return;
                }
            }
        }
    }
}

fn next_merge<S: Signal>(
    engine: &Engine<S>,
    limits: &Limits,
    left_alone: &LeftAlone,
    now: Instant,
) -> Option<Vec<Arc<Block>>> {
    let sources = engine.snapshot();
    let candidate = |block: &Arc<Block>| {
        // Blocks of version 1 do not say it.
        let end = block.record().last_end_unix_nano;
        Candidate {
            bytes: block.record().bytes(),
            received_unix_nano: retention::received_range(block).unwrap_or((end, end)),
            is_left_alone: left_alone.contains(block.id(), now),
        }
    };
    // Of each part between blocks that cannot be opened.
    sources.neighbours().find_map(|blocks| {
        let candidates: Vec<Candidate> = blocks.iter().map(candidate).collect();
        let chosen = choose(&candidates, limits)?;
        Some(blocks[chosen].to_vec())
    })
}

/// Puts one block in the place of `blocks`, which must be neighbours; false if told to stop before
/// it was done.
pub(crate) fn merge<S: Signal>(
    engine: &Engine<S>,
    blocks: &[Arc<Block>],
    signal: &CompactionSignal,
) -> Result<bool, MergeFailure> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Ok(true);
    };
    let id = BlockId {
        first_seq: first.id().first_seq,
        end_seq: last.id().end_seq,
    };
    check_replaced(engine, id, blocks)?;
    let rows: Vec<BlockRows<'_>> = blocks.iter().map(|block| BlockRows::all(block)).collect();
    let target = engine.block_target(id, COMPRESSION_LEVEL);
    let written = S::write_rows(&rows, target, &|| signal.is_stopping());
    if !matches!(written, Ok(Some(_))) {
        // Space matters most when there is none.
        let _ = remove_files(&*engine.disk, &engine.folder.blocks_dir(), id);
    }
    let Some(record) = written.map_err(|error| MergeFailure::of_io(id, &error))? else {
        return Ok(false);
    };
    let merged = commit_block(engine, record).map_err(|problem| MergeFailure {
        reason: problem.to_string(),
        may_pass: problem.may_pass(),
    })?;
    engine.change_sources(|sources| {
        let replaced = |block: &Arc<Block>| blocks.iter().any(|other| Arc::ptr_eq(block, other));
        let position = sources.blocks.iter().position(replaced);
        sources.blocks.retain(|block| !replaced(block));
        sources.blocks.insert(position.unwrap_or(0), merged);
    });
    reached(Failpoint::InputsReplaced);
    let leaving = engine.kept.leaving();
    blocks.iter().for_each(|block| block.mark_replaced(leaving));
    Ok(true)
}

/// A block that lies between `blocks` would cease to count with them: one that cannot be opened must
/// not be lost so.
fn check_replaced<S: Signal>(
    engine: &Engine<S>,
    id: BlockId,
    blocks: &[Arc<Block>],
) -> Result<(), MergeFailure> {
    let manifest = engine.manifest.lock();
    let mut replaced = manifest.blocks().iter().map(|block| block.id);
    let other = replaced
        .find(|other| id.contains(*other) && blocks.iter().all(|block| block.id() != *other));
    match other {
        None => Ok(()),
        Some(other) => Err(MergeFailure {
            reason: format!("block {other} is between them and cannot be read"),
            may_pass: false,
        }),
    }
}
