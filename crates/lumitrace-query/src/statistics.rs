//! How often operations are called, how often they fail and how long they take: over a range of time
//! and in steps of it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use lumitrace_store::{
    Damaged, DurationSketch, Exhausted, QueryBudget, RollupRequest, RollupRow, Store,
};

use crate::QueryError;
use crate::steps::step_nano;

const SECOND: u64 = 1_000_000_000;
/// Most operations times steps of one answer: what is held of each takes up to a few KiB.
const MAX_CELLS: usize = 50_000;

/// Which operations to tell about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only spans of this name.
    pub operation: Option<String>,
    /// Spans that started at this time or later, in nanoseconds since the Unix epoch. None: from the
    /// earliest on.
    pub start_unix_nano: Option<u64>,
    /// Spans that started before this time, in nanoseconds since the Unix epoch. None: up to the
    /// latest.
    pub end_unix_nano: Option<u64>,
    /// About how many steps to divide that time into; never more, but for one at each end that lies
    /// in it only in part. Zero: no steps.
    pub steps: usize,
}

/// How operations did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperationStatistics {
    /// When the time begins that is told about, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// When it ends; spans that start then are not in it.
    pub end_unix_nano: u64,
    /// When each step begins; all but the last end where the next one begins.
    pub steps_unix_nano: Vec<u64>,
    /// The operations, by service and name.
    pub operations: Vec<OperationRow>,
    /// Whether the limit of time was reached before all spans were counted.
    pub truncated: bool,
    /// Damage that was met: spans may not have been counted for it.
    pub damaged: Damaged,
}

/// How one operation did: spans of one service and one name, of all kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationRow {
    /// The service.
    pub service: Arc<str>,
    /// The spans' name.
    pub operation: Arc<str>,
    /// Over the whole time.
    pub total: SpanStatistics,
    /// In each step; none where no span started.
    pub steps: Vec<Option<SpanStatistics>>,
}

/// Counts and durations of some spans. Counts, sum and maximum are exact, percentiles within one
/// percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpanStatistics {
    /// How many spans started.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many started in a second, on average.
    pub rate_per_second: f64,
    /// The mean of their durations, in nanoseconds.
    pub mean_nano: f64,
    /// Half of them took no longer, in nanoseconds.
    pub p50_nano: u64,
    /// Nine of ten took no longer, in nanoseconds.
    pub p90_nano: u64,
    /// 95 of 100 took no longer, in nanoseconds.
    pub p95_nano: u64,
    /// 99 of 100 took no longer, in nanoseconds.
    pub p99_nano: u64,
    /// The longest, in nanoseconds.
    pub max_nano: u64,
}

/// Spans of one operation in one step, or in all.
#[derive(Debug, Clone, Default)]
struct Sum {
    durations: DurationSketch,
    errors: u64,
}

impl Sum {
    fn add(&mut self, durations: &DurationSketch, errors: u64) {
        self.durations.merge(durations);
        self.errors += errors;
    }

    /// Of spans that started within `range_nano`; none of none.
    fn statistics(&self, range_nano: u64) -> Option<SpanStatistics> {
        let quantile = |quantile| self.durations.quantile_nano(quantile);
        let count = self.durations.count();
        Some(SpanStatistics {
            count,
            errors: self.errors,
            rate_per_second: count as f64 * SECOND as f64 / range_nano.max(1) as f64,
            p50_nano: quantile(0.5)?,
            p90_nano: quantile(0.9)?,
            p95_nano: quantile(0.95)?,
            p99_nano: quantile(0.99)?,
            max_nano: self.durations.max_nano(),
            mean_nano: self.durations.sum_nano() as f64 / count as f64,
        })
    }
}

/// The time that a query is about and its division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeSpan {
    start: u64,
    /// Not in it.
    end: u64,
    step: Option<NonZeroU64>,
}

impl TimeSpan {
    /// When each step begins.
    fn steps(self) -> Vec<u64> {
        let Some(step) = self.step.map(u64::from) else {
            return Vec::new();
        };
        let first = self.start / step * step;
        (first..self.end).step_by(step as usize).collect()
    }

    /// For how long a step lies in it, in nanoseconds.
    fn nano_of_step(self, begin: u64) -> u64 {
        let step = self.step.map_or(0, u64::from);
        begin.saturating_add(step).min(self.end) - begin.max(self.start)
    }
}

