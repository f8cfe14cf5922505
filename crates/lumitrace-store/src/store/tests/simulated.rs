//! Random work on a simulated disk, power cuts at any moment of it, and what must be true after each:
//! the store opens, and has every acknowledged record exactly once; where syncs are put off, every one
//! that was synced.
//!
//! A seed that fails is named; `SIMULATION_SEED=<seed> cargo test -p lumitrace-store
//! simulated` repeats it alone. `SIMULATION_SEEDS` says how many are tried.

mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;

use self::journal::JournalDisk;
use super::options;
use super::subject::Subject;
use crate::compaction::{CompactionSignal, merge};
use crate::disk::Disk;
use crate::folder::Folder;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::retention;
use crate::spans::Spans;
use crate::{Durability, ShelfName, Store, StoreOptions};

/// Seeds of a test run. `cargo xtask soak` tries many more.
const SEEDS: u64 = 1_000;
/// Of these one is tried in each of the modes that put syncs off.
const SEEDS_FOR_A_LAZY_ONE: u64 = 4;
/// Power cuts at any moment that are tried of each seed's work, besides one at its end: few, so that there
/// is time for much different work.
const CUTS: usize = 3;

/// The number of the record that is stored after a power cut.
const LATER: u64 = 1_000_000;

/// A folder in memory where there is one: syncing is simulated.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// What was done, and what was answered when.
#[derive(Default)]
struct Ledger {
    next_number: u64,
    /// Records that were sent, by number, and the length of the journal then.
    sent: BTreeMap<u64, usize>,
    /// Records that were acknowledged, and the length of the journal then.
    acknowledged: BTreeMap<u64, usize>,
    /// Records that were removed on purpose, and the length of the journal before.
    removed: BTreeMap<u64, usize>,
    /// Spans that were said to be archived, and the length of the journal then.
    archived: BTreeMap<u64, usize>,
}

struct Simulation<S> {
    dir: TempDir,
    disk: Arc<JournalDisk>,
    ledger: Ledger,
    rng: Rng,
    durability: Durability,
    subject: PhantomData<S>,
}

impl<S: Subject> Simulation<S> {
    fn new(seed: u64, durability: Durability) -> Self {
        Self {
            dir: folder(),
            disk: Arc::default(),
            ledger: Ledger::default(),
            rng: Rng::with_seed(seed),
            durability,
            subject: PhantomData,
        }
    }

    fn options(&self) -> StoreOptions {
        StoreOptions {
            // Segments of a few batches, row groups of a few rows.
            log_segment_bytes: 600,
            manifest_rewrite_bytes: 0,
            row_group_rows: 4,
            // The same operations in the same order for the same seed.
            opening_threads: 1,
            durability: self.durability,
            ..options(self.dir.path())
        }
    }

    fn open(&self) -> Store {
        let disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
        Store::open_on(self.options(), disk).unwrap()
    }

    /// Random work. Every answer is noted together with where the journal was.
    fn work(&mut self) {
        let mut store = self.open();
        for _ in 0..self.rng.usize(5..25) {
            match self.rng.u8(..22) {
                0..10 => self.append(&store),
                10..14 => drop(store.flush()),
                14..16 => self.merge(&store),
                16 => self.remove_oldest(&store),
                17..19 => self.archive(&store),
                19 => {
                    let kinds = [ErrorKind::StorageFull, ErrorKind::Other];
                    let kind = kinds[self.rng.usize(..2)];
                    self.disk.fail(self.rng.usize(..8), kind);
                }
                _ => {
                    self.disk.heal();
                    drop(store);
                    store = self.open();
                }
            }
        }
    }

    fn append(&mut self, store: &Store) {
        let count = self.rng.u64(1..5);
        let numbers = self.ledger.next_number..self.ledger.next_number + count;
        self.ledger.next_number += count;
        let before = self.disk.len();
        let answer = S::append(store, numbers.clone()).wait();
        let after = self.disk.len();
        for number in numbers {
            self.ledger.sent.insert(number, before);
            if answer.is_ok() {
                self.ledger.acknowledged.insert(number, after);
            }
        }
    }

    fn merge(&mut self, store: &Store) {
        let Some(engine) = S::engine(store) else {
            return;
        };
        let blocks = engine.snapshot().blocks.clone();
        if blocks.len() < 2 {
            return;
        }
        let first = self.rng.usize(..blocks.len() - 1);
        let end = self.rng.usize(first + 2..=blocks.len());
        // That it fails where the disk fails is part of the game.
        let _ = merge(engine, &blocks[first..end], &CompactionSignal::default());
    }

    fn archive(&mut self, store: &Store) {
        let numbers = S::archive(store, &mut self.rng);
        let after = self.disk.len();
        for number in numbers {
            self.ledger.archived.entry(number).or_insert(after);
        }
    }

    fn remove_oldest(&mut self, store: &Store) {
        let Some(engine) = S::engine(store) else {
            return;
        };
        let Some(block) = engine.snapshot().blocks.first().cloned() else {
            return;
        };
        let before = self.disk.len();
        let numbers = S::numbers_in(&block);
        retention::remove(engine, vec![block.id()]);
        for number in numbers {
            // An attempt that fails may still have left its record.
            self.ledger.removed.entry(number).or_insert(before);
        }
    }

