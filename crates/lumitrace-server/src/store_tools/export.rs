//! `lumitrace store export`.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use lumitrace_model::TraceId;
use lumitrace_store::{
    Damaged, LogScan, MetricSelector, QueryBudget, ScanRequest, ShelfName, SpanParts, Store,
};
use lumitrace_wire::otlp::Signal;
use serde::Serialize;

use super::export_target::{ExportWriter, Target};
use super::wording::{bytes, count, moment, unix_nano};
use super::{Outcome, SignalName, open_existing, print, say};
use crate::progress::{Progress, Unit};
use crate::record_file::{Compression, Encoding, Record, nouns};
use crate::stop::Stop;

pub(super) const ABOUT: &str = "Write spans, logs or metrics to files that other programs can read";

pub(super) const LONG_ABOUT: &str = "\
Writes spans, log records or points of metrics to files that other programs can read, in memory that \
does not grow with their number: spans oldest first, log records newest first, points in the order of \
the store.

The ending of the file says what is written: .jsonl is lines of OTLP/JSON and .pb OTLP in protobuf \
behind lengths, both as OpenTelemetry's Collector writes them, and with .gz or .zst behind it \
compressed; .parquet is a row for each record, for DuckDB, pandas, Spark or ClickHouse \
(docs/formats/record-files.md). A file appears under its name once it is whole.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store export --to spans.parquet
  lumitrace store export --to errors/ --service checkout --start 2026-03-01T00:00:00Z
                                        Parquet files of at most a million spans in a folder
  lumitrace store export --to run.jsonl.zst --trace 4bf92f3577b34da6a3ce929d0e0e4736
  lumitrace store export --signal logs --to logs.parquet --start 24h
  lumitrace store export --signal metrics --to metrics.pb.zst --service trainer
  lumitrace store export --to - --start 1h --limit 100 | jq
  lumitrace store export --to - --format otlp-proto --compression zstd | ssh other \\
      lumitrace store import -";

/// What to export, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// A file (.jsonl, .pb, both also with .gz or .zst, or .parquet), a folder (with / at its end,
    /// or there already), or - for standard output
    #[arg(long, value_name = "FILE|DIR|-")]
    to: String,
    /// What to write, where the file's ending does not say it [default: parquet in a folder,
    /// otlp-json on standard output]
    #[arg(long, value_enum)]
    format: Option<Encoding>,
    /// How to compress OTLP, where the file's ending does not say it
    #[arg(long, value_enum)]
    compression: Option<Compression>,

    /// What to export
    #[arg(
        long,
        value_enum,
        default_value = "spans",
        help_heading = "Which records"
    )]
    signal: SignalName,
    /// Only those of this service
    #[arg(long, value_name = "NAME", help_heading = "Which records")]
    service: Option<String>,
    /// Only those that started, or were said or measured, then or later: 2026-03-01T08:00:00Z, or 24h
    /// for a day ago
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which records")]
    start: Option<SystemTime>,
    /// Only those that started, or were said or measured, then or earlier
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which records")]
    end: Option<SystemTime>,
    /// Only those of this trace, to which no point of a metric belongs; can be repeated
    #[arg(long = "trace", value_name = "ID", help_heading = "Which records")]
    traces: Vec<TraceId>,
    /// At most so many
    #[arg(long, value_name = "N", help_heading = "Which records")]
    limit: Option<u64>,

    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    let target = Target::parse(&arguments.to, arguments.format, arguments.compression)?;
    let signal: Signal = arguments.signal.into();
    ensure!(
        signal != Signal::Metrics || arguments.traces.is_empty(),
        "points of metrics belong to no trace: leave out --trace"
    );
    let begun = Instant::now();
    let store = open_existing(dir)?;
    let mut export = Export {
        writer: ExportWriter::new(&target, signal),
        left: arguments.limit.unwrap_or(u64::MAX),
        written: 0,
        progress: Progress::new(
            Unit::Records(nouns(signal).1),
            expected_records(arguments, &store),
            arguments.quiet,
        ),
        stop,
        failure: None,
    };
    let damaged = match signal {
        Signal::Traces => export_spans(&store, arguments, &mut export)?,
        Signal::Logs => export_logs(&store, arguments, &mut export)?,
        Signal::Metrics => export_points(&store, arguments, &mut export)?,
    };
    let Export {
        writer,
        written,
        progress,
        failure,
        ..
    } = export;
    progress.finish();
    let (files, written_bytes) = match failure {
        Some(error) => {
            writer.abandon();
            return Err(error).with_context(|| format!("cannot export to {target}"));
        }
        None if stop.is_requested() => {
            writer.abandon();
            say(&format!(
                "interrupted after {} {}; the file that was being written is removed",
                count(written),
                nouns(signal).1
            ));
            return Ok(Outcome::Interrupted);
        }
        None => writer
            .finish()
            .with_context(|| format!("cannot export to {target}"))?,
    };
    let report = Report {
        signal: arguments.signal,
        to: target.to_string(),
        records: written,
        files,
        bytes: written_bytes,
        seconds: begun.elapsed().as_secs_f64(),
        damaged: damaged.iter().map(ToString::to_string).collect(),
    };
    print(&report, arguments.json, target.is_stdout())?;
    Ok(match report.damaged.is_empty() {
        true => Outcome::Done,
        false => Outcome::Trouble,
    })
}

