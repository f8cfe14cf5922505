//! Finding log records, newest first, by what they say and where.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use lumitrace_model::{Severity, SpanId, TraceId};
use lumitrace_store::{Damaged, Exhausted, LogEntry, LogRef, LogScan, QueryBudget, Store};

use crate::engine::{QueryError, found_or_left_out};
use crate::search::{ParseCursorError, TagFilter};

const DEFAULT_LIMIT: usize = 100;

/// Which log records to find: those that meet every condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// The service that said it.
    pub service: Option<String>,
    /// The least severity. Those of unspecified severity are only found if this is unspecified too.
    pub min_severity: Severity,
    /// A text that appears, in whatever case, in its body.
    pub text: Option<String>,
    /// Attributes that it or its resource has, each with its value as text.
    pub tags: Vec<TagFilter>,
    /// The trace it was said in.
    pub trace_id: Option<TraceId>,
    /// The span it was said in.
    pub span_id: Option<SpanId>,
    /// It was said at this time or later, in nanoseconds since the Unix epoch.
    pub start_unix_nano: Option<u64>,
    /// It was said before this time, in nanoseconds since the Unix epoch.
    pub end_unix_nano: Option<u64>,
    /// At most this many log records; zero means 100.
    pub limit: usize,
    /// Only log records that come after this one in the list.
    pub before: Option<LogCursor>,
}

/// The place of a log record in the list of results: the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor {
    /// When it was said, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Its sequence number in the store.
    pub seq: u64,
}

impl LogCursor {
    /// The place of this log record.
    pub fn of(entry: &LogEntry) -> Self {
        Self {
            time_unix_nano: entry.log.timestamp_unix_nano(),
            seq: entry.seq,
        }
    }
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time_unix_nano, self.seq)
    }
}

impl FromStr for LogCursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let parse = || {
            let (time, seq) = text.split_once('-')?;
            Some(Self {
                time_unix_nano: time.parse().ok()?,
                seq: seq.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseCursorError::new(text))
    }
}

/// A page of results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogPage {
    /// Log records by time, newest first. Of bodies and attributes of more than 2 KiB there may be only
    /// about the first KiB; see [`crate::QueryEngine::log`].
    pub entries: Vec<Arc<LogEntry>>,
    /// Pass as [`LogQuery::before`] to read on; `None` at the end.
    pub next: Option<LogCursor>,
    /// Whether the search ran into its limit of time or log records before it had looked at
    /// everything: older ones may match.
    pub truncated: bool,
    /// Damage that was met: log records may be missing.
    pub damaged: Damaged,
}

impl LogQuery {
    /// Its conditions, for log records at hand: those of a live stream. Where pages begin and end does
    /// not matter to it.
    ///
    /// ```
    /// use lumitrace_query::LogQuery;
    /// use lumitrace_store::LogRef;
    /// let query = LogQuery { service: Some("trainer".to_owned()), ..LogQuery::default() };
    /// let filter = query.filter();
    /// let is_wanted = |log: LogRef<'_>| filter.matches(log);
    /// ```
    pub fn filter(&self) -> LogFilter {
        LogFilter(self.scan(&QueryBudget::unlimited()))
    }

    fn limit_or_default(&self) -> usize {
        match self.limit {
            0 => DEFAULT_LIMIT,
            limit => limit,
        }
    }

    /// What to ask the store for; `None` if no time is left that is asked for. Log records of the
    /// cursor's very nanosecond are among the answer, also those that come before it in the list.
    fn scan(&self, budget: &QueryBudget) -> Option<LogScan> {
        let last = match self.end_unix_nano {
            Some(end) => end.checked_sub(1)?,
            None => u64::MAX,
        };
        let reached = self.before.map_or(u64::MAX, |before| before.time_unix_nano);
        let tags = self.tags.iter();
        Some(LogScan {
            start_unix_nano: self.start_unix_nano.unwrap_or(0),
            end_unix_nano: last.min(reached),
            service: self.service.clone(),
            min_severity: self.min_severity,
            text: self.text.clone(),
            attributes: tags
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
            trace_id: self.trace_id,
            span_id: self.span_id,
            large_values: false,
            budget: budget.clone(),
        })
    }
}

/// Says of single log records whether a [`LogQuery`] asks for them.
#[derive(Debug)]
pub struct LogFilter(Option<LogScan>);

impl LogFilter {
    /// Whether `log` meets every condition.
    pub fn matches(&self, log: LogRef<'_>) -> bool {
        let scan = self.0.as_ref();
        scan.is_some_and(|scan| scan.matches_stored(log))
    }
}

