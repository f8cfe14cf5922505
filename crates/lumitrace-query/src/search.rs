//! Finding traces, newest first, by what any of their spans says.

use std::fmt;
use std::str::FromStr;

use lumitrace_model::TraceId;

use crate::facts::SpanState;
use crate::training::RunId;

/// What to search for. A trace matches if one of its spans meets every condition at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceQuery {
    /// The span's service.
    pub service: Option<String>,
    /// The span's name.
    pub operation: Option<String>,
    /// A text that appears, in whatever case, in its name, its attributes or its status message.
    pub text: Option<String>,
    /// Tags that it has.
    pub tags: Vec<TagFilter>,
    /// It took at least this long, in nanoseconds.
    pub min_duration_nano: Option<u64>,
    /// It took at most this long, in nanoseconds.
    pub max_duration_nano: Option<u64>,
    /// It failed.
    pub only_errors: bool,
    /// It started at this time or later, in nanoseconds since the Unix epoch.
    pub start_unix_nano: Option<u64>,
    /// It started before this time, in nanoseconds since the Unix epoch.
    pub end_unix_nano: Option<u64>,
    /// At most this many traces; zero means 50.
    pub limit: usize,
    /// Only traces that come after this one in the list.
    pub before: Option<Cursor>,
}

/// A tag and the value it must have, compared as text: `epoch` = `3` finds the integer 3.
///
/// The key names an attribute of the span, of its resource, or one of `name`, `kind`, `status`,
/// `status.message`, `service`, `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// The tag's name.
    pub key: String,
    /// The value it must have.
    pub value: String,
}

/// The place of a trace in the list of results: the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When the trace started, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// The trace.
    pub trace_id: TraceId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start_unix_nano, self.trace_id)
    }
}

/// A text that is no [`Cursor`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no cursor: pass the `next` of the page before, unchanged")]
pub struct ParseCursorError {
    text: String,
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let parse = || {
            let (start, trace_id) = text.split_once('-')?;
            Some(Cursor {
                start_unix_nano: start.parse().ok()?,
                trace_id: trace_id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseCursorError {
            text: text.to_owned(),
        })
    }
}

/// A page of results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TracePage {
    /// Traces by start, newest first.
    pub traces: Vec<TraceSummary>,
    /// Pass as [`TraceQuery::before`] to read on; `None` at the end.
    pub next: Option<Cursor>,
    /// Whether the search ran into its limit of time or spans before it was certain: there may be
    /// newer matches than those shown.
    pub truncated: bool,
}

/// A trace, in one line of the results.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSummary {
    /// The trace.
    pub trace_id: TraceId,
    /// Service of the root span, or of the earliest one where the root is missing.
    pub root_service: String,
    /// Name of that span.
    pub root_name: String,
    /// Start of the earliest span, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// From the earliest start to the latest end, in nanoseconds.
    pub duration_nano: u64,
    /// How many spans it has.
    pub span_count: u64,
    /// How many of them failed.
    pub error_count: u64,
    /// How many of them meet the conditions of the search.
    pub matched_span_count: u64,
    /// Its services, by name.
    pub services: Vec<ServiceCount>,
    /// How far it has come.
    pub state: SpanState,
    /// Whether no span is a root: it is still open, or was lost or sampled away.
    pub root_missing: bool,
    /// The training run it belongs to.
    pub run_id: Option<RunId>,
}

/// What one service contributes to a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCount {
    /// The service.
    pub name: String,
    /// How many spans it made.
    pub span_count: u64,
    /// How many of them failed.
    pub error_count: u64,
}
