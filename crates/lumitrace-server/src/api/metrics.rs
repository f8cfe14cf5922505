//! Metrics that programs sent: which there are, and their series. What the server counts about itself
//! is in [`crate::metrics`].

use super::error::ApiError;
use super::json::{attributes, nano, number, with_damage};
use super::params::Params;
use super::traces::tags;
use super::{Api, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use lumitrace_model::MetricKind;
use lumitrace_query::series::SeriesPoint;
use lumitrace_query::{MetricCurve, MetricEntry, MetricListQuery, MetricQuery, SeriesCurves};
use lumitrace_store::{MetricInfo, MetricSelector};
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::sync::Arc;

const LIST_PARAMS: [&str; 3] = ["service", "text", "limit"];
const SERIES_PARAMS: [&str; 10] = [
    "name",
    "kind",
    "service",
    "tag",
    "start_unix_nano",
    "end_unix_nano",
    "rate",
    "step",
    "max_points",
    "max_series",
];
const DEFAULT_METRICS: usize = 1000;
const MAX_METRICS: usize = 10_000;
const DEFAULT_POINTS: usize = 500;
const MAX_POINTS: usize = 10_000;
const DEFAULT_SERIES: usize = 20;
const MAX_SERIES: usize = 500;

/// `GET /metrics`: the metrics of which points are stored, by name and kind: those of `service`,
/// with `text` in their name in whatever case. `limit` is 1,000 unless it is said; `total` says how
/// many there are.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::only(query.as_deref(), &LIST_PARAMS)?;
    let query = MetricListQuery {
        service: params.text("service").map(str::to_owned),
        text: params.text("text").map(str::to_owned),
        limit: params.limit("limit", DEFAULT_METRICS, MAX_METRICS)?,
    };
    answer(api, move |api, budget| {
        let list = api.engine.metrics(&query, budget)?;
        let answer = json!({
            "metrics": list.metrics.iter().map(entry).collect::<Value>(),
            "total": list.total,
        });
        Ok(with_damage(answer, &list.damaged))
    })
    .await
}

/// `GET /metrics/series`: the series of the metric `name` (and of one `kind` if there are several)
/// that meet every condition: `service`; `tag` as `key=value`, an attribute of the series or its
/// resource, as often as you like; points from `start_unix_nano` up to, without, `end_unix_nano`.
/// `rate=true` shows a sum as what was added in a second. Distributions are put together over each
/// `step`. `max_points` of a curve are 500 unless it is said, `max_series` 20; `total_series` says
/// how many there are.
pub(super) async fn series(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = series_query(&Params::only(query.as_deref(), &SERIES_PARAMS)?)?;
    answer(api, move |api, budget| {
        let found = api.engine.metric_series(&query, budget)?;
        let answer = json!({
            "metric": found.metric.as_deref().map(|metric| described(metric.kind, Some(metric))),
            "step_nano": found.step_nano.map(|step| nano(step.get())),
            "series": found.series.iter().map(one_series).collect::<Value>(),
            "total_series": found.total_series,
        });
        Ok(with_damage(answer, &found.damaged))
    })
    .await
}

/// Which points a live stream wants.
pub(super) fn tail_filter(query: Option<&str>) -> Result<MetricSelector, ApiError> {
    let params = Params::only(query, &["name", "service", "tag"])?;
    let tags = tags(&params)?.into_iter();
    Ok(MetricSelector {
        name: params.text("name").map(str::to_owned),
        service: params.text("service").map(str::to_owned),
        attributes: tags.map(|tag| (tag.key, tag.value)).collect(),
        ..MetricSelector::default()
    })
}

fn series_query(params: &Params) -> Result<MetricQuery, ApiError> {
    let Some(name) = params.text("name") else {
        return Err(ApiError::bad_request(
            "say with name which metric is meant; GET /api/lumitrace/v1/metrics lists them",
        ));
    };
    let step = params.duration_nano("step")?.map(|step| {
        NonZeroU64::new(step).ok_or_else(|| ApiError::bad_request("step must be longer than 0"))
    });
    let query = MetricQuery {
        name: name.to_owned(),
        kind: params.text("kind").map(kind).transpose()?,
        service: params.text("service").map(str::to_owned),
        tags: tags(params)?,
        start_unix_nano: params.parsed("start_unix_nano")?,
        end_unix_nano: params.parsed("end_unix_nano")?,
        as_rate: params.parsed("rate")?.unwrap_or(false),
        step_nano: step.transpose()?,
        max_points: params.limit("max_points", DEFAULT_POINTS, MAX_POINTS)?,
        max_series: params.limit("max_series", DEFAULT_SERIES, MAX_SERIES)?,
    };
    if let (Some(start), Some(end)) = (query.start_unix_nano, query.end_unix_nano)
        && end < start
    {
        return Err(ApiError::bad_request(
            "end_unix_nano is before start_unix_nano",
        ));
    }
    Ok(query)
}

