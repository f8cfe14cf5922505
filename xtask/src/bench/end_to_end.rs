//! The server: start, ingest with fsync, bytes on disk, and lookups over a filled store.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::empty_folder;
use super::report::{Bar, Figure};
use crate::server::Server;
use crate::{process, workspace};

/// How long flushing and compacting may take after the last span.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1_800);
/// Clock ticks a second in `/proc/<pid>/stat`: 100 on every Linux that people run.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run over a fresh data folder measured.
struct Measured {
    empty_start_seconds: f64,
    filled_start_seconds: f64,
    acknowledged_cpu_seconds: f64,
    settled_cpu_seconds: f64,
    disk_bytes: f64,
    load: Value,
    lookup: Value,
}

pub(super) fn measure(spans: u64) -> anyhow::Result<Vec<Figure>> {
    let measured = run(spans)?;
    let mut figures = ingest_figures(&measured, spans as f64)?;
    figures.extend(lookup_figures(&measured.lookup)?);
    Ok(figures)
}

fn run(spans: u64) -> anyhow::Result<Measured> {
    let data = empty_folder("data")?;
    let binary = workspace::binary("release", "lumitrace");
    let spans = spans.to_string();
    let (server, empty_start_seconds) = start(&binary, &data)?;
    let cpu_before = cpu_seconds(server.pid())?;
    let load = program(
        "load",
        &["--endpoint", &server.otlp_http, "--spans", &spans],
    )?;
    let acknowledged_cpu_seconds = cpu_seconds(server.pid())? - cpu_before;
    settle(&server, &data)?;
    let settled_cpu_seconds = cpu_seconds(server.pid())? - cpu_before;
    drop(server);

    let disk_bytes = blocks_bytes(&data)?;
    let (server, filled_start_seconds) = start(&binary, &data)?;
    let lookup = program("lookup", &["--ui", &server.ui, "--spans", &spans])?;
    Ok(Measured {
        empty_start_seconds,
        filled_start_seconds,
        acknowledged_cpu_seconds,
        settled_cpu_seconds,
        disk_bytes,
        load,
        lookup,
    })
}

/// Starts a server and measures how long it takes until it accepts data, in seconds.
pub(super) fn start(binary: &Path, data: &Path) -> anyhow::Result<(Server, f64)> {
    let started = Instant::now();
    let server = Server::start_on_free_ports(binary, data)?;
    Ok((server, started.elapsed().as_secs_f64()))
}

fn ingest_figures(measured: &Measured, spans: f64) -> anyhow::Result<Vec<Figure>> {
    let one_second = Some(Bar::Below(1.0));
    let rate = spans / field(&measured.load, "seconds")?;
    let received_bytes = field(&measured.load, "bytes")? / spans;
    let microseconds = |seconds: f64| seconds / spans * 1e6;
    let rows = [
        (
            "server start, empty store",
            "s",
            measured.empty_start_seconds,
            one_second,
        ),
        (
            "server start, filled store",
            "s",
            measured.filled_start_seconds,
            one_second,
        ),
        ("spans a second, acknowledged after fsync", "/s", rate, None),
        (
            "server CPU per span until acknowledged, flushes meanwhile included",
            "µs",
            microseconds(measured.acknowledged_cpu_seconds),
            None,
        ),
        (
            "server CPU per span until in compacted blocks",
            "µs",
            microseconds(measured.settled_cpu_seconds),
            None,
        ),
        ("OTLP bytes per span received", "B", received_bytes, None),
        (
            "bytes on disk per span",
            "B",
            measured.disk_bytes / spans,
            None,
        ),
    ];
    let figure = |(what, unit, value, bar)| Figure::alone(what, unit, value, bar);
    Ok(rows.into_iter().map(figure).collect())
}

fn lookup_figures(lookup: &Value) -> anyhow::Result<Vec<Figure>> {
    let lookups = [
        ("trace by id", "trace_by_id", Some(Bar::Below(20.0))),
        ("trace by an id that does not exist", "absent_id", None),
        (
            "newest 20 traces of a service",
            "newest_20_of_service",
            None,
        ),
        ("attribute = value, newest 20", "attribute_equals", None),
        (
            "service and duration > 75 ms, newest 20",
            "slower_than_75_ms",
            None,
        ),
        (
            "failed spans of a service, newest 20",
            "errors_of_service",
            None,
        ),
    ];
    let mut figures = Vec::new();
    for (what, key, bar) in lookups {
        let p50 = field(&lookup[key], "p50_ms")?;
        let p99 = field(&lookup[key], "p99_ms")?;
        figures.push(Figure::alone(
            &format!("{what}, over HTTP, p50"),
            "ms",
            p50,
            None,
        ));
        figures.push(Figure::alone(
            &format!("{what}, over HTTP, p99"),
            "ms",
            p99,
            bar,
        ));
    }
    Ok(figures)
}

/// Runs a program of the bench crate and reads the JSON it prints.
/// What a program of `bench/` prints.
pub(super) fn program(name: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let text = process::output(bench_program(name).args(arguments))?;
    serde_json::from_str(&text).with_context(|| format!("{name} printed no JSON: {text}"))
}

/// A program of `bench/`.
pub(super) fn bench_program(name: &str) -> Command {
    let mut command = process::command(workspace::binary("release", "lumitrace-bench"));
    command.arg(name);
    command
}

pub(super) fn field(json: &Value, key: &str) -> anyhow::Result<f64> {
    json[key]
        .as_f64()
        .with_context(|| format!("no number {key} in {json}"))
}

/// User and system time of a process, all threads (proc(5), fields 14 and 15 of `stat`).
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field is the program's name in parentheses and may hold spaces.
    let after_name = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .context("malformed stat")?;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>().context("malformed stat")? / TICKS_PER_SECOND)
}

/// Waits until no span is in memory only, and compaction has come to rest.
pub(super) fn settle(server: &Server, data: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let (mut previous, mut unchanged) = (0.0, 0);
    while Instant::now() < deadline {
        let status = server.get("/status")?;
        let size = blocks_bytes(data)?;
        // A large merge writes nothing for a while.
        let at_rest = status["memtable_spans"] == 0
            && status["merging"] == false
            && size.to_bits() == f64::to_bits(previous);
        unchanged = if at_rest { unchanged + 1 } else { 0 };
        if unchanged >= 10 {
            return Ok(());
        }
        previous = size;
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!(
        "spans were still in memory after {} s",
        SETTLE_TIMEOUT.as_secs()
    )
}

/// Bytes of everything below the folder but the log, which is recycled.
pub(super) fn blocks_bytes(folder: &Path) -> anyhow::Result<f64> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut bytes = 0.0;
    for entry in entries {
        let entry = entry.context("cannot read the data folder")?;
        let is_log = entry.file_name() == "log";
        // A file may go while we look: compaction deletes what it replaced.
        let Ok(data) = entry.metadata() else { continue };
        if data.is_dir() && !is_log {
            bytes += blocks_bytes(&entry.path())?;
        } else if data.is_file() {
            bytes += data.len() as f64;
        }
    }
    Ok(bytes)
}
