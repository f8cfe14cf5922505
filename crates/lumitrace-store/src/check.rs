//! Verifying a folder: every byte of every file, and that the files agree with each other. Changes
//! nothing.

mod block;
mod log;
mod payload;
mod sums;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub(crate) use block::RowCheck;
pub(crate) use log::segments as log_segments;
pub(crate) use sums::SpanSums;

use crate::block::Block;
use crate::block::writer::{data_path, index_path};
use crate::error::{Corruption, OpenError, io_error};
use crate::folder::{Folder, ShelfFolder};
use crate::found_block;
use crate::logs::Logs;
use crate::manifest::{self, BlockId, BlockRecord, ManifestContent};
use crate::metrics::Metrics;
use crate::shelf::ShelfName;
use crate::signal::Signal;
use crate::spans::Spans;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Check {
    /// Damage, in the order in which it was met.
    pub damages: Vec<Corruption>,
    /// Ends of files that look like a write that a crash interrupted. Nobody had been told that such
    /// a write was done, and opening the store cuts it off.
    pub unfinished: Vec<Corruption>,
    /// Files that an unfinished flush or merge has left, which opening the store removes.
    pub leftovers: Vec<PathBuf>,
    /// Blocks that were verified.
    pub blocks: u64,
    /// Records in them that were decoded.
    pub block_records: u64,
    /// Log segments that were verified.
    pub log_segments: u64,
    /// Records in them that were decoded.
    pub log_records: u64,
    /// Bytes that were verified.
    pub bytes: u64,
    /// Whether it was ended before everything was verified.
    pub stopped: bool,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckProgress {
    /// Bytes that were verified.
    pub bytes: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
}

/// Counts bytes, tells how many, and is told when to stop.
pub(crate) struct Watch<'a> {
    progress: CheckProgress,
    tell: &'a mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
    stopped: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        total_bytes: u64,
        tell: &'a mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
    ) -> Self {
        Self {
            progress: CheckProgress {
                bytes: 0,
                total_bytes,
            },
            tell,
            stopped: false,
        }
    }

    pub(crate) fn advance(&mut self, bytes: u64) {
        self.progress.bytes += bytes;
        self.stopped |= (self.tell)(self.progress).is_break();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }
}

/// Verifies the folder `dir`, and goes on after damage. Tells `watch` how far it is, until that
/// breaks. No store can be opened there meanwhile.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let dir = example::folder()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::check::check;
///
/// # let dir = dir.path();
/// let found = check(dir, &mut |progress| {
///     println!("{} of {} bytes", progress.bytes, progress.total_bytes);
///     ControlFlow::Continue(())
/// })?;
/// assert!(found.damages.is_empty());
/// assert_eq!((found.blocks, found.block_records), (3, 5)); // spans, log records and points
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// There is no store in `dir`, it is open, a newer release wrote it, or it cannot be read.
pub fn check(
    dir: &Path,
    watch: &mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
) -> Result<Check, OpenError> {
    let folder = Folder::existing(dir)?;
    let _lock = folder.lock_shared()?.map_err(|in_use| OpenError::Locked {
        dir: dir.to_owned(),
        pid: in_use.pid,
    })?;
    let mut total_bytes = 0;
    for shelf in folder.shelves() {
        total_bytes += BlockFiles::list(&shelf)?.bytes + log::bytes(&shelf)?;
    }
    let mut watch = Watch::new(total_bytes, watch);
    let mut check = Check::default();
    check_lock(&folder, &mut check)?;
    for shelf in folder.shelves() {
        match shelf.name() {
            ShelfName::Spans | ShelfName::Archive => {
                check_shelf::<Spans>(&shelf, &mut check, &mut watch)?;
            }
            ShelfName::Logs => check_shelf::<Logs>(&shelf, &mut check, &mut watch)?,
            ShelfName::Metrics => check_shelf::<Metrics>(&shelf, &mut check, &mut watch)?,
        }
    }
    check.bytes = watch.progress.bytes;
    check.stopped = watch.stopped;
    Ok(check)
}

fn check_shelf<S: Signal>(
    folder: &ShelfFolder,
    check: &mut Check,
    watch: &mut Watch<'_>,
) -> Result<(), OpenError> {
    let files = BlockFiles::list(folder)?;
    let manifest = match manifest::read(&folder.manifest()) {
        Ok(manifest) => Some(manifest),
        Err(OpenError::Corrupt(damage)) => {
            check.damages.push(damage);
            None
        }
        Err(error) => return Err(error),
    };
    check_blocks::<S>(folder, manifest.as_ref(), &files, check, watch)?;
    let durable_seq = manifest.as_ref().map(|manifest| manifest.durable_seq);
    let log_end = log::check::<S>(folder, durable_seq, check, watch)?;
    if let Some(manifest) = &manifest {
        let end_seq = manifest.durable_seq.max(log_end.unwrap_or(0));
        check_end_of_manifest(folder, manifest, &files, end_seq, check);
    }
    Ok(())
}

/// The process id in it only serves messages, but what is no process id was not written by us.
fn check_lock(folder: &Folder, check: &mut Check) -> Result<(), OpenError> {
    let path = folder.lock_file();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let is_ours = |byte: &u8| byte.is_ascii_digit() || *byte == b'\n';
    if let Some(offset) = text.iter().position(|byte| !is_ours(byte)) {
        let reason = "it holds something else than a process id";
        check
            .damages
            .push(Corruption::new(&path, offset as u64, reason));
    }
    Ok(())
}

