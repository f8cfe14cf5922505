//! Folders written by each format version stay readable.
//!
//! To add the folder of a new version: raise the version, then run
//! `cargo test -p lumitrace-store --test golden -- --ignored`, and commit what it wrote.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumitrace_model::{
    AggregationTemporality, Event, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, KeyValue, Link, LogRecord, Metric, MetricData, Number, NumberPoint, PointFlags,
    QuantileValue, Resource, ResourceLogs, ResourceMetrics, ResourceSpans, Scope, ScopeLogs,
    ScopeMetrics, ScopeSpans, Severity, Span, SpanId, SpanKind, Status, StatusCode, SummaryPoint,
    TraceId, Value,
};
use lumitrace_store::{
    BlockDigester, DigestParts, LogBatch, LogEntry, LogScan, MetricBatch, MetricSelector, Point,
    QueryBudget, SpanBatch, SpanDigester, SpanRecord, Store, StoreOptions,
};

/// Version 4 of blocks, version 2 of the log.
const NEWEST: &str = "v4-log2";
const NEWEST_LOGS: &str = "logs-v4";
/// Written before log records had a payload file, with the same version.
const LOGS_WITHOUT_LARGE_VALUES: &str = "logs-v3";
const NEWEST_METRICS: &str = "metrics-v4";
/// Those before large values had a file of their own.
const WITHOUT_LARGE_VALUES: [&str; 2] = ["v1", "v2"];

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
}

/// Long, so that it is in the payload file.
fn large_text() -> String {
    (0..200).map(|number| format!("Größe {number}\n")).collect()
}

/// The attributes of a span, of its event and of its link in the folder of this version. One span of
/// those in the block has large ones.
fn attributes_in(version: &str, trace: u8, number: u8) -> Vec<KeyValue> {
    let mut attributes = value_of_every_type();
    if !WITHOUT_LARGE_VALUES.contains(&version) && (trace, number) == (1, 1) {
        attributes.push(KeyValue::new("large", large_text()));
        let parts = vec![Value::from(large_text()), Value::from(1)];
        attributes.push(KeyValue::new("large_array", parts));
        attributes.push(KeyValue::new("large_bytes", large_text().into_bytes()));
    }
    attributes
}

fn value_of_every_type() -> Vec<KeyValue> {
    let nested = Value::Map(vec![
        KeyValue::new("list", vec![Value::from(1), Value::Null, Value::from("x")]),
        KeyValue::new("empty", Value::Map(Vec::new())),
    ]);
    vec![
        KeyValue::new("null", Value::Null),
        KeyValue::new("bool", true),
        KeyValue::new("int", i64::MIN),
        KeyValue::new("double", f64::NEG_INFINITY),
        KeyValue::new("string", "Größe"),
        KeyValue::new("bytes", vec![0_u8, 255]),
        KeyValue::new("nested", nested),
    ]
}

/// The spans of trace `trace`: what a folder of this version holds.
fn resource_spans(version: &str, trace: u8) -> Vec<ResourceSpans> {
    let span = |number: u8| Span {
        trace_id: TraceId::from_bytes([trace; 16]),
        span_id: SpanId::from_bytes([number; 8]),
        parent_span_id: (number > 1).then(|| SpanId::from_bytes([1; 8])),
        trace_state: "vendor=1".into(),
        flags: 257,
        name: "batch_processing".into(),
        kind: SpanKind::Consumer,
        start_unix_nano: 1_700_000_000_000_000_000 + u64::from(number),
        end_unix_nano: 1_700_000_000_000_000_000,
        attributes: attributes_in(version, trace, number),
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 5,
            name: "exception".into(),
            attributes: attributes_in(version, trace, number),
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: TraceId::from_bytes([9; 16]),
            span_id: SpanId::from_bytes([9; 8]),
            trace_state: "other=2".into(),
            attributes: attributes_in(version, trace, number),
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Status {
            code: StatusCode::Error,
            message: "NaN loss".into(),
        },
        pending: number == 3,
    };
    let mut attributes = value_of_every_type();
    attributes.push(KeyValue::new("service.name", "trainer"));
    let scope = Scope {
        name: "train".into(),
        version: "1.2".into(),
        attributes: value_of_every_type(),
        dropped_attributes_count: 6,
    };
    let schema_url = "https://opentelemetry.io/schemas/1.37.0";
    vec![ResourceSpans {
        resource: Resource {
            attributes,
            dropped_attributes_count: 7,
        },
        schema_url: schema_url.into(),
        scope_spans: vec![ScopeSpans {
            scope,
            schema_url: schema_url.into(),
            spans: (1..4).map(span).collect(),
        }],
    }]
}