/// How many records there will be, if all are wanted.
fn expected_records(arguments: &Arguments, store: &Store) -> Option<u64> {
    let is_everything = arguments.traces.is_empty()
        && arguments.service.is_none()
        && arguments.start.is_none()
        && arguments.end.is_none();
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let shelf = match arguments.signal {
        SignalName::Spans => ShelfName::Spans,
        SignalName::Logs => ShelfName::Logs,
        SignalName::Metrics => ShelfName::Metrics,
    };
    let stored = store.stats_of(shelf).map_or(0, |stats| stats.records);
    is_everything.then_some(stored.min(limit))
}

impl Arguments {
    fn start_unix_nano(&self) -> u64 {
        self.start.map_or(0, unix_nano)
    }

    fn end_unix_nano(&self) -> u64 {
        self.end.map_or(u64::MAX, unix_nano)
    }
}

fn export_spans(
    store: &Store,
    arguments: &Arguments,
    export: &mut Export<'_>,
) -> anyhow::Result<Damaged> {
    let request = ScanRequest {
        start_unix_nano: arguments.start_unix_nano(),
        end_unix_nano: arguments.end_unix_nano(),
        service: arguments.service.clone(),
        newest_first: false,
        ..ScanRequest::default()
    };
    if arguments.traces.is_empty() {
        let scanned = store.scan(&request, &mut |record| export.push(Record::Span(record)))?;
        return Ok(scanned.damaged);
    }
    let starts = request.start_unix_nano..=request.end_unix_nano;
    let mut damaged = Damaged::default();
    for trace in &arguments.traces {
        let found = store.trace_parts(*trace, SpanParts::ALL, &QueryBudget::unlimited())?;
        damaged.extend(found.damaged);
        for record in found.spans {
            let is_wanted = starts.contains(&record.span.start_unix_nano)
                && request
                    .service
                    .as_deref()
                    .is_none_or(|service| record.service_name() == service);
            if is_wanted && export.push(Record::Span(record)).is_break() {
                return Ok(damaged);
            }
        }
    }
    Ok(damaged)
}

fn export_logs(
    store: &Store,
    arguments: &Arguments,
    export: &mut Export<'_>,
) -> anyhow::Result<Damaged> {
    let request = LogScan {
        start_unix_nano: arguments.start_unix_nano(),
        end_unix_nano: arguments.end_unix_nano(),
        service: arguments.service.clone(),
        ..LogScan::default()
    };
    let mut damaged = Damaged::default();
    if arguments.traces.is_empty() {
        let scanned = store.scan_logs(&request, &mut |entry| export.push(Record::Log(entry)))?;
        damaged.extend(scanned.damaged);
    }
    for trace in &arguments.traces {
        let of_trace = LogScan {
            trace_id: Some(*trace),
            ..request.clone()
        };
        let scanned = store.scan_logs(&of_trace, &mut |entry| export.push(Record::Log(entry)))?;
        damaged.extend(scanned.damaged);
    }
    Ok(damaged)
}

fn export_points(
    store: &Store,
    arguments: &Arguments,
    export: &mut Export<'_>,
) -> anyhow::Result<Damaged> {
    let selector = MetricSelector {
        start_unix_nano: arguments.start_unix_nano(),
        end_unix_nano: arguments.end_unix_nano(),
        service: arguments.service.clone(),
        ..MetricSelector::default()
    };
    Ok(store.scan_points(&selector, &mut |point| export.push(Record::Point(point)))?)
}

/// An export under way.
struct Export<'a> {
    writer: ExportWriter<'a>,
    /// How many more are wanted.
    left: u64,
    written: u64,
    progress: Progress,
    stop: &'a Stop,
    failure: Option<anyhow::Error>,
}

impl Export<'_> {
    fn push(&mut self, record: Record) -> ControlFlow<()> {
        if self.left == 0 || self.stop.is_requested() {
            return ControlFlow::Break(());
        }
        if let Err(error) = self.writer.push(record) {
            self.failure = Some(error);
            return ControlFlow::Break(());
        }
        self.left -= 1;
        self.written += 1;
        if self.written.is_multiple_of(1024) {
            self.progress.show(self.written, "");
        }
        ControlFlow::Continue(())
    }
}

/// What was exported.
#[derive(Debug, Serialize)]
struct Report {
    signal: SignalName,
    to: String,
    records: u64,
    files: u64,
    /// As they are in the files, compressed. Unknown of standard output.
    bytes: Option<u64>,
    seconds: f64,
    /// Damage for which spans were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = nouns(self.signal.into());
        let rate = self.records as f64 / self.seconds.max(1e-9);
        write!(
            f,
            "exported {} {many} to {} in {:.1} s ({rate:.0} {many}/s)",
            count(self.records),
            self.to,
            self.seconds
        )?;
        if self.files != 1 {
            write!(f, ", {} files", count(self.files))?;
        }
        if let Some(size) = self.bytes {
            let each = size as f64 / (self.records as f64).max(1.0);
            write!(f, ", {}: {each:.1} bytes per {one}", bytes(size))?;
        }
        writeln!(f)?;
        for damage in &self.damaged {
            writeln!(f, "left out: {damage}")?;
        }
        if !self.damaged.is_empty() {
            writeln!(
                f,
                "spans are missing; `lumitrace store repair` saves what is readable of them"
            )?;
        }
        Ok(())
    }
}
