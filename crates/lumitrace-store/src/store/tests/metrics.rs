//! Points of metrics: every kind comes back as it was, and series are found like in a plain list.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, KeyValue, Metric, MetricData, MetricKind, Number, NumberPoint, PointFlags,
    QuantileValue, Resource, ResourceMetrics, Scope, ScopeMetrics, SpanId, SummaryPoint, TraceId,
    Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{copy_of, expire_oldest, lose_newest, only_file, options};
use crate::check::check;
use crate::compaction::{CompactionSignal, merge};
use crate::manifest::BlockId;
use crate::repair::repair;
use crate::retention::{self, OwnRetention};
use crate::shelf::unix_nano_now;
use crate::{
    Damaged, MetricBatch, MetricInfo, MetricSelector, MetricSeries, MetricSummary, QueryBudget,
    ShelfName, Store, StoreOptions, StoredPoint,
};

/// When the point with number 0 of [`gauge`] was measured.
pub(super) const FIRST_POINT: u64 = 1_700_000_000_000_000_000;

/// Points of a gauge with these numbers: each its value, and as many nanoseconds after the first.
pub(super) fn gauge(name: &str, numbers: impl Iterator<Item = u64>) -> MetricBatch {
    let point = |number: u64| NumberPoint {
        attributes: vec![KeyValue::new("worker", number as i64 % 3)],
        time_unix_nano: FIRST_POINT + number,
        value: Some(Number::Int(number as i64)),
        ..NumberPoint::default()
    };
    let metric = Metric {
        name: name.to_owned().into(),
        data: Some(MetricData::Gauge {
            points: numbers.map(point).collect(),
        }),
        ..Metric::default()
    };
    let resource_metrics = ResourceMetrics {
        resource: Resource {
            attributes: vec![KeyValue::new("service.name", "trainer")],
            ..Resource::default()
        },
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    MetricBatch::from_resource_metrics(&[resource_metrics]).unwrap()
}

pub(super) fn select(store: &Store, selector: &MetricSelector) -> Vec<MetricSeries> {
    store
        .metric_series(selector, &QueryBudget::unlimited())
        .unwrap()
        .series
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.5),
        Just(f64::INFINITY),
        Just(-0.0),
        any::<i32>().prop_map(f64::from)
    ]
}