/// Answers `query` from `store`.
pub(crate) fn operation_statistics(
    store: &Store,
    query: &OperationQuery,
    budget: &QueryBudget,
) -> Result<OperationStatistics, QueryError> {
    let time = time_span(store, query);
    let steps = time.steps();
    let operations = operation_count(store, query);
    let cells = operations.saturating_mul(steps.len());
    if cells > MAX_CELLS {
        return Err(QueryError::TooManySteps {
            operations,
            steps: steps.len(),
            limit: MAX_CELLS,
        });
    }
    if time.start >= time.end {
        return Ok(OperationStatistics {
            start_unix_nano: time.start,
            end_unix_nano: time.start,
            ..OperationStatistics::default()
        });
    }
    summed_up(store, query, time, steps, budget)
}

fn summed_up(
    store: &Store,
    query: &OperationQuery,
    time: TimeSpan,
    steps: Vec<u64>,
    budget: &QueryBudget,
) -> Result<OperationStatistics, QueryError> {
    let rollup = store.span_rollup(&RollupRequest {
        start_unix_nano: time.start,
        end_unix_nano: time.end - 1,
        service: query.service.clone(),
        name: query.operation.clone(),
        step_nano: time.step,
        budget: budget.clone(),
    })?;
    if let Some(exhausted @ Exhausted::Cancelled) = rollup.stats.exhausted {
        return Err(exhausted.into());
    }
    let mut sums: BTreeMap<(Arc<str>, Arc<str>), BTreeMap<u64, Sum>> = BTreeMap::new();
    for row in rollup.rows {
        let errors = if row.failed { row.durations.count() } else { 0 };
        let RollupRow { service, name, .. } = row;
        let of_operation = sums.entry((service, name)).or_default();
        let sum = of_operation.entry(row.step_unix_nano).or_default();
        sum.add(&row.durations, errors);
    }
    let operation =
        |((service, operation), by_step): ((Arc<str>, Arc<str>), BTreeMap<u64, Sum>)| {
            let mut total = Sum::default();
            let of_steps = by_step.values();
            of_steps.for_each(|sum| total.add(&sum.durations, sum.errors));
            let in_step = |begin: &u64| by_step.get(begin)?.statistics(time.nano_of_step(*begin));
            Some(OperationRow {
                service,
                operation,
                total: total.statistics(time.end - time.start)?,
                steps: steps.iter().map(in_step).collect(),
            })
        };
    Ok(OperationStatistics {
        start_unix_nano: time.start,
        end_unix_nano: time.end,
        operations: sums.into_iter().filter_map(operation).collect(),
        steps_unix_nano: steps,
        truncated: rollup.stats.exhausted.is_some(),
        damaged: rollup.stats.damaged,
    })
}

/// What the query says, or when the spans that it is about start, as far as their summaries say.
fn time_span(store: &Store, query: &OperationQuery) -> TimeSpan {
    let services = store.services().into_iter();
    let services = services.filter(|it| query.service.as_ref().is_none_or(|name| *name == it.name));
    let stored = services.fold(None, |stored: Option<(u64, u64)>, service| {
        let (first, last) = (service.first_start_unix_nano, service.last_start_unix_nano);
        Some(stored.map_or((first, last), |known| {
            (known.0.min(first), known.1.max(last))
        }))
    });
    let (first, last) = stored.unwrap_or((0, 0));
    let start = query.start_unix_nano.unwrap_or(first);
    let end = query.end_unix_nano.unwrap_or(last.saturating_add(1));
    let steps = NonZeroU64::new(query.steps as u64);
    let step = steps.map(|steps| step_nano(end.saturating_sub(start), steps));
    TimeSpan { start, end, step }
}

