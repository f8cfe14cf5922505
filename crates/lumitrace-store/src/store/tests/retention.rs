//! What expires is gone for good, and nothing else is.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::Span;
use tempfile::TempDir;

use super::logs::{log, logs};
use super::{append, copy_of, options};
use crate::batch::testing::span;
use crate::block::Block;
use crate::disk::RealDisk;
use crate::retention::{self, Retention};
use crate::shelf::unix_nano_now;
use crate::{ShelfName, Store, StoreOptions};

const HOUR: Duration = Duration::from_secs(3600);

fn for_an_hour(dir: &TempDir) -> StoreOptions {
    StoreOptions {
        retention: Retention {
            max_age: Some(HOUR),
            ..Retention::default()
        },
        ..options(dir.path())
    }
}

fn fresh(number: u64) -> Span {
    let now = unix_nano_now();
    Span {
        start_unix_nano: now,
        end_unix_nano: now,
        ..span(2, number)
    }
}

/// The moment at which the oldest block has just been kept for longer than an hour.
fn after_the_hour_of_the_oldest(store: &Store) -> u64 {
    let blocks = &store.handle.spans.engine.snapshot().blocks;
    let received = |block: &Arc<Block>| {
        let range = block.index().received_range_unix_nano().unwrap();
        range.map(|(_, last)| last)
    };
    let oldest = blocks.iter().filter_map(received).min().unwrap();
    oldest + HOUR.as_nanos() as u64 + 1
}

/// A store with a block that has expired, and one of spans that came later.
fn store_after_expiry(dir: &TempDir) -> Store {
    let store = Store::open(for_an_hour(dir)).unwrap();
    append(&store, vec![span(1, 1), span(1, 2)]);
    store.flush().unwrap();
    append(&store, vec![fresh(3)]);
    store.flush().unwrap();
    let now = after_the_hour_of_the_oldest(&store);
    retention::enforce(&store.handle.spans.engine, now);
    store
}

#[test]
fn expired_spans_are_gone_also_after_opening_again_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_after_expiry(&dir);
    let check = |store: &Store| {
        assert!(store.trace(span(1, 1).trace_id).unwrap().is_empty());
        assert_eq!(store.trace(span(2, 3).trace_id).unwrap().len(), 1);
        assert_eq!((store.stats().records, store.stats().blocks), (1, 1));
        assert_eq!(store.end_seq(), 4);
    };
    check(&store);
    let stats = store.stats();
    assert_eq!((stats.expired_blocks, stats.expired_records), (1, 2));
    let blocks = fs::read_dir(dir.path().join("blocks")).unwrap().count();
    assert_eq!(blocks, 2, "one data file and one index");
    drop(store);
    let store = Store::open(for_an_hour(&dir)).unwrap();
    check(&store);
    assert_eq!(append(&store, vec![fresh(4)]).first_seq, 4);
}

#[test]
fn a_store_of_which_everything_expired_goes_on_counting() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(for_an_hour(&dir)).unwrap();
    append(&store, vec![span(1, 1), span(1, 2)]);
    store.flush().unwrap();
    let now = after_the_hour_of_the_oldest(&store);
    retention::enforce(&store.handle.spans.engine, now);
    assert_eq!((store.stats().records, store.end_seq()), (0, 3));
    drop(store);
    let store = Store::open(for_an_hour(&dir)).unwrap();
    assert_eq!(append(&store, vec![fresh(3)]).first_seq, 3);
}

#[test]
fn a_crash_before_the_files_are_removed_leaves_no_trace_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    store.flush().unwrap();
    let id = store.handle.spans.engine.snapshot().blocks[0].id();
    // What enforcing does first; then the process dies.
    let removed = store
        .handle
        .spans
        .engine
        .manifest
        .lock()
        .remove_blocks(vec![id]);
    removed.unwrap();
    let copy = copy_of(dir.path());
    let store = Store::open_on(options(copy.path()), Arc::new(RealDisk)).unwrap();
    assert_eq!(store.stats().records, 0);
    assert_eq!(fs::read_dir(copy.path().join("blocks")).unwrap().count(), 0);
}

#[test]
fn spans_of_a_clock_in_the_future_expire_and_those_of_one_in_the_past_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(for_an_hour(&dir)).unwrap();
    let of_2100 = Span {
        start_unix_nano: 4_102_444_800_000_000_000,
        end_unix_nano: 4_102_444_800_000_000_001,
        ..span(1, 1)
    };
    append(&store, vec![of_2100]);
    store.flush().unwrap();
    let of_1970 = Span {
        start_unix_nano: 1,
        end_unix_nano: 2,
        ..span(2, 2)
    };
    append(&store, vec![of_1970]);
    store.flush().unwrap();
    retention::enforce(&store.handle.spans.engine, unix_nano_now());
    assert_eq!(store.stats().records, 2);
    retention::enforce(
        &store.handle.spans.engine,
        after_the_hour_of_the_oldest(&store),
    );
    assert!(store.trace(span(1, 1).trace_id).unwrap().is_empty());
    assert_eq!(store.trace(span(2, 2).trace_id).unwrap().len(), 1);
}

#[test]
fn a_limit_of_size_counts_over_all_shelves_and_each_removes_what_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let open = |max_bytes| {
        Store::open(StoreOptions {
            retention: Retention {
                max_bytes,
                ..Retention::default()
            },
            ..options(dir.path())
        })
        .unwrap()
    };
    let store = open(None);
    append(&store, vec![span(1, 1)]);
    store.flush().unwrap();
    store
        .append_logs(logs([log(1, 1)].into_iter()))
        .wait()
        .unwrap();
    append(&store, vec![span(1, 2)]);
    store.flush().unwrap();
    let bytes = |name| store.stats_of(name).map_or(0, |stats| stats.block_bytes);
    let all = bytes(ShelfName::Spans) + bytes(ShelfName::Logs);
    drop(store);
    // Each shelf by itself has less. When the store is opened this is looked at, too.
    let store = open(Some(all - 1));
    let enforce_all = || {
        retention::enforce(store.logs_engine().unwrap(), unix_nano_now());
        retention::enforce(store.engine(), unix_nano_now());
    };
    enforce_all();
    enforce_all();
    assert_eq!(store.stats().records, 1);
    assert!(
        store
            .span(span(1, 1).trace_id, span(1, 1).span_id)
            .unwrap()
            .spans
            .is_empty()
    );
    assert_eq!(store.stats_of(ShelfName::Logs).unwrap().records, 1);
}

#[test]
fn blocks_that_wait_for_their_last_reader_count_as_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        retention: Retention {
            min_free_bytes: Some(1_000),
            ..Retention::default()
        },
        ..options(dir.path())
    })
    .unwrap();
    let engine = store.engine();
    for number in 1..4 {
        append(&store, vec![span(1, number)]);
        store.flush().unwrap();
    }
    let blocks = || store.stats().blocks;
    let enforce = || retention::enforce_on(engine, unix_nano_now(), &|| Some(999));
    let reader = engine.snapshot();
    enforce();
    assert_eq!(blocks(), 2);
    // Nothing is free yet, but will be.
    enforce();
    assert_eq!(blocks(), 2);
    drop(reader);
    // The thread of the shelf may look at its blocks at the moment.
    while engine.kept.leaving().get() > 0 {
        std::thread::yield_now();
    }
    enforce();
    assert_eq!(blocks(), 1, "it was not enough");
}