fn number() -> impl Strategy<Value = Option<Number>> {
    prop_oneof![
        Just(None),
        any::<i64>().prop_map(|int| Some(Number::Int(int))),
        double().prop_map(|double| Some(Number::Double(double))),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let value = prop_oneof![
        (0..2_i64).prop_map(Value::from),
        "[a-b]".prop_map(Value::from),
        Just(Value::Array(vec![Value::Null, Value::from(true)])),
    ];
    let attribute = ("[a-c]", value).prop_map(|(key, value)| KeyValue::new(key, value));
    vec(attribute, 0..3)
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let exemplar = (
        attributes(),
        0..9_u64,
        number(),
        option::of(1..3_u8),
        option::of(1..3_u8),
    )
        .prop_map(
            |(filtered_attributes, time_unix_nano, value, trace, span)| Exemplar {
                filtered_attributes,
                time_unix_nano,
                value,
                span_id: span.map(|id| SpanId::from_bytes([id; 8])),
                trace_id: trace.map(|id| TraceId::from_bytes([id; 16])),
            },
        );
    vec(exemplar, 0..3)
}

/// Attributes, start, time and flags.
type Common = (Vec<KeyValue>, u64, u64, PointFlags);

fn common() -> impl Strategy<Value = Common> {
    (
        attributes(),
        0..3_u64,
        1_000..1_010_u64,
        (0..3_u32).prop_map(PointFlags),
    )
}

fn number_point() -> impl Strategy<Value = NumberPoint> {
    (common(), number(), exemplars()).prop_map(|(common, value, exemplars)| NumberPoint {
        attributes: common.0,
        start_unix_nano: common.1,
        time_unix_nano: common.2,
        value,
        exemplars,
        flags: common.3,
    })
}

fn histogram_point() -> impl Strategy<Value = HistogramPoint> {
    let buckets = (vec(0..9_u64, 0..4), vec(double(), 0..4));
    let optional = (
        option::of(double()),
        option::of(double()),
        option::of(double()),
    );
    (common(), any::<u64>(), buckets, optional, exemplars()).prop_map(
        |(common, count, buckets, optional, exemplars)| HistogramPoint {
            attributes: common.0,
            start_unix_nano: common.1,
            time_unix_nano: common.2,
            count,
            sum: optional.0,
            bucket_counts: buckets.0,
            explicit_bounds: buckets.1,
            exemplars,
            flags: common.3,
            min: optional.1,
            max: optional.2,
        },
    )
}

fn buckets() -> impl Strategy<Value = ExponentialBuckets> {
    (any::<i32>(), vec(0..9_u64, 0..4)).prop_map(|(offset, bucket_counts)| ExponentialBuckets {
        offset,
        bucket_counts,
    })
}

fn exponential_histogram_point() -> impl Strategy<Value = ExponentialHistogramPoint> {
    let zero = (any::<i32>(), any::<u64>(), double());
    let optional = (
        option::of(double()),
        option::of(double()),
        option::of(double()),
    );
    (
        common(),
        any::<u64>(),
        zero,
        (buckets(), buckets()),
        optional,
        exemplars(),
    )
        .prop_map(|(common, count, zero, buckets, optional, exemplars)| {
            ExponentialHistogramPoint {
                attributes: common.0,
                start_unix_nano: common.1,
                time_unix_nano: common.2,
                count,
                sum: optional.0,
                scale: zero.0,
                zero_count: zero.1,
                zero_threshold: zero.2,
                positive: buckets.0,
                negative: buckets.1,
                exemplars,
                flags: common.3,
                min: optional.1,
                max: optional.2,
            }
        })
}

fn summary_point() -> impl Strategy<Value = SummaryPoint> {
    let value =
        (double(), double()).prop_map(|(quantile, value)| QuantileValue { quantile, value });
    (common(), any::<u64>(), double(), vec(value, 0..3)).prop_map(
        |(common, count, sum, quantile_values)| SummaryPoint {
            attributes: common.0,
            start_unix_nano: common.1,
            time_unix_nano: common.2,
            count,
            sum,
            quantile_values,
            flags: common.3,
        },
    )
}

fn data() -> impl Strategy<Value = Option<MetricData>> {
    let temporality = || (0..3_i64).prop_map(AggregationTemporality::from_code);
    prop_oneof![
        Just(None),
        vec(number_point(), 0..4).prop_map(|points| Some(MetricData::Gauge { points })),
        (temporality(), any::<bool>(), vec(number_point(), 0..4)).prop_map(
            |(temporality, is_monotonic, points)| Some(MetricData::Sum {
                temporality,
                is_monotonic,
                points,
            })
        ),
        (temporality(), vec(histogram_point(), 0..3)).prop_map(|(temporality, points)| {
            Some(MetricData::Histogram {
                temporality,
                points,
            })
        }),
        (temporality(), vec(exponential_histogram_point(), 0..3)).prop_map(
            |(temporality, points)| Some(MetricData::ExponentialHistogram {
                temporality,
                points,
            })
        ),
        vec(summary_point(), 0..3).prop_map(|points| Some(MetricData::Summary { points })),
    ]
}

fn resource_metrics() -> impl Strategy<Value = ResourceMetrics> {
    let metric =
        ("[m-o]", "[u-v]{0,1}", attributes(), data()).prop_map(|(name, unit, metadata, data)| {
            Metric {
                name: name.into(),
                description: unit.to_uppercase().into(),
                unit: unit.into(),
                metadata,
                data,
            }
        });
    (0..2_u8, attributes(), "[s-t]{0,1}", vec(metric, 0..4)).prop_map(
        |(service, mut attributes, scope, metrics)| {
            attributes.push(KeyValue::new("service.name", format!("service-{service}")));
            ResourceMetrics {
                resource: Resource {
                    attributes,
                    dropped_attributes_count: 1,
                },
                schema_url: "resource".into(),
                scope_metrics: vec![ScopeMetrics {
                    scope: Scope {
                        name: scope.into(),
                        ..Scope::default()
                    },
                    schema_url: "scope".into(),
                    metrics,
                }],
            }
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<ResourceMetrics>),
    Flush,
    Merge,
    Reopen,
    Crash,
    /// The oldest block goes.
    Expire,
    /// The newest block is lost, and the folder repaired.
    Repair,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(resource_metrics(), 0..3).prop_map(Step::Append),
        2 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Expire),
        1 => Just(Step::Repair),
    ]
}

