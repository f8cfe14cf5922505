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
    /// The parts to run; all if none is named.
    parts: Vec<Part>,
    /// Seeds of simulated work, with four power cuts each.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Times that a server is killed while it is fed; and as often a process that stores spans, log
    /// records or points, at one step after the other of all that it does.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Write the outcome to docs/reliability.md; of some parts only, their rows.
    #[arg(long)]
    write: bool,
}

/// A part of the reliability tests.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Part {
    /// Power cuts in simulated work.
    Simulation,
    /// Kills of a server that is fed.
    Kills,
    /// Kills of a process at each of its steps.
    Steps,
}

impl Part {
    const ALL: [Self; 3] = [Self::Simulation, Self::Kills, Self::Steps];

    /// Runs it, and says what it came to as a row of the report.
    fn row(self, options: &Options) -> anyhow::Result<String> {
        let (seeds, kills) = (options.seeds.to_string(), options.kills.to_string());
        match self {
            Self::Simulation => row(
                &format!(
                    "{seeds} seeds of simulated work for each of spans, log records and points, and a \
                     quarter of them for each of these in each mode that puts syncs off; 4 power cuts each"
                ),
                "lumitrace-store",
                "simulated",
                ("SIMULATION_SEEDS", &seeds),
            ),
            Self::Kills => row(
                &format!("{kills} kills of a server that is fed spans, log records and points"),
                "lumitrace-server",
                "kill::",
                ("SOAK_KILLS", &kills),
            ),
            Self::Steps => row(
                &format!(
                    "{kills} kills of processes that store spans, log records or points, each at a chosen step"
                ),
                "lumitrace-store",
                "killed::",
                ("FAILPOINT_KILLS", &kills),
            ),
        }
    }
}

/// Runs the tests, and prints a line for each; each is written down as soon as it has passed.
///
/// # Errors
/// One of them failed; its own output says how to repeat it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let is_wanted = |part: &Part| options.parts.is_empty() || options.parts.contains(part);
    for part in Part::ALL.into_iter().filter(is_wanted) {
        let row = part.row(options)?;
        process::say(&row);
        if options.write {
            write(&row)?;
        }
    }
    Ok(())
}

fn row(what: &str, package: &str, test: &str, size: (&str, &str)) -> anyhow::Result<String> {
    let cargo_test = |arguments: &[&str]| {
        let mut command = process::cargo();
        command.args(["test", "--release", "--quiet", "--package", package]);
        process::run(command.args(arguments).env(size.0, size.1))
    };
    // What it takes to build is not the test's.
    cargo_test(&["--no-run"])?;
    let begun = Instant::now();
    cargo_test(&[test]).with_context(|| format!("{what} failed"))?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    Ok(format!(
        "| {what} | nothing acknowledged lost, nothing twice | {minutes:.0} |"
    ))
}

/// Puts the row into the report, in the place of that of an earlier run.
fn write(row: &str) -> anyhow::Result<()> {
    let path = workspace::root().join(REPORT);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {REPORT}"))?;
    let text = with_row(&text, row).context("the report lost its marks")?;
    fs::write(&path, text).with_context(|| format!("could not write {REPORT}"))
}

/// The report with this row; none if it has no place for rows.
fn with_row(text: &str, row: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let heading = ["| what | outcome | minutes |", "|---|---|---|"];
    let what = |row: &str| row.split(" | ").next().map(str::to_owned);
    let others = old
        .lines()
        .filter(|line| line.starts_with('|') && !heading.contains(line) && what(line) != what(row));
    let rows: Vec<&str> = heading.into_iter().chain(others).chain([row]).collect();
    Some(format!(
        "{before}{BEGIN}\n{}\n{END}{after}",
        rows.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_run_again_replaces_its_row_alone() {
        let empty = format!("# Report\n{BEGIN}\n{END}\nThe end.\n");
        let one = with_row(&empty, "| 9 kills | nothing lost | 1 |").unwrap();
        let two = with_row(&one, "| 5 seeds | nothing lost | 2 |").unwrap();
        let again = with_row(&two, "| 9 kills | nothing lost | 3 |").unwrap();
        let expected = format!(
            "# Report\n{BEGIN}\n| what | outcome | minutes |\n|---|---|---|\n\
             | 5 seeds | nothing lost | 2 |\n| 9 kills | nothing lost | 3 |\n{END}\nThe end.\n"
        );
        assert_eq!(again, expected);
        assert_eq!(with_row("nothing", "| a | b | 1 |"), None);
    }
}
