//! Making a damaged folder whole again, at the price of what is damaged: what is lost is named, and
//! nothing is deleted.
//!
//! In reading order: `plan` decides what is kept, rescued and set aside, without changing anything;
//! `apply` does it; `rescue` reads what is readable of damaged blocks and logs.

mod apply;
mod plan;
mod rescue;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::check::{CheckProgress, Watch};
use crate::error::{Corruption, OpenError};
use crate::folder::Folder;
use plan::Plan;

/// What a repair has done, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    /// What is lost.
    pub losses: Vec<Loss>,
    /// Files that were set aside, by their old names.
    pub set_aside: Vec<PathBuf>,
    /// The folder that they are in now, if there are any.
    pub aside_dir: Option<PathBuf>,
    /// Why the manifest was made anew from the blocks, if it was.
    pub manifest_rebuilt: Option<String>,
    /// The end of the log, where it looks like a write that a crash interrupted: it is left to the
    /// next opening of the store, which cuts it off.
    pub unfinished: Option<Corruption>,
    /// Spans that were read out of damaged files and stored anew.
    pub rescued_spans: u64,
    /// Whether it was ended before anything was changed.
    pub stopped: bool,
}

impl Repair {
    /// Whether there was anything to repair.
    pub fn is_needed(&self) -> bool {
        !self.set_aside.is_empty() || self.manifest_rebuilt.is_some() || !self.losses.is_empty()
    }
}

/// Spans that are lost, as exactly as can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The damaged file; none where spans are missing without a file that should have them.
    pub file: Option<PathBuf>,
    /// What happened.
    pub reason: String,
    /// How many spans at most; none where nobody knows.
    pub spans: Option<u64>,
    /// The lost spans are among those with sequence numbers from here on ...
    pub first_seq: u64,
    /// ... up to, without, this one; none where nobody knows.
    pub end_seq: Option<u64>,
    /// The lost spans started then or later, in nanoseconds since the Unix epoch, if known.
    pub first_start_unix_nano: Option<u64>,
    /// The lost spans started then or earlier, in nanoseconds since the Unix epoch, if known.
    pub last_start_unix_nano: Option<u64>,
}

/// Makes the folder `dir` whole again, so that a store can be opened there; or, if `dry_run`, says
/// what it would do. Tells `watch` how far the reading is, until that breaks.
///
/// What is readable of damaged blocks and log segments is stored anew; the damaged files are moved
/// to a folder of their own in `damaged`. A missing or damaged manifest is made anew from the
/// blocks.
///
/// # Errors
/// There is no store in `dir`, it is open, a newer release wrote it, or it cannot be read or
/// written. What was done by then stays, and repairing again goes on.
pub fn repair(
    dir: &Path,
    dry_run: bool,
    watch: &mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
) -> Result<Repair, OpenError> {
    let existing = Folder::existing(dir)?;
    let locked = |pid| OpenError::Locked {
        dir: dir.to_owned(),
        pid,
    };
    let (folder, _lock) = if dry_run {
        let lock = existing.lock_shared()?;
        (existing, lock.map_err(|in_use| locked(in_use.pid))?)
    } else {
        // A lost folder of blocks or of the log is damage too.
        let folder = Folder::create(dir)?;
        let lock = folder.lock()?;
        (folder, Some(lock))
    };
    let mut watch = Watch::new(plan::bytes(&folder)?, watch);
    let plan = Plan::make(&folder, &mut watch)?;
    if watch.is_stopped() {
        return Ok(Repair {
            stopped: true,
            ..Repair::default()
        });
    }
    let aside_dir = folder.damaged_dir().join(name_of(SystemTime::now()));
    let mut repair = plan.report(&folder);
    if !repair.set_aside.is_empty() {
        repair.aside_dir = Some(aside_dir.clone());
    }
    if !dry_run && plan.is_needed() {
        apply::apply(&plan, &folder, &aside_dir)?;
    }
    Ok(repair)
}

/// A name for a folder of what is set aside now: seconds since 1970, so that names sort.
fn name_of(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:09}", since.as_secs(), since.subsec_nanos())
}
