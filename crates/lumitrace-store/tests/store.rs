//! The store as its users see it: stored, found, told, counted.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
    TraceId,
};
use lumitrace_store::{
    Durability, Exhausted, QueryBudget, QueryLimits, QueryMemory, ScanRequest, SpanBatch,
    SpanParts, Store, StoreOptions,
};

fn span(trace: u8, number: u64, name: &'static str) -> Span {
    Span {
        trace_id: TraceId::from_bytes([trace; 16]),
        span_id: SpanId::from_bytes(number.to_be_bytes()),
        name: name.into(),
        start_unix_nano: 1_700_000_000_000_000_000 + number * 1_000_000_000,
        end_unix_nano: 1_700_000_000_500_000_000 + number * 1_000_000_000,
        attributes: vec![KeyValue::new("batch_index", number)],
        ..Span::default()
    }
}

fn batch(service: &'static str, spans: Vec<Span>) -> SpanBatch {
    let attributes = vec![KeyValue::new("service.name", service)];
    SpanBatch::from_resource_spans(&[ResourceSpans {
        resource: Resource {
            attributes,
            ..Resource::default()
        },
        scope_spans: vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }])
    .unwrap()
}

#[test]
fn what_is_acknowledged_is_found_at_once_and_after_every_kind_of_end() {
    for durability in [
        Durability::Fsync,
        Durability::Interval(std::time::Duration::from_millis(5)),
        Durability::None,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            durability,
            ..StoreOptions::new(dir.path())
        };
        let store = Store::open(options.clone()).unwrap();
        for number in 1..20 {
            let receipt = store
                .append(batch("trainer", vec![span(1, number, "step")]))
                .wait();
            assert_eq!(receipt.unwrap().first_seq, number);
            let trace = store.trace(TraceId::from_bytes([1; 16])).unwrap();
            assert_eq!(trace.len() as u64, number);
            if number == 10 {
                store.flush().unwrap();
            }
        }
        drop(store);
        let store = Store::open(options).unwrap();
        let trace = store.trace(TraceId::from_bytes([1; 16])).unwrap();
        assert_eq!(trace.len(), 19);
        assert!(trace.is_sorted_by_key(|record| record.span.start_unix_nano));
        assert_eq!(store.stats().records, 19);
        assert_eq!(store.trace(TraceId::from_bytes([2; 16])).unwrap(), []);
    }
}

#[test]
fn one_span_is_found_among_many_and_a_trace_without_what_nobody_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let append = |spans| store.append(batch("trainer", spans)).wait().unwrap();
    let server = |number| Span {
        kind: SpanKind::Server,
        ..span(1, number, "twin")
    };
    append((1..1000).map(|number| span(1, number, "step")).collect());
    append(vec![span(2, 7, "step")]);
    store.flush().unwrap();
    append(vec![server(7), span(1, 1000, "step")]);

    let trace_id = TraceId::from_bytes([1; 16]);
    let names = |number: u64| -> Vec<_> {
        let span_id = SpanId::from_bytes(number.to_be_bytes());
        let records = store.span(trace_id, span_id).unwrap().spans;
        records
            .iter()
            .map(|record| record.span.name.to_string())
            .collect()
    };
    assert_eq!(names(7), ["step", "twin"]);
    assert_eq!(names(1000), ["step"]);
    assert!(names(1001).is_empty());
    let trace = store
        .trace_parts(trace_id, SpanParts::NONE, &QueryBudget::unlimited())
        .unwrap()
        .spans;
    assert_eq!(trace.len(), 1001);
    assert!(trace[0].span.attributes.is_empty(), "it is in a block");
}

#[test]
fn concurrent_senders_are_all_acknowledged_with_fewer_syncs_than_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let appends: Vec<_> = (1..500)
        .map(|number| store.append(batch("trainer", vec![span(1, number, "step")])))
        .collect();
    for append in appends {
        append.wait().unwrap();
    }
    let stats = store.stats();
    assert_eq!(
        (
            stats.appended_batches,
            stats.appended_records,
            stats.records
        ),
        (499, 499, 499)
    );
    assert!(stats.syncs < 499, "{}", stats.syncs);
}

#[test]
fn subscribers_see_every_batch_after_it_is_searchable() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let mut live = store.subscribe();
    let watcher = std::thread::spawn({
        let store = store.clone();
        move || {
            let batch = live.blocking_recv().unwrap();
            (
                batch.len(),
                store.trace(batch.span(0).trace_id()).unwrap().len(),
            )
        }
    });
    store
        .append(batch("trainer", vec![span(1, 1, "a"), span(1, 2, "b")]))
        .wait()
        .unwrap();
    assert_eq!(watcher.join().unwrap(), (2, 2));
}

#[test]
fn services_and_operations_are_told_from_memory_and_blocks_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let mut failed = span(1, 2, "validation");
    failed.kind = SpanKind::Server;
    failed.status = Status {
        code: StatusCode::Error,
        message: "no data".into(),
    };
    store
        .append(batch("trainer", vec![span(1, 1, "validation"), failed]))
        .wait()
        .unwrap();
    store.flush().unwrap();
    store
        .append(batch("trainer", vec![span(1, 3, "validation")]))
        .wait()
        .unwrap();
    store
        .append(batch("", vec![span(2, 1, "other")]))
        .wait()
        .unwrap();

    let services = store.services();
    let names: Vec<_> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["trainer", "unknown_service"]);
    assert_eq!((services[0].span_count, services[0].error_count), (3, 1));
    assert_eq!(
        services[0].last_start_unix_nano,
        span(1, 3, "").start_unix_nano
    );

    let operations = store.operations("trainer");
    let counts: Vec<_> = operations
        .iter()
        .map(|it| (it.name.as_str(), it.kind, it.span_count))
        .collect();
    assert_eq!(
        counts,
        [
            ("validation", SpanKind::Internal, 2),
            ("validation", SpanKind::Server, 1)
        ]
    );
    assert_eq!(store.operations("nobody"), []);
}