/// The span with its attributes by key: blocks do not keep their order.
fn by_key(mut span: Span) -> Span {
    span.attributes
        .sort_by(|left, right| left.key.cmp(&right.key));
    span
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Counts the spans of a block, and keeps the name of each.
#[derive(Debug)]
struct CountingDigester;

struct Count(u64);

impl SpanDigester for CountingDigester {
    fn format(&self) -> u64 {
        7
    }

    fn concerns(&self, span_name: &str) -> bool {
        span_name == "batch_processing"
    }

    fn begin(&self) -> Box<dyn BlockDigester> {
        Box::new(Count(0))
    }
}

impl BlockDigester for Count {
    fn add(
        &mut self,
        row: u64,
        record: &SpanRecord,
        parts: &mut DigestParts<'_>,
    ) -> io::Result<()> {
        assert_eq!(row, self.0);
        self.0 += 1;
        parts.add(record.span.name.as_bytes()).map(|_| ())
    }

    fn finish(self: Box<Self>, _parts: &mut DigestParts<'_>) -> io::Result<Vec<u8>> {
        Ok(format!("{} spans", self.0).into_bytes())
    }
}

fn digesting(dir: &Path) -> StoreOptions {
    StoreOptions {
        digester: Some(Arc::new(CountingDigester)),
        ..StoreOptions::new(dir)
    }
}

#[test]
fn folders_of_all_versions_are_read_whole() {
    for version in ["v1", "v2", "v3", "v3-log2", NEWEST] {
        check(version);
    }
}

fn check(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    copy_into(&golden(version), dir.path());
    let store = Store::open(digesting(dir.path())).unwrap();
    assert_eq!(store.stats().blocks, 1);
    let digests = store.digests().unwrap();
    let digests = digests.iter();
    let digests: Vec<_> = digests
        .map(|it| (it.services(), it.bytes(), it.seqs()))
        .collect();
    let trainer = ["trainer".to_owned()];
    let expected = (trainer.as_slice(), b"3 spans".as_slice(), 1..4);
    let has_digest = version == NEWEST;
    assert_eq!(
        digests,
        has_digest
            .then_some(expected)
            .into_iter()
            .collect::<Vec<_>>()
    );
    // Trace 1 is in the block, trace 2 in the log.
    for trace in [1, 2] {
        let found = store.trace(TraceId::from_bytes([trace; 16])).unwrap();
        let expected = &resource_spans(version, trace)[0];
        let spans = found.iter().map(|record| by_key(record.span.clone()));
        let expected_spans = expected.scope_spans[0].spans.iter().cloned().map(by_key);
        assert_eq!(
            spans.collect::<Vec<_>>(),
            expected_spans.collect::<Vec<_>>()
        );
        for record in &found {
            assert_eq!(*record.resource, expected.resource);
            assert_eq!(*record.scope, expected.scope_spans[0].scope);
            assert_eq!(*record.resource_schema_url, *expected.schema_url);
            assert_eq!(
                *record.scope_schema_url,
                *expected.scope_spans[0].schema_url
            );
        }
    }
}

#[test]
#[ignore = "writes the golden folder of the newest version, once per version"]
fn write_the_golden_folder_of_the_newest_version() {
    let dir = golden(NEWEST);
    assert!(
        !dir.exists(),
        "{} is there: a version's folder never changes",
        dir.display()
    );
    let used = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        log_segment_bytes: 32 << 10,
        ..digesting(used.path())
    });
    let store = store.unwrap();
    for trace in [1, 2] {
        let batch = SpanBatch::from_resource_spans(&resource_spans(NEWEST, trace)).unwrap();
        store.append(batch).wait().unwrap();
        if trace == 1 {
            store.flush().unwrap();
        }
    }
    // As a kill leaves it: with what is written ahead in the log.
    copy_into(used.path(), &dir);
    fs::remove_file(dir.join("LOCK")).unwrap();
}

