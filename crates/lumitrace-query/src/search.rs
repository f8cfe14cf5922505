//! Finding traces, newest first, by what any of their spans says.

pub(crate) mod cache;
pub(crate) mod digest;
mod matching;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use lumitrace_model::TraceId;
use lumitrace_store::{
    Damaged, Exhausted, LookupError, QueryBudget, SCAN_WINDOW_NANO, ScanRequest, SpanRef, Store,
    StoredBatch,
};

use crate::engine::QueryError;
use crate::facts::SpanState;
use crate::training::RunId;
use matching::Matcher;

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

/// A text that is no [`Cursor`], or no [`LogCursor`](crate::LogCursor).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no cursor: pass the `next` of the page before, unchanged")]
pub struct ParseCursorError {
    text: String,
}

impl ParseCursorError {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }
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
        parse().ok_or_else(|| ParseCursorError::new(text))
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
    /// Damage that was met: traces, or spans of them, may be missing.
    pub damaged: Damaged,
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
/// About what a trace id takes in a set of them.
const SEEN_BYTES: usize = 2 * size_of::<TraceId>();

impl TraceQuery {
    fn limit_or_default(&self) -> usize {
        if self.limit == 0 {
            DEFAULT_LIMIT
        } else {
            self.limit
        }
    }
}

/// The traces with a span in `batch` that meets the conditions of `query`, each once.
pub(crate) fn matching_traces(query: &TraceQuery, batch: &StoredBatch) -> Vec<TraceId> {
    let matcher = Matcher::new(query);
    distinct_traces(batch.spans().filter(|span| matcher.matches_stored(*span)))
}

