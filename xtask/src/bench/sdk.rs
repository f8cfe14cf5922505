//! Both SDKs beside their peers, in paired rounds.

use anyhow::Context;
use serde_json::Value;

use super::Options;
use super::end_to_end::{field, program};
use super::report::{Bar, Figure};
use crate::server::Server;
use crate::{process, python, workspace};

/// Batches traced in a round of the Python comparison.
const PYTHON_SPANS: u32 = 30_000;
const PYTHON_SPANS_QUICK: u32 = 15_000;

pub(super) fn measure(options: Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = rust(options)?;
    figures.extend(python(options)?);
    Ok(figures)
}

/// Processes over which the rounds are spread. A shared machine has slow phases of seconds, in which
/// every library costs twice as much: one process could lie in one whole.
const RUST_PROCESSES: usize = 6;

fn rust(options: Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = options.rounds().to_string();
    let shapes = [("0", "no attributes"), ("3", "3 attributes")];
    let mut reports = [Vec::new(), Vec::new()];
    for _ in 0..RUST_PROCESSES {
        for ((attributes, _), reports) in shapes.iter().zip(&mut reports) {
            reports.push(program(
                "span",
                &["--rounds", &rounds, "--attributes", attributes],
            )?);
        }
    }
    let mut figures = Vec::new();
    for ((_, shape), reports) in shapes.iter().zip(&reports) {
        let what = format!("Rust span, {shape}, process CPU with batching into a sink");
        let ours = rounds_of(reports, "lumitrace")?;
        let peers = [
            ("opentelemetry_sdk", Some(Bar::TimesBetter(1.0))),
            ("fastrace", None),
        ];
        for (peer, bar) in peers {
            let theirs = rounds_of(reports, peer)?;
            let pairs: Vec<_> = ours.iter().copied().zip(theirs).collect();
            figures.push(Figure::paired(&what, "ns", peer, &pairs, bar)?);
        }
    }
    Ok(figures)
}

/// The nanoseconds of every round of a library, over all reports.
fn rounds_of(reports: &[Value], library: &str) -> anyhow::Result<Vec<f64>> {
    let mut rounds = Vec::new();
    for report in reports {
        for round in report[library].as_array().context("no rounds")? {
            rounds.push(round.as_f64().context("not a number")?);
        }
    }
    Ok(rounds)
}

fn python(options: Options) -> anyhow::Result<Vec<Figure>> {
    let environment = python::develop(&python::Options { release: true })?;
    let folder = workspace::target().join("xtask/bench/python-data");
    let server = Server::start_on_free_ports(&workspace::binary("release", "lumitrace"), &folder)?;
    let spans = if options.quick {
        PYTHON_SPANS_QUICK
    } else {
        PYTHON_SPANS
    };
    let round = |side: &str| -> anyhow::Result<Value> {
        let mut program = environment.python();
        program.args([
            "bench/python/batch.py",
            side,
            &server.otlp_http,
            &spans.to_string(),
        ]);
        let text = process::output(&mut program)?;
        serde_json::from_str(&text).with_context(|| format!("{side} printed no JSON: {text}"))
    };
    let (mut process_cpu, mut calling_thread) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let (ours, theirs) = (round("lumitrace")?, round("opentelemetry")?);
        let pair = |key| Ok::<_, anyhow::Error>((field(&ours, key)?, field(&theirs, key)?));
        process_cpu.push(pair("cpu_ns")?);
        calling_thread.push(pair("calling_thread_ns")?);
    }
    let what = "traced Python batch (context manager, 3 attributes, OTLP/HTTP)";
    let peer = "opentelemetry-sdk";
    Ok(vec![
        Figure::paired(
            &format!("{what}, process CPU"),
            "ns",
            peer,
            &process_cpu,
            Some(Bar::TimesBetter(10.0)),
        )?,
        Figure::paired(
            &format!("{what}, calling thread"),
            "ns",
            peer,
            &calling_thread,
            None,
        )?,
    ])
}
