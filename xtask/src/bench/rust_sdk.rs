//! The Rust SDK beside its peers, in paired rounds.

use anyhow::Context;
use serde_json::Value;

use super::Options;
use super::end_to_end::program;
use super::report::{Bar, Figure};

/// Processes over which the rounds are spread. A shared machine has slow phases of seconds, in which
/// every library costs twice as much: one process could lie in one whole.
const PROCESSES: usize = 6;

pub(super) fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = options.rounds().to_string();
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