    /// Cuts the power after so many operations, opens what is left, and checks it.
    fn cut_and_check(&mut self, len: usize) {
        let copy = folder();
        self.disk
            .cut(len, self.dir.path(), copy.path(), &mut self.rng);
        let store = Store::open(options(copy.path()))
            .unwrap_or_else(|error| panic!("{error}:\n{}", self.disk.describe(len)));
        self.check(&store, len);
        // Life goes on: what comes now is found too, also after opening once more.
        let later = S::append(&store, LATER..LATER + 1).wait().unwrap();
        assert_eq!(later.record_count, 1);
        drop(store);
        let store = Store::open(options(copy.path())).unwrap();
        assert!(S::found(&store).contains(&LATER));
        self.check(&store, len);
    }

    /// Whether a power cut after `len` operations must leave what was acknowledged at `at` and is in the
    /// log of this shelf.
    fn is_promised(&self, shelf: ShelfName, at: usize, len: usize) -> bool {
        match self.durability {
            Durability::Fsync => at <= len,
            Durability::Interval(_) | Durability::None => {
                let folder = Folder::create(self.dir.path()).unwrap();
                let dir = folder.shelf(shelf).log_dir();
                self.disk.has_synced_log(&dir, at..len)
            }
        }
    }

    fn check(&self, store: &Store, len: usize) {
        // What cannot be opened would be left out, and only be said.
        let shelves = ShelfName::ALL.into_iter();
        let mut shelves = shelves.filter_map(|name| store.stats_of(name));
        assert!(shelves.all(|stats| stats.damages.is_empty()));
        let mut found = BTreeSet::new();
        for number in S::found(store) {
            assert!(found.insert(number), "record {number} is there twice");
        }
        found.remove(&LATER);
        let ledger = &self.ledger;
        let by_trace = S::found_by_trace(store);
        for (number, archived_at) in &ledger.archived {
            let times = by_trace.iter().filter(|found| *found == number).count();
            assert!(
                times == 1
                    || times == 0 && !self.is_promised(ShelfName::Archive, *archived_at, len),
                "span {number} was archived at {archived_at} and is there {times} times at {len}:\n{}",
                self.disk.describe(len)
            );
        }
        for (number, acknowledged_at) in &ledger.acknowledged {
            let may_be_gone = ledger.removed.get(number).is_some_and(|at| *at < len);
            assert!(
                found.contains(number)
                    || !self.is_promised(S::SHELF, *acknowledged_at, len)
                    || may_be_gone,
                "record {number} was acknowledged at {acknowledged_at} and is lost at {len}:\n{}",
                self.disk.describe(len)
            );
        }
        for number in &found {
            let sent_at = ledger.sent.get(number);
            assert!(
                sent_at.is_some_and(|at| *at <= len),
                "record {number} was not sent by {len}"
            );
            assert!(
                by_trace.contains(number),
                "record {number} has lost its trace"
            );
        }
    }
}

/// Both sync what they must; when an interval is over is tested elsewhere.
const LAZY: [Durability; 2] = [
    Durability::None,
    Durability::Interval(Duration::from_secs(3_600)),
];

/// Says how many times a manifest was written anew.
fn run<S: Subject>(seed: u64, durability: Durability) -> usize {
    let mut simulation = Simulation::<S>::new(seed, durability);
    simulation.work();
    let operations = simulation.disk.len();
    for _ in 0..CUTS {
        let len = simulation.rng.usize(..=operations);
        simulation.cut_and_check(len);
    }
    simulation.cut_and_check(operations);
    simulation.disk.replacements("MANIFEST")
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run_all<S: Subject>(durability: Durability) {
    let seeds = variable("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let seeds = match (variable("SIMULATION_SEED"), durability) {
        (Some(seed), _) => seed..seed + 1,
        (None, Durability::Fsync) => 0..seeds,
        (None, Durability::Interval(_) | Durability::None) => 0..seeds / SEEDS_FOR_A_LAZY_ONE,
    };
    let mut rewrites = 0;
    for seed in seeds.clone() {
        let result = catch_unwind(AssertUnwindSafe(|| run::<S>(seed, durability)));
        rewrites += result
            .unwrap_or_else(|_| panic!("seed {seed} fails; repeat it with SIMULATION_SEED={seed}"));
    }
    let enough = seeds.count() / 10;
    assert!(
        rewrites >= enough,
        "manifests were rewritten {rewrites} times"
    );
}

#[test]
fn no_power_cut_loses_or_repeats_an_acknowledged_span() {
    run_all::<Spans>(Durability::Fsync);
}

#[test]
fn no_power_cut_loses_or_repeats_an_acknowledged_log_record() {
    run_all::<Logs>(Durability::Fsync);
}

#[test]
fn no_power_cut_loses_or_repeats_an_acknowledged_point() {
    run_all::<Metrics>(Durability::Fsync);
}

#[test]
fn where_syncs_are_put_off_no_power_cut_loses_what_was_synced_or_repeats_a_record() {
    for durability in LAZY {
        run_all::<Spans>(durability);
        run_all::<Logs>(durability);
        run_all::<Metrics>(durability);
    }
}
