//! Doing what a plan says, in an order in which a crash loses nothing: what is rescued is on the disk,
//! with the manifest that names it, before damaged files are moved; every file is moved whole; and what
//! was interrupted is finished by the next repair.
//!
//! A folder within that of what is set aside holds what is rescued. Its name says how far this is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::rescue;
use crate::block::writer::block_files;
use crate::check::block_id_of;
use crate::disk::{Disk, RealDisk};
use crate::error::{OpenError, io_error};
use crate::folder::ShelfFolder;
use crate::manifest::{self, BlockId, BlockRecord};
use crate::signal::Signal;

/// It is being written: nothing has changed, and the next repair writes it anew.
const RESCUING: &str = "rescuing";
/// It is whole. Damaged files are being moved away.
const RESCUED: &str = "rescued";
/// Damaged files are away. What is rescued is being moved to its place.
const PLACING: &str = "placing";
/// The manifest that names what is rescued, among it.
const MANIFEST: &str = "MANIFEST";

pub(super) fn apply<S: Signal>(
    plan: &Plan,
    folder: &ShelfFolder,
    aside_dir: &Path,
) -> Result<(), OpenError> {
    prepare::<S>(plan, folder, aside_dir)?;
    finish(folder, aside_dir)?;
    // Only now: until the manifest says otherwise, the log is where these spans are.
    move_into(plan.aside_segments(), &aside_dir.join("log"))?;
    // Where nothing was set aside, no folder is left for it. One that is not empty stays.
    let _ = fs::remove_dir(aside_dir);
    Ok(())
}

/// Writes what is rescued and the manifest that names it. From its end on the repair is finished
/// whatever happens.
pub(super) fn prepare<S: Signal>(
    plan: &Plan,
    folder: &ShelfFolder,
    aside_dir: &Path,
) -> Result<(), OpenError> {
    let dir = aside_dir.join(RESCUING);
    create(&dir)?;
    let mut written = Vec::new();
    for block in &plan.rescued {
        let (record, rows) = (&block.record, &block.rows);
        written.push(rescue::write_rows::<S>(
            &folder.blocks_dir(),
            &dir,
            record,
            rows,
        )?);
    }
    if plan.replaces_log {
        let (segments, durable_seq) = (plan.aside_segments(), plan.durable_seq);
        written.extend(rescue::write_log::<S>(segments, durable_seq, &dir)?);
    }
    let mut blocks: Vec<BlockRecord> = plan.kept.clone();
    blocks.extend(written);
    let manifest = dir.join(MANIFEST);
    manifest::write(&RealDisk, &manifest, &blocks, plan.end_seq())
        .map_err(io_error("write", &manifest))?;

    // Nothing of these is rescued: without them they are as lost as with them.
    move_into(&plan.lost_files(folder), &aside_dir.join("blocks"))?;
    if plan.manifest_rebuilt.is_some() && folder.manifest().exists() {
        let copy = aside_dir.join(MANIFEST);
        fs::copy(folder.manifest(), &copy)
            .and_then(|_| File::open(&copy)?.sync_all())
            .map_err(io_error("copy the manifest to", &copy))?;
    }
    rename(&dir, &aside_dir.join(RESCUED))
}

/// Goes on where [`prepare`] has ended, also long ago. Says whether there was anything to do.
pub(super) fn finish(folder: &ShelfFolder, aside_dir: &Path) -> Result<bool, OpenError> {
    let (rescued, placing) = (aside_dir.join(RESCUED), aside_dir.join(PLACING));
    let blocks_dir = folder.blocks_dir();
    if rescued.is_dir() {
        let files = files(&rescued)?;
        // Each file of a block says its id.
        let ids = files.iter().filter_map(|file| block_id_of(file));
        let ids: BTreeSet<BlockId> = ids.collect();
        let damaged = ids.into_iter().flat_map(|id| block_files(&blocks_dir, id));
        let damaged: Vec<PathBuf> = damaged.filter(|file| file.exists()).collect();
        move_into(&damaged, &aside_dir.join("blocks"))?;
        rename(&rescued, &placing)?;
    }
    if !placing.is_dir() {
        return Ok(false);
    }
    let manifest = placing.join(MANIFEST);
    let blocks = files(&placing)?
        .into_iter()
        .filter(|file| *file != manifest);
    move_into(&blocks.collect::<Vec<_>>(), &blocks_dir)?;
    if manifest.exists() {
        rename(&manifest, &folder.manifest())?;
    }
    fs::remove_dir(&placing).map_err(io_error("remove", &placing))?;
    Ok(true)
}

/// Whether [`finish`] would have anything to do.
pub(super) fn is_unfinished(aside_dir: &Path) -> bool {
    aside_dir.join(RESCUED).is_dir() || aside_dir.join(PLACING).is_dir()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let entries = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect();
    let files: io::Result<_> = entries();
    files.map_err(io_error("list", dir))
}

/// Gives a file or a folder another name, durably.
fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    let dirs = [to, from].into_iter().filter_map(Path::parent);
    let rename = || {
        fs::rename(from, to)?;
        dirs.into_iter().try_for_each(|dir| RealDisk.sync_dir(dir))
    };
    rename().map_err(io_error("move something to", to))
}

/// Moves files, durably.
fn move_into(files: &[PathBuf], dir: &Path) -> Result<(), OpenError> {
    let Some(first) = files.first() else {
        return Ok(());
    };
    create(dir)?;
    let move_all = || {
        for file in files {
            let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            fs::rename(file, dir.join(name))?;
        }
        RealDisk.sync_dir(dir)?;
        first
            .parent()
            .map_or(Ok(()), |from| RealDisk.sync_dir(from))
    };
    move_all().map_err(io_error("move files to", dir))
}

/// Creates a folder and those that it is in, durably.
fn create(dir: &Path) -> Result<(), OpenError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    let create = || {
        fs::create_dir_all(dir)?;
        let parents = missing.iter().filter_map(|dir| dir.parent());
        parents
            .into_iter()
            .try_for_each(|dir| RealDisk.sync_dir(dir))
    };
    create().map_err(io_error("create", dir))
}