/// Everything there is to know of a point. Blocks do not keep the order of attributes with different
/// keys.
fn text(stored: &StoredPoint) -> String {
    let mut stored = stored.clone();
    stored.received_unix_nano = 0;
    let attributes = match &mut stored.point {
        crate::Point::Number(point) => &mut point.attributes,
        crate::Point::Histogram(point) => &mut point.attributes,
        crate::Point::ExponentialHistogram(point) => &mut point.attributes,
        crate::Point::Summary(point) => &mut point.attributes,
    };
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    format!("{stored:?}")
}

/// A series as the model knows it: all that tells it apart, attributes by key.
fn label(stored: &StoredPoint) -> String {
    let sorted = |attributes: &[KeyValue]| {
        let mut sorted = attributes.to_vec();
        sorted.sort_by(|one, other| one.key.cmp(&other.key));
        sorted
    };
    let (origin, name) = (&stored.origin, &stored.metric.name);
    let resource = sorted(&origin.resource.attributes);
    let attributes = sorted(stored.point.attributes());
    format!("{name} {attributes:?} {} {resource:?}", origin.scope.name)
}

fn selectors() -> Vec<MetricSelector> {
    let all = MetricSelector::default;
    vec![
        all(),
        MetricSelector {
            name: Some("m".to_owned()),
            start_unix_nano: 1_003,
            end_unix_nano: 1_006,
            ..all()
        },
        MetricSelector {
            service: Some("service-1".to_owned()),
            attributes: vec![("a".to_owned(), "1".to_owned())],
            ..all()
        },
    ]
}

fn check_answers(store: &Store, stored: &[Arc<StoredPoint>]) {
    for selector in selectors() {
        let mut wanted: BTreeMap<String, Vec<&Arc<StoredPoint>>> = BTreeMap::new();
        for point in stored.iter().filter(|point| selector.matches(point)) {
            wanted.entry(label(point)).or_default().push(point);
        }
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for series in select(store, &selector) {
            let texts = series.points.iter().map(|point| text(point)).collect();
            let known = found.insert(label(&series.points[0]), texts);
            assert!(known.is_none(), "a series is there twice");
        }
        let in_order = |mut points: Vec<&Arc<StoredPoint>>| -> Vec<String> {
            points.sort_by_key(|point| (point.point.time_unix_nano(), point.seq));
            points.into_iter().map(|point| text(point)).collect()
        };
        let wanted: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(label, points)| (label, in_order(points)))
            .collect();
        assert_eq!(found, wanted, "{selector:?}");
    }
}

fn check_catalog(store: &Store, stored: &[Arc<StoredPoint>]) {
    let mut wanted: BTreeMap<(String, MetricKind), MetricSummary> = BTreeMap::new();
    let mut infos: BTreeMap<(String, MetricKind), Vec<Arc<MetricInfo>>> = BTreeMap::new();
    for point in stored {
        let (name, kind) = (point.metric.name.to_string(), point.metric.kind);
        let known = infos.entry((name.clone(), kind)).or_default();
        known.push(Arc::clone(&point.metric));
        let metric = wanted.entry((name.clone(), kind)).or_insert(MetricSummary {
            name,
            kind,
            services: Vec::new(),
            point_count: 0,
            last_unix_nano: 0,
        });
        metric.services.push(point.service_name().to_owned());
        metric.services.sort();
        metric.services.dedup();
        metric.point_count += 1;
        metric.last_unix_nano = metric.last_unix_nano.max(point.point.time_unix_nano());
    }
    let found = store.metrics();
    assert_eq!(found, wanted.into_values().collect::<Vec<_>>());
    for ((name, kind), known) in infos {
        let budget = QueryBudget::unlimited();
        let mut damaged = Damaged::default();
        let info = store.metric_info(&name, kind, &budget, &mut damaged);
        let info = info.unwrap().unwrap();
        assert!(known.contains(&info), "{info:?}");
    }
}