fn kind(text: &str) -> Result<MetricKind, ApiError> {
    let mut kinds = MetricKind::ALL.into_iter();
    kinds.find(|kind| kind.as_str() == text).ok_or_else(|| {
        let kinds = MetricKind::ALL.map(MetricKind::as_str).join(", ");
        ApiError::bad_request(format!("kind cannot be {text:?}; there are: {kinds}"))
    })
}

fn entry(entry: &MetricEntry) -> Value {
    let summary = &entry.summary;
    let mut value = described(summary.kind, entry.info.as_deref());
    value["name"] = json!(summary.name);
    value["services"] = json!(summary.services);
    value["point_count"] = json!(summary.point_count);
    value["last_seen_unix_nano"] = nano(summary.last_unix_nano);
    value
}

/// What a metric is; null where that is not known.
fn described(kind: MetricKind, info: Option<&MetricInfo>) -> Value {
    let has_temporality = !matches!(kind, MetricKind::Gauge | MetricKind::Summary);
    let temporality = info.filter(|_| has_temporality).map(|it| it.temporality);
    let is_monotonic = info.filter(|_| kind == MetricKind::Sum);
    json!({
        "name": info.map(|it| &it.name),
        "kind": kind.as_str(),
        "unit": info.map(|it| &it.unit),
        "description": info.map(|it| &it.description),
        "temporality": temporality.map(|it| it.as_str()),
        "is_monotonic": is_monotonic.map(|it| it.is_monotonic),
    })
}

fn one_series(series: &SeriesCurves) -> Value {
    let (resource, scope) = (&series.origin.resource, &series.origin.scope);
    json!({
        "service": series.origin.service_name(),
        "attributes": attributes(&series.attributes),
        "resource": {"attributes": attributes(&resource.attributes)},
        "scope": {
            "name": scope.name,
            "version": scope.version,
            "attributes": attributes(&scope.attributes),
        },
        "curves": series.curves.iter().map(curve).collect::<Value>(),
    })
}

fn curve(curve: &MetricCurve) -> Value {
    let points = curve.points.iter().map(point).collect::<Value>();
    json!({"name": curve.name, "points": points})
}

fn point(point: &SeriesPoint) -> Value {
    json!({
        "time_unix_nano": nano(point.time_unix_nano),
        "last": number(point.last),
        "min": number(point.min),
        "max": number(point.max),
        "count": point.count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_query::TagFilter;

    fn read(query: &str) -> Result<MetricQuery, ApiError> {
        series_query(&Params::only(Some(query), &SERIES_PARAMS)?)
    }

    #[test]
    fn a_question_about_series_is_read_from_its_parameters() {
        let query = read(
            "name=m&kind=sum&service=s&tag=worker%3D3&start_unix_nano=5&end_unix_nano=9&rate=true\
             &step=1m&max_points=7&max_series=99999",
        );
        let expected = MetricQuery {
            name: "m".to_owned(),
            kind: Some(MetricKind::Sum),
            service: Some("s".to_owned()),
            tags: vec![TagFilter {
                key: "worker".to_owned(),
                value: "3".to_owned(),
            }],
            start_unix_nano: Some(5),
            end_unix_nano: Some(9),
            as_rate: true,
            step_nano: NonZeroU64::new(60_000_000_000),
            max_points: 7,
            max_series: MAX_SERIES,
        };
        assert_eq!(query, Ok(expected));
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_right() {
        for (query, part) in [
            ("", "GET /api/lumitrace/v1/metrics"),
            ("name=m&kind=counter", "exponential_histogram"),
            ("name=m&rate=yes", "rate"),
            ("name=m&step=0s", "step"),
            ("name=m&step=5", "10ms"),
            ("name=m&start_unix_nano=5&end_unix_nano=4", "before"),
            ("name=m&max_points=0", "max_points"),
            ("name=m&steps=5", "step"),
        ] {
            let message = read(query).unwrap_err().message;
            assert!(message.contains(part), "{query}: {message}");
        }
    }
}
