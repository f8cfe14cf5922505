//! Looking at, checking, repairing and compacting folders: every flipped bit is found and named, and
//! a repair loses nothing but what is damaged.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
    TraceId,
};
use lumitrace_store::check::{Check, check};
use lumitrace_store::compact::compact;
use lumitrace_store::inspect::{FileKind, inspect};
use lumitrace_store::repair::{Repair, repair};
use lumitrace_store::{Corruption, OpenError, ScanRequest, SpanBatch, Store, StoreOptions};

const SPANS_OF_A_BATCH: u64 = 40;

/// Merging off, so that the same writes make the same files.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        compact_below_bytes: 0,
        flush_after: Duration::from_secs(3_600),
        log_segment_bytes: 24 << 10,
        row_group_rows: 100,
        ..StoreOptions::new(dir)
    }
}

fn batch(number: u64) -> SpanBatch {
    let span = |index: u64| {
        let id = number * SPANS_OF_A_BATCH + index + 1;
        let start = 1_700_000_000_000_000_000 + id * 1_000_000_000;
        Span {
            trace_id: TraceId::from_bytes(u128::from(id / 7 + 1).to_be_bytes()),
            span_id: SpanId::from_bytes(id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()),
            name: format!("operation {}", id % 5).into(),
            kind: SpanKind::Server,
            start_unix_nano: start,
            end_unix_nano: start + id * 1_000,
            status: Status {
                code: if id.is_multiple_of(9) {
                    StatusCode::Error
                } else {
                    StatusCode::Unset
                },
                ..Status::default()
            },
            attributes: vec![
                KeyValue::new("loss", id as f64 / 3.0),
                KeyValue::new("session", format!("{:016x}", id.wrapping_mul(77_777_777))),
            ],
            ..Span::default()
        }
    };
    let attributes = vec![KeyValue::new(
        "service.name",
        format!("service {}", number % 3),
    )];
    SpanBatch::from_resource_spans(&[ResourceSpans {
        resource: Resource {
            attributes,
            ..Resource::default()
        },
        scope_spans: vec![ScopeSpans {
            spans: (0..SPANS_OF_A_BATCH).map(span).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }])
    .unwrap()
}

/// A folder with blocks, and a log of several segments whose spans are in no block. Returns how many
/// spans it has.
fn fill(dir: &Path) -> u64 {
    let store = Store::open(options(dir)).unwrap();
    for number in 0..36 {
        store.append(batch(number)).wait().unwrap();
        if matches!(number, 5 | 11 | 23) {
            store.flush().unwrap();
        }
    }
    36 * SPANS_OF_A_BATCH
}

fn keep_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn checked(dir: &Path) -> Check {
    check(dir, &mut keep_on).unwrap()
}

fn repaired(dir: &Path) -> Repair {
    repair(dir, false, &mut keep_on).unwrap()
}

/// Every span of the folder.
fn spans(dir: &Path) -> BTreeSet<SpanId> {
    let store = Store::open(options(dir)).unwrap();
    let mut ids = BTreeSet::new();
    let mut visit = |record: std::sync::Arc<lumitrace_store::SpanRecord>| {
        assert!(ids.insert(record.span.span_id), "twice");
        ControlFlow::Continue(())
    };
    store.scan(&ScanRequest::default(), &mut visit).unwrap();
    ids
}

/// All files that a check reads, by their names in the folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("MANIFEST")];
    for part in ["blocks", "log"] {
        let entries = fs::read_dir(dir.join(part)).unwrap();
        files.extend(entries.map(|entry| Path::new(part).join(entry.unwrap().file_name())));
    }
    files.sort();
    files
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// So many bytes of a file of this length, spread over it, its first and last among them.
fn sample(len: usize, count: usize) -> BTreeSet<usize> {
    let step = (len / count).max(1);
    let mut offsets: BTreeSet<usize> = (0..len).step_by(step).collect();
    offsets.extend([0, 4, 8, 9, 13, 20, 33, len - 1].map(|offset| offset.min(len - 1)));
    offsets
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1 << (offset % 8);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_healthy_folder_is_verified_whole_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let total = fill(dir.path());
    let before: Vec<Vec<u8>> = files(dir.path())
        .iter()
        .map(|file| fs::read(dir.path().join(file)).unwrap())
        .collect();
    let found = checked(dir.path());
    assert_eq!(found.damages, []);
    assert_eq!(found.unfinished, []);
    assert_eq!(found.blocks, 3);
    assert_eq!(found.block_records, 24 * SPANS_OF_A_BATCH);
    assert!(found.block_records + found.log_records >= total);
    assert!(found.log_segments > 2);
    assert!(!repaired(dir.path()).is_needed());
    let after: Vec<Vec<u8>> = files(dir.path())
        .iter()
        .map(|file| fs::read(dir.path().join(file)).unwrap())
        .collect();
    assert_eq!(before, after);
}

#[test]
fn every_flipped_bit_is_found_with_its_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    for file in files(dir.path()) {
        let path = dir.path().join(&file);
        let bytes = fs::read(&path).unwrap();
        for offset in sample(bytes.len(), 40) {
            flip(&path, offset);
            let found = checked(dir.path());
            let names_it =
                |damage: &Corruption| damage.file == path && damage.offset as usize <= offset;
            let mut all = found.damages.iter().chain(&found.unfinished);
            assert!(
                all.any(names_it),
                "{} at {offset}: {found:?}",
                file.display()
            );
            // Only the end of the log and of the manifest may be taken for a write that a crash
            // has interrupted.
            let is_last = file.starts_with("log") || file.ends_with("MANIFEST");
            assert!(is_last || !found.damages.is_empty(), "{}", file.display());
            fs::write(&path, &bytes).unwrap();
        }
    }
    assert_eq!(checked(dir.path()).damages, []);
}

#[test]
fn a_check_goes_on_after_damage() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let mut all = files(dir.path());
    // Without its index, nothing is known of a block.
    all.retain(|file| file.extension().is_none_or(|extension| extension != "idx"));
    for file in &all {
        let path = dir.path().join(file);
        let len = fs::metadata(&path).unwrap().len() as usize;
        flip(&path, len / 2);
    }
    let found = checked(dir.path());
    for file in &all {
        let path = dir.path().join(file);
        let mut places = found.damages.iter().chain(&found.unfinished);
        assert!(
            places.any(|damage| damage.file == path),
            "{}",
            path.display()
        );
    }
}

