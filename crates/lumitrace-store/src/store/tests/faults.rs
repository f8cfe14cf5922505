//! What happens when the disk fails, fills up, or is slow.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lumitrace_model::KeyValue;
use parking_lot::{Condvar, Mutex};

use super::logs::{log, logs};
use super::{append, copy_of, options};
use crate::batch::testing::{batch, resource_spans, span};
use crate::compaction::{CompactionSignal, LeftAlone, Limits, RETRY_AFTER, merge, merge_all};
use crate::disk::Disk;
use crate::retention;
use crate::{AppendError, RollupRequest, ScanRequest, SpanBatch, Store, StoreOptions};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Healthy,
    /// Takes half of what is written to files whose path contains this, then has no space.
    Full(&'static str),
    /// Cannot sync files whose path contains this.
    SyncFails(&'static str),
    /// Has no space to sync the names in the folder of a manifest.
    NoSpaceForNameOfManifest,
    /// Does not return from writing to the log.
    Stuck,
    /// Panics when writing to files whose path contains this.
    Panics(&'static str),
}

#[derive(Debug)]
struct FaultyDisk {
    fault: Mutex<Fault>,
    changed: Condvar,
    /// Folders whose names were synced.
    synced_dirs: Mutex<Vec<PathBuf>>,
}

impl FaultyDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            fault: Mutex::new(Fault::Healthy),
            changed: Condvar::new(),
            synced_dirs: Mutex::default(),
        })
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
        self.changed.notify_all();
    }

    fn hits(path: &Path, part: &str) -> bool {
        path.to_string_lossy().contains(part)
    }

    fn write(
        &self,
        path: &Path,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut fault = self.fault.lock();
        while *fault == Fault::Stuck {
            self.changed.wait(&mut fault);
        }
        match *fault {
            Fault::Full(part) if Self::hits(path, part) => {
                write(&bytes[..bytes.len() / 2])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Panics(part) if Self::hits(path, part) => panic!("a bug"),
            _ => write(bytes),
        }
    }
}

impl Disk for FaultyDisk {
    fn write_all(&self, path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes, |bytes| file.write_all(bytes))
    }

    fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(path, bytes, |bytes| file.write_all_at(bytes, offset))
    }

    fn sync_data(&self, path: &Path, file: &File) -> io::Result<()> {
        match *self.fault.lock() {
            Fault::SyncFails(part) if Self::hits(path, part) => Err(io::Error::other("bad sector")),
            _ => file.sync_data(),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if *self.fault.lock() == Fault::NoSpaceForNameOfManifest && dir.join("MANIFEST").exists() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        File::open(dir)?.sync_all()?;
        self.synced_dirs.lock().push(dir.to_owned());
        Ok(())
    }
}

fn open(options: StoreOptions) -> (Store, Arc<FaultyDisk>) {
    let disk = FaultyDisk::new();
    let store = Store::open_on(options, Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
    (store, disk)
}

fn count(store: &Store) -> u64 {
    let all = ScanRequest::default();
    store
        .scan(&all, &mut |_| ControlFlow::Continue(()))
        .unwrap()
        .matched_spans
}

#[test]
fn after_a_failed_sync_nothing_more_is_accepted_and_reads_still_work() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::SyncFails("log"));
    let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
    assert!(matches!(&error, AppendError::Failed { reason } if reason.contains("bad sector")));
    disk.set(Fault::Healthy);
    let error = store.append(batch(vec![span(1, 3)])).wait().unwrap_err();
    assert!(matches!(error, AppendError::Failed { .. }));
    assert!(store.flush().is_err());
    assert!(store.stats().failure.unwrap().contains("bad sector"));
    assert_eq!(store.stats().refused.failed, 2);
    assert_eq!(count(&store), 1);
}

#[test]
fn opening_a_folder_syncs_the_names_in_it_which_whoever_made_them_may_have_failed_to() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(options(dir.path()));
    store
        .append_logs(logs(std::iter::once(log(1, 1))))
        .wait()
        .unwrap();
    drop(store);
    let (_store, disk) = open(options(dir.path()));
    let synced = disk.synced_dirs.lock();
    for folder in ["", "logs"] {
        let folder = dir.path().join(folder);
        assert!(
            synced.iter().any(|it| *it == folder.components().as_path()),
            "{folder:?}"
        );
    }
}

