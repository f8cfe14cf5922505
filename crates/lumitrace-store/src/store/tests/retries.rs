//! A request that comes again because its answer got lost is stored once, wherever its spans are by then.

use crate::batch::testing::{batch, span};
use crate::compaction::{self, CompactionSignal};
use crate::{RollupRequest, Store, retention};

use super::options;

/// How many spans rollups count.
fn counted(store: &Store) -> u64 {
    let rollup = store.span_rollup(&RollupRequest::default()).unwrap();
    rollup.rows.iter().map(|row| row.durations.count()).sum()
}

#[test]
fn a_request_that_comes_again_is_answered_as_before_and_stored_once_also_after_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let request = || batch((1..=10).map(|id| span(1, id)).collect());
    let first = store.append(request()).wait().unwrap();
    assert_eq!(store.append(request()).wait().unwrap(), first);
    store.flush().unwrap();
    assert_eq!(store.append(request()).wait().unwrap(), first);
    let other = store.append(batch(vec![span(1, 11)])).wait().unwrap();
    assert_eq!(other.first_seq, first.first_seq + 10);
    let stats = store.stats();
    assert_eq!((stats.repeated_batches, stats.appended_batches), (2, 2));
    assert_eq!((stats.records, counted(&store)), (11, 11));
}

#[test]
fn a_request_that_comes_again_after_a_restart_is_found_once_and_counted_once_when_blocks_are_merged()
 {
    let dir = tempfile::tempdir().unwrap();
    let request = || batch((1..=10).map(|id| span(1, id)).collect());
    for _ in 0..2 {
        let store = Store::open(options(dir.path())).unwrap();
        store.append(request()).wait().unwrap();
        store.flush().unwrap();
    }
    let store = Store::open(options(dir.path())).unwrap();
    let trace = store.trace(span(1, 1).trace_id).unwrap();
    assert_eq!(trace.len(), 10);
    let blocks = store.engine().snapshot().blocks.clone();
    compaction::merge(store.engine(), &blocks, &CompactionSignal::default()).unwrap();
    assert_eq!((store.stats().records, counted(&store)), (10, 10));
}

#[test]
fn a_request_that_comes_again_once_its_spans_have_expired_is_stored_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let request = || batch(vec![span(1, 1)]);
    store.append(request()).wait().unwrap();
    store.flush().unwrap();
    let blocks = store.engine().snapshot().blocks.clone();
    retention::remove(
        store.engine(),
        blocks.iter().map(|block| block.id()).collect(),
    );
    assert!(store.trace(span(1, 1).trace_id).unwrap().is_empty());
    store.append(request()).wait().unwrap();
    assert_eq!(store.trace(span(1, 1).trace_id).unwrap().len(), 1);
}

#[test]
fn an_announcement_that_says_the_same_as_an_earlier_one_replaces_what_came_between() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let announced = |name: &str| {
        let mut span = span(1, 1);
        span.pending = true;
        span.name = name.to_owned().into();
        batch(vec![span])
    };
    for name in ["step 1", "step 2", "step 1"] {
        store.append(announced(name)).wait().unwrap();
    }
    let trace = store.trace(span(1, 1).trace_id).unwrap();
    assert_eq!(&*trace[0].span.name, "step 1");
}
