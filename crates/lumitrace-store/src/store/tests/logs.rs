//! Log records: what is stored comes back as it was, and searches find what a plain list would.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{
    KeyValue, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, Severity, SpanId, TraceId, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::large_values::words;
use super::{copy_of, expire_oldest, lose_newest, only_file, options};
use crate::check::check;
use crate::compaction::{CompactionSignal, merge};
use crate::manifest::BlockId;
use crate::repair::repair;
use crate::retention::{self, OwnRetention};
use crate::shelf::unix_nano_now;
use crate::{
    Exhausted, LogBatch, LogEntry, LogScan, QueryBudget, QueryLimits, QueryMemory, ShelfName,
    Store, StoreOptions,
};

/// When the log record with number 0 of [`log`] was said.
pub(super) const FIRST_LOG: u64 = 1_700_000_000_000_000_000;

/// A log record of trace `trace`, said so many nanoseconds after the first.
pub(super) fn log(trace: u8, number: u64) -> LogRecord {
    let mut trace_id = [0; 16];
    trace_id[15] = trace;
    LogRecord {
        time_unix_nano: FIRST_LOG + number,
        severity: Severity::INFO,
        body: Value::from("loss is falling"),
        trace_id: Some(TraceId::from_bytes(trace_id)),
        ..LogRecord::default()
    }
}

pub(super) fn logs(records: impl Iterator<Item = LogRecord>) -> LogBatch {
    let resource_logs = ResourceLogs {
        resource: Resource {
            attributes: vec![KeyValue::new("service.name", "trainer")],
            ..Resource::default()
        },
        scope_logs: vec![ScopeLogs {
            log_records: records.collect(),
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    };
    LogBatch::from_resource_logs(&[resource_logs]).unwrap()
}

pub(super) fn scanned(store: &Store, request: &LogScan) -> Vec<Arc<LogEntry>> {
    let mut found = Vec::new();
    let mut visit = |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    };
    store.scan_logs(request, &mut visit).unwrap();
    found
}

/// Around that from which on a text is large.
const LENGTHS: [usize; 3] = [2_040, 2_049, 5_000];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just(0.5), Just(f64::INFINITY), Just(-0.0)].prop_map(Value::from),
        "[a-zA-ZüÜ]{0,3}".prop_map(Value::from),
        (0..2_u64, prop::sample::select(&LENGTHS[..]))
            .prop_map(|(seed, len)| Value::from(words(seed, len))),
        vec(any::<u8>(), 0..3).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec(("[a-c]", inner), 0..3).prop_map(|pairs| {
                let pairs = pairs.into_iter();
                Value::Map(
                    pairs
                        .map(|(key, value)| KeyValue::new(key, value))
                        .collect(),
                )
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = ("[a-c]", value()).prop_map(|(key, value)| KeyValue::new(key, value));
    vec(attribute, 0..4)
}

fn record() -> impl Strategy<Value = LogRecord> {
    let times = (
        prop_oneof![Just(0), 1_000..1_020_u64],
        prop_oneof![Just(0), 1_000..1_020_u64],
    );
    let ids = (proptest::option::of(1..4_u8), proptest::option::of(1..3_u8));
    let texts = ("[A-Z]{0,2}", "[a-b]{0,1}");
    (
        times,
        -1..26_i32,
        texts,
        value(),
        attributes(),
        ids,
        0..3_u32,
    )
        .prop_map(
            |(
                (time, observed),
                severity,
                (severity_text, event_name),
                body,
                attributes,
                ids,
                small,
            )| {
                LogRecord {
                    time_unix_nano: time,
                    observed_time_unix_nano: observed,
                    severity: Severity::from_number(severity),
                    severity_text: severity_text.into(),
                    body,
                    attributes,
                    dropped_attributes_count: small / 2,
                    flags: small,
                    trace_id: ids.0.map(|id| TraceId::from_bytes([id; 16])),
                    span_id: ids.1.map(|id| SpanId::from_bytes([id; 8])),
                    event_name: event_name.into(),
                }
            },
        )
}

fn resource_logs() -> impl Strategy<Value = ResourceLogs> {
    let scope_logs = ("[s-t]{0,1}", attributes(), vec(record(), 0..6)).prop_map(
        |(name, attributes, log_records)| ScopeLogs {
            scope: Scope {
                name: name.into(),
                attributes,
                ..Scope::default()
            },
            schema_url: "scope".into(),
            log_records,
        },
    );
    (0..3_u8, attributes(), vec(scope_logs, 0..3)).prop_map(
        |(service, mut attributes, scope_logs)| {
            attributes.push(KeyValue::new("service.name", format!("service-{service}")));
            ResourceLogs {
                resource: Resource {
                    attributes,
                    dropped_attributes_count: 1,
                },
                schema_url: "resource".into(),
                scope_logs,
            }
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<ResourceLogs>),
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
        4 => vec(resource_logs(), 0..3).prop_map(Step::Append),
        2 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Expire),
        1 => Just(Step::Repair),
    ]
}