#[test]
fn a_full_disk_is_a_retryable_refusal_that_leaves_no_trace_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    for fault in ["log", "log"] {
        disk.set(Fault::Full(fault));
        let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
        assert!(
            error.is_retryable() && matches!(error, AppendError::DiskFull { .. }),
            "{error}"
        );
    }
    let refusing = store.stats().refusing.unwrap();
    assert!(refusing.contains("no space is left"), "{refusing}");
    disk.set(Fault::Healthy);
    append(&store, vec![span(1, 3)]);
    assert_eq!(store.stats().refused.disk_full, 2);
    assert_eq!(store.stats().refusing, None);

    let crashed = copy_of(dir.path());
    let recovered = Store::open(options(crashed.path())).unwrap();
    let ids: Vec<_> = recovered.trace(span(1, 1).trace_id).unwrap();
    let ids: Vec<_> = ids.iter().map(|record| record.span.span_id).collect();
    assert_eq!(ids, [span(1, 1).span_id, span(1, 3).span_id]);
    assert_eq!(recovered.stats().torn_tail, None);
}

#[test]
fn a_disk_too_full_for_a_new_segment_refuses_until_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(StoreOptions {
        log_segment_bytes: 1,
        ..options(dir.path())
    });
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::Full("0000000002.log"));
    assert!(
        store
            .append(batch(vec![span(1, 2)]))
            .wait()
            .unwrap_err()
            .is_retryable()
    );
    disk.set(Fault::Healthy);
    append(&store, vec![span(1, 2)]);
    assert_eq!(store.stats().log_segments, 2);
    drop(store);
    assert_eq!(count(&Store::open(options(dir.path())).unwrap()), 2);
}

#[test]
fn while_blocks_cannot_be_written_memory_fills_up_to_its_limit_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreOptions {
        memtable_bytes: 2_000,
        memory_limit_bytes: Some(20_000),
        ..options(dir.path())
    };
    let (store, disk) = open(limits);
    disk.set(Fault::Full("blocks"));
    let mut stored = 0;
    let refused = loop {
        match store.append(batch(vec![span(1, stored + 1)])).wait() {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(stored > 3 && refused.is_retryable(), "{stored} {refused}");
    let failed = store.flush().unwrap_err();
    assert!(failed.reason.contains("block"), "{failed}");
    assert!(store.stats().flush_problem.is_some());
    let refused = store.append(batch(vec![span(2, 1)])).wait().unwrap_err();
    assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");

    disk.set(Fault::Healthy);
    store.flush().unwrap();
    append(&store, vec![span(2, 1)]);
    assert_eq!(count(&store), stored + 1);
    assert_eq!(store.stats().flush_problem, None);
}

#[test]
fn what_is_sent_again_while_its_block_is_being_written_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    let spans = |end| (1..end).map(|number| span(1, number)).collect();
    append(&store, spans(4));
    disk.set(Fault::Full("blocks"));
    store.flush().unwrap_err();
    // With another, so that it is not the same request.
    append(&store, spans(5));
    let counted = || -> u64 {
        let rollup = store.span_rollup(&RollupRequest::default()).unwrap();
        rollup.rows.iter().map(|row| row.durations.count()).sum()
    };
    assert_eq!((store.stats().records, counted()), (4, 4));
    disk.set(Fault::Healthy);
    store.flush().unwrap();
    assert_eq!((store.stats().records, counted()), (4, 4));
    assert_eq!(store.trace(span(1, 1).trace_id).unwrap().len(), 4);
    assert_eq!(store.end_seq(), 8, "all of it was numbered");
}