/// Repairs a copy of the folder in which `damage` was done. Afterwards it is whole, and only what
/// the repair calls lost is lost.
fn assert_repairable(original: &Path, all: &BTreeSet<SpanId>, damage: impl Fn(&Path)) -> Repair {
    let dir = tempfile::tempdir().unwrap();
    copy_into(original, dir.path());
    damage(dir.path());
    let before: Vec<PathBuf> = files_if_there(dir.path());
    let planned = repair(dir.path(), true, &mut keep_on).unwrap();
    assert_eq!(
        files_if_there(dir.path()),
        before,
        "a dry run changes nothing"
    );
    let done = repaired(dir.path());
    assert_eq!(planned.losses, done.losses);
    let found = checked(dir.path());
    assert_eq!(found.damages, [], "{done:?}");
    let left = spans(dir.path());
    assert!(left.is_subset(all));
    let lost = (all.len() - left.len()) as u64;
    let said: Option<u64> = done.losses.iter().map(|loss| loss.records).sum();
    match said {
        // The last frame of the log may also be taken for a write that a crash interrupted.
        _ if !done.unfinished.is_empty() => assert!(lost <= SPANS_OF_A_BATCH, "{done:?}"),
        Some(said) => assert_eq!(lost, said, "{done:?}"),
        None => assert!(lost > 0, "{done:?}"),
    }
    assert!(!repaired(dir.path()).is_needed(), "{done:?}");
    done
}

fn files_if_there(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_repair_loses_only_what_is_damaged_and_says_how_much() {
    let original = tempfile::tempdir().unwrap();
    fill(original.path());
    let all = {
        let copy = tempfile::tempdir().unwrap();
        copy_into(original.path(), copy.path());
        spans(copy.path())
    };
    let last_segment = files(original.path()).pop();
    for file in files(original.path()) {
        let len = fs::metadata(original.path().join(&file)).unwrap().len() as usize;
        for offset in sample(len, 5) {
            assert_repairable(original.path(), &all, |dir| flip(&dir.join(&file), offset));
        }
        // A file that is gone altogether. Nothing tells of the end of the log once it is gone.
        if Some(&file) == last_segment.as_ref() {
            continue;
        }
        assert_repairable(original.path(), &all, |dir| {
            fs::remove_file(dir.join(&file)).unwrap();
        });
    }
}

#[test]
fn a_damaged_chunk_of_a_block_costs_some_rows_and_not_the_block() {
    let original = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        row_group_rows: 1_000,
        ..options(original.path())
    })
    .unwrap();
    for number in 0..200 {
        store.append(batch(number)).wait().unwrap();
    }
    store.flush().unwrap();
    drop(store);
    let all = spans(original.path());
    let data = files(original.path());
    let data = data
        .iter()
        .find(|file| file.extension().is_some_and(|it| it == "parquet"));
    let data = data.unwrap();
    let done = assert_repairable(original.path(), &all, |dir| {
        let path = dir.join(data);
        let len = fs::metadata(&path).unwrap().len() as usize;
        flip(&path, len / 2);
    });
    let [loss] = &done.losses[..] else {
        panic!("{done:?}");
    };
    let lost = loss.records.unwrap();
    assert!(lost > 0 && lost <= 2_000, "{done:?}");
    assert_eq!(done.rescued_records + lost, all.len() as u64);
    let whole = loss.last_start_unix_nano.unwrap() - loss.first_start_unix_nano.unwrap();
    assert!(whole < all.len() as u64 * 1_000_000_000, "{done:?}");
    assert!(done.aside_dir.is_some());
}

