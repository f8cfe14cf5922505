//! Metrics: which there are, and their series as curves.
//!
//! In reading order: a question is a [`MetricQuery`]. The points of a series become [`MetricCurve`]s
//! in `curves`, with what `totals` say was added between two points, and the quantiles of a
//! `distribution`.

mod curves;
mod distribution;
mod totals;

use std::cmp::Ordering;
use std::num::NonZeroU64;
use std::sync::Arc;

use lumitrace_model::{KeyValue, MetricKind, Value};
use lumitrace_store::{
    Damaged, Exhausted, LookupError, MetricInfo, MetricSelection, MetricSelector, MetricSeries,
    MetricSummary, Origin, QueryBudget, Store,
};

use crate::QueryError;
use crate::search::TagFilter;
use crate::series::{FEWEST_POINTS, SeriesPoint};
use crate::steps::step_nano;
use curves::{Shape, curves_of};

/// Most points of all curves of one answer together.
const MAX_ANSWER_POINTS: usize = 200_000;
/// As many as a distribution has; a summary with more quantiles is an exception.
const CURVES: usize = 5;

/// Which metrics to list: those that meet every condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricListQuery {
    /// A service that measures it.
    pub service: Option<String>,
    /// A text that appears, in whatever case, in its name.
    pub text: Option<String>,
    /// At most this many metrics.
    pub limit: usize,
}

/// Metrics by name and kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricList {
    /// The first of them.
    pub metrics: Vec<MetricEntry>,
    /// How many there are.
    pub total: usize,
    /// Damage that was met: of some it may not be known what they are.
    pub damaged: Damaged,
}

/// A metric of which points are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricEntry {
    /// Its name and kind, and who measures it.
    pub summary: MetricSummary,
    /// What it is; none where finding that out would have cost more than the question may.
    pub info: Option<Arc<MetricInfo>>,
}

/// Lists the metrics that match `query`.
pub(crate) fn list_metrics(
    store: &Store,
    query: &MetricListQuery,
    budget: &QueryBudget,
) -> Result<MetricList, QueryError> {
    let text = query.text.as_ref().map(|text| text.to_lowercase());
    let mut found = store.metrics();
    found.retain(|metric| {
        let service = query.service.as_ref();
        service.is_none_or(|service| metric.services.contains(service))
            && text
                .as_ref()
                .is_none_or(|text| metric.name.to_lowercase().contains(text))
    });
    let total = found.len();
    found.truncate(query.limit);
    let mut list = MetricList {
        metrics: Vec::with_capacity(found.len()),
        total,
        damaged: Damaged::default(),
    };
    let mut is_exhausted = false;
    for summary in found {
        let mut info = None;
        if !is_exhausted {
            let (name, damaged) = (&summary.name, &mut list.damaged);
            match store.metric_info(name, summary.kind, budget, damaged) {
                Ok(known) => info = known,
                Err(LookupError::Exhausted(Exhausted::Time { .. } | Exhausted::Spans { .. })) => {
                    is_exhausted = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
        list.metrics.push(MetricEntry { summary, info });
    }
    Ok(list)
}

/// Which series of one metric to show, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricQuery {
    /// The metric's name.
    pub name: String,
    /// Its kind; none means that of its latest point.
    pub kind: Option<MetricKind>,
    /// The service that measures it.
    pub service: Option<String>,
    /// Attributes that the series or its resource has, each with its value as text.
    pub tags: Vec<TagFilter>,
    /// Points of this time or later, in nanoseconds since the Unix epoch.
    pub start_unix_nano: Option<u64>,
    /// Points before this time, in nanoseconds since the Unix epoch.
    pub end_unix_nano: Option<u64>,
    /// Whether to show sums as what was added in a second.
    pub as_rate: bool,
    /// Over how long the values of distributions are put together, in nanoseconds; none means as
    /// long as it takes to get no more points than are asked for.
    pub step_nano: Option<NonZeroU64>,
    /// At most this many points of each curve, and fewer where there are many series.
    pub max_points: usize,
    /// At most this many series.
    pub max_series: usize,
}

/// The series of a metric.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricAnswer {
    /// What it is, as its latest point says; none if there are no points.
    pub metric: Option<Arc<MetricInfo>>,
    /// Over how long the values of distributions were put together, in nanoseconds.
    pub step_nano: Option<NonZeroU64>,
    /// The first series, by service and attributes.
    pub series: Vec<SeriesCurves>,
    /// How many series there are.
    pub total_series: usize,
    /// Damage that was met: points, or series, may be missing.
    pub damaged: Damaged,
}

/// A series as curves.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesCurves {
    /// Who measures it.
    pub origin: Arc<Origin>,
    /// What tells it from the others, by key.
    pub attributes: Vec<KeyValue>,
    /// What is shown of it.
    pub curves: Vec<MetricCurve>,
}