#[test]
fn a_failed_manifest_write_ends_all_acceptance_and_a_new_start_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::SyncFails("MANIFEST"));
    store.flush().unwrap_err();
    disk.set(Fault::Healthy);
    let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
    assert!(matches!(&error, AppendError::Failed { reason } if reason.contains("MANIFEST")));
    drop(store);
    assert_eq!(count(&Store::open(options(dir.path())).unwrap()), 1);
}

/// A store whose manifest is written anew when its only block is removed.
fn store_before_a_rewrite(dir: &Path) -> (Store, Arc<FaultyDisk>) {
    let (store, disk) = open(StoreOptions {
        manifest_rewrite_bytes: 0,
        ..options(dir)
    });
    append(&store, vec![span(1, 1)]);
    store.flush().unwrap();
    (store, disk)
}

fn remove_all_blocks(store: &Store) {
    let engine = &store.handle.spans.engine;
    let blocks = engine.snapshot().blocks.clone();
    retention::remove(engine, blocks.iter().map(|block| block.id()).collect());
}

#[test]
fn a_rewritten_manifest_whose_name_may_get_lost_ends_all_acceptance() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = store_before_a_rewrite(dir.path());
    disk.set(Fault::NoSpaceForNameOfManifest);
    remove_all_blocks(&store);
    disk.set(Fault::Healthy);
    let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
    assert!(matches!(&error, AppendError::Failed { reason } if reason.contains("MANIFEST")));
    assert!(store.stats().failure.unwrap().contains("could not replace"));
    drop(store);
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!((count(&store), store.end_seq()), (0, 2));
}

#[test]
fn a_manifest_that_cannot_be_rewritten_for_lack_of_space_goes_on_and_is_rewritten_later() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = store_before_a_rewrite(dir.path());
    let manifest_bytes = || fs::metadata(dir.path().join("MANIFEST")).unwrap().len();
    let short = manifest_bytes();
    disk.set(Fault::Full("MANIFEST.tmp"));
    remove_all_blocks(&store);
    assert!(manifest_bytes() > short);
    assert!(!dir.path().join("MANIFEST.tmp").exists());
    disk.set(Fault::Healthy);
    append(&store, vec![span(1, 2)]);
    store.flush().unwrap();
    remove_all_blocks(&store);
    assert!(manifest_bytes() < short, "its only block is forgotten");
    drop(store);
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!((count(&store), store.end_seq()), (0, 3));
}

#[test]
fn what_a_crash_left_of_a_rewritten_manifest_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _disk) = store_before_a_rewrite(dir.path());
    drop(store);
    let temporary = dir.path().join("MANIFEST.tmp");
    fs::write(&temporary, b"LUMITMAN").unwrap();
    assert_eq!(count(&Store::open(options(dir.path())).unwrap()), 1);
    assert!(!temporary.exists());
}

#[test]
fn a_full_queue_refuses_and_what_waits_is_stored_once_the_disk_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(StoreOptions {
        queue_bytes: 300,
        ..options(dir.path())
    });
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::Stuck);
    let mut waiting = Vec::new();
    // The writer takes some of them at once; then the queue fills.
    for number in 2..50 {
        waiting.push(store.append(batch(vec![span(1, number)])));
    }
    let refused = store.stats().refused.full;
    assert!(refused > 30, "{refused}");
    disk.set(Fault::Healthy);
    let (stored, full): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .map(|append| append.wait())
        .partition(Result::is_ok);
    assert_eq!(full.len() as u64, refused);
    assert_eq!(count(&store), 1 + stored.len() as u64);
}

#[test]
fn a_closed_store_refuses_appends_and_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    store.close();
    let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
    assert!(matches!(&error, AppendError::Failed { reason } if reason.contains("closed")));
    assert!(store.flush().is_err());
    assert_eq!(count(&store), 1);
}

#[test]
fn a_panic_while_writing_the_log_answers_everyone_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::Stuck);
    let waiting: Vec<_> = (2..20)
        .map(|number| store.append(batch(vec![span(1, number)])))
        .collect();
    disk.set(Fault::Panics("log"));
    for append in waiting {
        let error = append.wait().unwrap_err();
        assert!(matches!(error, AppendError::Failed { .. }), "{error}");
    }
    let error = store.append(batch(vec![span(2, 1)])).wait().unwrap_err();
    assert!(error.to_string().contains("lumitrace-log has panicked"));
    let failed = store.flush().unwrap_err();
    assert!(failed.reason.contains("has panicked"), "{failed}");
    assert_eq!(count(&store), 1);
    drop(store);
    assert_eq!(count(&Store::open(options(dir.path())).unwrap()), 1);
}

