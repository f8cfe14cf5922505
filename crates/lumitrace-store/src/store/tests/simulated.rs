//! Random work on a simulated disk, power cuts at any moment of it, and what must be true after each:
//! the store opens, and has every acknowledged span exactly once.
//!
//! A seed that fails is named; `SIMULATION_SEED=<seed> cargo test -p lumitrace-store
//! simulated` repeats it alone. `SIMULATION_SEEDS` says how many are tried.

mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use lumitrace_model::{SpanId, TraceId};
use tempfile::TempDir;

use self::journal::JournalDisk;
use super::options;
use crate::batch::testing::{batch, span};
use crate::compaction::{CompactionSignal, merge};
use crate::disk::Disk;
use crate::retention;
use crate::{Durability, ScanRequest, SpanParts, Store, StoreOptions};

/// Seeds of a test run. `cargo xtask soak` tries many more.
const SEEDS: u64 = 300;
/// Power cuts that are tried of each seed's work.
const CUTS: usize = 8;

/// Traces that spans are of.
const TRACES: u8 = 5;
/// The span that is stored after a power cut.
const LATER_SPAN: u64 = 1_000_000;

/// A folder in memory where there is one: syncing is simulated.
fn folder() -> TempDir {
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
    next_span: u64,
    /// Spans that were sent, by number, and the length of the journal then.
    sent: BTreeMap<u64, usize>,
    /// Spans that were acknowledged, and the length of the journal then.
    acknowledged: BTreeMap<u64, usize>,
    /// Spans that were removed on purpose, and the length of the journal before.
    removed: BTreeMap<u64, usize>,
    /// Spans that were said to be archived, and the length of the journal then.
    archived: BTreeMap<u64, usize>,
}

struct Simulation {
    dir: TempDir,
    disk: Arc<JournalDisk>,
    ledger: Ledger,
    rng: Rng,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            dir: folder(),
            disk: Arc::default(),
            ledger: Ledger::default(),
            rng: Rng::with_seed(seed),
        }
    }

    fn options(&self) -> StoreOptions {
        StoreOptions {
            // Segments of a few batches, row groups of a few spans.
            log_segment_bytes: 600,
            row_group_rows: 4,
            durability: Durability::Fsync,
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
        let numbers = self.ledger.next_span..self.ledger.next_span + count;
        self.ledger.next_span += count;
        let before = self.disk.len();
        let spans = numbers
            .clone()
            .map(|number| span(1 + (number % u64::from(TRACES)) as u8, number + 1));
        let answer = store.append(batch(spans.collect())).wait();
        let after = self.disk.len();
        for number in numbers {
            self.ledger.sent.insert(number, before);
            if answer.is_ok() {
                self.ledger.acknowledged.insert(number, after);
            }
        }
    }

    fn merge(&mut self, store: &Store) {
        let blocks = store.handle.spans.engine.snapshot().blocks.clone();
        if blocks.len() < 2 {
            return;
        }
        let first = self.rng.usize(..blocks.len() - 1);
        let end = self.rng.usize(first + 2..=blocks.len());
        // That it fails where the disk fails is part of the game.
        let _ = merge(
            &store.handle.spans.engine,
            &blocks[first..end],
            &CompactionSignal::default(),
        );
    }

    fn archive(&mut self, store: &Store) {
        let trace_id = span(1 + self.rng.u8(..TRACES), 1).trace_id;
        let numbers = numbers_of(store, trace_id);
        if store.archive_trace(trace_id).is_ok() {
            let after = self.disk.len();
            for number in numbers {
                self.ledger.archived.entry(number).or_insert(after);
            }
        }
    }

    fn remove_oldest(&mut self, store: &Store) {
        let engine = &store.handle.spans.engine;
        let Some(block) = engine.snapshot().blocks.first().cloned() else {
            return;
        };
        let before = self.disk.len();
        let mut numbers = Vec::new();
        let records = block.open_data().unwrap();
        let rows = 0..block.record().rows as usize;
        let mut records = records
            .records(std::slice::from_ref(&rows), SpanParts::NONE)
            .unwrap();
        while let Some(batch) = records.next().unwrap() {
            numbers.extend(batch.iter().map(|record| number_of(record.span.span_id)));
        }
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
        let receipt = store
            .append(batch(vec![span(9, LATER_SPAN)]))
            .wait()
            .unwrap();
        assert_eq!(receipt.record_count, 1);
        drop(store);
        let store = Store::open(options(copy.path())).unwrap();
        assert_eq!(store.trace(span(9, 0).trace_id).unwrap().len(), 1);
        self.check(&store, len);
    }

    fn check(&self, store: &Store, len: usize) {
        let mut found = BTreeSet::new();
        let request = ScanRequest {
            names: vec!["batch_processing".to_owned()],
            ..ScanRequest::default()
        };
        store
            .scan(&request, &mut |record| {
                let number = number_of(record.span.span_id);
                if number != LATER_SPAN - 1 {
                    assert!(found.insert(number), "span {number} is there twice");
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        let ledger = &self.ledger;
        let traces = (1..=TRACES).flat_map(|trace| numbers_of(store, span(trace, 1).trace_id));
        let in_traces: Vec<u64> = traces.collect();
        for (number, archived_at) in &ledger.archived {
            let times = in_traces.iter().filter(|found| *found == number).count();
            assert!(
                times == 1 || times == 0 && *archived_at > len,
                "span {number} was archived at {archived_at} and is there {times} times at {len}:\n{}",
                self.disk.describe(len)
            );
        }
        for (number, acknowledged_at) in &ledger.acknowledged {
            let may_be_gone = ledger.removed.get(number).is_some_and(|at| *at < len);
            assert!(
                found.contains(number) || *acknowledged_at > len || may_be_gone,
                "span {number} was acknowledged at {acknowledged_at} and is lost at {len}:\n{}",
                self.disk.describe(len)
            );
        }
        for number in &found {
            let sent_at = ledger.sent.get(number);
            assert!(
                sent_at.is_some_and(|at| *at <= len),
                "span {number} was not sent by {len}"
            );
        }
    }
}

/// The numbers of a trace's spans.
fn numbers_of(store: &Store, trace_id: TraceId) -> Vec<u64> {
    let spans = store.trace(trace_id).unwrap();
    let numbers = spans.iter().map(|record| number_of(record.span.span_id));
    numbers.collect()
}

/// The number of a span in the ledger. Ids begin at one.
fn number_of(span_id: SpanId) -> u64 {
    u64::from_be_bytes(span_id.to_bytes()) - 1
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    simulation.work();
    let operations = simulation.disk.len();
    for _ in 0..CUTS {
        let len = simulation.rng.usize(..=operations);
        simulation.cut_and_check(len);
    }
    simulation.cut_and_check(operations);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_power_cut_loses_or_repeats_an_acknowledged_span() {
    let seeds = match variable("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| run(seed)));
        assert!(
            result.is_ok(),
            "seed {seed} fails; repeat it with SIMULATION_SEED={seed}"
        );
    }
}