/// Everything there is to know of a log record. Blocks do not keep the order of attributes with
/// different keys, and no value but NaN is unlike itself.
fn text(entry: &LogEntry) -> String {
    let mut log = entry.log.clone();
    log.attributes.sort_by(|one, other| one.key.cmp(&other.key));
    format!("{log:?} {:?} {}", entry.origin, entry.seq)
}

fn requests() -> Vec<LogScan> {
    let all = LogScan::default;
    let attribute = |key: &str, text: &str| LogScan {
        attributes: vec![(key.to_owned(), text.to_owned())],
        ..all()
    };
    vec![
        all(),
        LogScan {
            start_unix_nano: 1_005,
            end_unix_nano: 1_012,
            ..all()
        },
        LogScan {
            service: Some("service-1".to_owned()),
            ..all()
        },
        LogScan {
            min_severity: Severity::ERROR,
            ..all()
        },
        LogScan {
            text: Some("Ü".to_owned()),
            ..all()
        },
        LogScan {
            trace_id: Some(TraceId::from_bytes([2; 16])),
            ..all()
        },
        LogScan {
            span_id: Some(SpanId::from_bytes([1; 8])),
            ..all()
        },
        attribute("a", "true"),
        attribute("b", "0.5"),
        attribute("service.name", "service-2"),
        attribute("a", &words(1, 5_000)),
        attribute("a", &words(1, 5_000)[..1024]),
        LogScan {
            text: Some(words(0, 5_000)[4_900..4_950].to_uppercase()),
            ..all()
        },
        LogScan {
            text: Some(words(1, 2_049)[1_000..1_040].to_owned()),
            ..attribute("service.name", "service-1")
        },
    ]
}