/// The traces of these spans, each once.
pub(crate) fn distinct_traces<'a>(spans: impl Iterator<Item = SpanRef<'a>>) -> Vec<TraceId> {
    let mut trace_ids: Vec<TraceId> = spans.map(SpanRef::trace_id).collect();
    trace_ids.sort_unstable();
    trace_ids.dedup();
    trace_ids
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
    budget: &QueryBudget,
    summarize: &mut dyn FnMut(TraceId) -> Result<Option<TraceSummary>, LookupError>,
) -> Result<TracePage, QueryError> {
    let limit = query.limit_or_default();
    let mut newest = Newest {
        kept: BTreeMap::new(),
        limit,
    };
    let mut seen = HashSet::new();
    let mut failure = None;
    let is_known = |service: &str| store.services().iter().any(|known| known.name == service);
    let request = ScanRequest {
        budget: budget.clone(),
        ..Matcher::new(query).scan_request(is_known)
    };
    let scanned = store.scan(&request, &mut |record| {
        let window = record.span.start_unix_nano / SCAN_WINDOW_NANO;
        if newest.all_start_after((window + 1).saturating_mul(SCAN_WINDOW_NANO)) {
            return ControlFlow::Break(());
        }
        if !seen.insert(record.span.trace_id) {
            return ControlFlow::Continue(());
        }
        if let Err(exhausted) = budget.hold(SEEN_BYTES) {
            failure = Some(exhausted.into());
            return ControlFlow::Break(());
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
    let exhausted = match failure {
        None => scanned.exhausted,
        Some(LookupError::Exhausted(exhausted)) => Some(exhausted),
        Some(LookupError::Read(error)) => return Err(error.into()),
    };
    let truncated = match exhausted {
        None => false,
        // What was found until then is worth showing.
        Some(Exhausted::Time { .. } | Exhausted::Spans { .. }) => true,
        Some(exhausted) => return Err(exhausted.into()),
    };
    Ok(TracePage {
        truncated,
        damaged: scanned.damaged,
        ..newest.page()
    })
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
        if self.kept.len() > self.limit.saturating_add(1) {
            self.kept.pop_first();
        }
    }

    fn all_start_after(&self, unix_nano: u64) -> bool {
        let oldest = self.kept.first_key_value();
        self.kept.len() > self.limit
            && oldest.is_some_and(|(cursor, _)| cursor.start_unix_nano >= unix_nano)
    }

    fn page(mut self) -> TracePage {
        let has_more = self.kept.len() > self.limit;
        if has_more {
            self.kept.pop_first();
        }
        let traces: Vec<TraceSummary> = self.kept.into_values().rev().collect();
        let next = traces.last().map(TraceSummary::cursor).filter(|_| has_more);
        TracePage {
            traces,
            next,
            ..TracePage::default()
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
}

#[cfg(test)]
mod tests {
    use super::digest::TraceDigest;
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, append, span, store, trace_id};
    use crate::training::recognition::TrainingNames;
    use lumitrace_store::{QueryLimits, QueryMemory, SpanParts};
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    const NOW: u64 = T0 + 1000 * SECOND;

    fn search_within(
        store: &Store,
        query: &TraceQuery,
        budget: &QueryBudget,
    ) -> Result<TracePage, QueryError> {
        let names = TrainingNames::default();
        let mut summarize = |id| {
            let records = store
                .trace_parts(id, SpanParts::ALL, &budget.part())?
                .whole()?;
            Ok(TraceDigest::of(id, &records, query, &names).summary(None, NOW))
        };
        search(store, query, budget, &mut summarize)
    }

    fn found_by(store: &Store, query: &TraceQuery) -> TracePage {
        search_within(store, query, &QueryBudget::unlimited()).unwrap()
    }

    fn budget(limits: QueryLimits) -> QueryBudget {
        QueryBudget::new(limits, &Arc::new(QueryMemory::new(u64::MAX)))
    }

    /// All pages one after the other, as trace number and count of matching spans.
    fn found(store: &Store, query: &TraceQuery) -> Vec<(TraceId, u64)> {
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            let page = found_by(store, &query);
            assert!(page.traces.len() <= query.limit);
            found.extend(
                page.traces
                    .iter()
                    .map(|trace| (trace.trace_id, trace.matched_span_count)),
            );
            match page.next {
                Some(next) => query.before = Some(next.to_string().parse().unwrap()),
                None => return found,
            }
        }
    }

    /// A span of the model, from which both the store's and the expected answer come.
    #[derive(Debug, Clone)]
    struct Modelled {
        trace: u64,
        id: u64,
        service: &'static str,
        name: &'static str,
        start: u32,
        duration: u32,
        failed: bool,
        epoch: i64,
    }

    impl Modelled {
        fn span(&self) -> SpanBuilder {
            let (start, duration) = (f64::from(self.start), f64::from(self.duration));
            let built = span(self.name, self.id)
                .trace(self.trace)
                .service(self.service)
                .at(start, start + duration)
                .with("epoch", self.epoch);
            if self.failed {
                built.failed("Broke")
            } else {
                built
            }
        }

        fn matches(&self, query: &TraceQuery) -> bool {
            let seconds = |nanos: u64| nanos / SECOND;
            query
                .service
                .as_ref()
                .is_none_or(|service| self.service == service)
                && query
                    .operation
                    .as_ref()
                    .is_none_or(|name| self.name == name)
                && query
                    .tags
                    .iter()
                    .all(|tag| self.epoch.to_string() == tag.value)
                && query.text.as_ref().is_none_or(|_| self.failed)
                && query
                    .min_duration_nano
                    .is_none_or(|min| u64::from(self.duration) >= seconds(min))
                && query
                    .max_duration_nano
                    .is_none_or(|max| u64::from(self.duration) <= seconds(max))
                && query
                    .start_unix_nano
                    .is_none_or(|at| u64::from(self.start) >= seconds(at - T0))
                && query
                    .end_unix_nano
                    .is_none_or(|at| u64::from(self.start) < seconds(at - T0))
                && (!query.only_errors || self.failed)
        }
    }

    fn expected(spans: &[Modelled], query: &TraceQuery) -> Vec<(TraceId, u64)> {
        let mut traces: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        for span in spans {
            let (start, matched) = traces.entry(span.trace).or_insert((u32::MAX, 0));
            *start = span.start.min(*start);
            *matched += u64::from(span.matches(query));
        }
        let mut found: Vec<_> = traces
            .into_iter()
            .filter(|(_, (_, matched))| *matched > 0)
            .collect();
        found.sort_by_key(|&(trace, (start, _))| std::cmp::Reverse((start, trace)));
        found
            .into_iter()
            .map(|(trace, (_, matched))| (trace_id(trace), matched))
            .collect()
    }

    fn any_spans() -> impl Strategy<Value = Vec<Modelled>> {
        let any = (
            1_u64..9,
            prop::sample::select(vec!["web", "shop"]),
            prop::sample::select(vec!["load", "train"]),
            0_u32..90,
            0_u32..4,
            prop::bool::weighted(0.2),
            0_i64..3,
        );
        prop::collection::vec(any, 1..40).prop_map(|spans| {
            let modelled =
                |((trace, service, name, start, duration, failed, epoch), id)| Modelled {
                    trace,
                    id,
                    service,
                    name,
                    start,
                    duration,
                    failed,
                    epoch,
                };
            spans.into_iter().zip(1..).map(modelled).collect()
        })
    }

    fn any_query() -> impl Strategy<Value = TraceQuery> {
        let seconds = |range| prop::option::weighted(0.3, range);
        (
            prop::option::weighted(0.4, prop::sample::select(vec!["web", "shop", "none"])),
            prop::option::weighted(0.3, prop::sample::select(vec!["load", "train"])),
            prop::option::weighted(0.3, 0_i64..3),
            prop::option::weighted(0.2, Just("brok")),
            (
                seconds(0_u64..4),
                seconds(0_u64..4),
                seconds(0_u64..90),
                seconds(0_u64..90),
            ),
            prop::bool::weighted(0.2),
            1_usize..5,
        )
            .prop_map(
                |(service, operation, epoch, text, times, only_errors, limit)| {
                    let (min, max, start, end) = times;
                    let tag = |epoch: i64| TagFilter {
                        key: "epoch".into(),
                        value: epoch.to_string(),
                    };
                    TraceQuery {
                        service: service.map(str::to_owned),
                        operation: operation.map(str::to_owned),
                        text: text.map(str::to_owned),
                        tags: epoch.map(tag).into_iter().collect(),
                        min_duration_nano: min.map(|min| min * SECOND),
                        max_duration_nano: max.map(|max| max * SECOND),
                        start_unix_nano: start.map(|start| T0 + start * SECOND),
                        end_unix_nano: end.map(|end| T0 + end * SECOND),
                        only_errors,
                        limit,
                        before: None,
                    }
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_search_finds_what_looking_at_every_span_finds(
            spans in any_spans(),
            in_block in 0_usize..40,
            queries in prop::collection::vec(any_query(), 16),
        ) {
            let (_dir, store) = store();
            let (old, new) = spans.split_at(in_block.min(spans.len()));
            append(&store, old.iter().map(Modelled::span));
            store.flush().unwrap();
            append(&store, new.iter().map(Modelled::span));
            for query in queries {
                prop_assert_eq!(found(&store, &query), expected(&spans, &query), "{:?}", query);
            }
        }
    }

    #[test]
    fn a_summary_counts_the_whole_trace_though_the_search_is_for_a_part() {
        let (_dir, store) = store();
        append(
            &store,
            [
                span("page", 1).service("web").at(0.0, 9.0),
                span("query", 2)
                    .parent(1)
                    .service("shop")
                    .at(1.0, 2.0)
                    .failed("no"),
                span("query", 3)
                    .parent(1)
                    .service("shop")
                    .at(20.0, 30.0)
                    .pending(),
            ],
        );
        let query = TraceQuery {
            only_errors: true,
            ..TraceQuery::default()
        };
        let page = found_by(&store, &query);
        let trace = &page.traces[0];
        assert_eq!(
            (
                trace.span_count,
                trace.error_count,
                trace.matched_span_count
            ),
            (3, 1, 1)
        );
        assert_eq!(
            (trace.root_service.as_str(), trace.root_name.as_str()),
            ("web", "page")
        );
        assert_eq!(
            (trace.duration_nano, trace.state),
            (30 * SECOND, SpanState::Interrupted)
        );
        let services: Vec<_> = trace
            .services
            .iter()
            .map(|service| (service.name.as_str(), service.span_count))
            .collect();
        assert_eq!(services, [("shop", 2), ("web", 1)]);
        assert!(!trace.root_missing);
    }

    #[test]
    fn a_service_that_only_spans_name_is_found() {
        let (_dir, store) = store();
        append(
            &store,
            [span("train", 1).anonymous().with("service.name", "hidden")],
        );
        let query = TraceQuery {
            service: Some("hidden".to_owned()),
            ..TraceQuery::default()
        };
        assert_eq!(found_by(&store, &query).traces.len(), 1);
    }

    #[test]
    fn a_search_that_reaches_its_limit_says_so() {
        let (_dir, store) = store();
        append(
            &store,
            (1..=9).map(|id| span("s", id).trace(id).at(id as f64 * 20.0, 200.0)),
        );
        // Each trace is looked at by the search and again for its summary.
        let few = budget(QueryLimits {
            max_spans: 9,
            ..QueryLimits::NONE
        });
        let page = search_within(&store, &TraceQuery::default(), &few).unwrap();
        assert!(page.truncated);
        assert!((1..9).contains(&page.traces.len()), "{page:?}");
        assert!(!found_by(&store, &TraceQuery::default()).truncated);
    }

    #[test]
    fn a_search_ends_when_nobody_waits_for_it_or_memory_does_not_suffice() {
        let (_dir, store) = store();
        append(&store, (1..=9).map(|id| span("s", id).trace(id)));
        let cancelled = QueryBudget::unlimited();
        drop(cancelled.cancel_on_drop());
        let page = search_within(&store, &TraceQuery::default(), &cancelled);
        assert!(
            matches!(page, Err(QueryError::Exhausted(Exhausted::Cancelled))),
            "{page:?}"
        );
        let narrow = budget(QueryLimits {
            max_memory_bytes: 100,
            ..QueryLimits::NONE
        });
        let page = search_within(&store, &TraceQuery::default(), &narrow);
        assert!(
            matches!(page, Err(QueryError::Exhausted(Exhausted::Memory { .. }))),
            "{page:?}"
        );
    }

    #[test]
    fn the_traces_that_a_search_has_seen_count_as_memory() {
        let (_dir, store) = store();
        let seconds = |id: u64| id as f64 * 20.0;
        let spans = (1..=200).map(|id| span("s", id).trace(id).at(seconds(id), seconds(id)));
        append(&store, spans);
        let narrow = budget(QueryLimits {
            max_memory_bytes: 200 * SEEN_BYTES as u64,
            ..QueryLimits::NONE
        });
        // Of each a summary that holds nothing.
        let found = search(&store, &TraceQuery::default(), &narrow, &mut |_| Ok(None));
        assert!(found.unwrap().traces.is_empty());
        let found = search(&store, &TraceQuery::default(), &narrow, &mut |_| Ok(None));
        assert!(
            matches!(found, Err(QueryError::Exhausted(Exhausted::Memory { .. }))),
            "the same budget has nothing left: {found:?}"
        );
    }

    #[test]
    fn a_search_that_finds_nothing_keeps_to_its_time_too() {
        let (_dir, store) = store();
        append(&store, (1..=9).map(|id| span("s", id).trace(id)));
        let query = TraceQuery {
            text: Some("nowhere".to_owned()),
            ..TraceQuery::default()
        };
        let is_truncated_when_time_is_over = || {
            let over = budget(QueryLimits {
                max_time: Duration::ZERO,
                ..QueryLimits::NONE
            });
            search_within(&store, &query, &over).unwrap().truncated
        };
        assert!(is_truncated_when_time_is_over());
        store.flush().unwrap();
        assert!(is_truncated_when_time_is_over());
        assert!(!found_by(&store, &query).truncated);
    }

    #[test]
    fn a_cursor_that_was_tampered_with_is_refused() {
        for text in ["", "1", "x-00000000000000000000000000000001", "1-0"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
