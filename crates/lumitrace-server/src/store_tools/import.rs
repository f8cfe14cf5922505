//! `lumitrace store import`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lumitrace_store::{
    Append, AppendError, Durability, LogBatch, MetricBatch, SpanBatch, Store, StoreOptions,
};
use parking_lot::Mutex;
use serde::Serialize;

use super::import_source::{ImportSource, ReadCounts, RecordCounts};
use super::known_spans::KnownSpans;
use super::wording::count;
use super::{Outcome, SignalName, open, print, quiet_options, say};
use crate::progress::{Progress, Unit};
use crate::record_file::{Batch, Encoding};
use crate::send::Protocol;
use crate::send::delivery::{Batches, Delivery};
use crate::send::destination::Destination;
use crate::send::rate::Rate;
use crate::send::sink::{self, Transport};
use crate::send::tally::Tally;
use crate::stop::Stop;

pub(super) const ABOUT: &str =
    "Read spans, logs and metrics from files into the folder, or into a server";

pub(super) const LONG_ABOUT: &str = "\
Reads spans, log records and metrics from files into the folder, which is made if it is not there, or \
with --to into a running server. What a file holds it tells from its content.

It reads what `lumitrace store export` and `lumitrace generate` write, what the file exporter of \
OpenTelemetry's Collector writes (lines of OTLP/JSON, or OTLP in protobuf behind lengths), each \
also compressed with gzip or zstd, and the blocks of another folder (.parquet with their .idx \
beside them).

Spans that the folder has already are not stored again, so that an import of them can be repeated \
after it was interrupted. Log records and points have nothing to be told apart by: each import of a \
file stores them once more. Lines that cannot be read are named and left out; the rest goes in.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store import spans.jsonl.gz more.parquet
  lumitrace store import logs.jsonl metrics.parquet
  lumitrace store import exports/ --data-dir /data/lumitrace
  zcat collector.json.gz | lumitrace store import -
  lumitrace store import spans.pb --to http://localhost:4318   while the server runs
  lumitrace store import /backup/lumitrace/blocks/             the blocks of another folder";

/// How many problems are printed for people.
const PRINTED_PROBLEMS: usize = 20;
/// Before a store that is busy is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// What to import, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// Files, folders of files, or - for standard input
    #[arg(value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// What the files are, where neither their endings nor their first bytes say it
    #[arg(long, value_enum)]
    format: Option<Encoding>,
    /// What OTLP in protobuf holds, where its records do not show it
    #[arg(long, value_enum)]
    signal: Option<SignalName>,

    /// Send them to this server, or to any other OTLP receiver, instead
    #[arg(long, value_name = "URL", help_heading = "Into a server")]
    to: Option<String>,
    /// How the receiver is spoken to [default: grpc on port 4317, http/protobuf elsewhere]
    #[arg(long, value_enum, requires = "to", help_heading = "Into a server")]
    protocol: Option<Protocol>,
    /// How long a request is sent again while the receiver is busy or gone, before its records
    /// count as lost
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = humantime::parse_duration,
        requires = "to",
        help_heading = "Into a server"
    )]
    patience: Duration,

    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let signal = arguments.signal.map(Into::into);
    let source = ImportSource::open(&arguments.files, arguments.format, signal)?;
    let progress = Progress::new(Unit::Bytes, source.total_bytes(), arguments.quiet);
    let counts = source.counts();
    let taken = match &arguments.to {
        Some(url) => send(arguments, url, source, progress, stop)?,
        None => store(dir, source, progress, stop)?,
    };
    let read = counts.lock().clone();
    let report = Report::new(read, taken, begun.elapsed());
    print(&report, arguments.json, false)?;
    Ok(if stop.is_requested() {
        say(match report.repeats() {
            true => "interrupted; the same command goes on where it ended",
            false => "interrupted; log records and points up to here are stored",
        });
        Outcome::Interrupted
    } else if report.is_complete() {
        Outcome::Done
    } else {
        Outcome::Trouble
    })
}

/// What became of the records that were read.
#[derive(Debug, Default)]
struct Taken {
    stored: u64,
    /// Those that were there already.
    known: u64,
    /// Those that a receiver or the store refused.
    refused: u64,
    /// Those that a receiver did not take in time.
    lost: u64,
    reason: Option<String>,
}

