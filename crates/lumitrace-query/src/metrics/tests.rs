//! Series of metrics against plain lists of points.

use super::*;
use crate::fixture::{SECOND, T0, store};
use lumitrace_model::{
    AggregationTemporality, HistogramPoint, Metric, MetricData, Number, NumberPoint, PointFlags,
    QuantileValue, Resource, ResourceMetrics, ScopeMetrics, SummaryPoint, names,
};
use lumitrace_store::{MetricBatch, QueryLimits, QueryMemory};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn metric(name: &str, data: MetricData) -> Metric {
    Metric {
        name: name.to_owned().into(),
        unit: "1".into(),
        data: Some(data),
        ..Metric::default()
    }
}

fn append(store: &Store, service: &str, metrics: Vec<Metric>) {
    let metrics = ResourceMetrics {
        resource: Resource {
            attributes: vec![KeyValue::new(names::SERVICE_NAME, service.to_owned())],
            ..Resource::default()
        },
        scope_metrics: vec![ScopeMetrics {
            metrics,
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    let batch = MetricBatch::from_resource_metrics(&[metrics]).unwrap();
    store.append_metrics(batch).wait().unwrap();
}

fn asked(store: &Store, query: &MetricQuery) -> MetricAnswer {
    metric_series(store, query, &QueryBudget::unlimited()).unwrap()
}

fn of(name: &str) -> MetricQuery {
    MetricQuery {
        name: name.to_owned(),
        max_points: 1000,
        max_series: 100,
        ..MetricQuery::default()
    }
}

/// The last values of a curve, with seconds of the test.
fn shown(series: &SeriesCurves, name: &str) -> Vec<(f64, f64)> {
    let curve = series.curves.iter().find(|curve| curve.name == name);
    let points = curve.map_or(&[][..], |curve| &curve.points).iter();
    let seconds = |nano: u64| (nano - T0) as f64 / SECOND as f64;
    points
        .map(|point| (seconds(point.time_unix_nano), point.last))
        .collect()
}

fn number_point(second: u64, value: f64) -> NumberPoint {
    NumberPoint {
        start_unix_nano: T0,
        time_unix_nano: T0 + second * SECOND,
        value: Some(Number::Double(value)),
        ..NumberPoint::default()
    }
}

fn sum(temporality: AggregationTemporality, points: Vec<NumberPoint>) -> MetricData {
    MetricData::Sum {
        temporality,
        is_monotonic: true,
        points,
    }
}

/// A measurement of the model.
#[derive(Debug, Clone)]
struct Measured {
    service: &'static str,
    worker: i64,
    second: u64,
    value: f64,
}

fn measured() -> impl Strategy<Value = Measured> {
    let service = prop::sample::select(vec!["loader", "trainer"]);
    let value = prop_oneof![4 => -9.0..9.0_f64, 1 => Just(f64::INFINITY), 1 => Just(f64::NAN)];
    (service, 0..12_i64, 1..20_u64, value).prop_map(|(service, worker, second, value)| Measured {
        service,
        worker,
        second,
        value,
    })
}

fn queries() -> impl Strategy<Value = MetricQuery> {
    let service = prop::option::of(Just("trainer".to_owned()));
    let tags = prop::option::of(0..12_i64).prop_map(|worker| {
        let tag = worker.map(|worker| TagFilter {
            key: "worker".to_owned(),
            value: worker.to_string(),
        });
        tag.into_iter().collect::<Vec<_>>()
    });
    let second = || prop::option::of((0..22_u64).prop_map(|second| T0 + second * SECOND));
    (service, tags, second(), second(), 1..9_usize).prop_map(
        |(service, tags, start, end, max_series)| MetricQuery {
            service,
            tags,
            start_unix_nano: start,
            end_unix_nano: end,
            max_series,
            ..of("m")
        },
    )
}

/// Of each series its points, by service and worker.
fn expected(points: &[Measured], query: &MetricQuery) -> Vec<(String, Vec<(f64, String)>)> {
    let mut series: BTreeMap<(&str, i64), Vec<&Measured>> = BTreeMap::new();
    for point in points {
        let time = T0 + point.second * SECOND;
        let is_wanted = query.service.as_ref().is_none_or(|it| it == point.service)
            && query
                .tags
                .iter()
                .all(|tag| tag.value == point.worker.to_string())
            && query.start_unix_nano.is_none_or(|start| time >= start)
            && query.end_unix_nano.is_none_or(|end| time < end);
        if is_wanted {
            let key = (point.service, point.worker);
            series.entry(key).or_default().push(point);
        }
    }
    let in_order = |((service, worker), mut points): ((&str, i64), Vec<&Measured>)| {
        points.sort_by_key(|point| point.second);
        let points = points.into_iter();
        let points = points.map(|point| (point.second as f64, format!("{:?}", point.value)));
        (format!("{service} {worker}"), points.collect())
    };
    series.into_iter().map(in_order).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn series_are_those_of_a_plain_list(
        mut points in prop::collection::vec(measured(), 0..40),
        flushed in 0..40_usize,
        queries in prop::collection::vec(queries(), 6),
    ) {
        // Two points of a series at one time may come in any order.
        points.sort_by_key(|it| (it.service, it.worker, it.second));
        points.dedup_by_key(|it| (it.service, it.worker, it.second));
        let (_dir, store) = store();
        for (number, point) in points.iter().enumerate() {
            if number == flushed {
                store.flush().unwrap();
            }
            let number_point = NumberPoint {
                attributes: vec![KeyValue::new("worker", point.worker)],
                ..number_point(point.second, point.value)
            };
            let data = MetricData::Gauge { points: vec![number_point] };
            append(&store, point.service, vec![metric("m", data)]);
        }
        for query in queries {
            let (found, expected) = (asked(&store, &query), expected(&points, &query));
            prop_assert_eq!(found.total_series, expected.len());
            prop_assert_eq!(found.metric.is_some(), !expected.is_empty());
            let label = |series: &SeriesCurves| {
                let Value::Int(worker) = series.attributes[0].value else {
                    panic!("a worker has a number");
                };
                let points = shown(series, "value").into_iter();
                let points = points.map(|(second, value)| (second, format!("{value:?}")));
                (format!("{} {worker}", series.origin.service_name()), points.collect())
            };
            let found: Vec<(String, Vec<_>)> = found.series.iter().map(label).collect();
            let first = expected.len().min(query.max_series);
            prop_assert_eq!(&found, &expected[..first]);
        }
    }
}

#[test]
fn curves_are_thinned_to_as_many_points_as_are_asked_for_and_no_spike_or_nan_is_lost() {
    let (_dir, store) = store();
    let value = |second| match second {
        777 => 1e9,
        888 => f64::NAN,
        _ => 1.0,
    };
    let points = (1..=2000).map(|second| number_point(second, value(second)));
    let points = points.collect();
    append(&store, "s", vec![metric("m", MetricData::Gauge { points })]);
    let query = MetricQuery {
        max_points: 50,
        ..of("m")
    };
    let points = &asked(&store, &query).series[0].curves[0].points;
    assert!(points.len() <= 50 && points.len() > 20, "{}", points.len());
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 2000);
    assert!(points.iter().any(|point| point.max == 1e9));
    assert!(points.iter().any(|point| point.last.is_nan()));
}

#[test]
fn a_sum_is_shown_as_its_rate_whichever_way_it_is_counted() {
    use AggregationTemporality::{Cumulative, Delta};
    let (_dir, store) = store();
    let restarted = NumberPoint {
        start_unix_nano: T0 + 40 * SECOND,
        ..number_point(60, 10.0)
    };
    let cumulative = vec![
        number_point(10, 5.0),
        number_point(30, 45.0),
        NumberPoint {
            value: None,
            flags: PointFlags::NO_RECORDED_VALUE,
            ..number_point(35, 0.0)
        },
        restarted,
    ];
    let delta = |start, end, value| NumberPoint {
        start_unix_nano: T0 + start * SECOND,
        ..number_point(end, value)
    };
    let deltas = vec![delta(0, 10, 5.0), delta(10, 30, 40.0)];
    let metrics = vec![
        metric("cumulative", sum(Cumulative, cumulative.clone())),
        metric("delta", sum(Delta, deltas.clone())),
    ];
    append(&store, "s", metrics.clone());
    // Its answer got lost: the same again.
    append(&store, "s", metrics);
    let rate = |name: &str| MetricQuery {
        as_rate: true,
        ..of(name)
    };
    let found = |query: &MetricQuery| shown(&asked(&store, query).series[0], "rate");
    let expected = [(10.0, 0.5), (30.0, 2.0), (60.0, 0.5)];
    assert_eq!(found(&rate("cumulative")), expected);
    assert_eq!(found(&rate("delta")), expected[..2]);
    let later = MetricQuery {
        start_unix_nano: Some(T0 + SECOND),
        ..rate("cumulative")
    };
    assert_eq!(found(&later), expected[1..]);
    append(
        &store,
        "s",
        vec![metric(
            "gauge",
            MetricData::Gauge {
                points: vec![number_point(1, 1.0)],
            },
        )],
    );
    let refused = metric_series(&store, &rate("gauge"), &QueryBudget::unlimited());
    assert!(matches!(
        refused,
        Err(QueryError::NoRate(MetricKind::Gauge))
    ));
}

#[test]
fn distributions_are_put_together_over_steps() {
    let (_dir, store) = store();
    let point = |second: u64, counts: [u64; 3]| HistogramPoint {
        start_unix_nano: T0,
        time_unix_nano: T0 + second * SECOND,
        count: counts.iter().sum(),
        sum: Some(second as f64),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![10.0, 20.0],
        ..HistogramPoint::default()
    };
    let data = MetricData::Histogram {
        temporality: AggregationTemporality::Cumulative,
        points: vec![
            point(10, [4, 0, 0]),
            point(20, [4, 4, 0]),
            point(70, [4, 8, 0]),
        ],
    };
    append(&store, "s", vec![metric("h", data)]);
    let query = MetricQuery {
        step_nano: NonZeroU64::new(60 * SECOND),
        ..of("h")
    };
    // Steps begin at whole minutes since the Unix epoch.
    assert_eq!(T0 / SECOND % 60, 20);
    let answer = asked(&store, &query);
    assert_eq!(answer.step_nano, query.step_nano);
    let series = &answer.series[0];
    assert_eq!(shown(series, "count"), [(20.0, 8.0), (70.0, 4.0)]);
    assert_eq!(shown(series, "sum"), [(20.0, 20.0), (70.0, 50.0)]);
    assert_eq!(shown(series, "p50"), [(20.0, 10.0), (70.0, 15.0)]);
    let curves: Vec<&str> = series.curves.iter().map(|it| &*it.name).collect();
    assert_eq!(curves, ["count", "sum", "p50", "p95", "p99"]);
    let few = MetricQuery {
        max_points: 4,
        ..of("h")
    };
    let answer = asked(&store, &few);
    assert_eq!(answer.step_nano, NonZeroU64::new(30 * SECOND));
    assert!(shown(&answer.series[0], "count").len() <= 4);
}

#[test]
fn a_summary_shows_its_own_quantiles() {
    let (_dir, store) = store();
    let point = |second: u64, count| SummaryPoint {
        start_unix_nano: T0,
        time_unix_nano: T0 + second * SECOND,
        count,
        sum: 2.0 * count as f64,
        quantile_values: [(0.5, 1.5), (0.999, f64::NAN)]
            .map(|(quantile, value)| QuantileValue { quantile, value })
            .to_vec(),
        ..SummaryPoint::default()
    };
    let data = MetricData::Summary {
        points: vec![point(10, 3), point(20, 5)],
    };
    append(&store, "s", vec![metric("s", data)]);
    let answer = asked(&store, &of("s"));
    let series = &answer.series[0];
    assert_eq!(shown(series, "count"), [(10.0, 3.0), (20.0, 2.0)]);
    assert_eq!(shown(series, "sum"), [(10.0, 6.0), (20.0, 4.0)]);
    assert_eq!(shown(series, "p50"), [(10.0, 1.5), (20.0, 1.5)]);
    let [(_, one), (_, other)] = shown(series, "p99.9")[..] else {
        panic!("there are two");
    };
    assert!(one.is_nan() && other.is_nan());
}

#[test]
fn of_two_metrics_of_one_name_the_latest_is_meant_unless_the_kind_is_said() {
    use AggregationTemporality::Delta;
    let (_dir, store) = store();
    let gauge = MetricData::Gauge {
        points: vec![number_point(1, 1.0)],
    };
    append(&store, "a", vec![metric("m", gauge)]);
    store.flush().unwrap();
    append(
        &store,
        "b",
        vec![metric("m", sum(Delta, vec![number_point(2, 2.0)]))],
    );
    let kinds = |query: &MetricQuery| {
        let answer = asked(&store, query);
        let kind = answer.metric.map(|metric| metric.kind);
        (kind, answer.total_series)
    };
    assert_eq!(kinds(&of("m")), (Some(MetricKind::Sum), 1));
    let gauges = MetricQuery {
        kind: Some(MetricKind::Gauge),
        ..of("m")
    };
    assert_eq!(kinds(&gauges), (Some(MetricKind::Gauge), 1));
    assert_eq!(kinds(&of("n")), (None, 0));

    let list = |service: Option<&str>, text: Option<&str>, limit| {
        let query = MetricListQuery {
            service: service.map(str::to_owned),
            text: text.map(str::to_owned),
            limit,
        };
        let list = list_metrics(&store, &query, &QueryBudget::unlimited()).unwrap();
        let entries = list.metrics.into_iter();
        let kinds: Vec<MetricKind> = entries
            .map(|it| {
                let info = it.info.unwrap();
                assert_eq!((info.kind, &*info.unit), (it.summary.kind, "1"));
                it.summary.kind
            })
            .collect();
        (kinds, list.total)
    };
    let [gauge, sum] = [MetricKind::Gauge, MetricKind::Sum];
    assert_eq!(list(None, None, 9), (vec![gauge, sum], 2));
    assert_eq!(list(None, Some("M"), 1), (vec![gauge], 2));
    assert_eq!(list(Some("b"), None, 9), (vec![sum], 1));
    assert_eq!(list(Some("c"), None, 9), (vec![], 0));
    assert_eq!(list(None, Some("x"), 9), (vec![], 0));
}

#[test]
fn a_question_that_costs_too_much_is_given_up_but_the_list_shows_what_is_known() {
    let (_dir, store) = store();
    let points = (1..=200).map(|second| number_point(second, 1.0)).collect();
    append(&store, "s", vec![metric("m", MetricData::Gauge { points })]);
    store.flush().unwrap();
    let limits = QueryLimits {
        max_spans: 10,
        max_time: Duration::MAX,
        ..QueryLimits::NONE
    };
    let budget = || QueryBudget::new(limits, &Arc::new(QueryMemory::new(u64::MAX)));
    let refused = metric_series(&store, &of("m"), &budget());
    assert!(matches!(
        refused,
        Err(QueryError::Exhausted(Exhausted::Spans { limit: 10 }))
    ));
    let query = MetricListQuery {
        limit: 9,
        ..MetricListQuery::default()
    };
    let list = list_metrics(&store, &query, &budget()).unwrap();
    assert_eq!((list.total, list.metrics[0].info.is_none()), (1, true));
    assert_eq!(list.metrics[0].summary.point_count, 200);
}