/// Finds the newest log records that match `query`.
pub(crate) fn find_logs(
    store: &Store,
    query: &LogQuery,
    budget: &QueryBudget,
) -> Result<LogPage, QueryError> {
    let mut page = LogPage::default();
    let Some(scan) = query.scan(budget) else {
        return Ok(page);
    };
    let limit = query.limit_or_default();
    let (mut has_more, mut refused) = (false, None);
    let scanned = store.scan_logs(&scan, &mut |entry| {
        if query
            .before
            .is_some_and(|before| LogCursor::of(&entry) >= before)
        {
            return ControlFlow::Continue(());
        }
        if page.entries.len() == limit {
            has_more = true;
            return ControlFlow::Break(());
        }
        if let Err(exhausted) = budget.hold(entry.memory_bytes()) {
            refused = Some(exhausted);
            return ControlFlow::Break(());
        }
        page.entries.push(entry);
        ControlFlow::Continue(())
    })?;
    page.damaged = scanned.damaged;
    match refused.or(scanned.exhausted) {
        None => {}
        // What was found until then is worth showing.
        Some(Exhausted::Time { .. } | Exhausted::Spans { .. }) => page.truncated = true,
        Some(exhausted) => return Err(exhausted.into()),
    }
    let last = page.entries.last().map(|entry| LogCursor::of(entry));
    page.next = last.filter(|_| has_more);
    Ok(page)
}

