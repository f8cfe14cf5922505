//! Fallible work inside spans: the innermost span that fails holds the exception, the spans around
//! it only say that they failed.

use anyhow::{Error, Result};
use lumitrace::{Span, SpanBuilder, StatusCode};
use thiserror::Error;

use crate::{data::BadRow, train::NonFiniteLoss};

/// An error that a span has recorded already.
#[derive(Debug, Error)]
#[error(transparent)]
struct Recorded(Error);

/// Runs `work` inside `span`, which is current meanwhile and ends with the error if there is one.
///
/// # Errors
/// Those of `work`.
pub fn in_span<T>(span: SpanBuilder, work: impl FnOnce(&Span) -> Result<T>) -> Result<T> {
    let span = span.enter();
    work(&span).map_err(|error| {
        if error.is::<Recorded>() {
            span.set_status(StatusCode::Error, error.to_string());
            return error;
        }
        span.record_exception(
            type_name(&error),
            format!("{error:#}"),
            format!("{error:?}"),
        );
        Error::new(Recorded(error))
    })
}

/// The error as it was before spans recorded it, for printing.
pub fn unrecorded(error: Error) -> Error {
    match error.downcast::<Recorded>() {
        Ok(Recorded(error)) => unrecorded(error),
        Err(error) => error,
    }
}

/// What kind of error it is: `error.type` and `exception.type`.
fn type_name(error: &Error) -> &'static str {
    if error.is::<NonFiniteLoss>() {
        "NonFiniteLoss"
    } else if error.is::<BadRow>() {
        "BadRow"
    } else if error.chain().any(|cause| cause.is::<std::io::Error>()) {
        "std::io::Error"
    } else if error.chain().any(|cause| cause.is::<candle_core::Error>()) {
        "candle_core::Error"
    } else {
        "Error"
    }
}