#[test]
fn a_panic_while_writing_a_block_fails_the_store_and_a_new_start_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    append(&store, vec![span(1, 1)]);
    disk.set(Fault::Panics("blocks"));
    let failed = store.flush().unwrap_err();
    assert!(failed.reason.contains("has panicked"), "{failed}");
    let error = store.append(batch(vec![span(1, 2)])).wait().unwrap_err();
    assert!(error.to_string().contains("lumitrace-flush has panicked"));
    assert!(store.stats().failure.unwrap().contains("lumitrace-flush"));
    drop(store);
    assert_eq!(count(&Store::open(options(dir.path())).unwrap()), 1);
}

#[test]
fn a_merge_that_cannot_be_committed_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    for number in 1..3 {
        append(&store, vec![span(1, number)]);
        store.flush().unwrap();
    }
    let files = || fs::read_dir(dir.path().join("blocks")).unwrap().count();
    assert_eq!(files(), 4);
    let engine = &store.handle.spans.engine;
    let blocks = engine.snapshot().blocks.clone();
    disk.set(Fault::Full("MANIFEST"));
    merge(engine, &blocks, &CompactionSignal::default()).unwrap_err();
    assert_eq!((files(), count(&store)), (4, 2));
    disk.set(Fault::Healthy);
    assert!(merge(engine, &blocks, &CompactionSignal::default()).unwrap());
    drop(blocks);
    assert_eq!((files(), count(&store)), (2, 2));
}

#[test]
fn a_merge_that_failed_on_a_full_disk_is_tried_again_later_and_a_damaged_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open(options(dir.path()));
    for number in 1..=8 {
        append(&store, vec![span(1, number)]);
        store.flush().unwrap();
    }
    let engine = &store.handle.spans.engine;
    let limits = Limits::of(&StoreOptions::new(dir.path()));
    let (signal, mut left_alone) = (CompactionSignal::default(), LeftAlone::default());
    let mut merge_at = |now| {
        merge_all(engine, &limits, &mut left_alone, now, &signal);
        let stats = store.stats();
        (stats.blocks, stats.compactions, stats.compaction_failures)
    };
    let begin = Instant::now();
    disk.set(Fault::Full("blocks"));
    assert_eq!(merge_at(begin), (8, 0, 1));
    disk.set(Fault::Healthy);
    assert_eq!(merge_at(begin + RETRY_AFTER / 2), (8, 0, 1));
    // A panic is no passing trouble.
    disk.set(Fault::Panics("blocks"));
    assert_eq!(merge_at(begin + RETRY_AFTER), (8, 0, 2));
    disk.set(Fault::Healthy);
    assert_eq!(merge_at(begin + 100 * RETRY_AFTER), (8, 0, 2));
    let mut others = LeftAlone::default();
    merge_all(engine, &limits, &mut others, begin, &signal);
    assert_eq!((store.stats().blocks, count(&store)), (1, 8));
}

#[test]
fn memory_is_bounded_by_what_spans_share_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _disk) = open(options(dir.path()));
    let append = |number: u64| {
        let mut resource_spans = resource_spans(vec![span(1, number), span(1, number + 1)]);
        resource_spans[0].schema_url = "u".repeat(500_000).into();
        let large = KeyValue::new("large", "x".repeat(1_000_000));
        resource_spans[0].resource.attributes.push(large);
        let batch = SpanBatch::from_resource_spans(&resource_spans).unwrap();
        store.append(batch).wait().unwrap();
        store.stats().memtable_bytes
    };
    // Once for both spans: the bytes that they came in, and what is built of them.
    let bytes = append(1);
    assert!((3_000_000..3_010_000).contains(&bytes), "{bytes}");
    // What is built is shared with the next request.
    let bytes = append(3);
    assert!((4_500_000..4_520_000).contains(&bytes), "{bytes}");
}

