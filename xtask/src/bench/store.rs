//! `cargo xtask bench store`: what spans cost to take in, to keep and to find.

mod clickhouse;
mod filled;
mod memory;

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::end_to_end::{bench_program, field, program, start};
use super::report::{Bar, Figure};
use super::{empty_folder, process};
use crate::workspace;
use filled::Filled;

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The parts to measure; all if none is named.
    sections: Vec<Section>,
    /// Sizes that are through in a few minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Spans in the store that is looked at and asked [default: 10 million; quick: 1 million].
    #[arg(long)]
    spans: Option<u64>,
    /// Ask the folder that the last run has filled, which must have as many spans.
    #[arg(long)]
    reuse: bool,
    /// Minutes of ingest at full speed [default: 10; quick: 1].
    #[arg(long)]
    minutes: Option<u64>,
    /// Write the figures to docs/benchmarks.md; of some parts only, their rows.
    #[arg(long)]
    write: bool,
}

/// A part of the suite.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Section {
    /// CPU per span from OTLP/protobuf bytes to durable and searchable, beside prost.
    Ingest,
    /// Resident memory while ingesting at full speed.
    Memory,
    /// Bytes on disk per span after compaction, beside the entropy of the data.
    Disk,
    /// Trace by id.
    Lookup,
    /// Searches beside ClickHouse's engine.
    Clickhouse,
    /// Recovery of a full log.
    Recovery,
    /// Opening a store of very many blocks.
    Open,
    /// One trace of a million spans over five days.
    LongTrace,
    /// The curve of a training run of a million steps.
    TrainingRun,
}

/// Resident memory of the server, in MiB.
const MEMORY_BAR_MIB: f64 = 600.0;

impl Options {
    fn includes(&self, section: Section) -> bool {
        self.sections.is_empty() || self.sections.contains(&section)
    }

    fn choose<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// Spans in the store that is looked at and asked.
    pub(super) fn spans(&self) -> u64 {
        let default = self.choose(1_000_000, 10_000_000);
        // Whole traces of ten.
        self.spans.unwrap_or(default) / 10 * 10
    }

    fn minutes(&self) -> u64 {
        self.minutes.unwrap_or(self.choose(1, 10))
    }

    /// Whether all parts are measured.
    pub(super) fn is_whole(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether figures may go to the page.
    pub(super) fn writes(&self) -> bool {
        self.write
    }
}

/// Measures the sections that are asked for, each figure printed as it comes.
pub(super) fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |measured: Vec<Figure>| {
        for figure in &measured {
            process::say(&figure.to_row());
        }
        figures.extend(measured);
    };
    if options.includes(Section::Ingest) {
        add(ingest(options)?);
    }
    if options.includes(Section::Memory) {
        add(memory::measure(options.minutes())?);
    }
    let on_filled = [Section::Disk, Section::Lookup, Section::Clickhouse];
    if on_filled.iter().any(|section| options.includes(*section)) {
        let filled = if options.reuse {
            Filled::reuse(options.spans())?
        } else {
            Filled::fill(options.spans())?
        };
        if options.includes(Section::Disk) {
            add(filled.disk()?);
        }
        if options.includes(Section::Lookup) {
            add(filled.lookup()?);
        }
        if options.includes(Section::Clickhouse) {
            add(clickhouse::measure(&filled, options.choose(3, 7))?);
        }
    }
    if options.includes(Section::Recovery) {
        add(recovery(options.choose(256, 1_024))?);
    }
    if options.includes(Section::Open) {
        add(open(options.choose(200, 1_000))?);
    }
    if options.includes(Section::LongTrace) {
        add(long_trace(options.choose(200_000, 1_000_000))?);
    }
    if options.includes(Section::TrainingRun) {
        add(training_run(options.choose(100_000, 1_000_000))?);
    }
    Ok(figures)
}

/// CPU per record of each signal, in one process with prost.
fn ingest(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (signal, record) in [
        ("spans", "span"),
        ("logs", "log record"),
        ("metrics", "metric point"),
    ] {
        figures.extend(ingest_of(options, signal, record)?);
    }
    Ok(figures)
}

fn ingest_of(options: &Options, signal: &str, record: &str) -> anyhow::Result<Vec<Figure>> {
    let (records, rounds) = options.choose(("100000", "3"), ("200000", "7"));
    let of_signal = ["--signal", signal, "--records", records, "--rounds", rounds];
    let report = program("ingest", &of_signal)?;
    let rounds = report["rounds"].as_array().cloned().unwrap_or_default();
    let pairs = |key: &str| -> anyhow::Result<Vec<(f64, f64)>> {
        let pairs = rounds.iter();
        pairs
            .map(|round| Ok((field(round, key)?, field(round, "prost")?)))
            .collect()
    };
    let peer = "prost, decoding only";
    // At most twice the peer's is at least half as good.
    let bar = Some(Bar::TimesBetter(0.5));
    Ok(vec![
        Figure::paired(
            &format!("CPU per {record} from OTLP/protobuf bytes to durable and searchable"),
            "ns",
            peer,
            &pairs("acknowledged")?,
            bar,
        )?,
        Figure::paired(
            &format!("CPU per {record} until in a block"),
            "ns",
            peer,
            &pairs("settled")?,
            None,
        )?,
    ])
}

