//! What the programs print.

use std::{
    fmt::Display,
    io::{Write, stderr, stdout},
};

/// Prints a line. A reader that has gone away does not stop the training.
pub fn say(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// Prints a line about something wrong.
pub fn warn(line: impl Display) {
    let _ = writeln!(stderr().lock(), "{line}");
}