/// The log record in this place of the list, whole.
pub(crate) fn find_log(
    store: &Store,
    place: LogCursor,
    budget: &QueryBudget,
) -> Result<Option<Arc<LogEntry>>, QueryError> {
    let scan = LogScan {
        start_unix_nano: place.time_unix_nano,
        end_unix_nano: place.time_unix_nano,
        budget: budget.clone(),
        ..LogScan::default()
    };
    let mut found = None;
    let scanned = store.scan_logs(&scan, &mut |entry| {
        if entry.seq == place.seq {
            found = Some(entry);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(entry) = &found {
        budget.hold(entry.memory_bytes())?;
    } else if let Some(exhausted) = scanned.exhausted {
        return Err(exhausted.into());
    }
    found_or_left_out(found, &scanned.damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{T0, span_id, store, trace_id};
    use lumitrace_model::{KeyValue, LogRecord, Resource, ResourceLogs, ScopeLogs, Value, names};
    use lumitrace_store::{LogBatch, QueryLimits, QueryMemory};
    use proptest::prelude::*;
    use std::time::Duration;

    /// A log record of the model, from which both the store's and the expected answer come.
    #[derive(Debug, Clone)]
    struct Modelled {
        service: &'static str,
        severity: i32,
        text: &'static str,
        nano: u64,
        step: i64,
        trace: u64,
    }

    impl Modelled {
        fn log(&self) -> LogRecord {
            LogRecord {
                time_unix_nano: T0 + self.nano,
                severity: Severity::from_number(self.severity),
                body: Value::from(self.text),
                attributes: vec![KeyValue::new("step", self.step)],
                trace_id: (self.trace > 0).then(|| trace_id(self.trace)),
                span_id: (self.trace > 0).then(|| span_id(self.trace)),
                ..LogRecord::default()
            }
        }

        fn matches(&self, query: &LogQuery) -> bool {
            let time = T0 + self.nano;
            let least = query.min_severity.number();
            query
                .service
                .as_ref()
                .is_none_or(|service| self.service == service)
                && (least == 0 || self.severity >= least)
                && query
                    .text
                    .as_ref()
                    .is_none_or(|text| self.text.to_lowercase().contains(&text.to_lowercase()))
                && query
                    .tags
                    .iter()
                    .all(|tag| tag.value == self.step.to_string())
                && query
                    .trace_id
                    .is_none_or(|id| self.trace > 0 && id == trace_id(self.trace))
                && query.start_unix_nano.is_none_or(|start| time >= start)
                && query.end_unix_nano.is_none_or(|end| time < end)
        }
    }

    fn append(store: &Store, logs: &[Modelled]) {
        let groups: Vec<ResourceLogs> = logs
            .iter()
            .map(|log| ResourceLogs {
                resource: Resource {
                    attributes: vec![KeyValue::new(names::SERVICE_NAME, log.service)],
                    ..Resource::default()
                },
                scope_logs: vec![ScopeLogs {
                    log_records: vec![log.log()],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            })
            .collect();
        let batch = LogBatch::from_resource_logs(&groups).unwrap();
        store.append_logs(batch).wait().unwrap();
    }

    /// All pages one after the other, as sequence numbers.
    fn found(store: &Store, query: &LogQuery) -> Vec<u64> {
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            let page = find_logs(store, &query, &QueryBudget::unlimited()).unwrap();
            assert!(page.entries.len() <= query.limit_or_default());
            found.extend(page.entries.iter().map(|entry| entry.seq));
            match page.next {
                Some(next) => query.before = Some(next.to_string().parse().unwrap()),
                None => return found,
            }
        }
    }

    fn modelled() -> impl Strategy<Value = Modelled> {
        let service = prop::sample::select(vec!["trainer", "loader"]);
        let text = prop::sample::select(vec!["Loss is NaN", "epoch done"]);
        (service, 0..24_i32, text, 0..6_u64, 0..3_i64, 0..3_u64).prop_map(
            |(service, severity, text, nano, step, trace)| Modelled {
                service,
                severity,
                text,
                nano,
                step,
                trace,
            },
        )
    }

    fn queries() -> impl Strategy<Value = LogQuery> {
        let service = prop::option::of(Just("trainer".to_owned()));
        let text = prop::option::of(Just("nan".to_owned()));
        let tags = prop::option::of(0..3_i64).prop_map(|step| {
            let tag = step.map(|step| TagFilter {
                key: "step".to_owned(),
                value: step.to_string(),
            });
            tag.into_iter().collect::<Vec<_>>()
        });
        let trace = prop::option::of((1..3_u64).prop_map(trace_id));
        let start = prop::option::of((0..6_u64).prop_map(|nano| T0 + nano));
        let end = prop::option::of((0..6_u64).prop_map(|nano| T0 + nano));
        let severity = prop::sample::select(vec![0, 9, 17]).prop_map(Severity::from_number);
        (service, severity, text, tags, trace, start, end, 1..4_usize).prop_map(
            |(service, min_severity, text, tags, trace_id, start, end, limit)| LogQuery {
                service,
                min_severity,
                text,
                tags,
                trace_id,
                span_id: None,
                start_unix_nano: start,
                end_unix_nano: end,
                limit,
                before: None,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn pages_together_hold_what_a_plain_list_does(
            logs in prop::collection::vec(modelled(), 0..20),
            flushed in 0..20_usize,
            queries in prop::collection::vec(queries(), 8),
        ) {
            let (_dir, store) = store();
            let (first, second) = logs.split_at(flushed.min(logs.len()));
            append(&store, first);
            store.flush().unwrap();
            append(&store, second);
            for query in queries {
                let mut expected: Vec<(u64, u64)> = (0_u64..)
                    .zip(&logs)
                    .filter(|(_, log)| log.matches(&query))
                    .map(|(seq, log)| (log.nano, seq))
                    .collect();
                expected.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
                let first_seq = all_seqs(&store).first().copied().unwrap_or(0);
                let expected: Vec<u64> =
                    expected.into_iter().map(|(_, seq)| first_seq + seq).collect();
                prop_assert_eq!(found(&store, &query), expected);
            }
        }
    }

    /// The sequence numbers of everything that is stored, in order.
    fn all_seqs(store: &Store) -> Vec<u64> {
        let mut seqs = found(store, &LogQuery::default());
        seqs.sort_unstable();
        seqs
    }

    fn one(text: &'static str) -> Modelled {
        Modelled {
            service: "trainer",
            severity: 9,
            text,
            nano: 1,
            step: 0,
            trace: 1,
        }
    }

    #[test]
    fn a_span_has_its_own_log_records() {
        let (_dir, store) = store();
        append(&store, &[one("in the span"), one("in another")]);
        let of_span = |id| LogQuery {
            trace_id: Some(trace_id(1)),
            span_id: Some(span_id(id)),
            ..LogQuery::default()
        };
        assert_eq!(found(&store, &of_span(1)).len(), 2);
        assert!(found(&store, &of_span(2)).is_empty());
    }

    #[test]
    fn a_list_has_the_beginning_of_a_long_body_and_its_place_the_whole() {
        let (_dir, store) = store();
        let long: &'static str = "said at length ".repeat(1000).leak();
        append(&store, &[one("short"), one(long), one("short too")]);
        store.flush().unwrap();
        let query = LogQuery {
            text: Some("at length".to_owned()),
            ..LogQuery::default()
        };
        let budget = QueryBudget::unlimited();
        let page = find_logs(&store, &query, &budget).unwrap();
        let [listed] = page.entries.as_slice() else {
            panic!("{page:?}");
        };
        assert_eq!(listed.log.body, Value::from(long[..1024].to_owned()));
        let place = LogCursor::of(listed);
        let whole = find_log(&store, place, &budget).unwrap().unwrap();
        assert_eq!(whole.log.body, Value::from(long));
        let nowhere = LogCursor {
            seq: place.seq + 100,
            ..place
        };
        assert_eq!(find_log(&store, nowhere, &budget).unwrap(), None);
    }

    #[test]
    fn a_search_that_costs_too_much_shows_what_it_has_or_says_why_not() {
        let (_dir, store) = store();
        append(&store, &vec![one("said often"); 200]);
        let within = |limits| {
            let budget = QueryBudget::new(limits, &Arc::new(QueryMemory::new(u64::MAX)));
            find_logs(&store, &LogQuery::default(), &budget)
        };
        let late = within(QueryLimits {
            max_time: Duration::ZERO,
            ..QueryLimits::NONE
        });
        assert!(late.unwrap().truncated);
        let few = within(QueryLimits {
            max_spans: 10,
            ..QueryLimits::NONE
        });
        assert!(few.unwrap().truncated);
        let large = within(QueryLimits {
            max_memory_bytes: 1000,
            ..QueryLimits::NONE
        });
        assert!(matches!(
            large,
            Err(QueryError::Exhausted(Exhausted::Memory { .. }))
        ));
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused() {
        for text in ["", "1", "1-", "x-1", "1-2-3"] {
            assert!(text.parse::<LogCursor>().is_err(), "{text}");
        }
    }
}
