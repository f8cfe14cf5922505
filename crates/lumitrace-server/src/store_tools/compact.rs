//! `lumitrace store compact`.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use lumitrace_store::compact::{CompactError, Compacted, compact};
use lumitrace_store::{OpenError, inspect};
use serde::Serialize;

use super::wording::{bytes, count};
use super::{Outcome, Reading, explain, print, quiet_options};
use crate::config::Size;
use crate::stop::Stop;

pub(super) const ABOUT: &str = "Merge blocks into few large ones";

pub(super) const LONG_ABOUT: &str = "\
Writes the log out as blocks, and merges neighbouring blocks into few large ones: smaller on disk, \
and quicker to search. A server merges small blocks by itself; this goes on until nothing is left \
to merge, and leaves out spans that were sent twice.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store compact
  lumitrace store compact --block-bytes 2GiB";

/// How far to merge.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// How large blocks may become
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    block_bytes: Size,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    if !inspect::holds_store(dir) {
        let dir = dir.to_owned();
        return Err(OpenError::NoStore { dir }.into());
    }
    let begun = Instant::now();
    let mut reading = Reading::new(arguments.quiet, stop);
    let compacted = compact(quiet_options(dir), arguments.block_bytes.0, &mut |state| {
        reading.at(state.bytes, state.total_bytes)
    });
    reading.finish();
    let compacted = compacted.map_err(|error| match error {
        CompactError::Open(error) => explain(error),
        error => error.into(),
    })?;
    let report = Report::new(compacted, begun);
    print(&report, arguments.json, false)?;
    Ok(match compacted.stopped {
        true => Outcome::Interrupted,
        false => Outcome::Done,
    })
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    blocks_before: u64,
    blocks_after: u64,
    bytes_before: u64,
    bytes_after: u64,
    records: u64,
    merges: u64,
    seconds: f64,
    /// Whether Ctrl-C ended it before nothing was left to merge.
    stopped: bool,
}

impl Report {
    fn new(compacted: Compacted, begun: Instant) -> Self {
        Self {
            blocks_before: compacted.blocks_before,
            blocks_after: compacted.blocks_after,
            bytes_before: compacted.bytes_before,
            bytes_after: compacted.bytes_after,
            records: compacted.records,
            merges: compacted.merges,
            seconds: begun.elapsed().as_secs_f64(),
            stopped: compacted.stopped,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} blocks became {}, {} became {}: {:.1} bytes per record, in {:.1} s",
            count(self.blocks_before),
            count(self.blocks_after),
            bytes(self.bytes_before),
            bytes(self.bytes_after),
            self.bytes_after as f64 / (self.records as f64).max(1.0),
            self.seconds
        )?;
        if self.stopped {
            writeln!(f, "interrupted; the same command goes on where it ended")?;
        }
        Ok(())
    }
}
