//! A bit is flipped anywhere in any file of a folder that has some of everything: a check names file and
//! offset; and either the folder is not opened, which says the same and can be repaired, or all but what
//! is damaged is served, and answers that lack something say so. Nothing wrong is ever served.
//!
//! `FLIPPED_BITS` says how many are flipped in each file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use lumitrace_model::{KeyValue, LogRecord, Number, Span, Value};
use tempfile::TempDir;

use super::logs::FIRST_LOG;
use super::metrics::FIRST_POINT;
use super::simulated::folder;
use super::subject::{Subject, TRACES, number_of, numbered_log, numbered_span, trace_of};
use super::{copy_into, expire_oldest, options};
use crate::batch::testing::span;
use crate::check::check;
use crate::logs::Logs;
use crate::manifest::BlockId;
use crate::metrics::Metrics;
use crate::repair::repair;
use crate::spans::Spans;
use crate::{
    Corruption, LogScan, MetricSelector, OpenError, Point, QueryBudget, ScanRequest, ShelfName,
    SpanParts, Store, StoreOptions,
};

/// Bits of each file that are flipped, besides one at its beginning and one at its end.
const BITS: usize = 10;
/// Records of each block.
const IN_BLOCK: u64 = 20;
/// Batches that are in no block, and records of each.
const LATER_BATCHES: u64 = 6;
const IN_BATCH: u64 = 3;
/// Blocks of each shelf but the archive, of which the first is removed.
const BLOCKS: u64 = 3;
/// The first is archived into a block, the second stays in the archive's log.
const ARCHIVED_TRACES: [u8; 2] = [1, 2];

/// Files that say nothing, so that nothing can be wrong in them, and why.
const SAY_NOTHING: [(&str, &str); 2] = [
    ("LOCK", "a process id, which only makes a message clearer"),
    (
        "spare",
        "the rest of a segment, to be written over by another one",
    ),
];

fn small(dir: &Path) -> StoreOptions {
    StoreOptions {
        row_group_rows: 8,
        log_segment_bytes: 1_000,
        ..options(dir)
    }
}

fn fill_blocks<S: Subject>(store: &Store) {
    for block in 0..BLOCKS {
        let first = block * IN_BLOCK;
        S::append(store, first..first + IN_BLOCK).wait().unwrap();
        store.flush().unwrap();
    }
}

/// Archives two traces, of which the second stays in the archive's log.
fn archive(store: &Store) {
    let archive = |trace| {
        store
            .archive_trace(span(trace, 1).trace_id, &QueryBudget::unlimited())
            .unwrap()
    };
    archive(ARCHIVED_TRACES[0]);
    store.flush().unwrap();
    archive(ARCHIVED_TRACES[1]);
}

/// Removes the oldest block, and stores more, which stays in the log.
fn go_on<S: Subject>(store: &Store) {
    expire_oldest(S::engine(store)).unwrap();
    for batch in 0..LATER_BATCHES {
        let first = BLOCKS * IN_BLOCK + batch * IN_BATCH;
        S::append(store, first..first + IN_BATCH).wait().unwrap();
    }
}

/// A folder with all shelves: blocks with payload files, one that was removed, and a log of several
/// segments.
fn folder_with_everything() -> TempDir {
    let dir = folder();
    let store = Store::open(small(dir.path())).unwrap();
    fill_blocks::<Logs>(&store);
    fill_blocks::<Metrics>(&store);
    fill_blocks::<Spans>(&store);
    archive(&store);
    go_on::<Logs>(&store);
    go_on::<Metrics>(&store);
    go_on::<Spans>(&store);
    dir
}

/// All files in `dir` and the folders in it, by their names in it.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => files.push(path.strip_prefix(dir).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

/// The shelf of which this is a file; none for the lock.
fn shelf_of(file: &Path) -> Option<ShelfName> {
    let first = file.components().next().unwrap().as_os_str();
    let others = [ShelfName::Archive, ShelfName::Logs, ShelfName::Metrics];
    let other = others.into_iter().find(|shelf| first == shelf.as_str());
    other.or((first != "LOCK").then_some(ShelfName::Spans))
}

