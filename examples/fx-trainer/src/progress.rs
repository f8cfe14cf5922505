//! What the programs print.

use std::{
    fmt::Display,
    io::{Write, stderr, stdout},
    sync::atomic::{AtomicBool, Ordering},
};

static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// From now on only problems are printed.
pub fn silence() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

/// Prints a line. A reader that has gone away does not stop the training.
pub fn say(line: impl Display) {
    if !IS_SILENT.load(Ordering::Relaxed) {
        let _ = writeln!(stdout().lock(), "{line}");
    }
}

/// Prints a line about something wrong.
pub fn warn(line: impl Display) {
    let _ = writeln!(stderr().lock(), "{line}");
}
