//! What a power cut leaves: of each file what was synced, and nothing after it.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::{append, copy_of, options};
use crate::batch::testing::{batch, span};
use crate::disk::Disk;
use crate::{Durability, Store, StoreOptions};

/// For what comes within a moment if it comes at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Remembers how much of each file was synced, and can fail to sync the manifest.
#[derive(Debug, Default)]
struct PowerDisk {
    synced: Mutex<HashMap<PathBuf, u64>>,
    changed: Condvar,
    manifest_fails: Mutex<bool>,
}

impl Disk for PowerDisk {
    fn sync_data(&self, path: &Path, file: &File) -> io::Result<()> {
        if *self.manifest_fails.lock() && path.ends_with("MANIFEST") {
            return Err(io::Error::other("the power fails"));
        }
        let len = file.metadata()?.len();
        self.synced.lock().insert(path.to_owned(), len);
        self.changed.notify_all();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        let mut synced = self.synced.lock();
        if let Some(len) = synced.remove(from) {
            synced.insert(to.to_owned(), len);
        }
        Ok(())
    }
}

impl PowerDisk {
    /// Waits until so many bytes of a file are synced.
    fn wait_for(&self, path: &Path, bytes: u64) {
        let mut synced = self.synced.lock();
        let deadline = Instant::now() + PATIENCE;
        while synced.get(path).is_none_or(|len| *len < bytes) {
            let waited = self.changed.wait_until(&mut synced, deadline);
            assert!(!waited.timed_out(), "{bytes} bytes of it are not synced");
        }
    }

    /// Says that the folder is elsewhere now, with as much synced as before.
    fn moved(&self, from: &Path, to: &Path) {
        let mut synced = self.synced.lock();
        let moved: Vec<_> = synced
            .drain()
            .filter_map(|(file, len)| Some((to.join(file.strip_prefix(from).ok()?), len)))
            .collect();
        synced.extend(moved);
    }

    /// The folder as it is found after the power is back. Blocks are synced before they get their
    /// names, so only the log and the manifest can lose their ends.
    fn folder_after_cut(&self, dir: &Path) -> TempDir {
        let copy = copy_of(dir);
        let mut files = vec![PathBuf::from("MANIFEST")];
        let segments = fs::read_dir(dir.join("log")).unwrap();
        files.extend(segments.map(|entry| Path::new("log").join(entry.unwrap().file_name())));
        for file in files {
            let synced = self.synced.lock().get(&dir.join(&file)).copied();
            let file = File::options().write(true).open(copy.path().join(&file));
            file.unwrap().set_len(synced.unwrap_or(0)).unwrap();
        }
        copy
    }
}

fn lazy(dir: &Path, durability: Durability) -> StoreOptions {
    StoreOptions {
        durability,
        ..options(dir)
    }
}

fn stored(dir: &Path) -> u64 {
    Store::open(options(dir)).unwrap().stats().records
}

const LAZY: [Durability; 2] = [
    Durability::None,
    Durability::Interval(Duration::from_secs(3600)),
];

#[test]
fn a_power_cut_between_a_block_and_its_record_leaves_a_store_that_opens() {
    for durability in LAZY {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(PowerDisk::default());
        let store = Store::open_on(
            lazy(dir.path(), durability),
            Arc::clone(&disk) as Arc<dyn Disk>,
        );
        let store = store.unwrap();
        append(&store, vec![span(1, 1), span(1, 2)]);
        assert_eq!(stored(disk.folder_after_cut(dir.path()).path()), 0);
        *disk.manifest_fails.lock() = true;
        store.flush().unwrap_err();
        let cut = disk.folder_after_cut(dir.path());
        assert_eq!(fs::read_dir(cut.path().join("blocks")).unwrap().count(), 2);
        assert_eq!(stored(cut.path()), 2);
    }
}

#[test]
fn a_power_cut_after_a_restart_loses_nothing_that_was_replayed() {
    for durability in LAZY {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(PowerDisk::default());
        let open = |dir: &Path| {
            Store::open_on(lazy(dir, durability), Arc::clone(&disk) as Arc<dyn Disk>).unwrap()
        };
        let store = open(dir.path());
        append(&store, vec![span(1, 1)]);
        // Killed: the operating system still has what was written.
        let killed = copy_of(dir.path());
        disk.moved(dir.path(), killed.path());
        let restarted = open(killed.path());
        append(&restarted, vec![span(1, 2)]);
        let cut = disk.folder_after_cut(killed.path());
        assert_eq!(stored(cut.path()), 1);
        *disk.manifest_fails.lock() = true;
        restarted.flush().unwrap_err();
        *disk.manifest_fails.lock() = false;
        let cut = disk.folder_after_cut(killed.path());
        assert_eq!(stored(cut.path()), 2);
    }
}

fn store_that_syncs_within(interval: Duration, dir: &Path) -> (Store, Arc<PowerDisk>) {
    let disk = Arc::new(PowerDisk::default());
    let options = lazy(dir, Durability::Interval(interval));
    let store = Store::open_on(options, Arc::clone(&disk) as Arc<dyn Disk>);
    (store.unwrap(), disk)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_once_the_interval_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = store_that_syncs_within(Duration::from_millis(20), dir.path());
    let log_file = dir.path().join("log/0000000001.log");
    append(&store, vec![span(1, 1)]);
    disk.wait_for(&log_file, store.stats().log_bytes);
    assert_eq!(stored(disk.folder_after_cut(dir.path()).path()), 1);
}

#[test]
fn a_steady_stream_does_not_put_off_the_sync_that_an_interval_promises() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = store_that_syncs_within(Duration::from_millis(20), dir.path());
    let log_file = dir.path().join("log/0000000001.log");
    append(&store, vec![span(1, 1)]);
    let first_bytes = store.stats().log_bytes;
    let is_synced = || {
        let synced = disk.synced.lock();
        synced.get(&log_file).is_some_and(|len| *len >= first_bytes)
    };
    let (begun, mut number, mut waiting) = (Instant::now(), 1, VecDeque::new());
    while !is_synced() {
        assert!(begun.elapsed() < PATIENCE, "it is not synced");
        // There is always something to write.
        while waiting.len() < 100 {
            number += 1;
            waiting.push_back(store.append(batch(vec![span(1, number)])));
        }
        waiting.pop_front().unwrap().wait().unwrap();
    }
    assert!(stored(disk.folder_after_cut(dir.path()).path()) >= 1);
}