/// How many operations the query is about, at most.
fn operation_count(store: &Store, query: &OperationQuery) -> usize {
    let services: Vec<String> = match &query.service {
        Some(service) => vec![service.clone()],
        None => store.services().into_iter().map(|it| it.name).collect(),
    };
    let operations = |service: &String| {
        let mut names: Vec<String> = store
            .operations(service)
            .into_iter()
            .map(|it| it.name)
            .collect();
        names.retain(|name| query.operation.as_ref().is_none_or(|wanted| wanted == name));
        // There is one for each kind.
        names.dedup();
        names.len()
    };
    services.iter().map(operations).sum()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::fixture::{T0, append, span, store};

    fn asked(store: &Store, query: &OperationQuery) -> OperationStatistics {
        operation_statistics(store, query, &QueryBudget::unlimited()).unwrap()
    }

    /// A hundred reads a second apart, of 1 to 100 ms, every tenth of them failed; and one write.
    fn reads_and_a_write() -> (tempfile::TempDir, Store) {
        let (dir, store) = store();
        let reads = (0..100_u64).map(|number| {
            let at = number as f64;
            let read = span("read", number + 1).at(at, at + (number + 1) as f64 / 1e3);
            match number % 10 {
                0 => read.failed("no"),
                _ => read,
            }
        });
        append(&store, reads.chain([span("write", 200).service("db")]));
        (dir, store)
    }

    #[test]
    fn operations_are_counted_and_their_percentiles_are_close() {
        let (_dir, store) = reads_and_a_write();
        for is_flushed in [false, true] {
            if is_flushed {
                store.flush().unwrap();
            }
            let found = asked(&store, &OperationQuery::default());
            let names: Vec<_> = found
                .operations
                .iter()
                .map(|it| (&*it.service, &*it.operation))
                .collect();
            assert_eq!(names, [("db", "write"), ("trainer", "read")]);
            let read = &found.operations[1];
            assert_eq!((read.total.count, read.total.errors), (100, 10));
            assert_eq!((read.total.max_nano, found.truncated), (100_000_000, false));
            assert!((read.total.mean_nano - 50_500_000.0).abs() < 1_000.0);
            assert!((read.total.rate_per_second - 100.0 / 99.0).abs() < 1e-3);
            for (percentile, exact) in [
                (read.total.p50_nano, 50_000_000_u64),
                (read.total.p90_nano, 90_000_000),
                (read.total.p95_nano, 95_000_000),
                (read.total.p99_nano, 99_000_000),
            ] {
                assert!(
                    percentile.abs_diff(exact) * 100 <= exact,
                    "{percentile} {exact}"
                );
            }
        }
    }

    #[test]
    fn steps_divide_the_time_and_add_up_to_all_of_it() {
        let (_dir, store) = reads_and_a_write();
        store.flush().unwrap();
        let query = OperationQuery {
            service: Some("trainer".to_owned()),
            start_unix_nano: Some(T0 + 5 * SECOND),
            end_unix_nano: Some(T0 + 95 * SECOND),
            steps: 3,
            ..OperationQuery::default()
        };
        let found = asked(&store, &query);
        // The epoch's multiples of 30 seconds, of which the first and the last lie in it in part.
        let first = (T0 + 5 * SECOND) / (30 * SECOND) * 30 * SECOND;
        let expected: Vec<u64> = (0..4).map(|step| first + step * 30 * SECOND).collect();
        assert_eq!(found.steps_unix_nano, expected);
        let read = &found.operations[0];
        let counts: Vec<u64> = read
            .steps
            .iter()
            .map(|step| step.map_or(0, |it| it.count))
            .collect();
        assert_eq!(counts.iter().sum::<u64>(), 90);
        assert_eq!(read.total.count, 90);
        assert!(counts[1..3].iter().all(|count| *count == 30), "{counts:?}");
        let rates = read.steps.iter().flatten().map(|step| step.rate_per_second);
        assert!(rates.into_iter().all(|rate| (rate - 1.0).abs() < 1e-9));
    }

    #[test]
    fn nothing_is_told_of_a_time_or_a_service_without_spans() {
        let (_dir, store) = reads_and_a_write();
        let nobody = OperationQuery {
            service: Some("nobody".to_owned()),
            steps: 10,
            ..OperationQuery::default()
        };
        assert!(asked(&store, &nobody).operations.is_empty());
        let reversed = OperationQuery {
            start_unix_nano: Some(T0 + SECOND),
            end_unix_nano: Some(T0),
            steps: 10,
            ..OperationQuery::default()
        };
        let found = asked(&store, &reversed);
        assert!(found.operations.is_empty() && found.steps_unix_nano.is_empty());
    }

    #[test]
    fn more_steps_than_fit_into_an_answer_are_refused() {
        let (_dir, store) = reads_and_a_write();
        let query = OperationQuery {
            start_unix_nano: Some(T0 - 86_400 * SECOND),
            end_unix_nano: Some(T0 + 86_400 * SECOND),
            steps: 100_000,
            ..OperationQuery::default()
        };
        let refused = operation_statistics(&store, &query, &QueryBudget::unlimited());
        assert!(matches!(
            refused,
            Err(QueryError::TooManySteps { operations: 2, .. })
        ));
    }
}