fn small(dir: &Path) -> StoreOptions {
    StoreOptions {
        row_group_rows: 7,
        log_segment_bytes: 2_000,
        ..options(dir)
    }
}

struct Run {
    dir: TempDir,
    store: Store,
    stored: Vec<Arc<StoredPoint>>,
}

impl Run {
    fn step(&mut self, step: Step) {
        match step {
            Step::Append(metrics) => {
                let batch = MetricBatch::from_resource_metrics(&metrics).unwrap();
                let receipt = self.store.append_metrics(batch.clone()).wait().unwrap();
                assert_eq!(receipt.record_count, batch.point_count());
                let mut origins = crate::origins::Origins::default();
                let first_seq = receipt.first_seq;
                let stored = crate::signal::Batch::into_stored(batch, first_seq, 0, &mut origins);
                self.stored
                    .extend(stored.points().map(|it| Arc::new(it.to_stored())));
            }
            Step::Flush => self.store.flush().unwrap(),
            Step::Merge => merge_all(&self.store),
            Step::Reopen => {
                self.store.close();
                self.go_on_with_a_copy();
            }
            Step::Crash => self.go_on_with_a_copy(),
            Step::Expire => {
                let expired = expire_oldest(self.store.metrics_engine());
                self.lose(expired);
            }
            Step::Repair => {
                self.store.close();
                let dir = copy_of(self.dir.path());
                self.lose(lose_newest(dir.path(), Path::new("metrics/blocks")));
                self.store = Store::open(small(dir.path())).unwrap();
                self.dir = dir;
            }
        }
    }

    /// Takes out what was in this block.
    fn lose(&mut self, block: Option<BlockId>) {
        let is_in = |seq| block.is_some_and(|id| (id.first_seq..id.end_seq).contains(&seq));
        self.stored.retain(|record| !is_in(record.seq));
    }

    fn go_on_with_a_copy(&mut self) {
        let dir = copy_of(self.dir.path());
        self.store = Store::open(small(dir.path())).unwrap();
        self.dir = dir;
    }
}