/// The log records of part `part`: what a folder of this version holds.
fn resource_logs(version: &str, part: u8) -> Vec<ResourceLogs> {
    let mut bodies = vec![
        Value::from("loss is NaN"),
        Value::Map(value_of_every_type()),
        Value::Null,
        Value::from(-7),
    ];
    let mut attributes = value_of_every_type();
    if version != LOGS_WITHOUT_LARGE_VALUES {
        bodies.push(Value::from(large_text()));
        bodies.push(vec![Value::from(large_text()), Value::from(1)].into());
        attributes.push(KeyValue::new("large", large_text()));
    }
    let log = |(number, body): (u64, Value)| LogRecord {
        time_unix_nano: if number == 2 {
            0
        } else {
            1_700_000_000_000_000_000 + number
        },
        observed_time_unix_nano: 1_700_000_000_000_000_002,
        severity: Severity::from_number(18),
        severity_text: "ERR".into(),
        body,
        attributes: attributes.clone(),
        dropped_attributes_count: 1,
        flags: 257,
        trace_id: (number != 1).then(|| TraceId::from_bytes([part; 16])),
        span_id: (number != 1).then(|| SpanId::from_bytes([part; 8])),
        event_name: "exception".into(),
    };
    let spans = resource_spans(NEWEST, part).remove(0);
    vec![ResourceLogs {
        resource: spans.resource,
        schema_url: spans.schema_url.clone(),
        scope_logs: vec![ScopeLogs {
            scope: spans.scope_spans[0].scope.clone(),
            schema_url: spans.schema_url,
            log_records: (0..).zip(bodies).map(log).collect(),
        }],
    }]
}

#[test]
fn logs_of_all_versions_are_read_whole() {
    for version in [LOGS_WITHOUT_LARGE_VALUES, "logs-v3-payload", NEWEST_LOGS] {
        check_logs(version);
    }
}

fn check_logs(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    copy_into(&golden(version), dir.path());
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let mut found: Vec<Arc<LogEntry>> = Vec::new();
    let mut visit = |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    };
    store.scan_logs(&LogScan::default(), &mut visit).unwrap();
    found.sort_by_key(|entry| entry.seq);
    // Part 1 is in the block, part 2 in the log.
    let expected = [1, 2].map(|part| resource_logs(version, part).remove(0));
    let logs = expected
        .iter()
        .flat_map(|group| &group.scope_logs[0].log_records);
    assert_eq!(found.len(), logs.clone().count());
    for (entry, expected_log) in found.iter().zip(logs) {
        let mut log = entry.log.clone();
        let mut expected_log = expected_log.clone();
        for attributes in [&mut log.attributes, &mut expected_log.attributes] {
            attributes.sort_by(|left, right| left.key.cmp(&right.key));
        }
        assert_eq!(log, expected_log);
        assert_eq!(*entry.origin.resource, expected[0].resource);
        assert_eq!(*entry.origin.scope, expected[0].scope_logs[0].scope);
        assert_eq!(*entry.origin.resource_schema_url, *expected[0].schema_url);
    }
}

