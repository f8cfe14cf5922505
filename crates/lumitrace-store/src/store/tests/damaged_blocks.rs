//! One damaged block of two: the other is served whole, and answers say what they lack.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lumitrace_model::{KeyValue, Span, SpanId};
use tempfile::TempDir;

use super::logs::{log, logs};
use super::metrics::gauge;
use super::{append, copy_of, options};
use crate::batch::testing::span;
use crate::check::check;
use crate::compact::compact;
use crate::compaction::{CompactionSignal, merge};
use crate::repair::repair;
use crate::retention::{self, Retention};
use crate::shelf::unix_nano_now;
use crate::{
    Damaged, LogScan, MetricSelector, QueryBudget, RollupRequest, ScanRequest, SpanParts, Store,
    StoreOptions,
};

/// How many spans the first block has; the second has as many of the next trace.
const SPANS: u64 = 40;

/// A span of block `block`, the first or the second, with a value that goes into the payload.
fn of_block(block: u8, number: u64) -> Span {
    let id = u64::from(block) * 1000 + number;
    let mut rng = fastrand::Rng::with_seed(id);
    let prompt: String = (0..5000).map(|_| rng.alphanumeric()).collect();
    Span {
        attributes: vec![
            KeyValue::new("prompt", prompt),
            KeyValue::new("number", id as i64),
        ],
        ..span(block, id)
    }
}

/// A folder with two blocks, and nothing in the log.
fn two_blocks() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for block in [1, 2] {
        let spans = (0..SPANS).map(|number| of_block(block, number));
        append(&store, spans.collect());
        store.flush().unwrap();
    }
    drop(store);
    dir
}

/// The files of the blocks in `dir` with this extension, the oldest block's first.
fn block_files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1 << (offset % 8);
    fs::write(path, bytes).unwrap();
}

fn ids(block: u8) -> BTreeSet<SpanId> {
    let spans = (0..SPANS).map(|number| of_block(block, number).span_id);
    spans.collect()
}

/// An answer has all of the second block, and all of the first or the place that is damaged.
fn assert_says(damaged: &Damaged, found: &BTreeSet<SpanId>, file: &Path, offset: usize) {
    assert!(found.is_superset(&ids(2)), "flipped at {offset}");
    assert!(
        found.is_superset(&ids(1)) || !damaged.is_empty(),
        "{offset}"
    );
    for damage in damaged.iter() {
        assert_eq!(damage.file, file, "flipped at {offset}");
        assert!(damage.offset as usize <= offset, "{offset}: {damage}");
    }
}

fn scan(store: &Store, request: &ScanRequest) -> (BTreeSet<SpanId>, Damaged) {
    let mut found = BTreeSet::new();
    let mut visit = |record: std::sync::Arc<crate::SpanRecord>| {
        assert!(found.insert(record.span.span_id), "twice");
        ControlFlow::Continue(())
    };
    let stats = store.scan(request, &mut visit).unwrap();
    (found, stats.damaged)
}

#[test]
fn a_flipped_bit_in_a_block_leaves_the_other_to_every_question_and_is_named() {
    let dir = two_blocks();
    let blocks = dir.path().join("blocks");
    for (extension, step) in [("parquet", 211), ("idx", 67), ("payload", 9001)] {
        let name = block_files(&blocks, extension)[0].clone();
        let len = fs::metadata(&name).unwrap().len() as usize;
        for offset in (0..len).step_by(step) {
            let damaged = copy_of(dir.path());
            let file = damaged
                .path()
                .join("blocks")
                .join(name.file_name().unwrap());
            flip(&file, offset);
            let store = Store::open(options(damaged.path())).unwrap();
            ask_everything(&store, &file, offset);
        }
    }
}

