//! `lumitrace store check`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lumitrace_store::Corruption;
use lumitrace_store::check::{Check, check};
use serde::Serialize;

use super::wording::{bytes, count};
use super::{Outcome, Reading, explain, print};
use crate::stop::Stop;

pub(super) const ABOUT: &str = "Verify every byte of a folder, without changing it";

pub(super) const LONG_ABOUT: &str = "\
Verifies every byte of a folder, without changing it: the manifest, every frame of the log, every \
checksum and every span of the blocks, and that the files agree with each other.

It goes on after damage, and names file and offset of each. The exit status is 1 where there is any. \
What looks like a write at the end of a file that a crash has interrupted does not count as damage: \
nobody had been told that it was done, and the next start cuts it off.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store check
  lumitrace store check --data-dir /backup/lumitrace --quiet --json | jq .damages";

/// How to say it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut reading = Reading::new(arguments.quiet, stop);
    let checked = check(dir, &mut |state| reading.at(state.bytes, state.total_bytes));
    reading.finish();
    let report = Report::new(dir, checked.map_err(explain)?, begun);
    print(&report, arguments.json, false)?;
    Ok(if report.stopped {
        Outcome::Interrupted
    } else if report.damages.is_empty() {
        Outcome::Done
    } else {
        Outcome::Trouble
    })
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    data_dir: PathBuf,
    damages: Vec<Place>,
    unfinished: Vec<Place>,
    leftovers: Vec<PathBuf>,
    blocks: u64,
    block_records: u64,
    log_segments: u64,
    log_records: u64,
    bytes: u64,
    seconds: f64,
    /// Whether Ctrl-C ended it before everything was verified.
    stopped: bool,
}

/// Where something is wrong.
#[derive(Debug, Serialize)]
struct Place {
    file: PathBuf,
    offset: u64,
    reason: String,
}

impl From<Corruption> for Place {
    fn from(corruption: Corruption) -> Self {
        let Corruption {
            file,
            offset,
            reason,
        } = corruption;
        Self {
            file,
            offset,
            reason,
        }
    }
}

impl Report {
    fn new(dir: &Path, check: Check, begun: Instant) -> Self {
        Self {
            data_dir: dir.to_owned(),
            damages: check.damages.into_iter().map(Place::from).collect(),
            unfinished: check.unfinished.into_iter().map(Place::from).collect(),
            leftovers: check.leftovers,
            blocks: check.blocks,
            block_records: check.block_records,
            log_segments: check.log_segments,
            log_records: check.log_records,
            bytes: check.bytes,
            seconds: begun.elapsed().as_secs_f64(),
            stopped: check.stopped,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.damages {
            let (file, offset) = (place.file.display(), place.offset);
            writeln!(f, "damaged: {file} at byte {offset}: {}", place.reason)?;
        }
        for place in &self.unfinished {
            let (file, offset) = (place.file.display(), place.offset);
            writeln!(
                f,
                "unfinished: {file} at byte {offset}: {}; that is how a crash leaves a write that \
                 nobody was told was done, and the next start cuts it off",
                place.reason
            )?;
        }
        for file in &self.leftovers {
            let file = file.display();
            writeln!(f, "left over: {file}; the next start removes it")?;
        }
        writeln!(
            f,
            "verified {} in {:.1} s: {} records in {} blocks, {} in {} log segments",
            bytes(self.bytes),
            self.seconds,
            count(self.block_records),
            count(self.blocks),
            count(self.log_records),
            count(self.log_segments)
        )?;
        match (self.stopped, self.damages.len()) {
            (true, _) => writeln!(f, "interrupted: the rest was not looked at"),
            (false, 0) => writeln!(f, "no damage"),
            (false, places) => writeln!(
                f,
                "damaged in {places} places: restore the folder from a copy, or see what \
                 `lumitrace store repair --dry-run` would save"
            ),
        }
    }
}
