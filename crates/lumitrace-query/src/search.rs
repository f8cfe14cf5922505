//! Finding traces, newest first, by what any of their spans says.

mod matching;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use lumitrace_model::TraceId;
use lumitrace_store::{ReadError, SCAN_WINDOW_NANO, ScanRequest, SpanParts, SpanRecord, Store};

use crate::assembly::without_duplicates;
use crate::facts::{SpanState, is_root, service_name};
use crate::training::RunId;
use matching::is_intrinsic;

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

const DEFAULT_LIMIT: usize = 50;

impl TraceQuery {
    fn limit_or_default(&self) -> usize {
        if self.limit == 0 {
            DEFAULT_LIMIT
        } else {
            self.limit
        }
    }

    /// What the store is asked: every matching span is among its answer.
    ///
    /// `service_is_known` says whether any resource has the service's name; if none has, spans may
    /// carry it themselves, which the store cannot know.
    fn scan_request(&self, service_is_known: bool) -> ScanRequest {
        let attributes = self.tags.iter().filter(|tag| !is_intrinsic(&tag.key));
        ScanRequest {
            start_unix_nano: self.start_unix_nano.unwrap_or(0),
            end_unix_nano: self
                .end_unix_nano
                .map_or(u64::MAX, |end| end.saturating_sub(1)),
            service: self.service.clone().filter(|_| service_is_known),
            names: self.operation.iter().cloned().collect(),
            min_duration_nano: self.min_duration_nano,
            max_duration_nano: self.max_duration_nano,
            only_errors: self.only_errors,
            attributes: attributes
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
            text: self.text.clone(),
            newest_first: true,
            parts: SpanParts::NONE,
        }
    }
}

/// How far a search may go.
pub(crate) struct SearchLimits {
    pub(crate) deadline: Instant,
    pub(crate) spans: u64,
}

/// Finds the newest traces that match `query`.
///
/// The store hands out spans by start, newest first, and a trace starts no later than any of its
/// spans. So once as many traces are known as were asked for, and all of them start after
/// everything that is still to come, no better one can follow.
///
/// `summarize` reads one trace and is asked once for each; it answers `None` if the trace does not
/// match after all.
pub(crate) fn search(
    store: &Store,
    query: &TraceQuery,
    limits: &SearchLimits,
    summarize: &mut dyn FnMut(TraceId) -> Result<Option<TraceSummary>, ReadError>,
) -> Result<TracePage, ReadError> {
    let limit = query.limit_or_default();
    let mut newest = Newest {
        kept: BTreeMap::new(),
        limit,
    };
    let mut seen = HashSet::new();
    let (mut visited, mut truncated, mut failure) = (0, false, None);
    let service_is_known = |name: &String| store.services().iter().any(|known| known.name == *name);
    let request = query.scan_request(query.service.as_ref().is_some_and(service_is_known));
    store.scan(&request, &mut |record| {
        visited += 1;
        let window = record.span.start_unix_nano / SCAN_WINDOW_NANO;
        if newest.all_start_after((window + 1).saturating_mul(SCAN_WINDOW_NANO)) {
            return ControlFlow::Break(());
        }
        truncated = visited > limits.spans || Instant::now() > limits.deadline;
        if truncated {
            return ControlFlow::Break(());
        }
        if !seen.insert(record.span.trace_id) {
            return ControlFlow::Continue(());
        }
        match summarize(record.span.trace_id) {
            Ok(Some(summary)) if query.before.is_none_or(|before| summary.cursor() < before) => {
                newest.offer(summary);
            }
            Ok(_) => {}
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(newest.page(truncated)),
    }
}

/// The newest traces found so far, and one more than asked for: it tells whether there is a next
/// page.
struct Newest {
    kept: BTreeMap<Cursor, TraceSummary>,
    limit: usize,
}

impl Newest {
    fn offer(&mut self, summary: TraceSummary) {
        self.kept.insert(summary.cursor(), summary);
        if self.kept.len() > self.limit + 1 {
            self.kept.pop_first();
        }
    }

    fn all_start_after(&self, unix_nano: u64) -> bool {
        let oldest = self.kept.first_key_value();
        self.kept.len() > self.limit
            && oldest.is_some_and(|(cursor, _)| cursor.start_unix_nano >= unix_nano)
    }

    fn page(mut self, truncated: bool) -> TracePage {
        let has_more = self.kept.len() > self.limit;
        if has_more {
            self.kept.pop_first();
        }
        let traces: Vec<TraceSummary> = self.kept.into_values().rev().collect();
        let next = traces.last().map(TraceSummary::cursor).filter(|_| has_more);
        TracePage {
            traces,
            next,
            truncated,
        }
    }
}

impl TraceSummary {
    /// Its place in a list of results.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            start_unix_nano: self.start_unix_nano,
            trace_id: self.trace_id,
        }
    }

    /// The summary of the spans of one trace, if any of them matches `query`. Looks at attributes
    /// only if the query does.
    pub fn of(
        records: &[Arc<SpanRecord>],
        query: &TraceQuery,
        run_id: Option<RunId>,
        now_unix_nano: u64,
    ) -> Option<Self> {
        let records = without_duplicates(records);
        let matched = records
            .iter()
            .filter(|record| query.matches(record))
            .count() as u64;
        let first = records.first().filter(|_| matched > 0)?;
        let root = records.iter().find(|record| is_root(&record.span));
        let shown = root.unwrap_or(first);
        let start_unix_nano = first.span.start_unix_nano;
        let end_unix_nano = records
            .iter()
            .map(|record| record.span.end_unix_nano)
            .max()?;
        let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut state = SpanState::Complete;
        for record in &records {
            let service = service_name(&record.resource, &record.span);
            let (spans, errors) = services.entry(service).or_default();
            *spans += 1;
            *errors += u64::from(record.span.is_error());
            state = state.and(SpanState::of(&record.span, now_unix_nano));
        }
        Some(Self {
            trace_id: first.span.trace_id,
            root_service: service_name(&shown.resource, &shown.span).to_owned(),
            root_name: shown.span.name.to_string(),
            start_unix_nano,
            duration_nano: end_unix_nano.saturating_sub(start_unix_nano),
            span_count: records.len() as u64,
            error_count: services.values().map(|(_, errors)| errors).sum(),
            matched_span_count: matched,
            services: services
                .into_iter()
                .map(|(name, (span_count, error_count))| ServiceCount {
                    name: name.to_owned(),
                    span_count,
                    error_count,
                })
                .collect(),
            state,
            root_missing: root.is_none(),
            run_id,
        })
    }
}