fn ask_everything(store: &Store, file: &Path, offset: usize) {
    let says = |damaged: &Damaged, found: &BTreeSet<SpanId>| {
        assert_says(damaged, found, file, offset);
    };
    for newest_first in [true, false] {
        for text in [None, Some("BATCH".to_owned())] {
            let (found, damaged) = scan(
                store,
                &ScanRequest {
                    newest_first,
                    text,
                    ..ScanRequest::default()
                },
            );
            says(&damaged, &found);
        }
    }
    let (mut found, mut all) = (BTreeSet::new(), Damaged::default());
    for trace in [1, 2] {
        let trace_id = span(trace, 1).trace_id;
        let budget = QueryBudget::unlimited();
        let trace = store
            .trace_parts(trace_id, SpanParts::ALL, &budget)
            .unwrap();
        found.extend(trace.spans.iter().map(|record| record.span.span_id));
        all.extend(trace.damaged);
    }
    says(&all, &found);
    for number in (0..SPANS).step_by(13) {
        for block in [1, 2] {
            let wanted = of_block(block, number);
            let read = store.span(wanted.trace_id, wanted.span_id).unwrap();
            let is_there = read.spans.len() == 1;
            assert!(
                is_there || block == 1 && !read.damaged.is_empty(),
                "{offset}"
            );
            all.extend(read.damaged);
        }
    }
    let rollup = store.span_rollup(&RollupRequest::default()).unwrap();
    let counted: u64 = rollup.rows.iter().map(|row| row.durations.count()).sum();
    let is_whole = rollup.stats.damaged.is_empty();
    assert!(
        counted >= SPANS && (counted == 2 * SPANS || !is_whole),
        "{offset}"
    );
    for damage in all.iter().chain(rollup.stats.damaged.iter()) {
        assert_eq!(damage.file, file, "flipped at {offset}");
    }
    let stats = store.stats();
    assert!(stats.damages.iter().all(|damage| damage.file == file));
    assert_eq!(stats.damages.is_empty(), stats.damaged_reads == 0);
}

#[test]
fn damaged_logs_and_metrics_are_left_out_and_the_others_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for block in 0..2 {
        let numbers = block * 1000..block * 1000 + 500;
        let records = logs(numbers.clone().map(|number| log(1, number)));
        store.append_logs(records).wait().unwrap();
        store.append_metrics(gauge("loss", numbers)).wait().unwrap();
        store.flush().unwrap();
    }
    drop(store);
    for extension in ["parquet", "idx"] {
        for place in [1, 2, 3, 7] {
            let damaged = copy_of(dir.path());
            let shelf = |name: &str| damaged.path().join(name).join("blocks");
            let files = ["logs", "metrics"].map(|it| block_files(&shelf(it), extension).remove(0));
            for file in &files {
                flip(file, fs::metadata(file).unwrap().len() as usize * place / 8);
            }
            let store = Store::open(options(damaged.path())).unwrap();
            let mut second = 0;
            let mut visit = |entry: std::sync::Arc<crate::LogEntry>| {
                second += u64::from(entry.seq > 500);
                ControlFlow::Continue(())
            };
            let stats = store.scan_logs(&LogScan::default(), &mut visit).unwrap();
            assert_eq!(second, 500);
            assert!(stats.matched_records == 1000 || !stats.damaged.is_empty());
            let damaged_file = |damaged: &Damaged, file| damaged.iter().all(|it| it.file == file);
            assert!(damaged_file(&stats.damaged, files[0].clone()));
            let selected = store
                .metric_series(&MetricSelector::default(), &QueryBudget::unlimited())
                .unwrap();
            let points: usize = selected.series.iter().map(|it| it.points.len()).sum();
            assert!(points >= 500 && (points == 1000 || !selected.damaged.is_empty()));
            assert!(damaged_file(&selected.damaged, files[1].clone()));
        }
    }
}

