//! `cargo xtask bench`: measure ourselves beside peers, in turn and in the same run, and say which
//! bar holds.
//!
//! Machines are shared and noisy, so figures are medians, comparisons are ratios of paired rounds
//! with their spread, and cost is CPU time rather than wall time where both would do.

mod end_to_end;
mod report;
mod sdk;
mod store;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::{process, ui, workspace};
use report::Report;

/// What is measured.
#[derive(clap::Subcommand)]
pub(crate) enum Suite {
    /// The whole way: start, ingest over HTTP, bytes on disk, and lookups.
    First(Options),
    /// The store: what spans cost to take in, keep and find, beside ClickHouse's engine.
    Store(store::Options),
    /// The SDK: what tracing costs a program in Rust and in Python, beside its peers.
    Sdk(sdk::Options),
}

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A fifth of the spans: under five minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Write the figures to docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

impl Options {
    fn spans(&self) -> u64 {
        if self.quick { 200_000 } else { 1_000_000 }
    }
}

/// Measures, prints, and fails when a bar does not hold.
///
/// # Errors
/// Something could not be measured, or a bar does not hold.
pub(crate) fn run(suite: &Suite) -> anyhow::Result<()> {
    ui::build()?;
    let packages = [
        "--package",
        "lumitrace-server",
        "--package",
        "lumitrace-bench",
    ];
    process::run(process::cargo().args(["build", "--release"]).args(packages))?;
    let (report, write, is_whole) = match suite {
        Suite::First(options) => {
            let figures = end_to_end::measure(options.spans())?;
            let report = Report::new("first", Some(options.spans()), figures)?;
            (report, options.write, true)
        }
        Suite::Store(options) => {
            let figures = store::measure(options)?;
            let report = Report::new("store", None, figures)?;
            (report, options.writes(), options.is_whole())
        }
        Suite::Sdk(options) => {
            let figures = sdk::measure(options)?;
            let report = Report::new("sdk", None, figures)?;
            (report, options.writes(), options.is_whole())
        }
    };
    process::say(&format!("\n{}", report.to_markdown()));
    if write {
        report.write(is_whole)?;
    }
    let missed: Vec<&str> = report.missed().collect();
    if !missed.is_empty() {
        bail!("below the bar: {}", missed.join(", "));
    }
    Ok(())
}

/// A data folder for a benchmark.
fn folder(name: &str) -> PathBuf {
    workspace::target().join("xtask/bench").join(name)
}

/// A data folder for a benchmark, empty.
fn empty_folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    Ok(folder)
}

/// The middle of the values, and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    /// The spread of at least one value.
    fn of(mut values: Vec<f64>) -> anyhow::Result<Self> {
        values.sort_by(f64::total_cmp);
        let (Some(lowest), Some(highest)) = (values.first(), values.last()) else {
            bail!("nothing was measured");
        };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Ok(Self {
            median,
            lowest: *lowest,
            highest: *highest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_between_the_two() {
        let median = |values: &[f64]| Spread::of(values.to_vec()).unwrap().median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(Spread::of(Vec::new()).is_err());
    }
}