fn store(
    dir: &Path,
    mut source: ImportSource,
    mut progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Taken> {
    let store = open(StoreOptions {
        // Nobody is told that a record is safe before all of it is written out at the end; what a
        // power cut takes, the same command brings back.
        durability: Durability::None,
        ..quiet_options(dir)
    })?;
    let (read_bytes, mut known, mut taken) =
        (source.read_bytes(), KnownSpans::default(), Taken::default());
    while !stop.is_requested()
        && let Some(mut batch) = source.next_batch()
    {
        if let Batch::Spans(groups) = &mut batch {
            taken.known += known.remove_from(groups, &store)?;
        }
        store_batch(&store, &batch, stop, &mut taken)?;
        progress.show(read_bytes.load(Ordering::Relaxed), "");
    }
    progress.finish();
    store.flush()?;
    store.close();
    Ok(taken)
}

/// Puts a batch on the shelf of its signal, and counts what became of its records.
fn store_batch(store: &Store, batch: &Batch, stop: &Stop, taken: &mut Taken) -> anyhow::Result<()> {
    let stored = match batch {
        Batch::Spans(groups) => SpanBatch::from_resource_spans(groups)
            .map(|batch| append(|| store.append(batch.clone()), stop)),
        Batch::Logs(groups) => LogBatch::from_resource_logs(groups)
            .map(|batch| append(|| store.append_logs(batch.clone()), stop)),
        Batch::Metrics(groups) => MetricBatch::from_resource_metrics(groups).map(|batch| {
            if let (points, Some(reason)) = batch.rejected() {
                taken.refused += points;
                taken.reason = Some(reason.to_owned());
            }
            append(|| store.append_metrics(batch.clone()), stop)
        }),
    };
    match stored {
        Ok(stored) => taken.stored += stored?,
        Err(error) => {
            taken.refused += batch.record_count() as u64;
            taken.reason = Some(error.to_string());
        }
    }
    Ok(())
}

fn append(attempt: impl Fn() -> Append, stop: &Stop) -> anyhow::Result<u64> {
    loop {
        match attempt().wait() {
            Ok(receipt) => return Ok(receipt.record_count as u64),
            Err(AppendError::Full { .. }) if !stop.wait(PAUSE) => {}
            Err(AppendError::Full { .. }) => return Ok(0),
            Err(error) => bail!("{error}; the same command goes on where it ended"),
        }
    }
}

fn send(
    arguments: &Arguments,
    url: &str,
    source: ImportSource,
    mut progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Taken> {
    let destination = Destination::parse(url, arguments.protocol)?;
    let Destination::Receiver { .. } = destination else {
        bail!("--to names a server, such as http://localhost:4318; {url} is none");
    };
    let transport = Transport {
        timeout: Duration::from_secs(30),
        ..Transport::default()
    };
    let connections = 4;
    let sinks = sink::open(&destination, &transport, connections)?;
    let read_bytes = source.read_bytes();
    let delivery = Delivery {
        batches: Mutex::new(source),
        rate: Mutex::new(Rate::new(0.0)),
        tally: Mutex::default(),
        stop,
        started: Instant::now(),
        patience: arguments.patience,
    };
    let outcome = delivery.run(sinks, progress.tick(), || {
        let trouble = delivery.tally.lock().trouble();
        progress.show(read_bytes.load(Ordering::Relaxed), &trouble);
    });
    progress.finish();
    outcome.with_context(|| format!("cannot send to {destination}"))?;
    let tally: Tally = delivery.tally.into_inner();
    Ok(Taken {
        stored: tally.accepted_spans,
        known: 0,
        refused: tally.rejected_spans,
        // What was not sent is sent by the same command.
        lost: tally.lost_spans + tally.unsent_spans,
        reason: tally.reason,
    })
}

/// What was imported.
#[derive(Debug, Serialize)]
struct Report {
    files: u64,
    /// Those that were read, by signal.
    #[serde(flatten)]
    read: RecordCounts,
    stored: u64,
    /// Those that were there already.
    known: u64,
    /// Those that were left out because their ids are invalid, or that a receiver or the store refused.
    rejected: u64,
    lost: u64,
    problems: u64,
    first_problems: Vec<String>,
    /// Why records were refused or lost: the latest reason.
    reason: Option<String>,
    seconds: f64,
}

impl Report {
    fn new(read: ReadCounts, taken: Taken, elapsed: Duration) -> Self {
        Self {
            files: read.files,
            read: read.records,
            stored: taken.stored,
            known: taken.known,
            rejected: read.rejected_spans + taken.refused,
            lost: taken.lost,
            problems: read.problems,
            first_problems: read.first_problems,
            reason: taken.reason,
            seconds: elapsed.as_secs_f64(),
        }
    }

    fn is_complete(&self) -> bool {
        self.problems == 0 && self.rejected == 0 && self.lost == 0
    }

    /// Whether the same import stores nothing twice.
    fn repeats(&self) -> bool {
        self.read.are_spans()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, noun) = (self.read.total(), self.read.noun());
        let rate = read as f64 / self.seconds.max(1e-9);
        writeln!(
            f,
            "imported {} of {} {noun} from {} files in {:.1} s ({rate:.0} {noun}/s)",
            count(self.stored),
            count(read),
            count(self.files),
            self.seconds
        )?;
        for (number, what) in [
            (self.known, "were there already"),
            (self.rejected, "were left out or refused"),
            (self.lost, "were not accepted in time; send them again"),
        ] {
            if number > 0 {
                writeln!(f, "{} {what}", count(number))?;
            }
        }
        if let Some(reason) = &self.reason {
            writeln!(f, "latest trouble: {reason}")?;
        }
        if self.problems > 0 {
            writeln!(f, "{} problems:", count(self.problems))?;
        }
        for problem in self.first_problems.iter().take(PRINTED_PROBLEMS) {
            writeln!(f, "  {problem}")?;
        }
        if self.problems as usize > PRINTED_PROBLEMS {
            let more = self.problems as usize - PRINTED_PROBLEMS;
            writeln!(f, "  ... and {more} more")?;
        }
        Ok(())
    }
}