/// What a shelf serves.
#[derive(Debug, Default)]
struct Served {
    /// The records, and whether they are whole.
    records: BTreeMap<u64, bool>,
    said: Vec<Corruption>,
}

impl Served {
    fn add(&mut self, number: u64, is_whole: bool) {
        let before = self.records.insert(number, is_whole);
        assert_eq!(before, None, "record {number} is there twice");
    }

    fn lacks(&self, expected: &BTreeSet<u64>) -> BTreeSet<u64> {
        let whole = self.records.iter().filter(|(_, is_whole)| **is_whole);
        let whole = whole.map(|(number, _)| *number).collect();
        expected.difference(&whole).copied().collect()
    }
}

/// The beginning of a large value, which is left of it where it is damaged.
fn cut(value: &mut Value) {
    if let Value::String(text) = value {
        text.to_mut().truncate(1024);
    }
}

/// Whether the span is all that was stored; nothing but its large value may be missing.
fn is_whole_span(found: &Span, number: u64) -> bool {
    let mut stored = numbered_span(trace_of(number), number);
    if *found == stored {
        return true;
    }
    let values = stored
        .attributes
        .iter_mut()
        .map(|KeyValue { value, .. }| value);
    values.for_each(cut);
    assert_eq!(*found, stored);
    false
}

fn is_whole_log(found: &LogRecord, number: u64) -> bool {
    let mut stored = numbered_log(number);
    if *found == stored {
        return true;
    }
    cut(&mut stored.body);
    assert_eq!(*found, stored);
    false
}

/// The spans of the first shelf and of the archive, by a search and by their traces.
fn served_spans(store: &Store) -> Served {
    let mut served = Served::default();
    let all = ScanRequest::default();
    let stats = store.scan(&all, &mut |record| {
        let number = number_of(record.span.span_id);
        served.add(number, is_whole_span(&record.span, number));
        ControlFlow::Continue(())
    });
    let mut damaged = stats.unwrap().damaged;
    let mut by_trace = Served::default();
    for trace in 1..=TRACES {
        let (parts, budget) = (SpanParts::ALL, QueryBudget::unlimited());
        let found = store.trace_parts(span(trace, 1).trace_id, parts, &budget);
        let found = found.unwrap();
        for record in &found.spans {
            let number = number_of(record.span.span_id);
            by_trace.add(number, is_whole_span(&record.span, number));
        }
        by_trace.said.extend(found.damaged.iter().cloned());
        damaged.extend(found.damaged);
    }
    let all = served.records.keys().chain(by_trace.records.keys());
    let all: BTreeSet<u64> = all.copied().collect();
    assert!(by_trace.lacks(&all).is_empty() || !by_trace.said.is_empty());
    served.said.extend(damaged.iter().cloned());
    served
}

fn served_logs(store: &Store) -> Served {
    let mut served = Served::default();
    let stats = store.scan_logs(&LogScan::default(), &mut |entry| {
        let number = entry.log.time_unix_nano - FIRST_LOG;
        served.add(number, is_whole_log(&entry.log, number));
        ControlFlow::Continue(())
    });
    served.said.extend(stats.unwrap().damaged.iter().cloned());
    served
}

fn served_points(store: &Store) -> Served {
    let mut served = Served::default();
    let (all, budget) = (MetricSelector::default(), QueryBudget::unlimited());
    let found = store.metric_series(&all, &budget).unwrap();
    for point in found.series.iter().flat_map(|series| &series.points) {
        let Point::Number(point) = &point.point else {
            panic!("{point:?}");
        };
        let number = point.time_unix_nano - FIRST_POINT;
        assert_eq!(point.value, Some(Number::Int(number as i64)));
        served.add(number, true);
    }
    served.said.extend(found.damaged.iter().cloned());
    served
}

/// What is served of each shelf, and what was stored on it and not removed. The archive is served with the
/// spans.
fn everything(store: &Store) -> [(ShelfName, Served, BTreeSet<u64>); 3] {
    let end = BLOCKS * IN_BLOCK + LATER_BATCHES * IN_BATCH;
    let kept: BTreeSet<u64> = (IN_BLOCK..end).collect();
    let archived = (0..IN_BLOCK).filter(|number| ARCHIVED_TRACES.contains(&trace_of(*number)));
    let spans = kept.iter().copied().chain(archived).collect();
    [
        (ShelfName::Spans, served_spans(store), spans),
        (ShelfName::Logs, served_logs(store), kept.clone()),
        (ShelfName::Metrics, served_points(store), kept),
    ]
}

