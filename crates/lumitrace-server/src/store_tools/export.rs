//! `lumitrace store export`.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use lumitrace_model::TraceId;
use lumitrace_store::{ScanRequest, SpanRecord, Store};
use serde::Serialize;

use super::export_target::{ExportWriter, Target};
use super::wording::{bytes, count, moment, unix_nano};
use super::{Outcome, open_existing, print, say};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::trace_file::{Compression, Encoding};

pub(super) const ABOUT: &str = "Write spans to files that other programs can read";

pub(super) const LONG_ABOUT: &str = "\
Writes spans to files that other programs can read, oldest first, in memory that does not grow with \
their number.

The ending of the file says what is written: .jsonl is lines of OTLP/JSON and .pb OTLP in protobuf \
behind lengths, both as OpenTelemetry's Collector writes them, and with .gz or .zst behind it \
compressed; .parquet is a row for each span, for DuckDB, pandas, Spark or ClickHouse \
(docs/formats/span-file.md). A file appears under its name once it is whole.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store export --to spans.parquet
  lumitrace store export --to errors/ --service checkout --start 2026-03-01T00:00:00Z
                                        Parquet files of at most a million spans in a folder
  lumitrace store export --to run.jsonl.zst --trace 4bf92f3577b34da6a3ce929d0e0e4736
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

    /// Only spans of this service
    #[arg(long, value_name = "NAME", help_heading = "Which spans")]
    service: Option<String>,
    /// Only spans that started then or later: 2026-03-01T08:00:00Z, or 24h for a day ago
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which spans")]
    start: Option<SystemTime>,
    /// Only spans that started then or earlier
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which spans")]
    end: Option<SystemTime>,
    /// Only spans of this trace; can be repeated
    #[arg(long = "trace", value_name = "ID", help_heading = "Which spans")]
    traces: Vec<TraceId>,
    /// At most so many spans
    #[arg(long, value_name = "N", help_heading = "Which spans")]
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
    let begun = Instant::now();
    let store = open_existing(dir)?;
    let mut export = Export {
        writer: ExportWriter::new(&target),
        left: arguments.limit.unwrap_or(u64::MAX),
        written: 0,
        progress: Progress::new(
            Unit::Spans,
            expected_spans(arguments, &store),
            arguments.quiet,
        ),
        stop,
        failure: None,
    };
    let request = ScanRequest {
        start_unix_nano: arguments.start.map_or(0, unix_nano),
        end_unix_nano: arguments.end.map_or(u64::MAX, unix_nano),
        service: arguments.service.clone(),
        newest_first: false,
        ..ScanRequest::default()
    };
    if arguments.traces.is_empty() {
        store.scan(&request, &mut |record| export.push(record))?;
    } else {
        export_traces(&store, arguments, &request, &mut export)?;
    }
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
                "interrupted after {} spans; the file that was being written is removed",
                count(written)
            ));
            return Ok(Outcome::Interrupted);
        }
        None => writer
            .finish()
            .with_context(|| format!("cannot export to {target}"))?,
    };
    let report = Report {
        to: target.to_string(),
        spans: written,
        files,
        bytes: written_bytes,
        seconds: begun.elapsed().as_secs_f64(),
    };
    print(&report, arguments.json, target.is_stdout())?;
    Ok(Outcome::Done)
}

/// How many spans there will be, if all are wanted.
fn expected_spans(arguments: &Arguments, store: &Store) -> Option<u64> {
    let is_everything = arguments.traces.is_empty()
        && arguments.service.is_none()
        && arguments.start.is_none()
        && arguments.end.is_none();
    let limit = arguments.limit.unwrap_or(u64::MAX);
    is_everything.then(|| store.stats().records.min(limit))
}

fn export_traces(
    store: &Store,
    arguments: &Arguments,
    request: &ScanRequest,
    export: &mut Export<'_>,
) -> anyhow::Result<()> {
    let starts = request.start_unix_nano..=request.end_unix_nano;
    for trace in &arguments.traces {
        for record in store.trace(*trace)? {
            let is_wanted = starts.contains(&record.span.start_unix_nano)
                && request
                    .service
                    .as_deref()
                    .is_none_or(|service| record.service_name() == service);
            if is_wanted && export.push(record).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
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
    fn push(&mut self, record: Arc<SpanRecord>) -> ControlFlow<()> {
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
    to: String,
    spans: u64,
    files: u64,
    /// As they are in the files, compressed. Unknown of standard output.
    bytes: Option<u64>,
    seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.spans as f64 / self.seconds.max(1e-9);
        write!(
            f,
            "exported {} spans to {} in {:.1} s ({rate:.0} spans/s)",
            count(self.spans),
            self.to,
            self.seconds
        )?;
        if self.files != 1 {
            write!(f, ", {} files", count(self.files))?;
        }
        if let Some(size) = self.bytes {
            let each = size as f64 / (self.spans as f64).max(1.0);
            write!(f, ", {}: {each:.1} bytes per span", bytes(size))?;
        }
        writeln!(f)
    }
}
