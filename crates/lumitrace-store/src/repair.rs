//! Making a damaged folder whole again, at the price of what is damaged: what is lost is named, and
//! nothing is deleted.
//!
//! In reading order: `plan` decides what is kept, rescued and set aside, without changing anything;
//! `apply` does it; `rescue` reads what is readable of damaged blocks and logs.

mod apply;
mod plan;
mod rescue;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::check::{CheckProgress, Watch};
use crate::disk::RealDisk;
use crate::error::{Corruption, OpenError};
use crate::folder::{Folder, ShelfFolder};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::shelf::ShelfName;
use crate::signal::Signal;
use crate::spans::Spans;
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
    /// Why manifests were made anew from the blocks, if they were.
    pub manifests_rebuilt: Vec<String>,
    /// Ends of logs that look like a write that a crash interrupted: they are left to the next
    /// opening of the store, which cuts them off.
    pub unfinished: Vec<Corruption>,
    /// Records that were read out of damaged files and stored anew.
    pub rescued_records: u64,
    /// Whether it was ended before everything was looked at. Shelves that were repaired by then stay
    /// so.
    pub stopped: bool,
}

impl Repair {
    /// Whether there was anything to repair.
    pub fn is_needed(&self) -> bool {
        !self.set_aside.is_empty() || !self.manifests_rebuilt.is_empty() || !self.losses.is_empty()
    }

    /// Adds what is true of another shelf.
    fn add(&mut self, other: Self) {
        self.losses.extend(other.losses);
        self.set_aside.extend(other.set_aside);
        self.manifests_rebuilt.extend(other.manifests_rebuilt);
        self.unfinished.extend(other.unfinished);
        self.rescued_records += other.rescued_records;
    }
}

/// Records that are lost, as exactly as can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The damaged file; none where records are missing without a file that should have them.
    pub file: Option<PathBuf>,
    /// What happened.
    pub reason: String,
    /// How many records at most; none where nobody knows.
    pub records: Option<u64>,
    /// The lost records are among those with sequence numbers from here on ...
    pub first_seq: u64,
    /// ... up to, without, this one; none where nobody knows.
    pub end_seq: Option<u64>,
    /// The lost records started then or later, in nanoseconds since the Unix epoch, if known.
    pub first_start_unix_nano: Option<u64>,
    /// The lost records started then or earlier, in nanoseconds since the Unix epoch, if known.
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
        let present: Vec<ShelfFolder> = existing.shelves().collect();
        for shelf in present.iter().chain([&folder.shelf(ShelfName::Spans)]) {
            shelf.create(&RealDisk)?;
        }
        (folder, Some(lock))
    };
    let shelves: Vec<ShelfFolder> = folder.shelves().collect();
    let mut bytes = 0;
    for shelf in &shelves {
        bytes += plan::bytes(shelf)?;
    }
    let mut watch = Watch::new(bytes, watch);
    let aside_dir = folder.damaged_dir().join(name_of(SystemTime::now()));
    let mut repair = Repair::default();
    for shelf in &shelves {
        // Files of two shelves may have the same names.
        let aside_dir = match shelf.name() {
            ShelfName::Spans => aside_dir.clone(),
            other => aside_dir.join(other.as_str()),
        };
        let of_shelf = match shelf.name() {
            ShelfName::Spans | ShelfName::Archive => repair_shelf::<Spans>,
            ShelfName::Logs => repair_shelf::<Logs>,
            ShelfName::Metrics => repair_shelf::<Metrics>,
        };
        let done = of_shelf(shelf, dry_run, &aside_dir, &mut watch)?;
        if watch.is_stopped() {
            repair.stopped = true;
            break;
        }
        repair.add(done);
    }
    if !repair.set_aside.is_empty() {
        repair.aside_dir = Some(aside_dir.clone());
    }
    // Where nothing was set aside, no folder is left for it. One that is not empty stays.
    let _ = fs::remove_dir(&aside_dir);
    let _ = fs::remove_dir(folder.damaged_dir());
    Ok(repair)
}

fn repair_shelf<S: Signal>(
    folder: &ShelfFolder,
    dry_run: bool,
    aside_dir: &Path,
    watch: &mut Watch<'_>,
) -> Result<Repair, OpenError> {
    let plan = Plan::make::<S>(folder, watch)?;
    // Before files are moved.
    let report = plan.report(folder);
    if !watch.is_stopped() && !dry_run && plan.is_needed() {
        apply::apply::<S>(&plan, folder, aside_dir)?;
    }
    Ok(report)
}

/// A name for a folder of what is set aside now: seconds since 1970, so that names sort.
fn name_of(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:09}", since.as_secs(), since.subsec_nanos())
}