/// Opening a store that was killed with so much in its log.
fn recovery(log_mib: u64) -> anyhow::Result<Vec<Figure>> {
    let report = reopen(&["--log-bytes", &(log_mib << 20).to_string()])?;
    let what = format!(
        "recovery of {log_mib} MiB of log ({} spans)",
        report["spans"]
    );
    let seconds = field(&report, "seconds")?;
    Ok(vec![Figure::alone(
        &what,
        "s",
        seconds,
        Some(Bar::Below(10.0)),
    )])
}

/// Opening a store of many blocks, none of which was merged.
fn open(blocks: u64) -> anyhow::Result<Vec<Figure>> {
    let report = reopen(&["--blocks", &blocks.to_string()])?;
    let what = format!("opening a store of {} blocks", report["blocks"]);
    let seconds = field(&report, "seconds")?;
    Ok(vec![Figure::alone(
        &what,
        "s",
        seconds,
        Some(Bar::Below(1.0)),
    )])
}

fn reopen(amount: &[&str]) -> anyhow::Result<serde_json::Value> {
    let folder = empty_folder("store-reopened")?;
    let folder = folder.to_string_lossy();
    let fill = [&["fill", "--dir", &folder], amount].concat();
    process::run(bench_program("reopen").args(fill))?;
    program("reopen", &["open", "--dir", &folder])
}

fn long_trace(spans: u64) -> anyhow::Result<Vec<Figure>> {
    let folder = empty_folder("store-long-trace")?;
    let spans = spans.to_string();
    let arguments = ["--dir", &folder.to_string_lossy(), "--spans", &spans];
    let report = program("long-trace", &arguments)?;
    let what = format!("one trace of {spans} spans over 5 days");
    let mib = field(&report, "peak_bytes")? / f64::from(1 << 20);
    let seconds = |key| field(&report, key);
    let fetched = fetch_long_trace(&folder, &spans)?;
    Ok(vec![
        Figure::alone(
            &format!("{what}: most memory while ingested, compacted and read whole"),
            "MiB",
            mib,
            Some(Bar::Below(MEMORY_BAR_MIB)),
        ),
        Figure::alone(
            &format!("{what}: read whole, without attributes"),
            "s",
            seconds("read_seconds")?,
            None,
        ),
        Figure::alone(
            &format!("{what}: fetched whole from a server over HTTP"),
            "s",
            fetched.seconds,
            None,
        ),
        Figure::alone(
            &format!("{what}: most memory of the server that was asked for it"),
            "MiB",
            fetched.peak_mib,
            Some(Bar::Below(MEMORY_BAR_MIB)),
        ),
    ])
}

/// What it took to fetch a trace, as a page does.
struct Fetched {
    seconds: f64,
    /// Of the server.
    peak_mib: f64,
}

/// Fetches the trace that `long-trace` has stored in this folder.
fn fetch_long_trace(folder: &Path, spans: &str) -> anyhow::Result<Fetched> {
    let (server, _) = start(&workspace::binary("release", "lumitrace"), folder)?;
    let trace_id = "07".repeat(16);
    let url = format!("{}/api/lumitrace/v1/traces/{trace_id}", server.ui);
    let started = Instant::now();
    let mut response = ureq::get(&url)
        .call()
        .with_context(|| format!("GET {url}"))?;
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text)?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(
        text.contains(&format!("\"span_count\":{spans},")) && text.ends_with('}'),
        "not the whole trace: {}",
        text.chars().take(200).collect::<String>()
    );
    Ok(Fetched {
        seconds,
        peak_mib: memory::peak_mib(server.pid())?,
    })
}

/// A run whose curve nobody has asked for since the start.
fn training_run(steps: u64) -> anyhow::Result<Vec<Figure>> {
    let folder = empty_folder("store-training-run")?;
    let (folder, steps) = (folder.to_string_lossy(), steps.to_string());
    let of_run = ["--dir", &folder, "--steps", &steps];
    process::run(bench_program("training-run").arg("fill").args(of_run))?;
    let report = program("training-run", &[&["draw"][..], &of_run].concat())?;
    let what = format!(
        "a training run of {steps} steps ({} spans)",
        report["spans"]
    );
    let row = |part: &str, unit: &'static str, value: f64| {
        Figure::alone(&format!("{what}: {part}"), unit, value, None)
    };
    let mib = field(&report, "peak_bytes")? / f64::from(1 << 20);
    Ok(vec![
        row(
            "the list of runs, first time after a start",
            "s",
            field(&report, "list_seconds")?,
        ),
        row(
            "its curve, first time",
            "s",
            field(&report, "curve_seconds")?,
        ),
        row("its curve, again", "s", field(&report, "again_seconds")?),
        row("most memory", "MiB", mib),
    ])
}
