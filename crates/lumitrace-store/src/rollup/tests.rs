//! Rollups against plain lists of spans, wherever those are.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{KeyValue, Resource, ResourceSpans, ScopeSpans, Span, SpanKind, Status};
use lumitrace_model::{SpanId, StatusCode, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::compaction::{self, CompactionSignal};
use crate::{
    DurationSketch, QueryBudget, QueryLimits, QueryMemory, RollupRequest, SpanBatch, SpanRollup,
    Store, StoreOptions,
};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const T0: u64 = 20_000 * DAY;

fn open(dir: &std::path::Path) -> Store {
    let options = StoreOptions {
        compact_below_bytes: 0,
        row_group_rows: 50,
        ..StoreOptions::new(dir)
    };
    Store::open(options).unwrap()
}

fn append(store: &Store, service: &'static str, spans: Vec<Span>) {
    let resource = Resource {
        attributes: vec![KeyValue::new("service.name", service)],
        ..Resource::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let group = ResourceSpans {
        resource,
        scope_spans,
        ..ResourceSpans::default()
    };
    let batch = SpanBatch::from_resource_spans(&[group]).unwrap();
    store.append(batch).wait().unwrap();
}

fn merge_all(store: &Store) {
    let blocks = store.engine().snapshot().blocks.clone();
    if blocks.len() > 1 {
        compaction::merge(store.engine(), &blocks, &CompactionSignal::default()).unwrap();
    }
}

fn span(id: u64, name: &'static str, start: u64, duration: i64) -> Span {
    Span {
        trace_id: TraceId::from_bytes([(id % 7) as u8 + 1; 16]),
        span_id: SpanId::from_bytes((id + 1).to_be_bytes()),
        name: name.into(),
        start_unix_nano: start,
        end_unix_nano: start.wrapping_add_signed(duration),
        ..Span::default()
    }
}

/// Start, duration, service, name, kind, outcome, and whether it is only announced.
#[derive(Debug, Clone)]
struct Fact {
    start: u64,
    duration: i64,
    service: &'static str,
    name: &'static str,
    is_server: bool,
    failed: bool,
    pending: bool,
}

impl Fact {
    fn span(&self, id: u64) -> Span {
        Span {
            kind: match self.is_server {
                true => SpanKind::Server,
                false => SpanKind::Internal,
            },
            status: Status {
                code: match self.failed {
                    true => StatusCode::Error,
                    false => StatusCode::Ok,
                },
                ..Status::default()
            },
            pending: self.pending,
            ..span(id, self.name, self.start, self.duration)
        }
    }
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0..2 * HOUR).prop_map(|offset| T0 + offset),
        1 => (0..3 * DAY).prop_map(|offset| T0 + offset),
        1 => prop::sample::select(&[0, 1, T0, T0 + HOUR, T0 + HOUR - 1, u64::MAX][..]),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let duration = prop_oneof![0..10 * SECOND as i64, -5..5_i64, any::<i64>()];
    let names = (
        prop::sample::select(&["web", "db"][..]),
        prop::sample::select(&["read", "write"][..]),
    );
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    (start(), duration, names, flags).prop_map(
        |(start, duration, (service, name), (is_server, failed, pending))| Fact {
            start,
            duration,
            service,
            name,
            is_server,
            failed,
            pending,
        },
    )
}

fn request() -> impl Strategy<Value = RollupRequest> {
    let step = prop_oneof![
        Just(0),
        prop::sample::select(&[60 * SECOND, 600 * SECOND, HOUR, DAY][..]),
        1..2 * HOUR,
    ];
    let name = |names| proptest::option::of(prop::sample::select(names));
    (
        prop_oneof![2 => Just(0), 1 => start()],
        prop_oneof![2 => Just(u64::MAX), 1 => start()],
        name(&["web", "other"][..]),
        name(&["read", "other"][..]),
        step,
    )
        .prop_map(
            |(start_unix_nano, end_unix_nano, service, name, step)| RollupRequest {
                start_unix_nano,
                end_unix_nano,
                service: service.map(str::to_owned),
                name: name.map(str::to_owned),
                step_nano: NonZeroU64::new(step),
                budget: QueryBudget::unlimited(),
            },
        )
}

type Rows = BTreeMap<(u64, String, String, u8, bool), DurationSketch>;

fn expected(facts: &[Fact], request: &RollupRequest) -> Rows {
    let mut rows = Rows::new();
    for fact in facts {
        let is_counted = !fact.pending
            && request.starts().contains(&fact.start)
            && request.wants(fact.service, fact.name);
        if is_counted {
            let step = request.step_nano.map_or(1, u64::from);
            let step = request.step_nano.map_or(0, |_| fact.start / step * step);
            let kind = fact.span(0).kind.code();
            let (service, name) = (fact.service.to_owned(), fact.name.to_owned());
            let key = (step, service, name, kind, fact.failed);
            let sketch = rows.entry(key).or_default();
            sketch.add(fact.duration.max(0) as u64);
        }
    }
    rows
}

fn rows(rollup: SpanRollup) -> Rows {
    let rows: Vec<_> = rollup
        .rows
        .into_iter()
        .map(|row| {
            let (service, name) = (row.service.to_string(), row.name.to_string());
            let key = (
                row.step_unix_nano,
                service,
                name,
                row.kind.code(),
                row.failed,
            );
            (key, row.durations)
        })
        .collect();
    assert!(rows.is_sorted_by(|left, right| left.0 < right.0));
    rows.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_span_is_counted_once_in_its_step_wherever_it_is(
        facts in vec(fact(), 1..150),
        flush_after in 1..60_usize,
        is_merged: bool,
        requests in vec(request(), 6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for (number, chunk) in facts.chunks(flush_after).enumerate() {
            for (index, fact) in chunk.iter().enumerate() {
                let id = (number * flush_after + index) as u64;
                append(&store, fact.service, vec![fact.span(id)]);
            }
            if chunk.len() == flush_after {
                store.flush().unwrap();
            }
        }
        if is_merged {
            merge_all(&store);
        }
        for request in requests {
            let found = rows(store.span_rollup(&request).unwrap());
            prop_assert_eq!(found, expected(&facts, &request), "{:?}", request);
        }
    }
}

#[test]
fn a_question_about_everything_reads_no_spans_of_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let spans = (0..500).map(|id| span(id, "read", T0 + id * 60 * SECOND, id as i64));
    append(&store, "web", spans.collect());
    store.flush().unwrap();
    let everything = store.span_rollup(&RollupRequest::default()).unwrap();
    assert_eq!(everything.rows.len(), 1);
    assert_eq!(everything.rows[0].durations.count(), 500);
    assert_eq!(
        (
            everything.stats.rollups_read,
            everything.stats.examined_spans
        ),
        (1, 0)
    );
    // Of the minute that the range cuts only the spans in it are read.
    let cut = RollupRequest {
        start_unix_nano: T0 + 100 * 60 * SECOND,
        end_unix_nano: T0 + 400 * 60 * SECOND,
        ..RollupRequest::default()
    };
    let cut = store.span_rollup(&cut).unwrap();
    assert_eq!(cut.rows[0].durations.count(), 301);
    assert_eq!(
        cut.stats.examined_spans, 0,
        "each minute has one span, which is all of it"
    );
}

#[test]
fn a_repeated_request_counts_once_when_its_blocks_are_merged_and_announcements_never() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let count = || -> u64 {
        let rollup = store.span_rollup(&RollupRequest::default()).unwrap();
        rollup.rows.iter().map(|row| row.durations.count()).sum()
    };
    let finished = span(1, "read", T0, 5);
    let announced = Span {
        pending: true,
        ..finished.clone()
    };
    append(&store, "web", vec![announced.clone()]);
    assert_eq!(count(), 0);
    store.flush().unwrap();
    assert_eq!(count(), 0);
    append(&store, "web", vec![finished.clone()]);
    assert_eq!(count(), 1);
    // With another beside it, as from a collector that puts requests together anew.
    let with_another = |id| vec![finished.clone(), span(id, "announce", T0, 5)];
    append(&store, "web", with_another(2));
    assert_eq!(count(), 2, "memory has it");
    store.flush().unwrap();
    append(&store, "web", with_another(3));
    store.flush().unwrap();
    assert_eq!(count(), 4, "a block has it");
    merge_all(&store);
    assert_eq!(count(), 3);
}

#[test]
fn a_budget_that_is_exhausted_gives_what_is_known_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, "web", vec![span(1, "read", T0, 5)]);
    store.flush().unwrap();
    let over = QueryLimits {
        max_time: Duration::ZERO,
        ..QueryLimits::NONE
    };
    let request = RollupRequest {
        budget: QueryBudget::new(over, &Arc::new(QueryMemory::new(0))),
        ..RollupRequest::default()
    };
    let rollup = store.span_rollup(&request).unwrap();
    assert!(rollup.stats.exhausted.is_some() && rollup.rows.is_empty());
}
