//! A process that stores records is ended at every step of what has to survive that, again and again on
//! one folder for each kind of records, with a ledger outside of it: whatever was acknowledged must be
//! found exactly once, unless it is so old that retention may have removed it.
//!
//! `FAILPOINT_KILLS` says how many times; at least once for each kind and step.

mod interrupted;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::simulated::folder;
use super::subject::Subject;
use crate::check::check;
use crate::failpoint::{Failpoint, armed, thread_name};
use crate::folder::{Folder, ShelfFolder};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::shelf::unix_nano_now;
use crate::spans::Spans;
use crate::{Retention, ShelfName, Store, StoreOptions};

/// Says to the process that stores records where, which, from which number on, and how many bytes a
/// memtable may have.
const DIR: &str = "KILLED_DIR";
const SHELF: &str = "KILLED_SHELF";
const FIRST: &str = "KILLED_FIRST_RECORD";
const MEMTABLE: &str = "KILLED_MEMTABLE_BYTES";
/// A process that has stored records for so long was never where it was to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Records older than this may be removed.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A memtable is written out at this size, unless it is to be never or at once.
const MEMTABLE_BYTES: usize = 12_000;
/// After so many batches, more or less, all is written out.
const FLUSH_EVERY: u64 = 60;
/// How many batches wait for their answers at once.
const WAITING: usize = 3;
/// Spans, log records and points.
const KINDS: usize = 3;
/// So many batches are in no block when a process is to be ended while it opens the store.
const LEFT_IN_LOG: usize = 8;

/// Everything is small, so that every step comes soon.
fn options<S: Subject>(dir: &Path) -> StoreOptions {
    StoreOptions {
        memtable_bytes: MEMTABLE_BYTES,
        log_segment_bytes: match S::SHELF {
            // They take little in the log beside what they take in memory.
            ShelfName::Metrics => 300,
            _ => 2_000,
        },
        manifest_rewrite_bytes: 0,
        // So that the thread that opens the store opens all of it.
        opening_threads: 1,
        retention: Retention {
            max_age: Some(MAX_AGE),
            ..Retention::default()
        },
        ..StoreOptions::new(dir)
    }
}

/// A line of the ledger: what the process says about some records.
enum Line {
    /// At this time, in nanoseconds since the Unix epoch, they were handed over.
    Sent(u64, Range<u64>),
    Acknowledged(Range<u64>),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(at, numbers) => writeln!(f, "ledger {at} {} {}", numbers.start, numbers.end),
            Self::Acknowledged(numbers) => {
                writeln!(f, "ledger - {} {}", numbers.start, numbers.end)
            }
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
        let numbers = first..words.next()?.parse().ok()?;
        Some(match time {
            "-" => Self::Acknowledged(numbers),
            at => Self::Sent(at.parse().ok()?, numbers),
        })
    }
}

/// The process that is ended: opens a store and stores records for long, and says what it sends and what
/// is acknowledged.
#[test]
#[ignore = "a process of the tests below"]
fn storing() {
    let Ok(shelf) = env::var(SHELF) else {
        return;
    };
    let store = match shelf.as_str() {
        "spans" => store_for_long::<Spans>,
        "logs" => store_for_long::<Logs>,
        "metrics" => store_for_long::<Metrics>,
        other => panic!("there is no kill test of {other}"),
    };
    let opening = thread::Builder::new().name(thread_name::OPEN.to_owned());
    opening.spawn(store).unwrap().join().unwrap();
}

