//! Which blocks were kept long enough, and letting go of them.
//!
//! The unit is the block: one goes when all of it is too old, or when it is the oldest of too much.
//!
//! **How old a block is.** Senders' clocks may be wrong by years in both directions, and late spans
//! are old when they come. So a block is as old as its last span's receipt, which our own clock says;
//! or as the latest end of a span, where that is later, since our clock may have been behind. What is
//! in the future counts for neither: it is wrong, and would keep a block for ever. Of blocks of
//! version 1 only the end is known.
//!
//! `kept` decides over all shelves which blocks go; this is how they are removed.

mod kept;

use std::path::Path;
use std::time::Duration;

use crate::block::Block;
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::manifest::{BlockId, ManifestFailure};
use crate::signal::Signal;
use crate::stats::count;
use kept::{KeptBlock, KeptShelf};
pub(crate) use kept::{KeptBlocks, Leaving, LeavingBytes};

/// How long records are kept. The default is for ever.
///
/// ```
/// use std::time::Duration;
/// use lumitrace_store::Retention;
///
/// let a_month_or_200_gib = Retention {
///     max_age: Some(Duration::from_secs(30 * 86_400)),
///     max_bytes: Some(200 << 30),
///     ..Retention::default()
/// };
/// assert_eq!(Retention::default().max_age, None); // for ever
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Records that were received longer ago than this may go.
    pub max_age: Option<Duration>,
    /// While the blocks of all shelves but the archive together take more than this, in bytes, the
    /// oldest go.
    pub max_bytes: Option<u64>,
    /// While less than this is free on the disk, in bytes, the oldest go.
    pub min_free_bytes: Option<u64>,
}

impl Retention {
    fn is_for_ever(&self) -> bool {
        *self == Self::default()
    }
}

/// How long the records of one shelf are kept, where it is not as those of all.
///
/// ```
/// use std::time::Duration;
/// use lumitrace_store::{OwnRetention, StoreOptions};
///
/// let a_week = Duration::from_secs(7 * 86_400);
/// let options = StoreOptions {
///     log_retention: OwnRetention { max_age: Some(a_week), ..OwnRetention::default() },
///     ..StoreOptions::new("lumitrace-data")
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnRetention {
    /// See [`Retention::max_age`]; [`Duration::MAX`] keeps them for ever.
    pub max_age: Option<Duration>,
    /// While its blocks take more than this, in bytes, its oldest go. They do not count for
    /// [`Retention::max_bytes`] then. `u64::MAX` sets no limit.
    pub max_bytes: Option<u64>,
}

impl OwnRetention {
    /// What holds for the shelf, where `general` holds for all.
    pub(crate) fn or(self, general: Retention) -> Retention {
        Retention {
            max_age: self.max_age.or(general.max_age),
            max_bytes: self.max_bytes.or(general.max_bytes),
            min_free_bytes: general.min_free_bytes,
        }
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

/// Says what a shelf has, for the decision over all.
pub(crate) fn say<S: Signal>(engine: &Engine<S>) {
    let (name, options) = (engine.folder.name(), &engine.options);
    if options.retention.is_for_ever() {
        return;
    }
    let sources = engine.snapshot();
    let blocks = sources.blocks.iter();
    let shelf = KeptShelf {
        retention: options.retention,
        has_own_size: options.has_own_size(name),
        blocks: blocks.map(|block| KeptBlock::of(block)).collect(),
    };
    engine.kept.say(name, shelf);
}

/// Removes the shelf's blocks that were kept long enough as of `now_unix_nano`. What cannot be removed
/// now is tried again.
pub(crate) fn enforce<S: Signal>(engine: &Engine<S>, now_unix_nano: u64) {
    let free_bytes = || free_bytes(&engine.options.dir);
    enforce_on(engine, now_unix_nano, &free_bytes);
}

/// The same on a disk of which so many bytes are free, if that is known.
pub(crate) fn enforce_on<S: Signal>(
    engine: &Engine<S>,
    now_unix_nano: u64,
    free_bytes: &dyn Fn() -> Option<u64>,
) {
    let name = engine.folder.name();
    if engine.failure().is_some() {
        return engine.kept.withdraw(name);
    }
    say(engine);
    // First what is leaving: a file that goes meanwhile counts twice then, rather than not at all.
    let leaving = engine.kept.leaving().get();
    let min_free = engine.options.retention.min_free_bytes;
    let free_bytes = min_free.and_then(|_| free_bytes());
    let free_bytes = free_bytes.map(|free| free.saturating_add(leaving));
    let expired = engine.kept.expired_of(name, now_unix_nano, free_bytes);
    if !expired.is_empty() {
        remove(engine, expired);
        say(engine);
    }
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
    let leaving = engine.kept.leaving();
    removed
        .iter()
        .for_each(|block| block.mark_replaced(leaving));
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
