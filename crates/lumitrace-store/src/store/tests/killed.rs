//! A process that stores spans is ended at every step of what has to survive that, again and again on
//! one folder, with a ledger outside of it: whatever was acknowledged must be found exactly once,
//! unless it is so old that retention may have removed it.
//!
//! `FAILPOINT_KILLS` says how many times; at least once for each step.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use lumitrace_model::KeyValue;

use super::simulated::folder;
use crate::batch::testing::{batch, span};
use crate::failpoint::{Failpoint, armed};
use crate::shelf::unix_nano_now;
use crate::{Retention, ScanRequest, Store, StoreOptions};

/// Says to the process that stores spans where, and which span is its first.
const DIR: &str = "KILLED_DIR";
const FIRST: &str = "KILLED_FIRST_SPAN";
/// A process that has stored spans for so long was never where it was to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Spans older than this may be removed.
const MAX_AGE: Duration = Duration::from_secs(1);
/// After so many spans all are written out.
const FLUSH_EVERY: u64 = 60;
/// How many batches wait for their answers at once.
const WAITING: usize = 3;

/// Everything is small, so that every step comes soon.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        memtable_bytes: 12_000,
        log_segment_bytes: 2_000,
        manifest_rewrite_bytes: 0,
        retention: Retention {
            max_age: Some(MAX_AGE),
            ..Retention::default()
        },
        ..StoreOptions::new(dir)
    }
}

/// A line of the ledger: what the process says about some spans.
enum Line {
    /// At this time, in nanoseconds since the Unix epoch, they were handed over.
    Sent(u64, Range<u64>),
    Acknowledged(Range<u64>),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(at, spans) => writeln!(f, "ledger {at} {} {}", spans.start, spans.end),
            Self::Acknowledged(spans) => writeln!(f, "ledger - {} {}", spans.start, spans.end),
        }
    }
}

impl Line {
    /// None where the process was ended in the middle of the line, or the line is not of the ledger.
    fn parse(line: &str) -> Option<Self> {
        let words = line.strip_suffix('\n')?.strip_prefix("ledger ")?;
        let mut words = words.split(' ');
        let time = words.next()?;
        let first = words.next()?.parse().ok()?;
        let spans = first..words.next()?.parse().ok()?;
        Some(match time {
            "-" => Self::Acknowledged(spans),
            at => Self::Sent(at.parse().ok()?, spans),
        })
    }
}

/// The process that is ended: stores spans for long, and says what it sends and what is
/// acknowledged.
#[test]
#[ignore = "a process of the test below"]
fn storing() {
    let (Ok(dir), Ok(first)) = (env::var(DIR), env::var(FIRST)) else {
        return;
    };
    let mut first: u64 = first.parse().unwrap();
    let say = |line: Line| io::stdout().write_all(line.to_string().as_bytes()).unwrap();
    let store = Store::open(options(Path::new(&dir))).unwrap();
    let mut rng = Rng::with_seed(first);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let numbers = first..first + rng.u64(1..6);
            first = numbers.end;
            say(Line::Sent(unix_nano_now(), numbers.clone()));
            waiting.push((store.append(batch_of(numbers.clone())), numbers));
        }
        for (answer, numbers) in waiting {
            // Memory may be full for a moment: then these are not stored.
            if answer.wait().is_ok() {
                say(Line::Acknowledged(numbers));
            }
        }
        if rng.u64(..FLUSH_EVERY) < WAITING as u64 {
            store.flush().unwrap();
        }
    }
}

/// Spans that end now: retention asks when they were received, and when they ended.
fn batch_of(numbers: Range<u64>) -> crate::SpanBatch {
    let spans = numbers.map(|number| {
        let now = unix_nano_now();
        let mut span = span(1 + (number % 5) as u8, number + 1);
        (span.start_unix_nano, span.end_unix_nano) = (now, now);
        if number.is_multiple_of(10) {
            // So that blocks have a payload file.
            let prompt = KeyValue::new("prompt", "again ".repeat(400));
            span.attributes.push(prompt);
        }
        span
    });
    batch(spans.collect())
}

#[derive(Default)]
struct Ledger {
    /// When each span was handed over, in nanoseconds since the Unix epoch.
    sent: BTreeMap<u64, u64>,
    acknowledged: BTreeSet<u64>,
}

impl Ledger {
    fn read(&mut self, output: &str) {
        for line in output.split_inclusive('\n').filter_map(Line::parse) {
            match line {
                Line::Sent(at, spans) => self.sent.extend(spans.map(|number| (number, at))),
                Line::Acknowledged(spans) => self.acknowledged.extend(spans),
            }
        }
    }

    fn next_span(&self) -> u64 {
        self.sent.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Whether a span may be gone, if nothing was removed after `ended_at`.
    fn may_be_gone(&self, number: u64, ended_at: u64) -> bool {
        !self.acknowledged.contains(&number)
            || u128::from(ended_at - self.sent[&number]) >= MAX_AGE.as_nanos()
    }

    /// Says how many spans had to be there.
    fn check(&self, dir: &Path, place: &str, ended_at: u64) -> usize {
        let for_ever = StoreOptions {
            retention: Retention::default(),
            ..options(dir)
        };
        let store = Store::open(for_ever).unwrap_or_else(|error| panic!("{place}: {error}"));
        let mut found = BTreeSet::new();
        let mut visit = |record: Arc<crate::SpanRecord>| {
            let number = u64::from_be_bytes(record.span.span_id.to_bytes()) - 1;
            assert!(found.insert(number), "{place}: {number} is there twice");
            ControlFlow::Continue(())
        };
        store.scan(&ScanRequest::default(), &mut visit).unwrap();
        assert_eq!(store.stats().damages, [], "{place}");
        let must_be_there = |number: &&u64| !self.may_be_gone(**number, ended_at);
        let expected: BTreeSet<u64> = self.sent.keys().filter(must_be_there).copied().collect();
        let lost: Vec<&u64> = expected.difference(&found).collect();
        assert!(lost.is_empty(), "{place}: {lost:?} are lost");
        let is_sent = |number: &u64| self.sent.contains_key(number);
        assert!(found.iter().all(is_sent), "{place}: nobody sent that");
        expected.len()
    }
}

/// Stores spans in another process until it ends at `place`. Says when it had ended.
fn store_until(place: &str, visit: usize, dir: &Path, ledger: &mut Ledger) -> u64 {
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
    let ended_at = unix_nano_now();
    let mut text = String::new();
    output.stdout.as_slice().read_to_string(&mut text).unwrap();
    ledger.read(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && !errors.contains("panicked"),
        "{place} was not reached for the {visit}th time:\n{errors}"
    );
    ended_at
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
    let mut checked = 0;
    for kill in 0..kills {
        let place = &places[kill % places.len()];
        let ended_at = store_until(place, rng.usize(1..4), dir.path(), &mut ledger);
        checked += ledger.check(dir.path(), place, ended_at);
    }
    assert!(checked > 10 * places.len(), "{checked}");
    println!(
        "{} acknowledged spans survived {kills} kills at {} steps",
        ledger.acknowledged.len(),
        places.len()
    );
}