fn check_answers(store: &Store, stored: &[Arc<LogEntry>]) {
    for request in requests() {
        let mut wanted: Vec<_> = stored
            .iter()
            .filter(|entry| request.matches(entry))
            .collect();
        wanted.sort_by_key(|entry| std::cmp::Reverse((entry.log.timestamp_unix_nano(), entry.seq)));
        let wanted: Vec<_> = wanted.into_iter().map(|entry| text(entry)).collect();
        let found: Vec<_> = scanned(store, &request).iter().map(|it| text(it)).collect();
        assert_eq!(found, wanted, "{request:?}");
        let cut = LogScan {
            large_values: false,
            ..request
        };
        assert_eq!(scanned(store, &cut).len(), wanted.len(), "{cut:?}");
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
    stored: Vec<Arc<LogEntry>>,
}

impl Run {
    fn step(&mut self, step: Step) {
        match step {
            Step::Append(resource_logs) => self.append(&resource_logs),
            Step::Flush => self.store.flush().unwrap(),
            Step::Merge => merge_all(&self.store),
            Step::Reopen => {
                self.store.close();
                self.go_on_with_a_copy();
            }
            Step::Crash => self.go_on_with_a_copy(),
            Step::Expire => {
                let expired = expire_oldest(self.store.logs_engine());
                self.lose(expired);
            }
            Step::Repair => {
                self.store.close();
                let dir = copy_of(self.dir.path());
                self.lose(lose_newest(dir.path(), Path::new("logs/blocks")));
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

    fn append(&mut self, resource_logs: &[ResourceLogs]) {
        let batch = LogBatch::from_resource_logs(resource_logs).unwrap();
        let receipt = self.store.append_logs(batch.clone()).wait().unwrap();
        assert_eq!(receipt.record_count, batch.record_count());
        let stored = crate::signal::Batch::into_stored(
            batch,
            receipt.first_seq,
            0,
            &mut crate::origins::Origins::default(),
        );
        self.stored
            .extend(stored.logs().map(|log| Arc::new(log.entry())));
    }
}

fn merge_all(store: &Store) {
    let Some(engine) = store.logs_engine() else {
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
    fn logs_are_found_like_in_a_plain_list_whatever_happens_to_the_store(
        steps in vec(step(), 1..14),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(small(dir.path())).unwrap();
        let mut run = Run { dir, store, stored: Vec::new() };
        for step in steps {
            run.step(step);
            check_answers(&run.store, &run.stored);
        }
        run.store.flush().unwrap();
        let dir = run.dir.path().to_owned();
        drop(run.store);
        let whole = check(&dir, &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(whole.damages, vec![]);
    }
}

#[test]
fn a_search_of_a_trace_in_memory_comes_to_all_of_it_and_makes_few_whole_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    // Every other one has a long body, and ends what is made whole at once.
    let record = |number: u64| LogRecord {
        body: Value::from("x".repeat(if number.is_multiple_of(2) { 10 } else { 60_000 })),
        ..log(1, number)
    };
    let batch = logs((0..1000).map(record));
    store.append_logs(batch).wait().unwrap();
    let of_trace = LogScan {
        trace_id: log(1, 0).trace_id,
        ..LogScan::default()
    };
    for stop_after in [1, 20, 999, 2000] {
        let mut found = Vec::new();
        let visit = &mut |entry: Arc<LogEntry>| {
            found.push(entry.log.time_unix_nano - FIRST_LOG);
            match found.len() == stop_after {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let stats = store.scan_logs(&of_trace, visit).unwrap();
        let expected: Vec<u64> = (0..1000).rev().take(stop_after).collect();
        assert_eq!(found, expected);
        let ahead = stats.examined_records - found.len() as u64;
        assert!(ahead < 64, "{stats:?}");
    }
}

#[test]
fn a_search_that_stops_after_the_newest_reads_few_of_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for part in 0..3 {
        let numbers = part * 30_000..(part + 1) * 30_000;
        let batch = logs(numbers.map(|number| log(1, number)));
        store.append_logs(batch).wait().unwrap();
        store.flush().unwrap();
    }
    let mut newest = Vec::new();
    let stats = store
        .scan_logs(&LogScan::default(), &mut |entry| {
            newest.push(entry.log.time_unix_nano - FIRST_LOG);
            match newest.len() {
                3 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
    assert_eq!(newest, [89_999, 89_998, 89_997]);
    assert!(
        stats.stopped && stats.examined_records < 40_000,
        "{stats:?}"
    );
    let errors = LogScan {
        min_severity: Severity::ERROR,
        ..LogScan::default()
    };
    let stats = store
        .scan_logs(&errors, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((stats.examined_records, stats.blocks_pruned), (0, 3));
    let other_trace = LogScan {
        trace_id: log(2, 0).trace_id,
        ..LogScan::default()
    };
    let stats = store
        .scan_logs(&other_trace, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((stats.blocks_read, stats.blocks_pruned), (0, 3));
}

#[test]
fn a_search_of_logs_ends_when_its_budget_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let batch = logs((0..20_000).map(|number| log(1, number)));
    store.append_logs(batch).wait().unwrap();
    let found = |store: &Store, budget: &QueryBudget| {
        let request = LogScan {
            budget: budget.clone(),
            text: Some("said by nobody".to_owned()),
            ..LogScan::default()
        };
        let mut go_on = |_| ControlFlow::Continue(());
        let stats = store.scan_logs(&request, &mut go_on).unwrap();
        assert_eq!(stats.stopped, stats.exhausted.is_some());
        stats.exhausted
    };
    let limited = |limits| QueryBudget::new(limits, &Arc::new(QueryMemory::new(u64::MAX)));
    for is_in_blocks in [false, true] {
        if is_in_blocks {
            store.flush().unwrap();
        }
        assert_eq!(found(&store, &QueryBudget::unlimited()), None);
        let few = limited(QueryLimits {
            max_spans: 1000,
            ..QueryLimits::NONE
        });
        let too_many = Exhausted::Spans { limit: 1000 };
        assert_eq!(found(&store, &few), Some(too_many));
        let late = limited(QueryLimits {
            max_time: Duration::ZERO,
            ..QueryLimits::NONE
        });
        assert!(matches!(found(&store, &late), Some(Exhausted::Time { .. })));
        let left = QueryBudget::unlimited();
        drop(left.cancel_on_drop());
        assert_eq!(found(&store, &left), Some(Exhausted::Cancelled));
    }
}

#[test]
fn the_services_that_said_something_are_known_from_memory_and_from_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    assert!(store.log_services().is_empty());
    for part in 0..2 {
        let batch = logs((0..3).map(|number| log(1, part * 3 + number)));
        store.append_logs(batch).wait().unwrap();
        let found = scanned(&store, &LogScan::default());
        assert_eq!(store.log_services(), [found[0].service_name()]);
        store.flush().unwrap();
    }
}

#[test]
fn logs_have_a_retention_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        log_retention: OwnRetention {
            max_age: Some(Duration::from_secs(3600)),
            ..OwnRetention::default()
        },
        ..options(dir.path())
    })
    .unwrap();
    super::append(&store, vec![crate::batch::testing::span(1, 1)]);
    let batch = logs((0..5).map(|number| log(1, number)));
    store.append_logs(batch).wait().unwrap();
    store.flush().unwrap();
    let in_two_hours = unix_nano_now() + 7_200_000_000_000;
    retention::enforce(store.logs_engine().unwrap(), in_two_hours);
    retention::enforce(store.engine(), in_two_hours);
    assert!(scanned(&store, &LogScan::default()).is_empty());
    assert_eq!(store.stats().records, 1);
    assert_eq!(store.stats_of(ShelfName::Logs).unwrap().expired_records, 5);
}

#[test]
fn a_search_opens_only_blocks_that_it_comes_to_and_clocks_that_are_wrong_widen_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let day = 86_400_000_000_000;
    for number in 0..3 {
        let mut records: Vec<LogRecord> = (0..10).map(|it| log(1, number * day + it)).collect();
        if number == 0 {
            let of_1970 = LogRecord {
                time_unix_nano: 5,
                ..log(1, 0)
            };
            records.extend([of_1970, log(1, 10_000 * day)]);
        }
        store.append_logs(logs(records.into_iter())).wait().unwrap();
        store.flush().unwrap();
    }
    let first_of = |request: &LogScan| {
        let mut first = None;
        let mut visit = |entry: Arc<LogEntry>| {
            first = Some(entry.log.time_unix_nano);
            ControlFlow::Break(())
        };
        let stats = store.scan_logs(request, &mut visit).unwrap();
        (first, stats)
    };
    let days = LogScan {
        end_unix_nano: FIRST_LOG + 3 * day,
        ..LogScan::default()
    };
    let (first, stats) = first_of(&days);
    assert_eq!(first, Some(FIRST_LOG + 2 * day + 9));
    assert_eq!((stats.blocks_read, stats.examined_records), (1, 10));
    let (first, stats) = first_of(&LogScan::default());
    assert_eq!(first, Some(FIRST_LOG + 10_000 * day));
    assert_eq!((stats.blocks_read, stats.examined_records), (1, 1));
    let between_the_wrong = LogScan {
        start_unix_nano: FIRST_LOG + 5 * day,
        end_unix_nano: FIRST_LOG + 6 * day,
        ..LogScan::default()
    };
    let (first, stats) = first_of(&between_the_wrong);
    assert_eq!(
        (first, stats.blocks_read, stats.blocks_pruned),
        (None, 0, 3)
    );
    assert_eq!(scanned(&store, &LogScan::default()).len(), 32);
    drop(days.budget.cancel_on_drop());
    assert_eq!(first_of(&days).1.blocks_read, 0);
}

#[test]
fn damaged_logs_are_reported_and_what_is_readable_of_them_is_rescued() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let body = |number: u64| LogRecord {
        body: Value::from(format!(
            "{number} {}",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )),
        ..log(1, number)
    };
    store
        .append_logs(logs((0..20_000).map(body)))
        .wait()
        .unwrap();
    store.flush().unwrap();
    drop(store);
    let data = only_file(&dir.path().join("logs/blocks"), "parquet");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    let found = check(dir.path(), &mut go_on).unwrap();
    assert_eq!(found.damages[0].file, data);
    let store = Store::open(options(dir.path())).unwrap();
    let stats = store
        .scan_logs(&LogScan::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(stats.damaged[0].file, data);
    // The rest is found.
    assert!(stats.matched_records > 0, "{stats:?}");
    drop(store);
    let done = repair(dir.path(), false, &mut go_on).unwrap();
    assert!(done.rescued_records > 10_000, "{done:?}");
    let store = Store::open(options(dir.path())).unwrap();
    let found = scanned(&store, &LogScan::default());
    assert_eq!(found.len() as u64, done.rescued_records);
}

#[test]
fn whoever_follows_logs_and_metrics_hears_of_them_also_before_there_were_any() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let (mut of_logs, mut of_metrics) = (store.subscribe_to_logs(), store.subscribe_to_metrics());
    for round in 0..2 {
        let record = log(1, round);
        store
            .append_logs(logs([record].into_iter()))
            .wait()
            .unwrap();
        let points = super::metrics::gauge("loss", round..round + 3);
        store.append_metrics(points).wait().unwrap();
        let heard = of_logs.blocking_recv().unwrap();
        assert_eq!(heard.log(0).head().time_unix_nano, FIRST_LOG + round);
        assert_eq!(of_metrics.blocking_recv().unwrap().len(), 3);
    }
    store.close();
    of_logs.blocking_recv().unwrap_err();
    of_metrics.blocking_recv().unwrap_err();
}
