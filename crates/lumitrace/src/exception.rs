//! What spans tell of an error of which only the trait is known: `dyn Error`, or its text.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::{Display, Write};

use lumitrace_model::{KeyValue, names};

use crate::{Span, argument};

/// An error in words, as [`Span::record_exception`] takes them.
///
/// ```
/// use lumitrace::exception::Exception;
/// let error = "seven".parse::<u32>().unwrap_err();
/// let exception = Exception::of(&error, &"loader.rs:7");
/// assert_eq!(exception.type_name, "ParseIntError");
/// exception.record(&lumitrace::current_span());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its type, or `error` where nobody can tell.
    pub type_name: String,
    /// What it says.
    pub message: String,
    /// Where it was reported, the errors behind it, and the frames where `RUST_BACKTRACE` asks for them.
    pub stacktrace: String,
}

/// The type of an error of which only the text is known.
const UNKNOWN_TYPE: &str = "error";

impl Exception {
    /// `error`, reported at `place`, such as `loader.rs:7`.
    pub fn of(error: &dyn Error, place: &dyn Display) -> Self {
        let mut causes = String::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing into a text does not fail, and what an error does not say is missing.
            let _written = write!(causes, "\ncaused by: {error}");
            cause = error.source();
        }
        Self {
            type_name: type_name(error),
            message: error.to_string(),
            stacktrace: stacktrace(place, &causes),
        }
    }

    /// An error that came as text, reported at `place`.
    pub fn of_text(message: String, place: &dyn Display) -> Self {
        Self {
            type_name: UNKNOWN_TYPE.to_owned(),
            message,
            stacktrace: stacktrace(place, ""),
        }
    }

    /// Records that the work of `span` failed with it.
    pub fn record(self, span: &Span) {
        span.record_exception(self.type_name, self.message, self.stacktrace);
    }

    /// It as attributes of an event: `exception.type`, `exception.message`, `exception.stacktrace`.
    pub fn into_attributes(self) -> [KeyValue; 3] {
        [
            KeyValue::new(names::EXCEPTION_TYPE, self.type_name),
            KeyValue::new(names::EXCEPTION_MESSAGE, self.message),
            KeyValue::new(names::EXCEPTION_STACKTRACE, self.stacktrace),
        ]
    }
}

/// The name of the error's type, which a trait object does not tell: most errors print it with `Debug`.
fn type_name(error: &dyn Error) -> String {
    let printed = argument::debug_value(&error);
    let printed = printed.as_str().unwrap_or_default();
    let is_end = |letter: char| !(letter.is_alphanumeric() || letter == '_');
    let name = printed.split(is_end).next().unwrap_or_default();
    match name.starts_with(char::is_uppercase) {
        true => name.to_owned(),
        false => UNKNOWN_TYPE.to_owned(),
    }
}

/// Resolving frames takes milliseconds, so there are none unless they are asked for.
fn stacktrace(place: &dyn Display, causes: &str) -> String {
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("at {place}{causes}\n{backtrace}"),
        _ => format!("at {place}{causes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_an_error_is_read_from_what_debug_prints() {
        let error = "seven".parse::<u32>().unwrap_err();
        assert_eq!(type_name(&error), "ParseIntError");
        let error = Box::<dyn Error>::from("plain text");
        assert_eq!(type_name(&*error), UNKNOWN_TYPE);
    }

    #[test]
    fn t20_the_errors_behind_an_error_are_told() {
        let error = Wrapped(std::io::Error::other("the disk is full"));
        let stacktrace = Exception::of(&error, &"store.rs:3").stacktrace;
        let expected = "at store.rs:3\ncaused by: the disk is full";
        assert!(stacktrace.starts_with(expected), "{stacktrace}");
    }

    #[derive(Debug)]
    struct Wrapped(std::io::Error);

    impl Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot store")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
}
