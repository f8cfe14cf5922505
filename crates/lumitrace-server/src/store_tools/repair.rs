//! `lumitrace store repair`.

use std::fmt;
use std::path::{Path, PathBuf};

use lumitrace_store::repair::{Loss, Repair, repair};
use serde::Serialize;

use super::wording::{count, time};
use super::{Outcome, Reading, explain, print};
use crate::stop::Stop;

pub(super) const ABOUT: &str = "Make a damaged folder whole again, and say what is lost";

pub(super) const LONG_ABOUT: &str = "\
Makes a damaged folder whole again, so that a server starts on it, and says what is lost.

What can be read of damaged blocks and log segments is stored anew; the damaged files are moved into \
damaged/ in the folder, and nothing is deleted. A missing or damaged manifest is made anew from the \
blocks. A copy of the folder is better than a repair: look at --dry-run first.

The exit status is 0 where nothing is lost, and 1 where something is.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store repair --dry-run     what would be done and lost
  lumitrace store repair
  lumitrace store check                is clean afterwards";

/// How to repair.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path, stop: &Stop) -> anyhow::Result<Outcome> {
    let mut reading = Reading::new(arguments.quiet, stop);
    let repaired = repair(dir, arguments.dry_run, &mut |state| {
        reading.at(state.bytes, state.total_bytes)
    });
    reading.finish();
    let report = Report::new(repaired.map_err(explain)?, arguments.dry_run);
    print(&report, arguments.json, false)?;
    Ok(if report.stopped {
        Outcome::Interrupted
    } else if report.losses.is_empty() {
        Outcome::Done
    } else {
        Outcome::Trouble
    })
}

/// What is printed. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    needed: bool,
    losses: Vec<LostRecords>,
    rescued_records: u64,
    manifests_rebuilt: Vec<String>,
    /// Ends of logs that the next start cuts off.
    unfinished: Vec<String>,
    set_aside: Vec<PathBuf>,
    aside_dir: Option<PathBuf>,
    /// Folders of earlier repairs that had been interrupted.
    finished: Vec<PathBuf>,
    /// Whether Ctrl-C ended it. What is told here was done by then.
    stopped: bool,
}

#[derive(Debug, Serialize)]
struct LostRecords {
    file: Option<PathBuf>,
    reason: String,
    /// At most; none where nobody knows.
    records: Option<u64>,
    first_seq: u64,
    /// The one after the last; none where nobody knows.
    end_seq: Option<u64>,
    first_start_unix_nano: Option<u64>,
    last_start_unix_nano: Option<u64>,
}

impl From<Loss> for LostRecords {
    fn from(loss: Loss) -> Self {
        Self {
            file: loss.file,
            reason: loss.reason,
            records: loss.records,
            first_seq: loss.first_seq,
            end_seq: loss.end_seq,
            first_start_unix_nano: loss.first_start_unix_nano,
            last_start_unix_nano: loss.last_start_unix_nano,
        }
    }
}

impl Report {
    fn new(repair: Repair, dry_run: bool) -> Self {
        Self {
            dry_run,
            needed: repair.is_needed(),
            losses: repair.losses.into_iter().map(LostRecords::from).collect(),
            rescued_records: repair.rescued_records,
            manifests_rebuilt: repair.manifests_rebuilt,
            unfinished: repair.unfinished.iter().map(ToString::to_string).collect(),
            set_aside: repair.set_aside,
            aside_dir: repair.aside_dir.filter(|_| !dry_run),
            finished: repair.finished,
            stopped: repair.stopped,
        }
    }
}

impl fmt::Display for LostRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.records {
            Some(records) => write!(f, "lost: {} records", count(records))?,
            None => write!(f, "lost: an unknown number of records")?,
        }
        write!(
            f,
            ", of those with sequence numbers from {}",
            self.first_seq
        )?;
        if let Some(end) = self.end_seq {
            write!(f, " to {}", end.saturating_sub(1))?;
        }
        if let (Some(first), Some(last)) = (self.first_start_unix_nano, self.last_start_unix_nano) {
            write!(f, ", started from {} to {}", time(first), time(last))?;
        }
        writeln!(f, ": {}", self.reason)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stopped {
            writeln!(f, "interrupted; the same command goes on where it ended")?;
        }
        for place in &self.unfinished {
            writeln!(
                f,
                "unfinished: {place}; that is how a crash leaves a write that nobody was told was \
                 done, and the next start cuts it off"
            )?;
        }
        if !self.needed && !self.stopped {
            return writeln!(f, "nothing is damaged");
        }
        for dir in &self.finished {
            writeln!(
                f,
                "an earlier repair had been interrupted, and is finished first: {}",
                dir.display()
            )?;
        }
        self.losses.iter().try_for_each(|loss| loss.fmt(f))?;
        for reason in &self.manifests_rebuilt {
            writeln!(f, "a manifest is made anew from the blocks: {reason}")?;
        }
        if self.rescued_records > 0 {
            let rescued = count(self.rescued_records);
            writeln!(f, "{rescued} records of damaged files are stored anew")?;
        }
        for file in &self.set_aside {
            writeln!(f, "set aside: {}", file.display())?;
        }
        match (&self.aside_dir, self.dry_run) {
            (_, true) => writeln!(f, "nothing was changed: this is what a repair would do"),
            (Some(dir), _) => writeln!(f, "what is set aside is in {}", dir.display()),
            (None, _) => Ok(()),
        }
    }
}