#[test]
fn a_manifest_that_is_gone_is_made_anew_from_the_blocks() {
    let original = tempfile::tempdir().unwrap();
    let total = fill(original.path());
    let all = {
        let copy = tempfile::tempdir().unwrap();
        copy_into(original.path(), copy.path());
        spans(copy.path())
    };
    assert_eq!(all.len() as u64, total);
    let done = assert_repairable(original.path(), &all, |dir| {
        fs::remove_file(dir.join("MANIFEST")).unwrap();
    });
    assert!(done.losses.is_empty(), "{done:?}");
    assert_eq!(done.manifests_rebuilt, ["it is missing"]);
}

#[test]
fn a_missing_folder_of_blocks_leaves_what_the_log_has() {
    let original = tempfile::tempdir().unwrap();
    fill(original.path());
    let all = {
        let copy = tempfile::tempdir().unwrap();
        copy_into(original.path(), copy.path());
        spans(copy.path())
    };
    let done = assert_repairable(original.path(), &all, |dir| {
        fs::remove_dir_all(dir.join("blocks")).unwrap();
    });
    assert_eq!(done.losses.len(), 3);
}

#[test]
fn an_open_folder_is_neither_checked_nor_repaired_but_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    store.append(batch(0)).wait().unwrap();
    let refused = check(dir.path(), &mut keep_on).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let refused = repair(dir.path(), true, &mut keep_on).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let content = inspect(dir.path()).unwrap();
    assert_eq!(content.spans(), SPANS_OF_A_BATCH);
    assert_eq!(content.in_use.unwrap().pid, Some(std::process::id()));
    drop(store);
    assert_eq!(inspect(dir.path()).unwrap().in_use, None);
}

#[test]
fn looking_at_a_folder_tells_what_an_open_store_tells() {
    let dir = tempfile::tempdir().unwrap();
    let total = fill(dir.path());
    let content = inspect(dir.path()).unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let stats = store.stats();
    assert_eq!(content.spans(), total);
    assert_eq!(stats.records, total);
    assert_eq!(content.blocks.len() as u64, stats.blocks);
    assert_eq!(content.services, store.services());
    assert_eq!(content.files[&FileKind::BlockData].files, 3);
    assert!(content.damages.is_empty());
    assert!(inspect(&dir.path().join("nothing")).is_err());
}

#[test]
fn compacting_leaves_few_blocks_and_every_span() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let all = spans(dir.path());
    let mut last = None;
    let done = compact(StoreOptions::new(dir.path()), u64::MAX, &mut |progress| {
        last = Some(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((done.blocks_before, done.blocks_after), (4, 1));
    assert!(done.bytes_after < done.bytes_before, "{done:?}");
    assert!(last.is_some());
    assert_eq!(spans(dir.path()), all);
    assert_eq!(checked(dir.path()).damages, []);
    let again = compact(StoreOptions::new(dir.path()), u64::MAX, &mut keep_on).unwrap();
    assert_eq!(again.merges, 0);
}

#[test]
fn folders_of_all_versions_are_checked() {
    for version in ["v1", "v2", "v3"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let dir = tempfile::tempdir().unwrap();
        copy_into(&golden.join(version), dir.path());
        let found = checked(dir.path());
        assert_eq!(found.damages, [], "{version}");
        assert_eq!(found.blocks, 1);
        for file in files(dir.path())
            .iter()
            .filter(|file| file.starts_with("blocks"))
        {
            let path = dir.path().join(file);
            let bytes = fs::read(&path).unwrap();
            for offset in sample(bytes.len(), 20) {
                flip(&path, offset);
                let found = checked(dir.path());
                assert!(
                    !found.damages.is_empty(),
                    "{version} {} {offset}",
                    file.display()
                );
                fs::write(&path, &bytes).unwrap();
            }
        }
    }
}

#[test]
fn segments_whose_spans_are_in_blocks_may_be_missing_between_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for number in 0..24 {
        store.append(batch(number)).wait().unwrap();
    }
    let log = dir.path().join("log");
    let before = tempfile::tempdir().unwrap();
    copy_into(&log, before.path());
    store.flush().unwrap();
    drop(store);
    // A power cut may bring back any of the segments that were removed then.
    let segments = fs::read_dir(before.path()).unwrap();
    let mut segments: Vec<_> = segments.map(|entry| entry.unwrap().file_name()).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    let last = segments.pop().unwrap();
    assert!(log.join(last).is_file());
    segments.remove(1);
    for name in segments {
        fs::copy(before.path().join(&name), log.join(&name)).unwrap();
    }
    let found = checked(dir.path());
    assert!(found.damages.is_empty(), "{:?}", found.damages);
    assert_eq!(spans(dir.path()).len() as u64, 24 * SPANS_OF_A_BATCH);
}
