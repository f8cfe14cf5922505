//! Resident memory of the real server while it takes in spans at full speed.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

use super::MEMORY_BAR_MIB;
use crate::bench::empty_folder;
use crate::bench::report::{Bar, Figure};
use crate::server::Server;
use crate::{process, workspace};

pub(super) fn measure(minutes: u64) -> anyhow::Result<Vec<Figure>> {
    let binary = workspace::binary("release", "lumitrace");
    let server = Server::start_on_free_ports(&binary, &empty_folder("store-memory")?)?;
    let mut generate = process::command(&binary);
    generate.args(["generate", "--json", "--quiet", "--shape", "benchmark"]);
    generate.args(["--connections", "8", "--to", &server.otlp_http]);
    generate.args(["--for", &format!("{minutes}m")]);
    let mut load = generate
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the load")?;
    let mut samples = Vec::new();
    let status = loop {
        samples.push(resident_mib(server.pid())?);
        std::thread::sleep(Duration::from_secs(1));
        if let Some(status) = load.try_wait().context("cannot wait for the load")? {
            break status;
        }
    };
    let report = load.stdout.take().context("the load printed nothing")?;
    let report: serde_json::Value =
        serde_json::from_reader(report).context("the load printed no JSON")?;
    if !status.success() {
        bail!("the load ended with {status}: {report}");
    }
    // The count is a figure of its own: a row is found again by what it says it measures.
    let what = format!("ingest at full speed for {minutes} min");
    let spans = report["spans"]
        .as_f64()
        .context("the load told no number of spans")?;
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let quarter = samples.len() / 4;
    // The first quarter fills what is bounded.
    let (early, late) = (
        most(&samples[quarter..2 * quarter + 1]),
        most(&samples[samples.len() - quarter.max(1)..]),
    );
    Ok(vec![
        Figure::alone(&format!("{what}: spans"), "million", spans / 1e6, None),
        Figure::alone(
            &format!("{what}: most resident memory of the server"),
            "MiB",
            most(&samples),
            Some(Bar::Below(MEMORY_BAR_MIB)),
        ),
        Figure::alone(
            &format!("{what}: most in the last quarter beside the second"),
            "times",
            late / early,
            Some(Bar::Below(1.1)),
        ),
    ])
}

/// Resident memory of a process (proc(5), `VmRSS` of `status`).
pub(super) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most memory that a process ever had resident (proc(5), `VmHWM` of `status`).
pub(super) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, key: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("no {key}"))? / 1_024.0)
}