#[test]
fn parts_that_are_not_asked_for_are_not_read_from_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    store
        .append(batch("trainer", vec![span(1, 7, "step")]))
        .wait()
        .unwrap();
    store.flush().unwrap();
    let attributes_of = |request: &ScanRequest| {
        let mut attributes = None;
        let mut visit = |record: Arc<lumitrace_store::SpanRecord>| {
            attributes = Some(record.span.attributes.len());
            ControlFlow::Continue(())
        };
        store.scan(request, &mut visit).unwrap();
        attributes
    };
    let bare = ScanRequest {
        parts: SpanParts::NONE,
        ..ScanRequest::default()
    };
    assert_eq!(attributes_of(&bare), Some(0));
    assert_eq!(attributes_of(&ScanRequest::default()), Some(1));
    let by_attribute = ScanRequest {
        attributes: vec![("batch_index".to_owned(), "7".to_owned())],
        ..bare
    };
    assert_eq!(
        attributes_of(&by_attribute),
        Some(1),
        "the condition needs them"
    );
}

#[test]
fn a_scan_by_sequence_number_finds_exactly_what_was_stored_between() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let append = |number| {
        let stored = store.append(batch("trainer", vec![span(1, number, "step")]));
        stored.wait().unwrap();
        store.end_seq()
    };
    let ends: Vec<u64> = (1..=4).map(append).collect();
    store.flush().unwrap();
    assert_eq!(store.end_seq(), ends[3]);
    let end = append(5);
    let count = |seqs| {
        let request = ScanRequest {
            seqs,
            ..ScanRequest::default()
        };
        let mut visit = |_| ControlFlow::Continue(());
        store.scan(&request, &mut visit).unwrap().matched_spans
    };
    assert_eq!(count(ends[0]..ends[2]), 2, "within a block");
    assert_eq!(count(ends[2]..end), 2, "one in a block, one in memory");
    assert_eq!(count(end..u64::MAX), 0);
}

#[test]
fn a_scan_gives_up_when_its_time_is_over_whether_or_not_it_finds_anything() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let stored = store.append(batch("trainer", vec![span(1, 1, "step")]));
    stored.wait().unwrap();
    let over = QueryLimits {
        max_time: Duration::ZERO,
        ..QueryLimits::NONE
    };
    let request = ScanRequest {
        text: Some("nowhere".to_owned()),
        budget: QueryBudget::new(over, &Arc::new(QueryMemory::new(0))),
        ..ScanRequest::default()
    };
    let stats = store
        .scan(&request, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let limit = Duration::ZERO;
    assert_eq!(stats.exhausted, Some(Exhausted::Time { limit }));
    assert!(stats.stopped);
    assert_eq!(stats.examined_spans, 0);
}

#[test]
fn what_tells_the_spans_of_a_window_apart_counts_as_memory_until_the_next_window() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    // Ten spans a window; then a thousand in one, of which half are announcements.
    let many_windows: Vec<Span> = (1..=1000).map(|it| span(1, it, "step")).collect();
    let one_window = (1..=1000).map(|number| Span {
        start_unix_nano: 1_800_000_000_000_000_000,
        pending: number % 2 == 0,
        ..span(2, number, "step")
    });
    store.append(batch("trainer", many_windows)).wait().unwrap();
    store
        .append(batch("trainer", one_window.collect()))
        .wait()
        .unwrap();
    let memory = Arc::new(QueryMemory::new(u64::MAX));
    let limits = QueryLimits {
        max_memory_bytes: 20_000,
        ..QueryLimits::NONE
    };
    let scan = |start_unix_nano, end_unix_nano| {
        let request = ScanRequest {
            start_unix_nano,
            end_unix_nano,
            budget: QueryBudget::new(limits, &memory),
            ..ScanRequest::default()
        };
        let mut visit = |_| ControlFlow::Continue(());
        store.scan(&request, &mut visit).unwrap()
    };
    let stats = scan(0, 1_750_000_000_000_000_000);
    assert_eq!((stats.matched_spans, stats.exhausted), (1000, None));
    let stats = scan(1_750_000_000_000_000_000, u64::MAX);
    let limit_bytes = 20_000;
    assert_eq!(stats.exhausted, Some(Exhausted::Memory { limit_bytes }));
    assert!(stats.stopped && stats.matched_spans < 500);
    assert_eq!(memory.used_bytes(), 0, "all of it is given back");
}

#[test]
fn old_spans_are_written_out_without_being_asked_and_small_blocks_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        flush_after: std::time::Duration::ZERO,
        ..StoreOptions::new(dir.path())
    };
    let store = Store::open(options).unwrap();
    let mut number = 0;
    // Ends because merging is what bounds the number of blocks; a store that never merged would
    // run into the assertion.
    while store.stats().compactions == 0 {
        number += 1;
        assert!(number < 100_000, "{:?}", store.stats());
        store
            .append(batch("trainer", vec![span(1, number, "step")]))
            .wait()
            .unwrap();
    }
    let trace = store.trace(TraceId::from_bytes([1; 16])).unwrap();
    assert_eq!(trace.len() as u64, number);
}

#[test]
fn an_empty_batch_is_acknowledged_without_touching_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let receipt = store.append(SpanBatch::default()).wait().unwrap();
    assert_eq!(receipt.record_count, 0);
    assert_eq!(store.stats().log_bytes, 0);
}