#[test]
fn no_setting_of_memory_keeps_spans_from_being_stored() {
    for (memtable_bytes, memory_limit_bytes) in [
        (0, None),
        (0, Some(0)),
        (3_000, Some(1)),
        (300, None),
        (usize::MAX, None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _disk) = open(StoreOptions {
            memtable_bytes,
            memory_limit_bytes,
            ..options(dir.path())
        });
        for number in 1..20 {
            // A refusal is fine as long as writing blocks ends it.
            while let Err(error) = store.append(batch(vec![span(1, number)])).wait() {
                assert!(matches!(error, AppendError::Full { .. }), "{error}");
                store.flush().unwrap();
            }
        }
        assert_eq!(count(&store), 19, "{memtable_bytes} {memory_limit_bytes:?}");
    }
    let limit = |memtable_bytes| {
        let options = StoreOptions {
            memtable_bytes,
            ..options(Path::new(""))
        };
        options.memory_limit()
    };
    assert_eq!(
        (limit(0), limit(64 << 20), limit(512 << 20)),
        (1, 160 << 20, 1280 << 20)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_number_of_blocks_is_not_bounded_by_that_of_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _disk) = open(options(dir.path()));
    for number in 1..5 {
        append(&store, vec![span(1, number)]);
        store.flush().unwrap();
    }
    let blocks = dir.path().join("blocks");
    let open_blocks = || {
        let open_files = fs::read_dir("/proc/self/fd").unwrap();
        let files = open_files.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        files.filter(|file| file.starts_with(&blocks)).count()
    };
    let mut visited = 0;
    let mut visit = |_| {
        visited += 1;
        assert_eq!(open_blocks(), 0, "between two reads of a search");
        ControlFlow::Continue(())
    };
    store.scan(&ScanRequest::default(), &mut visit).unwrap();
    assert_eq!(visited, 4);
    assert_eq!(store.trace(span(1, 1).trace_id).unwrap().len(), 4);
    assert_eq!(open_blocks(), 0);
}

/// A folder whose log has 200 spans that no block holds, and options with which they take ten times
/// what memory may hold.
fn long_log() -> (tempfile::TempDir, StoreOptions) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for number in 1..=200 {
        append(&store, vec![span(number, 1)]);
    }
    let crashed = copy_of(dir.path());
    let options = StoreOptions {
        memtable_bytes: 2_000,
        memory_limit_bytes: Some(8_000),
        opening_threads: 4,
        ..options(crashed.path())
    };
    (crashed, options)
}

#[test]
fn a_log_that_memory_cannot_hold_becomes_blocks_on_several_threads_and_in_order() {
    let (_dir, options) = long_log();
    let store = Store::open(options.clone()).unwrap();
    let blocks = store.stats().blocks;
    assert!(blocks > 10, "{blocks}");
    assert_eq!((count(&store), store.stats().records), (200, 200));
    drop(store);
    assert_eq!(count(&Store::open(options).unwrap()), 200);
}

#[test]
fn a_log_that_memory_cannot_hold_waits_for_a_disk_that_takes_blocks() {
    let (_dir, options) = long_log();
    let disk = FaultyDisk::new();
    for (fault, expected) in [
        (Fault::Full("blocks"), "no storage space"),
        (Fault::Panics("blocks"), "has panicked"),
        // The blocks after it are written at the same time, and must not count without it.
        (Fault::Full("0000000000000001-"), "no storage space"),
        (Fault::Panics("0000000000000001-"), "has panicked"),
    ] {
        disk.set(fault);
        let opened = Store::open_on(options.clone(), Arc::clone(&disk) as Arc<dyn Disk>);
        let error = opened.expect_err("blocks cannot be written");
        let chain = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(chain.contains(expected), "{chain}");
    }
    disk.set(Fault::Healthy);
    let store = Store::open_on(options, disk).unwrap();
    assert_eq!(count(&store), 200);
}
