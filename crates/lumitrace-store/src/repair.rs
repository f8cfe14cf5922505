//! Making a damaged folder whole again, at the price of what is damaged: what is lost is named, and
//! nothing is deleted.
//!
//! In reading order: `plan` decides what is kept, rescued and set aside, without changing anything;
//! `apply` does it; `rescue` reads what is readable of damaged blocks and logs.

mod apply;
mod plan;
mod rescue;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::check::{CheckProgress, Watch};
use crate::disk::RealDisk;
use crate::error::{Corruption, OpenError, io_error};
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
    /// Folders of what earlier repairs have set aside that had been interrupted, and are finished now.
    /// What they lost is not said again. In a dry run they are not finished, so that what they rescued
    /// counts among the losses.
    pub finished: Vec<PathBuf>,
    /// Records that were read out of damaged files and stored anew.
    pub rescued_records: u64,
    /// Whether it was ended before everything was looked at. Shelves that were repaired by then stay
    /// so.
    pub stopped: bool,
}

impl Repair {
    /// Whether there was anything to repair.
    ///
    /// ```
    /// use lumitrace_store::repair::Repair;
    /// assert!(!Repair::default().is_needed());
    /// let rebuilt = Repair { manifests_rebuilt: vec!["it is missing".to_owned()], ..Default::default() };
    /// assert!(rebuilt.is_needed());
    /// ```
    pub fn is_needed(&self) -> bool {
        !self.set_aside.is_empty()
            || !self.manifests_rebuilt.is_empty()
            || !self.losses.is_empty()
            || !self.finished.is_empty()
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
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let dir = example::folder()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::{Store, StoreOptions, repair::repair};
///
/// # let dir = dir.path();
/// std::fs::write(dir.join("MANIFEST"), "damaged")?;
/// assert!(Store::open(StoreOptions::new(dir)).is_err());
///
/// let plan = repair(dir, true, &mut |_| ControlFlow::Continue(()))?;
/// assert!(plan.is_needed() && plan.losses.is_empty());
/// repair(dir, false, &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!(Store::open(StoreOptions::new(dir))?.stats().records, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    let mut repair = Repair {
        finished: finish_earlier(&folder, &shelves, dry_run)?,
        ..Repair::default()
    };
    for shelf in &shelves {
        let aside_dir = aside_dir_of(shelf, &aside_dir);
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

/// Where the files of a shelf are set aside: those of two shelves may have the same names.
fn aside_dir_of(shelf: &ShelfFolder, aside_dir: &Path) -> PathBuf {
    match shelf.name() {
        ShelfName::Spans => aside_dir.to_owned(),
        other => aside_dir.join(other.as_str()),
    }
}

/// Finishes repairs that were interrupted. Says which.
fn finish_earlier(
    folder: &Folder,
    shelves: &[ShelfFolder],
    dry_run: bool,
) -> Result<Vec<PathBuf>, OpenError> {
    let dir = folder.damaged_dir();
    let mut earlier: Vec<PathBuf> = match fs::read_dir(&dir) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
            .map_err(io_error("list", &dir))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", &dir)(error)),
    };
    earlier.sort();
    let mut finished = Vec::new();
    for earlier in earlier {
        for shelf in shelves {
            let aside_dir = aside_dir_of(shelf, &earlier);
            let is_unfinished = apply::is_unfinished(&aside_dir);
            if is_unfinished && (dry_run || apply::finish(shelf, &aside_dir)?) {
                finished.push(aside_dir);
            }
        }
    }
    Ok(finished)
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

#[cfg(test)]
mod tests {
    use lumitrace_model::KeyValue;

    use super::apply::prepare;
    use super::*;
    use crate::batch::testing::{batch, span};
    use crate::check::check;
    use crate::{Store, StoreOptions};

    fn options(dir: &Path) -> StoreOptions {
        StoreOptions {
            row_group_rows: 100,
            compact_below_bytes: 0,
            ..StoreOptions::new(dir)
        }
    }

    /// Makes a folder of three blocks, of which two are damaged.
    fn fill(dir: &Path) {
        let store = Store::open(options(dir)).unwrap();
        for first in [1, 1_001, 2_001] {
            let spans = (first..first + 1_000).map(|id| {
                let mut span = span(1, id);
                let session = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let session = KeyValue::new("session", format!("{session:016x}"));
                span.attributes.push(session);
                span
            });
            store.append(batch(spans.collect())).wait().unwrap();
            store.flush().unwrap();
        }
        drop(store);
        for file in fs::read_dir(dir.join("blocks")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if name.ends_with(".parquet") && !name.starts_with("00000000000003e9") {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
        }
    }

    fn repair_all(dir: &Path) -> Repair {
        repair(dir, false, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// How many spans a store in a folder without damage has.
    fn spans(dir: &Path) -> u64 {
        let found = check(dir, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(found.damages.is_empty(), "{:?}", found.damages);
        Store::open(options(dir)).unwrap().stats().records
    }

    /// What a repair moves where once all is prepared, in this order.
    fn moves(folder: &ShelfFolder, aside: &Path) -> Vec<(PathBuf, PathBuf)> {
        let names = |dir: &Path| {
            let files = fs::read_dir(dir).unwrap();
            let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let (blocks, aside_blocks) = (folder.blocks_dir(), aside.join("blocks"));
        let (rescued, placing) = (aside.join("rescued"), aside.join("placing"));
        fs::create_dir_all(&aside_blocks).unwrap();
        let mut new = names(&rescued);
        new.retain(|name| name != "MANIFEST");
        let away = new
            .iter()
            .map(|name| (blocks.join(name), aside_blocks.join(name)));
        let mut moves: Vec<_> = away.collect();
        moves.push((rescued, placing.clone()));
        moves.extend(
            new.iter()
                .map(|name| (placing.join(name), blocks.join(name))),
        );
        moves.push((placing.join("MANIFEST"), folder.manifest()));
        moves
    }

    #[test]
    fn a_repair_that_was_interrupted_anywhere_is_finished_by_the_next_one() {
        let whole = tempfile::tempdir().unwrap();
        fill(whole.path());
        assert!(repair_all(whole.path()).finished.is_empty());
        let expected = spans(whole.path());
        // Of the damaged blocks something is lost, and something rescued.
        assert!((1_001..3_000).contains(&expected), "{expected}");
        for done in 0.. {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path());
            let folder = Folder::existing(dir.path()).unwrap();
            let shelf = folder.shelf(ShelfName::Spans);
            let aside = folder.damaged_dir().join("1-000000000");
            let mut go_on = |_| ControlFlow::Continue(());
            let plan = Plan::make::<Spans>(&shelf, &mut Watch::new(0, &mut go_on)).unwrap();
            prepare::<Spans>(&plan, &shelf, &aside).unwrap();
            let moves = moves(&shelf, &aside);
            if done > moves.len() {
                break;
            }
            for (from, to) in &moves[..done] {
                fs::rename(from, to).unwrap();
            }
            let second = repair_all(dir.path());
            assert_eq!(second.finished, [aside], "after {done} moves");
            assert!(second.losses.is_empty(), "{:?}", second.losses);
            assert_eq!(spans(dir.path()), expected, "after {done} moves");
        }
    }
}