/// The records that may be missing because of damage in this file, if the store is opened.
fn may_be_missing(file: &Path) -> BTreeSet<u64> {
    let shelf = shelf_of(file);
    let of_archive = |trace| {
        let numbers = 0..IN_BLOCK;
        numbers
            .filter(move |number| trace_of(*number) == trace)
            .collect()
    };
    let id = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(BlockId::parse);
    match (shelf, id) {
        (Some(ShelfName::Archive), Some(_)) => of_archive(ARCHIVED_TRACES[0]),
        (Some(ShelfName::Archive), None) => of_archive(ARCHIVED_TRACES[1]),
        // The first record has sequence number 1.
        (_, Some(id)) => (id.first_seq - 1..id.end_seq - 1).collect(),
        (_, None) if file.extension().is_some_and(|it| it == "log") => {
            // Nothing tells damage of the last frame from a write that was torn.
            let end = BLOCKS * IN_BLOCK + LATER_BATCHES * IN_BATCH;
            (end - IN_BATCH..end).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// A folder with a flipped bit.
struct Flipped {
    dir: TempDir,
    file: PathBuf,
    offset: usize,
    /// In words.
    place: String,
}

impl Flipped {
    fn new(original: &Path, file: &Path, (offset, bit): (usize, u8)) -> Self {
        let dir = folder();
        copy_into(original, dir.path());
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        Self {
            dir,
            file: file.to_owned(),
            offset,
            place: format!("bit {bit} of byte {offset} of {}", file.display()),
        }
    }

    fn is_named_by(&self, damage: &Corruption) -> bool {
        damage.file == self.dir.path().join(&self.file) && damage.offset as usize <= self.offset
    }

    fn extension(&self) -> &str {
        let extension = self.file.extension().unwrap_or_default();
        extension.to_str().unwrap()
    }

    fn is_of_manifest(&self) -> bool {
        self.file.ends_with("MANIFEST")
    }

    /// Whether a folder is not opened where this file is damaged, but for its end.
    fn is_strict(&self) -> bool {
        self.is_of_manifest() || self.extension() == "log"
    }

    fn says_nothing(&self) -> bool {
        let is_it = |name: &&str| self.file.ends_with(name) || self.extension() == *name;
        SAY_NOTHING.iter().any(|(name, _)| is_it(name))
    }

    fn check(&self) {
        let place = &self.place;
        let found = check(self.dir.path(), &mut |_| ControlFlow::Continue(())).unwrap();
        if self.says_nothing() {
            let is_named = found.damages.iter().all(|damage| self.is_named_by(damage));
            assert!(
                is_named && found.unfinished.is_empty(),
                "{place}: {found:?}"
            );
            return;
        }
        let mut places = found.damages.iter().chain(&found.unfinished);
        assert!(
            places.any(|damage| self.is_named_by(damage)),
            "{place}: {found:?}"
        );
        // Only an end of a log or of a manifest may be taken for a write that a crash interrupted.
        assert!(
            self.is_strict() || found.unfinished.is_empty(),
            "{place}: {found:?}"
        );
        // Without its last record a manifest names blocks that it has removed, and behind damage in a log
        // records are missing.
        let is_strict = self.is_strict();
        let is_named = found.damages.iter().all(|damage| self.is_named_by(damage));
        assert!(is_strict || is_named, "{place}: {found:?}");
    }

    fn open(&self) -> Result<Store, OpenError> {
        Store::open(small(self.dir.path()))
    }

    /// Opens and reads everything.
    fn serve(&self) {
        let place = &self.place;
        let store = match self.open() {
            Ok(store) => store,
            Err(OpenError::Corrupt(damage)) => {
                assert!(self.is_named_by(&damage), "{place}: {damage}");
                assert!(self.is_strict(), "{place}: {damage}");
                return self.repair();
            }
            Err(error) => panic!("{place}: {error}"),
        };
        let may_be_missing = may_be_missing(&self.file);
        let mut said: Vec<Corruption> = Vec::new();
        for stats in ShelfName::ALL.map(|shelf| store.stats_of(shelf).unwrap()) {
            said.extend(stats.damages);
            said.extend(stats.torn_tail);
        }
        let mut lacks_something = false;
        for (shelf, served, expected) in everything(&store) {
            let has_only = served
                .records
                .keys()
                .all(|number| expected.contains(number));
            assert!(has_only, "{place}: {served:?}");
            let lacks = served.lacks(&expected);
            // What is archived is served with the other spans.
            let is_damaged = shelf_of(&self.file) == Some(shelf)
                || shelf_of(&self.file) == Some(ShelfName::Archive) && shelf == ShelfName::Spans;
            assert!(
                lacks.is_empty() || is_damaged && lacks.is_subset(&may_be_missing),
                "{place}: {shelf:?} lacks {lacks:?}"
            );
            lacks_something |= !lacks.is_empty();
            said.extend(served.said);
        }
        assert!(!lacks_something || !said.is_empty(), "{place}");
        let is_named = |damage: &Corruption| self.is_named_by(damage) || self.is_of_manifest();
        assert!(said.iter().all(is_named), "{place}: {said:?}");
    }

    /// What was refused is opened after a repair, and lacks no more than that has said.
    fn repair(&self) {
        let place = &self.place;
        let done = repair(self.dir.path(), false, &mut |_| ControlFlow::Continue(())).unwrap();
        let store = self
            .open()
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let mut lost = 0;
        for (_, served, expected) in everything(&store) {
            assert_eq!(served.said, [], "{place}");
            let has_only = served
                .records
                .keys()
                .all(|number| expected.contains(number));
            assert!(has_only, "{place}: {served:?}");
            lost += served.lacks(&expected).len() as u64;
        }
        let said: Option<u64> = done.losses.iter().map(|loss| loss.records).sum();
        assert!(said.is_none_or(|said| lost <= said), "{place}: {done:?}");
    }
}

/// Bits of a file of this length, its first and its last among them.
fn bits(len: usize, rng: &mut Rng) -> Vec<(usize, u8)> {
    let count = std::env::var("FLIPPED_BITS").map_or(BITS, |count| count.parse().unwrap());
    let random = (0..count).map(|_| rng.usize(..len));
    let places = [0, len - 1].into_iter().chain(random.collect::<Vec<_>>());
    places.map(|offset| (offset, rng.u8(..8))).collect()
}

/// The folder has what the test is about.
fn expect_every_kind(files: &[PathBuf]) {
    for (shelf, extensions) in [
        (ShelfName::Spans, &["parquet", "idx", "payload", "log"][..]),
        (ShelfName::Archive, &["parquet", "idx", "payload", "log"]),
        (ShelfName::Logs, &["parquet", "idx", "payload", "log"]),
        (ShelfName::Metrics, &["parquet", "idx", "log"]),
    ] {
        for extension in extensions {
            let is_it = |file: &&PathBuf| {
                shelf_of(file) == Some(shelf) && file.extension().is_some_and(|it| it == *extension)
            };
            let least = if shelf == ShelfName::Archive { 1 } else { 2 };
            assert!(
                files.iter().filter(is_it).count() >= least,
                "{shelf:?} {extension}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_any_file_is_named_and_nothing_wrong_is_served() {
    let dir = folder_with_everything();
    let files = files_in(dir.path());
    expect_every_kind(&files);
    let mut failed = 0;
    for (seed, file) in files.iter().enumerate() {
        let len = fs::metadata(dir.path().join(file)).unwrap().len() as usize;
        for bit in bits(len, &mut Rng::with_seed(seed as u64)) {
            let flipped = Flipped::new(dir.path(), file, bit);
            let looked_at = catch_unwind(|| {
                flipped.check();
                flipped.serve();
            });
            failed += usize::from(looked_at.is_err());
        }
    }
    assert_eq!(failed, 0, "bits, of which each was told");
}