fn merge_all(store: &Store) {
    let Some(engine) = store.metrics_engine() else {
        return;
    };
    let blocks = engine.snapshot().blocks.clone();
    if blocks.len() > 1 {
        assert!(merge(engine, &blocks, &CompactionSignal::default()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn points_of_every_kind_are_found_like_in_a_plain_list_whatever_happens_to_the_store(
        steps in vec(step(), 1..10),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(small(dir.path())).unwrap();
        let mut run = Run { dir, store, stored: Vec::new() };
        for step in steps {
            run.step(step);
            check_answers(&run.store, &run.stored);
            check_catalog(&run.store, &run.stored);
        }
        run.store.flush().unwrap();
        drop(run.store);
        let whole = check(run.dir.path(), &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(whole.damages, vec![]);
    }
}

#[test]
fn a_metric_is_found_without_looking_at_others_nor_beyond_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for name in ["a", "b", "c"] {
        store.append_metrics(gauge(name, 0..30_000)).wait().unwrap();
    }
    store.flush().unwrap();
    let selector = MetricSelector {
        name: Some("b".to_owned()),
        start_unix_nano: FIRST_POINT + 10,
        end_unix_nano: FIRST_POINT + 19,
        ..MetricSelector::default()
    };
    let series = select(&store, &selector);
    assert_eq!(series.len(), 3);
    assert_eq!(series.iter().map(|it| it.points.len()).sum::<usize>(), 10);
    let memory = Arc::new(crate::QueryMemory::new(1_000_000));
    let budget = QueryBudget::new(crate::QueryLimits::NONE, &memory);
    store
        .metric_series(&MetricSelector::default(), &budget)
        .unwrap_err();
}

#[test]
fn points_of_wrong_clocks_are_found_and_open_their_block_for_no_other_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let day = 86_400_000_000_000;
    let numbers = (0..100).chain([50 * day, 10_000 * day]);
    store.append_metrics(gauge("a", numbers)).wait().unwrap();
    store.flush().unwrap();
    let data = only_file(&dir.path().join("metrics/blocks"), "parquet");
    let between = |from: u64, until: u64| MetricSelector {
        start_unix_nano: FIRST_POINT + from,
        end_unix_nano: FIRST_POINT + until,
        ..MetricSelector::default()
    };
    let ahead = select(&store, &between(49 * day, 51 * day));
    assert_eq!(ahead.iter().map(|it| it.points.len()).sum::<usize>(), 1);
    // Whoever opens the block now meets damage.
    fs::write(&data, b"").unwrap();
    let damaged = |selector| {
        let unlimited = QueryBudget::unlimited();
        store.metric_series(&selector, &unlimited).unwrap().damaged
    };
    assert_eq!(damaged(between(day, 49 * day)), Damaged::default());
    assert_eq!(damaged(between(51 * day, 9_999 * day)), Damaged::default());
    assert_ne!(damaged(between(0, 10)), Damaged::default());
}

#[test]
fn what_a_metric_is_is_told_from_few_rows_and_only_of_metrics_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for name in ["a", "b", "c"] {
        store.append_metrics(gauge(name, 0..90_000)).wait().unwrap();
    }
    store.flush().unwrap();
    let memory = Arc::new(crate::QueryMemory::new(0));
    let limits = crate::QueryLimits {
        max_spans: 66_000,
        ..crate::QueryLimits::NONE
    };
    let info = |name, kind| {
        let budget = QueryBudget::new(limits, &memory);
        let mut damaged = Damaged::default();
        store
            .metric_info(name, kind, &budget, &mut damaged)
            .unwrap()
    };
    for name in ["a", "b", "c"] {
        assert_eq!(info(name, MetricKind::Gauge).unwrap().name, name);
    }
    assert_eq!(info("d", MetricKind::Gauge), None);
}

#[test]
fn points_without_a_time_or_a_metrics_name_are_left_out_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let metric = |name: &'static str| Metric {
        name: name.into(),
        data: Some(MetricData::Summary {
            points: [0, 5]
                .map(|time_unix_nano| SummaryPoint {
                    time_unix_nano,
                    ..SummaryPoint::default()
                })
                .to_vec(),
        }),
        ..Metric::default()
    };
    let metrics = ResourceMetrics {
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![metric("a"), metric("")],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    let batch = MetricBatch::from_resource_metrics(&[metrics]).unwrap();
    assert_eq!(batch.point_count(), 1);
    assert_eq!(batch.rejected(), (3, Some("a data point has no time")));
    store.append_metrics(batch).wait().unwrap();
    store.append_metrics(gauge("b", 0..1)).wait().unwrap();
    let before = select(&store, &MetricSelector::default());
    assert_eq!(before.len(), 2);
    drop(store);
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!(select(&store, &MetricSelector::default()), before);
}

#[test]
fn metrics_have_a_retention_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        metric_retention: OwnRetention {
            max_age: Some(Duration::from_secs(3600)),
            ..OwnRetention::default()
        },
        ..options(dir.path())
    })
    .unwrap();
    store.append_metrics(gauge("a", 0..5)).wait().unwrap();
    store.flush().unwrap();
    let in_two_hours = unix_nano_now() + 7_200_000_000_000;
    retention::enforce(store.metrics_engine().unwrap(), in_two_hours);
    assert!(select(&store, &MetricSelector::default()).is_empty());
    assert_eq!(
        store.stats_of(ShelfName::Metrics).unwrap().expired_records,
        5
    );
}

#[test]
fn damaged_metrics_are_reported_and_what_is_readable_of_them_is_rescued() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let scattered = (0..40_000_u64).map(|it| it.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
    store.append_metrics(gauge("a", scattered)).wait().unwrap();
    store.flush().unwrap();
    drop(store);
    let data = only_file(&dir.path().join("metrics/blocks"), "parquet");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    assert_eq!(check(dir.path(), &mut go_on).unwrap().damages[0].file, data);
    let done = repair(dir.path(), false, &mut go_on).unwrap();
    assert!(done.rescued_records > 10_000, "{done:?}");
    let store = Store::open(options(dir.path())).unwrap();
    let found = select(&store, &MetricSelector::default());
    let points: usize = found.iter().map(|series| series.points.len()).sum();
    assert_eq!(points as u64, done.rescued_records);
}