/// One curve of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCurve {
    /// What it shows: `value` or `rate` of a gauge or a sum; otherwise `count` and `sum` of the
    /// values of a step, and quantiles such as `p50` or `p99.9`.
    pub name: String,
    /// Its points by time, thinned as [`thin`](crate::series::thin) does.
    pub points: Vec<SeriesPoint>,
}

/// Finds the series that `query` asks for.
pub(crate) fn metric_series(
    store: &Store,
    query: &MetricQuery,
    budget: &QueryBudget,
) -> Result<MetricAnswer, QueryError> {
    let Some(selector) = selector(query) else {
        return Ok(MetricAnswer::default());
    };
    let MetricSelection {
        series: mut found,
        damaged,
    } = store.metric_series(&selector, budget)?;
    let Some(kind) = query
        .kind
        .or_else(|| latest(&found).map(|metric| metric.kind))
    else {
        return Ok(MetricAnswer {
            damaged,
            ..MetricAnswer::default()
        });
    };
    if query.as_rate && kind != MetricKind::Sum {
        return Err(QueryError::NoRate(kind));
    }
    for series in &mut found {
        series.points.retain(|point| point.metric.kind == kind);
        series
            .attributes
            .sort_by(|one, other| one.key.cmp(&other.key));
    }
    found.retain(|series| !series.points.is_empty());
    found.sort_by(in_order);
    let (metric, total_series) = (latest(&found), found.len());
    found.truncate(query.max_series.max(1));
    let shape = shape(query, &found);
    let mut answer = MetricAnswer {
        metric,
        step_nano: is_distribution(kind).then_some(shape.step_nano),
        series: Vec::with_capacity(found.len()),
        total_series,
        damaged,
    };
    for MetricSeries {
        origin,
        attributes,
        points,
        ..
    } in found
    {
        budget.check()?;
        let curves = curves_of(&points, kind, &shape);
        let shown: usize = curves.iter().map(|curve| curve.points.len()).sum();
        budget.hold(shown * size_of::<SeriesPoint>())?;
        answer.series.push(SeriesCurves {
            origin,
            attributes,
            curves,
        });
    }
    Ok(answer)
}

/// What to ask the store for; `None` if no time is left that is asked for.
fn selector(query: &MetricQuery) -> Option<MetricSelector> {
    let tags = query.tags.iter();
    Some(MetricSelector {
        start_unix_nano: query.start_unix_nano.unwrap_or(0),
        end_unix_nano: match query.end_unix_nano {
            Some(end) => end.checked_sub(1)?,
            None => u64::MAX,
        },
        name: Some(query.name.clone()),
        service: query.service.clone(),
        attributes: tags
            .map(|tag| (tag.key.clone(), tag.value.clone()))
            .collect(),
    })
}

/// What the latest of all points is one of.
fn latest(found: &[MetricSeries]) -> Option<Arc<MetricInfo>> {
    let last = found.iter().filter_map(|series| series.points.last());
    let last = last.max_by_key(|point| (point.point.time_unix_nano(), point.seq))?;
    Some(Arc::clone(&last.metric))
}

fn is_distribution(kind: MetricKind) -> bool {
    !matches!(kind, MetricKind::Gauge | MetricKind::Sum)
}

/// How the curves are to be drawn.
fn shape(query: &MetricQuery, found: &[MetricSeries]) -> Shape {
    let times = found.iter().flat_map(|series| {
        let ends = [series.points.first(), series.points.last()];
        ends.into_iter()
            .flatten()
            .map(|it| it.point.time_unix_nano())
    });
    let (first, last) = times.fold((u64::MAX, 0), |(first, last), time| {
        (first.min(time), last.max(time))
    });
    let most = MAX_ANSWER_POINTS / (CURVES * found.len().max(1));
    let max_points = query.max_points.min(most).max(FEWEST_POINTS);
    // Where the first and the last step lie in the range only in part, there are two more.
    let steps = NonZeroU64::new(max_points as u64 - 2).unwrap_or(NonZeroU64::MIN);
    let range = last.saturating_sub(first);
    Shape {
        from_unix_nano: query.start_unix_nano.unwrap_or(0),
        as_rate: query.as_rate,
        step_nano: query.step_nano.unwrap_or_else(|| step_nano(range, steps)),
        max_points,
    }
}

/// By service, then by attributes.
fn in_order(one: &MetricSeries, other: &MetricSeries) -> Ordering {
    let services = one.origin.service_name().cmp(other.origin.service_name());
    let attributes = || {
        let pairs = one.attributes.iter().zip(&other.attributes);
        let mut pairs = pairs.map(|(one, other)| {
            let keys = one.key.cmp(&other.key);
            keys.then_with(|| value_order(&one.value, &other.value))
        });
        let first = pairs.find(|order| order.is_ne());
        first.unwrap_or_else(|| one.attributes.len().cmp(&other.attributes.len()))
    };
    services.then_with(attributes)
}

fn value_order(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => one.total_cmp(other),
        (one, other) => format!("{one:?}").cmp(&format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
