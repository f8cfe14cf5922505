//! A process that stores spans is ended at every step of what has to survive that, again and again on
//! one folder, with a ledger outside of it: whatever was acknowledged must be found exactly once.
//!
//! `FAILPOINT_KILLS` says how many times; at least once for each step.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::simulated::folder;
use crate::batch::testing::{batch, span};
use crate::failpoint::{Failpoint, armed};
use crate::shelf::unix_nano_now;
use crate::{Retention, ScanRequest, Store, StoreOptions};

/// Says to the process that stores spans where, and which span is its first.
const DIR: &str = "KILLED_DIR";
const FIRST: &str = "KILLED_FIRST_SPAN";
/// A process that has stored so many spans was never where it was to end.
const MAX_SPANS: u64 = 20_000;
/// So many spans by turns are so old that they may be removed, and are not.
const TURN_SPANS: u64 = 60;
/// How many batches wait for their answers at once.
const WAITING: usize = 3;

/// Everything is small, so that every step comes soon.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        memtable_bytes: 12_000,
        log_segment_bytes: 2_000,
        retention: Retention {
            max_age: Some(Duration::from_secs(3600)),
            ..Retention::default()
        },
        ..StoreOptions::new(dir)
    }
}

/// Whether a span may be removed.
fn is_old(number: u64) -> bool {
    number / TURN_SPANS % 4 == 1
}

/// What the process says about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Sent,
    Acknowledged,
}

/// A line of the ledger.
struct Line(Word, Range<u64>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ledger {:?} {} {}", self.0, self.1.start, self.1.end)
    }
}

impl Line {
    /// None where the process was ended in the middle of the line, or the line is not of the ledger.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        let word = match (words.next()?, words.next()?) {
            ("ledger", "Sent") => Word::Sent,
            ("ledger", "Acknowledged") => Word::Acknowledged,
            _ => return None,
        };
        let first = words.next()?.parse().ok()?;
        Some(Self(word, first..words.next()?.parse().ok()?))
    }
}

/// The process that is ended: stores spans for ever, and says what it sends and what is
/// acknowledged.
#[test]
#[ignore = "a process of the test below"]
fn storing() {
    let (Ok(dir), Ok(first)) = (env::var(DIR), env::var(FIRST)) else {
        return;
    };
    let mut first: u64 = first.parse().unwrap();
    let last = first + MAX_SPANS;
    let say = |word, numbers| {
        let line = format!("{}\n", Line(word, numbers));
        io::stdout().write_all(line.as_bytes()).unwrap();
    };
    let store = Store::open(options(Path::new(&dir))).unwrap();
    let mut rng = Rng::with_seed(first);
    while first < last {
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            // Of one age, and so is what is written out with them.
            let turn_end = (first / TURN_SPANS + 1) * TURN_SPANS;
            let numbers = first..(first + rng.u64(1..6)).min(turn_end);
            first = numbers.end;
            say(Word::Sent, numbers.clone());
            waiting.push((store.append(batch_of(numbers.clone())), numbers));
            if first == turn_end {
                break;
            }
        }
        for (answer, numbers) in waiting {
            // Memory may be full for a moment: then these are not stored.
            if answer.wait().is_ok() {
                say(Word::Acknowledged, numbers);
            }
        }
        if first % TURN_SPANS == 0 {
            store.flush().unwrap();
        }
    }
}

fn batch_of(numbers: Range<u64>) -> crate::SpanBatch {
    let spans = numbers.map(|number| {
        let mut span = span(1 + (number % 5) as u8, number + 1);
        if !is_old(number) {
            span.start_unix_nano = unix_nano_now();
            span.end_unix_nano = span.start_unix_nano + 1;
        }
        span
    });
    batch(spans.collect())
}

#[derive(Default)]
struct Ledger {
    sent: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

impl Ledger {
    fn read(&mut self, output: &str) {
        for Line(word, numbers) in output.split_inclusive('\n').filter_map(Line::parse) {
            let noted = match word {
                Word::Sent => &mut self.sent,
                Word::Acknowledged => &mut self.acknowledged,
            };
            noted.extend(numbers);
        }
    }

    fn next_span(&self) -> u64 {
        self.sent.last().map_or(0, |last| last + 1)
    }

    fn check(&self, dir: &Path, place: &str) {
        let store = Store::open(options(dir)).unwrap_or_else(|error| panic!("{place}: {error}"));
        let mut found = BTreeSet::new();
        let mut visit = |record: Arc<crate::SpanRecord>| {
            let number = u64::from_be_bytes(record.span.span_id.to_bytes()) - 1;
            assert!(found.insert(number), "{place}: {number} is there twice");
            ControlFlow::Continue(())
        };
        store.scan(&ScanRequest::default(), &mut visit).unwrap();
        let lost = self.acknowledged.difference(&found);
        let lost: Vec<u64> = lost.copied().filter(|number| !is_old(*number)).collect();
        assert!(lost.is_empty(), "{place}: {lost:?} are lost");
        assert!(found.is_subset(&self.sent), "{place}: nobody sent that");
    }
}

/// Stores spans in another process until it ends at `place`.
fn store_until(place: &str, visit: usize, dir: &Path, ledger: &mut Ledger) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::killed::storing", "--ignored"])
        .arg("--nocapture")
        .env(DIR, dir)
        .env(FIRST, ledger.next_span().to_string())
        .env(armed::PLACE, place)
        .env(armed::VISIT, visit.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut text = String::new();
    output.stdout.as_slice().read_to_string(&mut text).unwrap();
    ledger.read(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && !errors.contains("panicked"),
        "{place} was not reached for the {visit}th time:\n{errors}"
    );
}

#[test]
fn a_process_that_ends_at_any_step_loses_nothing_and_doubles_nothing() {
    let places = Failpoint::ALL
        .iter()
        .flat_map(|(point, threads)| threads.iter().map(|thread| armed::place(*point, thread)));
    let places: Vec<String> = places.collect();
    let kills = env::var("FAILPOINT_KILLS").map_or(0, |kills| kills.parse().unwrap());
    let kills = places.len().max(kills);
    let dir = folder();
    let mut ledger = Ledger::default();
    let mut rng = Rng::with_seed(1);
    for kill in 0..kills {
        let place = &places[kill % places.len()];
        store_until(place, rng.usize(1..4), dir.path(), &mut ledger);
        ledger.check(dir.path(), place);
    }
    assert!(ledger.acknowledged.len() > 10 * places.len());
    println!(
        "{} acknowledged spans survived {kills} kills at {} steps",
        ledger.acknowledged.len(),
        places.len()
    );
}