/// Makes the first of two blocks one that cannot be opened, and returns the file that is damaged.
fn unopenable(dir: &Path) -> PathBuf {
    let index = block_files(&dir.join("blocks"), "idx").remove(0);
    flip(&index, 20);
    index
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir.join("blocks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

#[test]
fn a_block_that_cannot_be_opened_is_told_and_kept_as_it_is_until_it_is_repaired() {
    let dir = two_blocks();
    let index = unopenable(dir.path());
    let before = contents(dir.path());
    let year = 365 * 86_400;
    let store = Store::open(StoreOptions {
        retention: Retention {
            max_age: Some(std::time::Duration::from_secs(year * 100)),
            // Enough for the block that can be read.
            max_bytes: Some(
                before
                    .iter()
                    .map(|(_, bytes)| bytes.len() as u64)
                    .sum::<u64>()
                    - 1,
            ),
            min_free_bytes: None,
        },
        ..options(dir.path())
    })
    .unwrap();
    let stats = store.stats();
    assert_eq!((stats.blocks, stats.damaged_blocks), (1, 1));
    assert_eq!(stats.records, SPANS);
    assert_eq!(stats.damages[0].file, index);
    assert_eq!(store.end_seq(), 2 * SPANS + 1);
    retention::enforce(store.engine(), unix_nano_now());
    assert_eq!(store.stats().blocks, 1, "nothing goes to make room for it");
    retention::enforce(store.engine(), unix_nano_now() + 200 * year * 1_000_000_000);
    assert_eq!(
        store.stats().blocks,
        0,
        "the other is kept no longer for it"
    );
    append(&store, vec![span(3, 9000)]);
    drop(store);
    let kept = contents(dir.path());
    let first = before
        .iter()
        .filter(|(path, _)| path.file_stem() == index.file_stem());
    assert!(first.clone().count() == 3 && first.clone().all(|file| kept.contains(file)));

    let mut go_on = |_| ControlFlow::Continue(());
    let found = check(dir.path(), &mut go_on).unwrap();
    assert_eq!(found.damages[0].file, index);
    let repaired = repair(dir.path(), false, &mut go_on).unwrap();
    assert_eq!(repaired.losses[0].file.as_ref(), Some(&index));
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!(store.stats().damages, []);
    assert_eq!(store.trace(span(3, 1).trace_id).unwrap().len(), 1);
}

#[test]
fn a_file_that_goes_missing_while_the_store_is_open_is_damage_too() {
    let dir = two_blocks();
    for extension in ["parquet", "idx"] {
        let gone = copy_of(dir.path());
        let store = Store::open(options(gone.path())).unwrap();
        let file = block_files(&gone.path().join("blocks"), extension).remove(0);
        fs::remove_file(&file).unwrap();
        ask_everything(&store, &file, 0);
    }
}

#[test]
fn a_search_for_another_time_than_that_of_a_damaged_block_does_not_lack_it() {
    let dir = two_blocks();
    unopenable(dir.path());
    let store = Store::open(options(dir.path())).unwrap();
    let second = ScanRequest {
        start_unix_nano: of_block(2, 0).start_unix_nano,
        ..ScanRequest::default()
    };
    assert_eq!(scan(&store, &second), (ids(2), Damaged::default()));
    let rollup = RollupRequest {
        start_unix_nano: second.start_unix_nano,
        ..RollupRequest::default()
    };
    assert!(store.span_rollup(&rollup).unwrap().stats.damaged.is_empty());
}

#[test]
fn a_damaged_block_is_never_merged_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for block in [1, 2, 3] {
        let spans = (0..SPANS).map(|number| of_block(block, number));
        append(&store, spans.collect());
        store.flush().unwrap();
    }
    drop(store);
    // One whose rows cannot be read, and one that cannot be opened between two others.
    for (extension, is_opened) in [("parquet", true), ("payload", true), ("idx", false)] {
        let damaged = copy_of(dir.path());
        let file = block_files(&damaged.path().join("blocks"), extension).remove(1);
        flip(&file, 100);
        let before = contents(damaged.path());
        let store = Store::open(options(damaged.path())).unwrap();
        assert_eq!(store.stats().damaged_blocks, u64::from(!is_opened));
        let blocks = store.engine().snapshot().blocks.clone();
        let signal = CompactionSignal::default();
        let refused = merge(store.engine(), &blocks, &signal).unwrap_err();
        assert!(!refused.to_string().is_empty());
        drop((blocks, store));
        let compacted = compact(StoreOptions::new(damaged.path()), 1 << 30, &mut |_| {
            ControlFlow::Continue(())
        });
        assert!(compacted.is_err(), "{compacted:?}");
        assert_eq!(contents(damaged.path()), before);
    }
}

#[test]
fn what_is_readable_of_a_trace_is_archived_and_the_rest_named() {
    let dir = two_blocks();
    let index = unopenable(dir.path());
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1), span(2, 1)]);
    let named = index.display().to_string();
    let mut copied = Vec::new();
    for trace in [1, 2] {
        let budget = QueryBudget::unlimited();
        let archived = store
            .archive_trace(span(trace, 1).trace_id, &budget)
            .unwrap();
        assert_eq!(archived.damaged.len(), 1, "{archived:?}");
        assert_eq!(archived.damaged[0].file, index);
        let kept = store
            .archived_spans(span(trace, 1).trace_id, &budget)
            .unwrap();
        assert_eq!(archived.copied_spans, kept);
        copied.push(kept as u64);
    }
    copied.sort_unstable();
    assert_eq!(
        copied,
        [1, SPANS + 1],
        "what is in memory, and in the other block"
    );
    let whole = store.trace(span(2, 1).trace_id).unwrap_err();
    assert!(whole.to_string().contains(&named), "{whole}");
}
