//! `cargo xtask soak`: the reliability tests at full size, and what they came to.

use std::fs;
use std::time::Instant;

use anyhow::Context;

use crate::{process, workspace};

/// Where the outcome is written down.
const REPORT: &str = "docs/reliability.md";
/// What stands around the table in the report.
const BEGIN: &str = "<!-- soak: begin -->";
const END: &str = "<!-- soak: end -->";

/// Options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds of simulated work, with four power cuts each.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Times that a server is killed while it is fed; and as often a process that stores spans, at
    /// one step after the other of all that it does.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Write the outcome to docs/reliability.md.
    #[arg(long)]
    write: bool,
}

/// Runs the tests, and prints a line for each.
///
/// # Errors
/// One of them failed; its own output says how to repeat it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let seeds = options.seeds.to_string();
    let kills = options.kills.to_string();
    let rows = [
        row(
            &format!(
                "{seeds} seeds of simulated work for spans, log records and points, and a third of \
                 them for each mode that puts syncs off; 4 power cuts each"
            ),
            "lumitrace-store",
            "simulated",
            ("SIMULATION_SEEDS", &seeds),
        )?,
        row(
            &format!("{kills} kills of a server that is fed"),
            "lumitrace-server",
            "kill::",
            ("SOAK_KILLS", &kills),
        )?,
        row(
            &format!("{kills} kills of a process, each at a chosen step"),
            "lumitrace-store",
            "killed::",
            ("FAILPOINT_KILLS", &kills),
        )?,
    ];
    let table = format!(
        "| what | outcome | minutes |\n|---|---|---|\n{}\n",
        rows.join("\n")
    );
    process::say(&table);
    if options.write {
        write(&table)?;
    }
    Ok(())
}

fn row(what: &str, package: &str, test: &str, size: (&str, &str)) -> anyhow::Result<String> {
    let begun = Instant::now();
    let mut command = process::cargo();
    command.args(["test", "--release", "--quiet", "--package", package, test]);
    command.env(size.0, size.1);
    process::run(&mut command).with_context(|| format!("{what} failed"))?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    Ok(format!(
        "| {what} | nothing acknowledged lost, nothing twice | {minutes:.0} |"
    ))
}

fn write(table: &str) -> anyhow::Result<()> {
    let path = workspace::root().join(REPORT);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {REPORT}"))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("the report lost its marks")?;
    let (_, after) = rest.split_once(END).context("the report lost its marks")?;
    fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .with_context(|| format!("could not write {REPORT}"))
}
