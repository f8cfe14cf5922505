//! The Rust SDK beside its peers, in paired rounds.

use anyhow::Context;
use serde_json::Value;

use crate::bench::end_to_end::program;
use crate::bench::report::{Bar, Figure};

/// Processes over which the rounds are spread. A shared machine has slow phases of seconds, in which
/// every library costs twice as much: one process could lie in one whole.
const PROCESSES: usize = 6;
/// What a span that is sampled out may cost over an empty loop, in nanoseconds.
const SAMPLED_OUT_BAR_NS: f64 = 20.0;

pub(super) fn measure(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let rounds = rounds.to_string();
    let shapes = [("0", "no attributes"), ("3", "3 attributes")];
    let mut reports = [Vec::new(), Vec::new()];
    for _ in 0..PROCESSES {
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
        for (peer, times) in [("fastrace", 1.0), ("opentelemetry_sdk", 3.0)] {
            let theirs = rounds_of(reports, peer)?;
            let pairs: Vec<_> = ours.iter().copied().zip(theirs).collect();
            let bar = Some(Bar::TimesBetter(times));
            figures.push(Figure::paired(&what, "ns", peer, &pairs, bar)?);
        }
    }
    let sampled_out = rounds_of(&reports[0], "lumitrace_sampled_out")?;
    let theirs = rounds_of(&reports[0], "opentelemetry_sdk_sampled_out")?;
    let pairs: Vec<_> = sampled_out.into_iter().zip(theirs).collect();
    figures.push(Figure::beside(
        "Rust span, sampled out, over an empty loop",
        "ns",
        "opentelemetry_sdk",
        &pairs,
        Some(Bar::Below(SAMPLED_OUT_BAR_NS)),
    )?);
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
