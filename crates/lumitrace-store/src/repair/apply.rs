//! Doing what a plan says, in an order in which a crash loses nothing: what is rescued is on the
//! disk before anything is moved, and every file is moved whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::rescue;
use crate::block::writer::block_files;
use crate::disk::{Disk, RealDisk};
use crate::error::{OpenError, io_error};
use crate::folder::ShelfFolder;
use crate::manifest::{self, BlockRecord};
use crate::signal::Signal;

/// Where in the folder of what is set aside rescued blocks wait.
const RESCUED: &str = "rescued";

pub(super) fn apply<S: Signal>(
    plan: &Plan,
    folder: &ShelfFolder,
    aside_dir: &Path,
) -> Result<(), OpenError> {
    let blocks_dir = folder.blocks_dir();
    let rescued_dir = aside_dir.join(RESCUED);
    create(&rescued_dir)?;
    let mut written = Vec::new();
    for block in &plan.rescued {
        let (record, rows) = (&block.record, &block.rows);
        written.push(rescue::write_rows::<S>(
            &blocks_dir,
            &rescued_dir,
            record,
            rows,
        )?);
    }
    if plan.replaces_log {
        let (segments, durable_seq) = (plan.aside_segments(), plan.durable_seq);
        written.extend(rescue::write_log::<S>(segments, durable_seq, &rescued_dir)?);
    }

    move_into(&plan.aside_blocks(folder), &aside_dir.join("blocks"))?;
    let files: Vec<PathBuf> = written
        .iter()
        .flat_map(|record| block_files(&rescued_dir, record.id))
        .filter(|path| path.exists())
        .collect();
    move_into(&files, &blocks_dir)?;
    fs::remove_dir(&rescued_dir).map_err(io_error("remove", &rescued_dir))?;

    let manifest = folder.manifest();
    if plan.manifest_rebuilt.is_some() && manifest.exists() {
        move_into(std::slice::from_ref(&manifest), aside_dir)?;
    }
    let mut blocks: Vec<BlockRecord> = plan.kept.clone();
    blocks.extend(written);
    manifest::write(&RealDisk, &manifest, &blocks, plan.end_seq())
        .map_err(io_error("write", &manifest))?;
    // Only now: until the manifest says otherwise, the log is where these spans are.
    move_into(plan.aside_segments(), &aside_dir.join("log"))?;
    // Where nothing was set aside, no folder is left for it. One that is not empty stays.
    let _ = fs::remove_dir(aside_dir);
    Ok(())
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