fn store_for_long<S: Subject>() {
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let dir = env::var(DIR).unwrap();
    let store = Store::open(StoreOptions {
        memtable_bytes: number(MEMTABLE) as usize,
        ..options::<S>(Path::new(&dir))
    });
    let store = store.unwrap();
    let say = |line: Line| io::stdout().write_all(line.to_string().as_bytes()).unwrap();
    let mut first = number(FIRST);
    let mut rng = Rng::with_seed(first);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let numbers = first..first + rng.u64(1..6);
            first = numbers.end;
            say(Line::Sent(unix_nano_now(), numbers.clone()));
            waiting.push((S::append(&store, numbers.clone()), numbers));
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

#[derive(Default)]
struct Ledger {
    /// When each record was handed over, in nanoseconds since the Unix epoch.
    sent: BTreeMap<u64, u64>,
    acknowledged: BTreeSet<u64>,
}

impl Ledger {
    fn read(&mut self, output: &str) {
        for line in output.split_inclusive('\n').filter_map(Line::parse) {
            match line {
                Line::Sent(at, numbers) => self.sent.extend(numbers.map(|number| (number, at))),
                Line::Acknowledged(numbers) => self.acknowledged.extend(numbers),
            }
        }
    }

    fn next_number(&self) -> u64 {
        self.sent.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Whether a record may be gone, if nothing was removed after `ended_at`.
    fn may_be_gone(&self, number: u64, ended_at: u64) -> bool {
        !self.acknowledged.contains(&number)
            || u128::from(ended_at - self.sent[&number]) >= MAX_AGE.as_nanos()
    }

    /// Says how many records had to be there.
    fn check<S: Subject>(&self, dir: &Path, place: &str, ended_at: u64) -> usize {
        let for_ever = StoreOptions {
            retention: Retention::default(),
            ..options::<S>(dir)
        };
        let store = Store::open(for_ever).unwrap_or_else(|error| panic!("{place}: {error}"));
        let mut found = BTreeSet::new();
        for number in S::found(&store) {
            assert!(found.insert(number), "{place}: {number} is there twice");
        }
        let damages = store.stats_of(S::SHELF).map(|stats| stats.damages);
        assert_eq!(damages.unwrap_or_default(), [], "{place}");
        let must_be_there = |number: &&u64| !self.may_be_gone(**number, ended_at);
        let expected: BTreeSet<u64> = self.sent.keys().filter(must_be_there).copied().collect();
        let lost: Vec<&u64> = expected.difference(&found).collect();
        assert!(lost.is_empty(), "{place}: {lost:?} are lost");
        let is_sent = |number: &u64| self.sent.contains_key(number);
        assert!(found.iter().all(is_sent), "{place}: nobody sent that");
        drop(store);
        let whole = check(dir, &mut |_| ControlFlow::Continue(())).unwrap();
        let left = (whole.damages, whole.unfinished, whole.leftovers);
        assert_eq!(left, Default::default(), "{place}");
        expected.len()
    }

    /// Stores some records that get into no block.
    fn leave_some_in_log<S: Subject>(&mut self, dir: &Path, rng: &mut Rng) {
        let store = Store::open(StoreOptions {
            memtable_bytes: 1 << 20,
            ..options::<S>(dir)
        });
        let store = store.unwrap();
        for _ in 0..LEFT_IN_LOG {
            let numbers = self.next_number()..self.next_number() + rng.u64(1..6);
            let now = unix_nano_now();
            S::append(&store, numbers.clone()).wait().unwrap();
            self.sent
                .extend(numbers.clone().map(|number| (number, now)));
            self.acknowledged.extend(numbers);
        }
    }
}

/// Where a process is to be ended.
struct Place {
    point: Failpoint,
    thread: &'static str,
    name: String,
}

impl Place {
    /// All that a process which stores these records comes by.
    fn all<S: Subject>() -> Vec<Self> {
        let all = Failpoint::ALL.iter().flat_map(|(point, threads)| {
            threads.iter().map(|thread| Self {
                point: *point,
                thread,
                name: armed::place(*point, thread),
            })
        });
        all.filter(|place| S::HAS_LARGE_VALUES || place.point != Failpoint::BlockPayloadRenamed)
            .collect()
    }

    /// Whether it is a step of opening a store that was there before.
    fn is_in_recovery(&self) -> bool {
        [thread_name::OPEN, thread_name::REPLAY].contains(&self.thread) && !self.is_in_first_start()
    }

    /// Whether it is a step of beginning a folder.
    fn is_in_first_start(&self) -> bool {
        use Failpoint::{ManifestRenamed, ManifestReplaced, ManifestWritten};
        let of_manifest = [ManifestWritten, ManifestRenamed, ManifestReplaced];
        self.thread == thread_name::OPEN && of_manifest.contains(&self.point)
    }

    /// How large memtables are: when the log is replayed, each batch of it becomes a block, or none does,
    /// so that the opening thread comes by everything.
    fn memtable_bytes(&self) -> usize {
        match self.thread {
            thread_name::REPLAY => 1,
            thread_name::OPEN => 1 << 20,
            _ => MEMTABLE_BYTES,
        }
    }
}

/// Stores records in another process until it ends at `place`. Says when it had ended.
fn store_until<S: Subject>(place: &Place, visit: usize, dir: &Path, ledger: &mut Ledger) -> u64 {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::killed::storing", "--ignored"])
        .arg("--nocapture")
        .env(DIR, dir)
        .env(SHELF, S::SHELF.as_str())
        .env(FIRST, ledger.next_number().to_string())
        .env(MEMTABLE, place.memtable_bytes().to_string())
        .env(armed::PLACE, &place.name)
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
        "{} was not reached for the {visit}th time:\n{errors}",
        place.name
    );
    ended_at
}

fn shelf_of<S: Subject>(dir: &Path) -> ShelfFolder {
    Folder::existing(dir).unwrap().shelf(S::SHELF)
}

/// Ends a process at each of its steps, those of beginning a folder left out.
fn kill_at_every_step<S: Subject>() {
    let mut places = Place::all::<S>();
    places.retain(|place| !place.is_in_first_start());
    let kills = env::var("FAILPOINT_KILLS").map_or(0, |kills| kills.parse().unwrap());
    let kills = places.len().max(kills / KINDS);
    let dir = folder();
    let mut ledger = Ledger::default();
    let mut rng = Rng::with_seed(1);
    let mut checked = 0;
    for kill in 0..kills {
        let place = &places[kill % places.len()];
        let ended_at = if place.is_in_recovery() {
            ledger.leave_some_in_log::<S>(dir.path(), &mut rng);
            let is_log_torn = place.point != Failpoint::HeadlessSegmentRemoved;
            interrupted::interrupt(&shelf_of::<S>(dir.path()), is_log_torn);
            store_until::<S>(place, 1, dir.path(), &mut ledger)
        } else {
            store_until::<S>(place, rng.usize(1..4), dir.path(), &mut ledger)
        };
        checked += ledger.check::<S>(dir.path(), &place.name, ended_at);
    }
    assert!(checked > 10 * places.len(), "{checked}");
    println!(
        "{} acknowledged records survived {kills} kills at {} steps",
        ledger.acknowledged.len(),
        places.len()
    );
}

#[test]
fn a_process_that_ends_at_any_step_loses_no_span_and_doubles_none() {
    kill_at_every_step::<Spans>();
}

#[test]
fn a_process_that_ends_at_any_step_loses_no_log_record_and_doubles_none() {
    kill_at_every_step::<Logs>();
}

#[test]
fn a_process_that_ends_at_any_step_loses_no_point_and_doubles_none() {
    kill_at_every_step::<Metrics>();
}

/// A shelf is begun by who first puts something on it; that of spans with the folder.
fn kill_while_it_is_begun<S: Subject>(visit: usize) {
    let places = Place::all::<S>();
    let places = places.iter().filter(|place| place.is_in_first_start());
    let mut begun = 0;
    for place in places {
        let dir = folder();
        let mut ledger = Ledger::default();
        let ended_at = store_until::<S>(place, visit, dir.path(), &mut ledger);
        ledger.check::<S>(dir.path(), &place.name, ended_at);
        ledger.leave_some_in_log::<S>(dir.path(), &mut Rng::with_seed(1));
        assert!(ledger.check::<S>(dir.path(), &place.name, unix_nano_now()) > 0);
        begun += 1;
    }
    assert_eq!(begun, 3);
}

#[test]
fn a_process_that_ends_while_it_begins_a_folder_leaves_one_that_can_be_opened() {
    kill_while_it_is_begun::<Spans>(1);
    kill_while_it_is_begun::<Logs>(2);
    kill_while_it_is_begun::<Metrics>(2);
}

#[test]
fn what_recovery_cuts_off_though_it_is_whole_is_kept_once() {
    let dir = folder();
    let mut ledger = Ledger::default();
    let mut rng = Rng::with_seed(1);
    let places = Place::all::<Spans>();
    ledger.leave_some_in_log::<Spans>(dir.path(), &mut rng);
    let shelf = shelf_of::<Spans>(dir.path());
    interrupted::interrupt(&shelf, true);
    for point in [
        Failpoint::TailCopied,
        Failpoint::TailKeptAside,
        Failpoint::TailCut,
    ] {
        let place = places.iter().find(|place| place.point == point).unwrap();
        let ended_at = store_until::<Spans>(place, 1, dir.path(), &mut ledger);
        if point == Failpoint::TailCut {
            ledger.check::<Spans>(dir.path(), &place.name, ended_at);
        }
        assert_eq!(fs::read_dir(shelf.damaged_dir()).unwrap().count(), 1);
    }
}
