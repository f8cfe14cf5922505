//! A span whose clock is wrong, or that comes late, is found, and costs others nothing.

use std::ops::ControlFlow;
use std::path::Path;

use lumitrace_model::{Span, TraceId};
use proptest::prelude::*;

use super::{append, options};
use crate::batch::testing::span;
use crate::compaction::{self, CompactionSignal};
use crate::{Exhausted, ScanRequest, ScanStats, Store, StoreOptions};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
/// When the spans of [`span`] start.
const NOW: u64 = 1_700_000_000 * SECOND;
const YEAR_2100: u64 = 4_102_444_800 * SECOND;

fn at(number: u64, start_unix_nano: u64) -> Span {
    Span {
        start_unix_nano,
        end_unix_nano: start_unix_nano + SECOND,
        ..span(number as u8 + 1, number + 1)
    }
}

fn store(dir: &Path) -> Store {
    Store::open(StoreOptions {
        row_group_rows: 100,
        ..options(dir)
    })
    .unwrap()
}

/// The numbers of the spans that are found, until there are `limit`.
fn scan(store: &Store, request: &ScanRequest, limit: usize) -> (Vec<u64>, ScanStats) {
    let mut found = Vec::new();
    let stats = store.scan(request, &mut |record| {
        found.push(u64::from_be_bytes(record.span.span_id.to_bytes()) - 1);
        match found.len() < limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    (found, stats.unwrap())
}

fn between(start_unix_nano: u64, end_unix_nano: u64) -> ScanRequest {
    ScanRequest {
        start_unix_nano,
        end_unix_nano,
        ..ScanRequest::default()
    }
}

/// Three blocks of a day each, of which the first has a span of 1970 and one of 2100.
fn three_days(dir: &Path) -> Store {
    let store = store(dir);
    for day in 0..3 {
        let starts = (0..50).map(|number| NOW + day * DAY + number * SECOND);
        let mut spans: Vec<Span> = (day * 50..)
            .zip(starts)
            .map(|(number, start)| at(number, start))
            .collect();
        if day == 0 {
            spans.extend([at(200, 5), at(201, YEAR_2100)]);
        }
        append(&store, spans);
        store.flush().unwrap();
    }
    store
}

#[test]
fn a_block_with_wrong_clocks_is_read_only_for_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = three_days(dir.path());
    let last_day = between(NOW + 2 * DAY, NOW + 3 * DAY);
    let (found, stats) = scan(&store, &last_day, usize::MAX);
    assert_eq!(
        (found.len(), stats.blocks_read, stats.blocks_pruned),
        (50, 1, 2)
    );
    let between_the_wrong = between(NOW + 30 * DAY, NOW + 40 * DAY);
    let (found, stats) = scan(&store, &between_the_wrong, usize::MAX);
    assert_eq!((found.len(), stats.blocks_read), (0, 0));
}

#[test]
fn wrong_clocks_are_found_by_id_and_by_their_own_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = three_days(dir.path());
    let ids: [TraceId; 2] = [200, 201].map(|number| at(number, 0).trace_id);
    assert!(ids.iter().all(|id| store.trace(*id).unwrap().len() == 1));
    for (request, number) in [
        (between(0, DAY), 200),
        (between(YEAR_2100 - DAY, u64::MAX), 201),
    ] {
        let (found, stats) = scan(&store, &request, usize::MAX);
        assert_eq!(
            (found, stats.examined_spans, stats.blocks_read),
            (vec![number], 1, 1)
        );
    }
}

#[test]
fn the_newest_spans_are_found_without_reading_the_others_of_a_block_with_a_clock_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let store = three_days(dir.path());
    let (found, stats) = scan(&store, &ScanRequest::default(), 10);
    assert_eq!(found[0], 201);
    assert!(
        found[1..].iter().all(|number| (100..150).contains(number)),
        "{found:?}"
    );
    assert_eq!(
        stats.examined_spans, 51,
        "the last block and one span of the first"
    );
    let oldest = ScanRequest {
        newest_first: false,
        ..ScanRequest::default()
    };
    let (found, stats) = scan(&store, &oldest, 2);
    assert_eq!((found[0], stats.examined_spans), (200, 51));
}

#[test]
fn a_search_that_has_enough_or_nobody_waits_for_opens_no_older_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = three_days(dir.path());
    let all_days = between(NOW, NOW + 3 * DAY);
    let (found, stats) = scan(&store, &all_days, 10);
    assert_eq!((found.len(), stats.blocks_read), (10, 1));
    assert!(found.iter().all(|number| (100..150).contains(number)));
    let oldest = ScanRequest {
        newest_first: false,
        ..all_days.clone()
    };
    let (found, stats) = scan(&store, &oldest, 10);
    assert_eq!((found.len(), stats.blocks_read), (10, 1));
    assert!(found.iter().all(|number| *number < 50));
    drop(all_days.budget.cancel_on_drop());
    let (_, stats) = scan(&store, &all_days, 10);
    assert_eq!(stats.exhausted, Some(Exhausted::Cancelled));
    assert_eq!(stats.blocks_read, 0);
}

#[test]
fn merging_keeps_wrong_clocks_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = three_days(dir.path());
    let blocks = store.engine().snapshot().blocks.clone();
    compaction::merge(store.engine(), &blocks, &CompactionSignal::default()).unwrap();
    let first_day = between(NOW, NOW + DAY - 1);
    let (found, stats) = scan(&store, &first_day, usize::MAX);
    assert_eq!((found.len(), stats.examined_spans), (50, 50));
    let (_, stats) = scan(&store, &between(NOW + 30 * DAY, NOW + 40 * DAY), usize::MAX);
    assert_eq!(stats.blocks_read, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_range_finds_the_spans_that_start_in_it_in_both_directions(
        starts in proptest::collection::vec(
            prop_oneof![0..5 * DAY, Just(u64::MAX), any::<u64>()], 1..120),
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let spans = (0..).zip(&starts).map(|(number, start)| Span {
            start_unix_nano: *start,
            end_unix_nano: *start,
            ..span((number % 5) as u8 + 1, number + 1)
        });
        append(&store, spans.collect());
        store.flush().unwrap();
        let (left, right) = (*range.0.get(&starts), *range.1.get(&starts));
        let mut expected: Vec<u64> = (0..)
            .zip(&starts)
            .filter(|(_, start)| (left.min(right)..=left.max(right)).contains(start))
            .map(|(number, _)| number)
            .collect();
        expected.sort_unstable();
        for newest_first in [true, false] {
            let request = ScanRequest { newest_first, ..between(left.min(right), left.max(right)) };
            let (mut found, _) = scan(&store, &request, usize::MAX);
            found.sort_unstable();
            prop_assert_eq!(&found, &expected);
        }
    }
}
