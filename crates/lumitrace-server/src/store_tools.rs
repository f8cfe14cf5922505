//! `lumitrace store`: looks at a store's folder, checks, repairs and compacts it, and takes records
//! out of it and into it.
//!
//! **What it is.** What people do with a folder while no server runs on it (`stats` also while one
//! does): it opens the folder itself.
//!
//! **What it is not.** No part of the server: nothing here runs in `lumitrace serve`.
//!
//! Modules in reading order: `wording` (how figures and times are printed), `stats`, `check`,
//! `repair`, `compact`, `export` with `export_target`, `import` with `import_source` and
//! `known_spans`.

mod check;
mod compact;
mod export;
mod export_target;
mod import;
mod import_source;
mod known_spans;
mod repair;
mod stats;
mod wording;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use lumitrace_query::training::RunDigester;
use lumitrace_store::{OpenError, ShelfName, Store, StoreOptions, inspect};
use lumitrace_wire::otlp::Signal;
use serde::Serialize;

use crate::progress::{Progress, Unit};
use crate::stop::Stop;

const LONG_ABOUT: &str = "\
Looks at a store's folder, checks, repairs and compacts it, and takes spans, logs and metrics out of it \
and into it.

They work on the folder of the server's settings (data_dir), or on that of --data-dir. All but \
`stats` need it for themselves: stop the server first.";

const AFTER_HELP: &str = "\
Examples:
  lumitrace store stats                          what is in it, also while the server runs
  lumitrace store check                          whether every byte of it is whole
  lumitrace store repair --dry-run               what could be saved, if not
  lumitrace store compact                        smaller and quicker
  lumitrace store export --to spans.parquet      everything, for DuckDB, pandas or Spark
  lumitrace store export --signal logs --to logs.jsonl.gz
  lumitrace store export --to - --service checkout --start 24h | jq
  lumitrace store import spans.jsonl.gz          what another store, or the Collector, has written

Exit status: 0 done; 1 failed, or something is damaged or was left out, as said; 2 wrong usage; \
130 ended by Ctrl-C.";

/// What is exported and imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SignalName {
    /// Spans of traces
    Spans,
    /// Log records
    Logs,
    /// Points of metrics
    Metrics,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Spans => Self::Traces,
            SignalName::Logs => Self::Logs,
            SignalName::Metrics => Self::Metrics,
        }
    }
}

/// How a task ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Done,
    /// It was done, and there is something to look into: see what was printed.
    Trouble,
    /// Ctrl-C ended it.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Trouble => Self::FAILURE,
            // The shell's status for an interrupt.
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// The subcommand and its help. `with_folder` gives a command the flags that name the folder.
pub fn command(with_folder: impl Fn(Command) -> Command) -> Command {
    let tasks = [
        stats::Arguments::augment_args(Command::new("stats"))
            .about(stats::ABOUT)
            .after_help(stats::EXAMPLES),
        check::Arguments::augment_args(Command::new("check"))
            .about(check::ABOUT)
            .long_about(check::LONG_ABOUT)
            .after_help(check::EXAMPLES),
        repair::Arguments::augment_args(Command::new("repair"))
            .about(repair::ABOUT)
            .long_about(repair::LONG_ABOUT)
            .after_help(repair::EXAMPLES),
        compact::Arguments::augment_args(Command::new("compact"))
            .about(compact::ABOUT)
            .long_about(compact::LONG_ABOUT)
            .after_help(compact::EXAMPLES),
        export::Arguments::augment_args(Command::new("export"))
            .about(export::ABOUT)
            .long_about(export::LONG_ABOUT)
            .after_help(export::EXAMPLES),
        import::Arguments::augment_args(Command::new("import"))
            .about(import::ABOUT)
            .long_about(import::LONG_ABOUT)
            .after_help(import::EXAMPLES),
    ];
    Command::new("store")
        .about("Look at a store's folder, check and repair it, export and import what it holds")
        .long_about(LONG_ABOUT)
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(tasks.into_iter().map(with_folder))
}

/// Does the task `name` with its arguments, on the folder `dir`, until it is done or `stop` asks to
/// end.
///
/// # Errors
/// It could not be done; the message says what to do.
pub fn run(name: &str, matches: &ArgMatches, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    match name {
        "stats" => stats::run(&arguments(matches)?, dir),
        "check" => check::run(&arguments(matches)?, dir, stop),
        "repair" => repair::run(&arguments(matches)?, dir, stop),
        "compact" => compact::run(&arguments(matches)?, dir, stop),
        "export" => export::run(&arguments(matches)?, dir, stop),
        "import" => import::run(&arguments(matches)?, dir, stop),
        _ => anyhow::bail!("there is no task {name}"),
    }
}

fn arguments<T: FromArgMatches>(matches: &ArgMatches) -> anyhow::Result<T> {
    T::from_arg_matches(matches).context("cannot read the arguments")
}

/// Options for a store that is open for one task: nothing is merged or removed on the side.
fn quiet_options(dir: &Path) -> StoreOptions {
    StoreOptions {
        compact_below_bytes: 0,
        flush_after: Duration::from_secs(86_400),
        digester: Some(Arc::new(RunDigester::default())),
        ..StoreOptions::new(dir)
    }
}

/// Opens the store in `dir`, which must be there.
fn open_existing(dir: &Path) -> anyhow::Result<Store> {
    if !inspect::holds_store(dir) {
        let dir = dir.to_owned();
        return Err(OpenError::NoStore { dir }.into());
    }
    open(quiet_options(dir))
}

fn open(options: StoreOptions) -> anyhow::Result<Store> {
    let dir = options.dir.display().to_string();
    let store = Store::open(options)
        .map_err(explain)
        .with_context(|| format!("cannot open the store in {dir}"))?;
    let shelves = ShelfName::ALL.into_iter();
    for damage in shelves
        .filter_map(|name| store.stats_of(name))
        .flat_map(|it| it.damages)
    {
        say(&format!("left out: {damage}"));
    }
    Ok(store)
}

/// Says what to do about an error.
fn explain(error: OpenError) -> anyhow::Error {
    let is_locked = matches!(error, OpenError::Locked { .. });
    let error = anyhow::Error::from(error);
    match is_locked {
        true => error.context("this task needs the folder for itself: stop the server first"),
        false => error,
    }
}

/// Shows how far a task is that reads a folder, and says when it is to end.
struct Reading<'a> {
    quiet: bool,
    stop: &'a Stop,
    progress: Option<Progress>,
}

impl<'a> Reading<'a> {
    fn new(quiet: bool, stop: &'a Stop) -> Self {
        Self {
            quiet,
            stop,
            progress: None,
        }
    }

    fn at(&mut self, bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        let new = || Progress::new(Unit::Bytes, Some(total_bytes), self.quiet);
        self.progress.get_or_insert_with(new).show(bytes, "");
        match self.stop.is_requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }
}

/// Says something to people, whatever goes to standard output.
fn say(text: &str) {
    // Standard error may be closed; there is nowhere left to say so.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a report on standard output, or on standard error where that is taken.
fn print(
    report: &(impl Serialize + std::fmt::Display),
    as_json: bool,
    stdout_is_taken: bool,
) -> anyhow::Result<()> {
    let text = if as_json {
        format!("{}\n", serde_json::to_string(report)?)
    } else {
        report.to_string()
    };
    if stdout_is_taken {
        Ok(std::io::stderr().write_all(text.as_bytes())?)
    } else {
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }
}
