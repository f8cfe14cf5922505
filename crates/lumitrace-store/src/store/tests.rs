//! Tests of the whole store that need to look inside, or to make its disk fail.

mod archive;
mod attributes;
mod damage;
mod damaged_blocks;
mod digests;
mod faults;
mod flipped_bits;
mod fuzzed;
mod killed;
mod large_logs;
mod large_values;
mod logs;
mod metrics;
mod model;
mod power;
mod retention;
mod retries;
mod simulated;
mod subject;
mod wrong_clocks;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use lumitrace_model::Span;
use tempfile::TempDir;

use crate::batch::testing::batch;
use crate::check::block_id_of;
use crate::engine::Engine;
use crate::manifest::BlockId;
use crate::repair::repair;
use crate::signal::Signal;
use crate::{AppendReceipt, Store, StoreOptions};

fn options(dir: &Path) -> StoreOptions {
    // Blocks are merged only where a test says so.
    StoreOptions {
        compact_below_bytes: 0,
        ..StoreOptions::new(dir)
    }
}

fn append(store: &Store, spans: Vec<Span>) -> AppendReceipt {
    store.append(batch(spans)).wait().unwrap()
}

/// The folder as a crash at this moment would leave it.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(dir, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The only file in `dir` with this extension.
fn only_file(dir: &Path, extension: &str) -> std::path::PathBuf {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Has the oldest block removed, as retention has it. Says which, if there is one.
fn expire_oldest<S: Signal>(engine: Option<&Engine<S>>) -> Option<BlockId> {
    let oldest = engine?.snapshot().blocks.first()?.id();
    crate::retention::remove(engine?, vec![oldest]);
    Some(oldest)
}

/// Has the newest block in the folder `blocks` of a store that is not open damaged so that all of it is
/// lost, and the store repaired. Says which, if there is one.
fn lose_newest(dir: &Path, blocks: &Path) -> Option<BlockId> {
    let entries = fs::read_dir(dir.join(blocks)).ok()?;
    let paths = entries.map(|entry| entry.unwrap().path());
    let indexes = paths.filter(|path| path.extension().is_some_and(|it| it == "idx"));
    let newest = indexes.max()?;
    let mut bytes = fs::read(&newest).unwrap();
    bytes[20] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let done = repair(dir, false, &mut |_| ControlFlow::Continue(())).unwrap();
    let files: Vec<_> = done.losses.iter().map(|loss| loss.file.as_ref()).collect();
    assert_eq!(files, [Some(&newest)], "{done:?}");
    block_id_of(&newest)
}