#[test]
#[ignore = "writes the golden folder of the newest version, once per version"]
fn write_the_golden_folder_of_the_newest_logs() {
    let dir = golden(NEWEST_LOGS);
    assert!(
        !dir.exists(),
        "{} is there: a version's folder never changes",
        dir.display()
    );
    let store = Store::open(StoreOptions::new(&dir)).unwrap();
    for part in [1, 2] {
        let batch = LogBatch::from_resource_logs(&resource_logs(NEWEST_LOGS, part)).unwrap();
        store.append_logs(batch).wait().unwrap();
        if part == 1 {
            store.flush().unwrap();
        }
    }
    drop(store);
    fs::remove_file(dir.join("LOCK")).unwrap();
}

const METRIC_START: u64 = 7;

fn metric_time(part: u8) -> u64 {
    1_700_000_000_000_000_000 + u64::from(part)
}

fn exemplars(part: u8) -> Vec<Exemplar> {
    vec![Exemplar {
        filtered_attributes: value_of_every_type(),
        time_unix_nano: 5,
        value: Some(Number::Double(0.25)),
        span_id: Some(SpanId::from_bytes([part; 8])),
        trace_id: None,
    }]
}

fn number_point(part: u8, value: Option<Number>) -> NumberPoint {
    NumberPoint {
        attributes: value_of_every_type(),
        start_unix_nano: METRIC_START,
        time_unix_nano: metric_time(part),
        value,
        exemplars: exemplars(part),
        flags: PointFlags(1),
    }
}

fn histogram_point(part: u8) -> HistogramPoint {
    HistogramPoint {
        attributes: value_of_every_type(),
        start_unix_nano: METRIC_START,
        time_unix_nano: metric_time(part),
        count: 6,
        sum: Some(-0.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.0, f64::INFINITY],
        exemplars: exemplars(part),
        flags: PointFlags(1),
        min: None,
        max: Some(4.0),
    }
}

fn exponential_histogram_point(part: u8) -> ExponentialHistogramPoint {
    ExponentialHistogramPoint {
        attributes: value_of_every_type(),
        start_unix_nano: METRIC_START,
        time_unix_nano: metric_time(part),
        count: u64::MAX,
        sum: None,
        scale: -3,
        zero_count: 2,
        zero_threshold: 0.125,
        positive: ExponentialBuckets {
            offset: -9,
            bucket_counts: vec![4, 0, 5],
        },
        negative: ExponentialBuckets {
            offset: 9,
            bucket_counts: vec![6],
        },
        exemplars: exemplars(part),
        flags: PointFlags(1),
        min: Some(-1.0),
        max: None,
    }
}

fn summary_point(part: u8) -> SummaryPoint {
    SummaryPoint {
        attributes: value_of_every_type(),
        start_unix_nano: METRIC_START,
        time_unix_nano: metric_time(part),
        count: 3,
        sum: 1.5,
        quantile_values: vec![QuantileValue {
            quantile: 0.99,
            value: 1.25,
        }],
        flags: PointFlags(1),
    }
}

/// A metric of each kind, with points of part `part`: what a folder of each version holds.
fn resource_metrics(part: u8) -> Vec<ResourceMetrics> {
    let temporality = AggregationTemporality::Cumulative;
    let number = |value| number_point(part, value);
    let kinds = [
        MetricData::Gauge {
            points: vec![number(Some(Number::Int(-3))), number(None)],
        },
        MetricData::Sum {
            temporality: AggregationTemporality::Delta,
            is_monotonic: true,
            points: vec![number(Some(Number::Double(0.5)))],
        },
        MetricData::Histogram {
            temporality,
            points: vec![histogram_point(part)],
        },
        MetricData::ExponentialHistogram {
            temporality,
            points: vec![exponential_histogram_point(part)],
        },
        MetricData::Summary {
            points: vec![summary_point(part)],
        },
    ];
    let metric = |(number, data): (u8, MetricData)| Metric {
        name: format!("metric.{number}").into(),
        description: "of a kind".into(),
        unit: "By".into(),
        metadata: value_of_every_type(),
        data: Some(data),
    };
    let spans = resource_spans(NEWEST, part).remove(0);
    vec![ResourceMetrics {
        resource: spans.resource,
        schema_url: spans.schema_url.clone(),
        scope_metrics: vec![ScopeMetrics {
            scope: spans.scope_spans[0].scope.clone(),
            schema_url: spans.schema_url,
            metrics: (0..).zip(kinds).map(metric).collect(),
        }],
    }]
}

