//! What is archived stays, is found once, and costs nothing before there is any.

use std::fs;
use std::sync::Arc;

use lumitrace_model::{KeyValue, Span};
use lumitrace_wire::otlp::protobuf::SpanHead;

use super::{append, copy_of, only_file, options};
use crate::batch::testing::{batch, span};
use crate::check::check;
use crate::compact::compact;
use crate::compaction::{CompactionSignal, merge};
use crate::inspect::inspect;
use crate::repair::repair;
use crate::{QueryBudget, ScanRequest, ShelfName, Store, StoreOptions, retention};
use std::ops::ControlFlow;

/// The ids of a trace's spans, and whether each is announced only.
fn spans_of(store: &Store, trace: u8) -> Vec<(u64, bool)> {
    let spans = store.trace(span(trace, 1).trace_id).unwrap();
    let fact = |record: &Arc<crate::SpanRecord>| {
        let id = u64::from_be_bytes(record.span.span_id.to_bytes());
        (id, record.span.pending)
    };
    spans.iter().map(fact).collect()
}

fn remove_all_spans(store: &Store) {
    store.flush().unwrap();
    let engine = &store.handle.spans.engine;
    let blocks = engine.snapshot().blocks.clone();
    let ids = blocks.iter().map(|block| block.id());
    retention::remove(engine, ids.collect());
    assert_eq!(store.stats().records, 0);
}

#[test]
fn an_archived_trace_outlives_its_spans_also_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut first = span(1, 1);
    first.attributes.push(KeyValue::new("epoch", 3));
    append(&store, vec![first.clone(), span(2, 7)]);
    append(&store, vec![span(1, 2)]);
    assert_eq!(
        store
            .archive_trace(first.trace_id, &QueryBudget::unlimited())
            .unwrap()
            .copied_spans,
        2
    );
    assert_eq!(spans_of(&store, 1), [(1, false), (2, false)]);
    remove_all_spans(&store);
    let check = |store: &Store| {
        assert_eq!(spans_of(store, 1), [(1, false), (2, false)]);
        assert!(spans_of(store, 2).is_empty());
        let found = store.span(first.trace_id, first.span_id).unwrap().spans;
        assert_eq!((&found[0].span, found[0].seq), (&first, 0));
        assert_eq!(found[0].service_name(), "checkout");
        assert_eq!(store.stats_of(ShelfName::Archive).unwrap().records, 2);
    };
    check(&store);
    let crashed = copy_of(dir.path());
    check(&Store::open(options(crashed.path())).unwrap());
    store
        .archive_trace(first.trace_id, &QueryBudget::unlimited())
        .unwrap();
    check(&store);
}

#[test]
fn a_search_finds_what_is_archived_once_whether_or_not_it_has_expired() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1), span(2, 7)]);
    assert_eq!(
        store
            .archived_spans(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap(),
        0
    );
    store
        .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
        .unwrap();
    assert_eq!(
        store
            .archived_spans(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap(),
        1
    );
    let found = |from_seq| {
        let request = ScanRequest {
            seqs: from_seq..store.end_seq(),
            service: Some("checkout".to_owned()),
            ..ScanRequest::default()
        };
        let mut found = Vec::new();
        let mut visit = |record: Arc<crate::SpanRecord>| {
            found.push((record.span.trace_id, record.seq));
            ControlFlow::Continue(())
        };
        store.scan(&request, &mut visit).unwrap();
        found.sort_unstable();
        found
    };
    let [first, second] = [1, 2].map(|trace| span(trace, 1).trace_id);
    assert_eq!(found(0), [(first, 1), (second, 2)]);
    remove_all_spans(&store);
    assert_eq!(found(0), [(first, 0)]);
    assert_eq!(found(1), []);
    assert_eq!(store.services()[0].name, "checkout");
    store.flush().unwrap();
    assert_eq!(found(0), [(first, 0)]);
}

#[test]
fn archiving_again_copies_what_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut announced = span(1, 1);
    announced.pending = true;
    append(&store, vec![announced.clone(), span(1, 2)]);
    let archive = || {
        let archived = store.archive_trace(announced.trace_id, &QueryBudget::unlimited());
        archived.unwrap().copied_spans
    };
    assert_eq!(archive(), 2);
    append(&store, vec![span(1, 1), span(1, 3)]);
    assert_eq!(archive(), 2, "the end of the first, and the third");
    assert_eq!(archive(), 0);
    store.flush().unwrap();
    assert_eq!(archive(), 0);
    remove_all_spans(&store);
    assert_eq!(spans_of(&store, 1), [(1, false), (2, false), (3, false)]);
}