fn check_blocks<S: Signal>(
    folder: &ShelfFolder,
    manifest: Option<&ManifestContent>,
    files: &BlockFiles,
    check: &mut Check,
    watch: &mut Watch<'_>,
) -> Result<(), OpenError> {
    // Without a manifest all blocks that are there are looked at.
    let targets: Vec<(BlockId, Option<BlockRecord>)> = match manifest {
        Some(manifest) => {
            let records = manifest.blocks.iter();
            records.map(|record| (record.id, Some(*record))).collect()
        }
        None => files.ids.iter().map(|id| (*id, None)).collect(),
    };
    for (id, record) in targets {
        if watch.is_stopped() {
            return Ok(());
        }
        let found = block_damages::<S>(&folder.blocks_dir(), id, record, watch)?;
        check.blocks += 1;
        check.block_records += found.records;
        check.damages.extend(found.damages);
    }
    Ok(())
}

/// What a block is worth.
#[derive(Debug, Default)]
pub(crate) struct BlockFindings {
    pub(crate) damages: Vec<Corruption>,
    pub(crate) records: u64,
    /// What its rows say; none if it cannot be opened.
    pub(crate) record: Option<BlockRecord>,
}

/// All that is damaged in block `id`. It is held against its record, if there is one.
pub(crate) fn block_damages<S: Signal>(
    dir: &Path,
    id: BlockId,
    record: Option<BlockRecord>,
    watch: &mut Watch<'_>,
) -> Result<BlockFindings, OpenError> {
    let mut findings = BlockFindings::default();
    let block = match record {
        Some(record) => Block::open_alone(dir, record),
        None => measured::<S>(dir, id),
    };
    let block = match block {
        Ok(block) => block,
        Err(OpenError::Corrupt(damage)) => {
            findings.damages.push(damage);
            return Ok(findings);
        }
        Err(error) => return Err(error),
    };
    findings.record = Some(*block.record());
    findings.damages = block::damages::<S>(dir, &block, watch)?;
    if findings.damages.is_empty() {
        findings.records = block.record().rows;
    }
    Ok(findings)
}

/// A block whose record says what its rows say.
fn measured<S: Signal>(dir: &Path, id: BlockId) -> Result<Block, OpenError> {
    let block = found_block::open(dir, id)?;
    let record = found_block::measure::<S>(&block)?;
    Block::open_alone(dir, record)
}

/// Blocks that no record names are what an unfinished flush or merge has left, unless the end of
/// the manifest is missing.
fn check_end_of_manifest(
    folder: &ShelfFolder,
    manifest: &ManifestContent,
    files: &BlockFiles,
    end_seq: u64,
    check: &mut Check,
) {
    let path = folder.manifest();
    let named: BTreeSet<BlockId> = manifest.blocks.iter().map(|block| block.id).collect();
    let strays: Vec<BlockId> = files.whole_ids().filter(|id| !named.contains(id)).collect();
    let beyond = strays.iter().find(|id| id.end_seq > end_seq);
    if let Some(id) = beyond {
        let reason = format!(
            "no record names block {id}, which holds what the log no longer has: the end of the \
             manifest is missing"
        );
        let offset = manifest.torn_at.unwrap_or(manifest.bytes);
        check.damages.push(Corruption::new(&path, offset, reason));
    } else if let Some(offset) = manifest.torn_at {
        match strays.last() {
            Some(id) => {
                let reason = format!(
                    "the last record is damaged or unfinished; it may have named block {id}"
                );
                check.damages.push(Corruption::new(&path, offset, reason));
            }
            None => {
                let reason = "the last record is unfinished";
                check
                    .unfinished
                    .push(Corruption::new(&path, offset, reason));
            }
        }
    }
    check.leftovers.extend(files.temporary.iter().cloned());
    let all_named = |path: &&PathBuf| block_id_of(path).is_some_and(|id| !named.contains(&id));
    check
        .leftovers
        .extend(files.paths.iter().filter(all_named).cloned());
}

/// The files in the folder of blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockFiles {
    dir: PathBuf,
    /// Of which at least one file is there.
    pub(crate) ids: BTreeSet<BlockId>,
    paths: BTreeSet<PathBuf>,
    temporary: BTreeSet<PathBuf>,
    bytes: u64,
}

impl BlockFiles {
    /// Their size, without unfinished ones.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn list(folder: &ShelfFolder) -> Result<Self, OpenError> {
        let dir = folder.blocks_dir();
        let mut files = Self {
            dir: dir.clone(),
            ..Self::default()
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(io_error("list", &dir)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(io_error("list", &dir))?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                files.temporary.insert(path);
            } else if let Some(id) = block_id_of(&path) {
                files.bytes += entry.metadata().map_err(io_error("read", &path))?.len();
                files.ids.insert(id);
                files.paths.insert(path);
            }
        }
        Ok(files)
    }

    /// The blocks of which both files are there that each block has.
    pub(crate) fn whole_ids(&self) -> impl Iterator<Item = BlockId> + '_ {
        let has_both = |id: &BlockId| {
            let files = [data_path(&self.dir, *id), index_path(&self.dir, *id)];
            files.iter().all(|file| self.paths.contains(file))
        };
        self.ids.iter().copied().filter(has_both)
    }
}

/// The block of which `path` is a file.
pub(crate) fn block_id_of(path: &Path) -> Option<BlockId> {
    let extension = path.extension()?.to_str()?;
    matches!(extension, "parquet" | "idx" | "payload").then_some(())?;
    BlockId::parse(path.file_stem()?.to_str()?)
}