/// The point with its attributes by key: blocks do not keep their order.
fn by_key_of_point(mut point: Point) -> Point {
    let attributes = match &mut point {
        Point::Number(point) => &mut point.attributes,
        Point::Histogram(point) => &mut point.attributes,
        Point::ExponentialHistogram(point) => &mut point.attributes,
        Point::Summary(point) => &mut point.attributes,
    };
    attributes.sort_by(|left, right| left.key.cmp(&right.key));
    point
}

#[test]
fn metrics_of_all_versions_are_read_whole() {
    for version in ["metrics-v3", NEWEST_METRICS] {
        check_metrics(version);
    }
}

fn check_metrics(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    copy_into(&golden(version), dir.path());
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    // Part 1 is in the block, part 2 in the log.
    for (part, number_of_points) in [(1, 6), (2, 6)] {
        let group = resource_metrics(part).remove(0);
        let mut found_points = 0;
        for expected in &group.scope_metrics[0].metrics {
            let time = metric_time(part);
            let selector = MetricSelector {
                name: Some(expected.name.to_string()),
                start_unix_nano: time,
                end_unix_nano: time,
                ..MetricSelector::default()
            };
            let found = store.metric_series(&selector, &QueryBudget::unlimited());
            let series = found.unwrap().series.remove(0);
            assert_eq!(*series.origin.resource, group.resource);
            assert_eq!(*series.origin.scope, group.scope_metrics[0].scope);
            assert_eq!(series.metric.metadata, expected.metadata);
            assert_eq!(
                (&*series.metric.unit, &*series.metric.description),
                ("By", "of a kind")
            );
            let points = series.points.iter().map(|stored| stored.point.clone());
            let points: Vec<Point> = points.map(by_key_of_point).collect();
            let expected: Vec<Point> = match expected.data.clone().unwrap() {
                MetricData::Gauge { points } | MetricData::Sum { points, .. } => {
                    points.into_iter().map(Point::Number).collect()
                }
                MetricData::Histogram { points, .. } => {
                    points.into_iter().map(Point::Histogram).collect()
                }
                MetricData::ExponentialHistogram { points, .. } => points
                    .into_iter()
                    .map(Point::ExponentialHistogram)
                    .collect(),
                MetricData::Summary { points } => points.into_iter().map(Point::Summary).collect(),
            };
            let expected: Vec<Point> = expected.into_iter().map(by_key_of_point).collect();
            assert_eq!(points, expected);
            found_points += points.len();
        }
        assert_eq!(found_points, number_of_points);
    }
}

#[test]
#[ignore = "writes the golden folder of the newest version, once per version"]
fn write_the_golden_folder_of_the_newest_metrics() {
    let dir = golden(NEWEST_METRICS);
    assert!(
        !dir.exists(),
        "{} is there: a version's folder never changes",
        dir.display()
    );
    let store = Store::open(StoreOptions::new(&dir)).unwrap();
    for part in [1, 2] {
        let batch = MetricBatch::from_resource_metrics(&resource_metrics(part)).unwrap();
        store.append_metrics(batch).wait().unwrap();
        if part == 1 {
            store.flush().unwrap();
        }
    }
    drop(store);
    fs::remove_file(dir.join("LOCK")).unwrap();
}