#[test]
fn a_search_finds_a_span_that_was_archived_while_it_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut announced = span(1, 1);
    announced.pending = true;
    append(&store, vec![announced.clone()]);
    let found = || {
        let mut found = Vec::new();
        let mut visit = |record: Arc<crate::SpanRecord>| {
            found.push((record.span.pending, record.seq));
            ControlFlow::Continue(())
        };
        store.scan(&ScanRequest::default(), &mut visit).unwrap();
        found
    };
    // Each time another copy, with a number of its own.
    for _ in 0..2 {
        store
            .archive_trace(announced.trace_id, &QueryBudget::unlimited())
            .unwrap();
        assert_eq!(found(), [(true, 1)]);
    }
    let engine = store.engine();
    engine.flush_signal.flush().unwrap();
    let blocks = engine.snapshot().blocks.clone();
    retention::remove(engine, blocks.iter().map(|block| block.id()).collect());
    assert_eq!(found(), [(true, 0)], "the archive still has it in memory");
    store.flush().unwrap();
    assert_eq!(found(), [(true, 0)]);
}

#[test]
fn the_end_of_a_span_counts_whichever_shelf_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    store
        .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
        .unwrap();
    remove_all_spans(&store);
    let mut late = span(1, 1);
    late.pending = true;
    append(&store, vec![late]);
    assert_eq!(spans_of(&store, 1), [(1, false)]);
}

#[test]
fn a_large_trace_is_copied_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, (1..=10_000).map(|id| span(1, id)).collect());
    assert_eq!(
        store
            .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap()
            .copied_spans,
        10_000
    );
    let stats = store.stats_of(ShelfName::Archive).unwrap();
    assert_eq!((stats.records, stats.appended_batches), (10_000, 3));
}

#[test]
fn a_trace_larger_than_the_memory_of_the_archive_is_copied_whole() {
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreOptions {
        memtable_bytes: 1 << 20,
        ..options(dir.path())
    };
    let archive_limit = limits.of_shelf(ShelfName::Archive).memory_limit();
    let store = Store::open(limits).unwrap();
    let append = |spans: Vec<Span>| {
        let batch = batch(spans);
        while store.append(batch.clone()).wait().is_err() {
            store.flush().unwrap();
        }
    };
    for first in (1..30_001).step_by(500) {
        append((first..first + 500).map(|id| span(1, id)).collect());
    }
    let mut announced = span(1, 30_001);
    announced.pending = true;
    append(vec![announced]);
    append(vec![span(1, 30_001)]);
    assert!(30_000 * size_of::<SpanHead>() > 5 * archive_limit);
    assert_eq!(
        store
            .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap()
            .copied_spans,
        30_001
    );
    assert_eq!(
        store
            .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap()
            .copied_spans,
        0
    );
    remove_all_spans(&store);
    let archived: Vec<_> = (1..=30_001).map(|id| (id, false)).collect();
    assert_eq!(spans_of(&store, 1), archived);
}

#[test]
fn nothing_is_begun_before_it_is_needed_nor_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    assert_eq!(
        store
            .archive_trace(span(2, 1).trace_id, &QueryBudget::unlimited())
            .unwrap()
            .copied_spans,
        0
    );
    store.flush().unwrap();
    store.close();
    let error = store
        .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
        .unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(store.stats_of(ShelfName::Archive).is_none());
    assert!(!dir.path().join("archive").exists());
}

#[test]
fn the_tools_look_after_the_archive_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for id in 1..4 {
        store.append(batch(vec![span(1, id)])).wait().unwrap();
        store
            .archive_trace(span(1, 1).trace_id, &QueryBudget::unlimited())
            .unwrap();
        store.flush().unwrap();
    }
    let engine = store.archive_engine().unwrap();
    let blocks = engine.snapshot().blocks.clone();
    assert!(merge(engine, &blocks[..2], &CompactionSignal::default()).unwrap());
    drop((blocks, store));
    let content = inspect(dir.path()).unwrap();
    let archive = content.others[0];
    assert_eq!(
        (archive.name, archive.records, archive.blocks),
        (ShelfName::Archive, 3, 2)
    );
    let mut go_on = |_| ControlFlow::Continue(());
    compact(StoreOptions::new(dir.path()), u64::MAX, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let whole = check(dir.path(), &mut go_on).unwrap();
    assert_eq!((whole.blocks, whole.block_records), (2, 6));

    let data = only_file(&dir.path().join("archive/blocks"), "parquet");
    let mut bytes = fs::read(&data).unwrap();
    bytes[50] ^= 1;
    fs::write(&data, bytes).unwrap();
    let found = check(dir.path(), &mut go_on).unwrap();
    assert_eq!(found.damages[0].file, data);
    let done = repair(dir.path(), false, &mut go_on).unwrap();
    let aside = done.aside_dir.unwrap().join("archive/blocks");
    assert!(aside.join(data.file_name().unwrap()).is_file());
    assert!(check(dir.path(), &mut go_on).unwrap().damages.is_empty());
    Store::open(options(dir.path())).unwrap();
}
