//! Which run a span belongs to.
//!
//! Never its trace: many programs make every batch a trace of its own. The first of these that is
//! there decides, on the span or on its resource:
//!
//! 1. the run's id as the program gave it: `run.id`, `wandb.run_id`, `mlflow.run_id`, or
//!    `experiment` together with `run`; ranks of a distributed job share it,
//! 2. `service.instance.id`,
//! 3. service, host and process id (and `process.creation.time` where known),
//! 4. the service alone; then half an hour of silence begins a new run.

use std::fmt;
use std::str::FromStr;

/// Identifies a training run: a 64-bit number, printed as 16 hexadecimal digits.
///
/// It is the FNV-1a hash of what identifies the run (see [the module](self)), so the same run has
/// the same id whenever and wherever it is computed. Where nothing but the service is known, the
/// upper half is a hash of the service's name and the lower half the second in which the run
/// started; such a run is found by any second in which it was active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub(crate) u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a run id: expected 16 hexadecimal digits")]
pub struct ParseRunIdError {
    text: String,
}

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(RunId).ok_or_else(|| ParseRunIdError {
            text: text.to_owned(),
        })
    }
}
