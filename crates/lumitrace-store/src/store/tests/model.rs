//! The store against a plain model of it: a list of what was stored.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, TraceId, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::large_values::words;
use super::{copy_of, expire_oldest, lose_newest, options};
use crate::compaction::{self, CompactionSignal};
use crate::identity::{Identity, supersedes};
use crate::manifest::BlockId;
use crate::scan::predicate::Predicate;
use crate::{
    QueryBudget, SCAN_WINDOW_NANO, ScanRequest, SpanBatch, SpanRecord, Store, StoreOptions, batch,
};

const TRACES: u8 = 4;
const DAY_NANO: u64 = 86_400_000_000_000;
/// Around that from which on a text is large.
const LENGTHS: [usize; 3] = [2_040, 2_049, 5_000];

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<ResourceSpans>),
    /// Sends a batch again.
    Retry(usize),
    Flush,
    /// Merges all blocks.
    Merge,
    Reopen,
    /// Goes on with a copy of the folder that was taken without closing the store.
    Crash,
    /// Archives a trace.
    Archive(u8),
    /// The oldest block goes.
    Expire,
    /// The newest block is lost, and the folder repaired.
    Repair,
}

fn value() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        Just(Value::Double(f64::NAN)),
        ".{0,12}".prop_map(Value::from),
        (0..2_u64, prop::sample::select(&LENGTHS[..]))
            .prop_map(|(seed, len)| Value::from(words(seed, len))),
        vec(any::<u8>(), 0..6).prop_map(Value::Bytes),
    ];
    plain.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec(("[a-c]{0,2}", inner), 0..3).prop_map(|pairs| {
                Value::Map(
                    pairs
                        .into_iter()
                        .map(|(key, value)| KeyValue::new(key, value))
                        .collect(),
                )
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-d]", value()), 0..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, value)| KeyValue::new(key, value))
            .collect()
    })
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), "[a-z]{0,9}", attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name: name.into(),
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (
        any::<[u8; 16]>(),
        any::<[u8; 8]>(),
        "[a-z=]{0,5}",
        attributes(),
        any::<u32>(),
    )
        .prop_map(|(trace_id, span_id, trace_state, attributes, flags)| Link {
            trace_id: TraceId::from_bytes(trace_id),
            span_id: SpanId::from_bytes(span_id),
            trace_state: trace_state.into(),
            attributes,
            dropped_attributes_count: flags / 2,
            flags,
        })
}

/// When the span with these ids starts: spread over seconds, days, and nonsense.
fn start_of(trace: u8, number: u8) -> u64 {
    match (trace, number) {
        (0, 1) => 0,
        (0, 2) => u64::MAX,
        (0, number) => u64::from(number) * 5_000_000_000,
        (trace, number) => {
            20_000 * DAY_NANO + u64::from(trace / 2) * DAY_NANO + u64::from(number) * 3_000_000_000
        }
    }
}

/// A span out of few, so that many meet again. What a search can ask for is the same each time,
/// as it is for records of one span in reality; the rest varies.
fn span() -> impl Strategy<Value = Span> {
    let ids = (0..TRACES, 1..9_u8, any::<bool>(), any::<bool>());
    let facts = (
        any::<u64>(),
        "[a-z]{0,4}",
        any::<u32>(),
        proptest::option::of(any::<[u8; 8]>()),
    );
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..2));
    (ids, facts, lists).prop_map(|(ids, facts, (attributes, events, links))| {
        let (trace, number, is_server, pending) = ids;
        let (end_unix_nano, text, number_of_some, parent) = facts;
        Span {
            trace_id: TraceId::from_bytes([trace + 1; 16]),
            span_id: SpanId::from_bytes([number; 8]),
            parent_span_id: parent.and_then(|parent| SpanId::from_slice(&parent)),
            trace_state: text.clone().into(),
            flags: number_of_some,
            name: ["batch_processing", "validation"][usize::from(number % 2)].into(),
            kind: if is_server {
                SpanKind::Server
            } else {
                SpanKind::Internal
            },
            start_unix_nano: start_of(trace, number),
            end_unix_nano,
            attributes,
            dropped_attributes_count: number_of_some / 3,
            events,
            dropped_events_count: number_of_some / 5,
            links,
            dropped_links_count: number_of_some / 7,
            status: Status {
                code: if number == 3 {
                    StatusCode::Error
                } else {
                    StatusCode::Unset
                },
                message: text.into(),
            },
            pending,
        }
    })
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    let resource = (
        prop_oneof![Just("trainer"), Just("server")],
        attributes(),
        0..3_u32,
    );
    (resource, "[a-z]{0,3}", vec(span(), 0..6)).prop_map(
        |((service, attributes, dropped), text, spans)| {
            // The service goes with the span, like everything else that a search asks for.
            let mut resource = Resource {
                attributes,
                dropped_attributes_count: dropped,
            };
            resource
                .attributes
                .insert(0, KeyValue::new("service.name", service));
            let scope = Scope {
                name: text.clone().into(),
                version: "1".into(),
                ..Scope::default()
            };
            let spans = spans
                .into_iter()
                .map(|mut span| {
                    let trace =
                        if service == "trainer" { 2 } else { 0 } + span.trace_id.as_bytes()[0] % 2;
                    span.trace_id = TraceId::from_bytes([trace + 1; 16]);
                    span.start_unix_nano = start_of(trace, span.span_id.as_bytes()[0]);
                    span
                })
                .collect();
            ResourceSpans {
                resource,
                schema_url: text.clone().into(),
                scope_spans: vec![ScopeSpans {
                    scope,
                    schema_url: text.into(),
                    spans,
                }],
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(resource_spans(), 0..3).prop_map(Step::Append),
        1 => any::<usize>().prop_map(Step::Retry),
        2 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        2 => (1..=TRACES).prop_map(Step::Archive),
        1 => Just(Step::Expire),
        1 => Just(Step::Repair),
    ]
}

/// Everything that was ever stored and did not go, in order.
#[derive(Default)]
struct Model {
    stored: Vec<SpanRecord>,
    /// As they are found: without sequence numbers.
    archived: BTreeMap<Identity, SpanRecord>,
}

impl Model {
    /// What counts of all, by identity.
    fn spans(&self) -> BTreeMap<Identity, &SpanRecord> {
        let mut spans = self.unarchived();
        for (identity, archived) in &self.archived {
            let current = spans.entry(*identity).or_insert(archived);
            if current.span.pending && !archived.span.pending {
                *current = archived;
            }
        }
        spans
    }

    fn archive(&mut self, trace_id: TraceId) {
        let unarchived = self.unarchived().into_iter();
        let of_trace = unarchived.filter(|(_, record)| record.span.trace_id == trace_id);
        let is_missing = |identity: &Identity| {
            let archived = self.archived.get(identity);
            archived.is_none_or(|it| it.span.pending)
        };
        let missing = of_trace.filter(|(identity, _)| is_missing(identity));
        let copies = missing.map(|(identity, record)| {
            let copy = SpanRecord {
                seq: 0,
                ..record.clone()
            };
            (identity, copy)
        });
        let copies: Vec<_> = copies.collect();
        self.archived.extend(copies);
    }

    /// Takes out what was in this block.
    fn lose(&mut self, block: Option<BlockId>) {
        let is_in = |seq| block.is_some_and(|id| (id.first_seq..id.end_seq).contains(&seq));
        self.stored.retain(|record| !is_in(record.seq));
    }

    /// What counts beside the archive.
    fn unarchived(&self) -> BTreeMap<Identity, &SpanRecord> {
        let mut spans: BTreeMap<Identity, &SpanRecord> = BTreeMap::new();
        for record in &self.stored {
            let current = spans.entry(Identity::of(&record.span)).or_insert(record);
            if supersedes(record, current) {
                *current = record;
            }
        }
        spans
    }
}

/// A record as text, which also compares NaN; without what the store adds, and with the attributes
/// by key: of their order only that of those with one key is kept.
fn text(record: &SpanRecord) -> String {
    let mut record = SpanRecord {
        received_unix_nano: 0,
        ..record.clone()
    };
    let attributes = &mut record.span.attributes;
    attributes.sort_by(|left, right| left.key.cmp(&right.key));
    format!("{record:?}")
}

fn scanned(store: &Store, request: &ScanRequest) -> Vec<Arc<SpanRecord>> {
    let mut records = Vec::new();
    store
        .scan(request, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
    let windows = records
        .iter()
        .map(|record| record.span.start_unix_nano / SCAN_WINDOW_NANO);
    let in_order = if request.newest_first {
        windows
            .clone()
            .is_sorted_by(|earlier, later| earlier >= later)
    } else {
        windows.clone().is_sorted()
    };
    assert!(in_order, "{:?}", windows.collect::<Vec<_>>());
    records
}

fn requests() -> Vec<ScanRequest> {
    let all = ScanRequest::default;
    let (early, late) = (20_000 * DAY_NANO, 20_001 * DAY_NANO);
    vec![
        all(),
        ScanRequest {
            newest_first: false,
            ..all()
        },
        ScanRequest {
            service: Some("trainer".to_owned()),
            ..all()
        },
        ScanRequest {
            names: vec!["validation".to_owned(), "other".to_owned()],
            ..all()
        },
        ScanRequest {
            only_errors: true,
            ..all()
        },
        ScanRequest {
            start_unix_nano: early,
            end_unix_nano: late,
            ..all()
        },
        ScanRequest {
            start_unix_nano: late,
            newest_first: false,
            ..all()
        },
        ScanRequest {
            attributes: vec![("service.name".to_owned(), "server".to_owned())],
            ..all()
        },
    ]
}

fn check(store: &Store, model: &Model) {
    let expected = model.spans();
    for trace in 1..=TRACES {
        let trace_id = TraceId::from_bytes([trace; 16]);
        let mut found: Vec<String> = store
            .trace(trace_id)
            .unwrap()
            .iter()
            .map(|record| text(record))
            .collect();
        let of_trace = expected
            .values()
            .filter(|record| record.span.trace_id == trace_id);
        let mut wanted: Vec<String> = of_trace.map(|record| text(record)).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
    for request in requests() {
        let predicate = Predicate::new(&request);
        let wanted: Vec<Identity> = expected
            .iter()
            .filter(|(_, record)| predicate.matches(**record))
            .map(|(identity, _)| *identity)
            .collect();
        let found = scanned(store, &request);
        let mut identities: Vec<_> = found.iter().map(|it| Identity::of(&it.span)).collect();
        identities.sort();
        assert_eq!(identities, wanted, "{request:?}");
        for record in &found {
            let counts = expected[&Identity::of(&record.span)];
            assert_eq!(record.span.pending, counts.span.pending);
        }
    }
}

fn merge_all(store: &Store) {
    let engine = &store.handle.spans.engine;
    let blocks = engine.snapshot().blocks.clone();
    if blocks.len() > 1 {
        assert!(compaction::merge(engine, &blocks, &CompactionSignal::default()).unwrap());
        assert_eq!(store.stats().blocks, 1);
    }
}

fn small(dir: &Path) -> StoreOptions {
    // Small enough that row groups and segments turn over. Blocks are written only by a step, so
    // that a copy of the folder between steps is one of a single moment.
    StoreOptions {
        row_group_rows: 7,
        log_segment_bytes: 2_000,
        ..options(dir)
    }
}

struct Run {
    dir: TempDir,
    store: Store,
    model: Model,
    sent: Vec<Vec<ResourceSpans>>,
}

impl Run {
    fn step(&mut self, step: Step) {
        match step {
            Step::Append(resource_spans) => self.append(resource_spans),
            Step::Retry(index) if !self.sent.is_empty() => {
                self.append(self.sent[index % self.sent.len()].clone());
            }
            Step::Retry(_) => {}
            Step::Flush => self.store.flush().unwrap(),
            Step::Merge => merge_all(&self.store),
            Step::Reopen => {
                self.store.close();
                self.go_on_with_a_copy();
            }
            Step::Crash => self.go_on_with_a_copy(),
            Step::Archive(trace) => {
                let trace_id = TraceId::from_bytes([trace; 16]);
                self.store
                    .archive_trace(trace_id, &QueryBudget::unlimited())
                    .unwrap();
                self.model.archive(trace_id);
            }
            Step::Expire => {
                let expired = expire_oldest(Some(self.store.engine()));
                self.model.lose(expired);
            }
            Step::Repair => {
                self.store.close();
                let dir = copy_of(self.dir.path());
                self.model
                    .lose(lose_newest(dir.path(), Path::new("blocks")));
                self.store = Store::open(small(dir.path())).unwrap();
                self.dir = dir;
            }
        }
    }

    fn go_on_with_a_copy(&mut self) {
        let dir = copy_of(self.dir.path());
        self.store = Store::open(small(dir.path())).unwrap();
        self.dir = dir;
    }

    fn append(&mut self, resource_spans: Vec<ResourceSpans>) {
        self.sent.push(resource_spans.clone());
        let batch = SpanBatch::from_resource_spans(&resource_spans).unwrap();
        let receipt = self.store.append(batch).wait().unwrap();
        let records = records_of(resource_spans, receipt.first_seq);
        assert_eq!(receipt.record_count, records.len());
        self.model.stored.extend(records);
    }
}

/// What a request's spans are stored as, numbered from `first_seq`.
fn records_of(resource_spans: Vec<ResourceSpans>, first_seq: u64) -> Vec<SpanRecord> {
    let mut records = Vec::new();
    for group in resource_spans {
        let resource = Arc::new(group.resource);
        for scope_spans in group.scope_spans {
            let scope = Arc::new(scope_spans.scope);
            records.extend(scope_spans.spans.into_iter().map(|span| SpanRecord {
                span,
                resource: Arc::clone(&resource),
                resource_schema_url: group.schema_url.as_ref().into(),
                scope: Arc::clone(&scope),
                scope_schema_url: scope_spans.schema_url.as_ref().into(),
                seq: 0,
                received_unix_nano: 0,
            }));
        }
    }
    for (record, seq) in records.iter_mut().zip(first_seq..) {
        record.seq = seq;
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_like_a_plain_list_whatever_happens_to_it(steps in vec(step(), 1..14)) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(small(dir.path())).unwrap();
        let mut run = Run { dir, store, model: Model::default(), sent: Vec::new() };
        for step in steps {
            run.step(step);
            check(&run.store, &run.model);
        }
    }

    #[test]
    fn every_condition_selects_the_same_spans_in_memory_and_in_blocks(
        batches in vec(vec(resource_spans(), 1..3), 1..4),
        durations in (any::<u64>(), any::<u64>()),
        key in "[a-d]",
        text in prop_oneof![Just("true".to_owned()), Just("NaN".to_owned()), "[a-z]{0,2}"],
    ) {
        let (in_memory, in_blocks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let memory = Store::open(options(in_memory.path())).unwrap();
        let blocks = Store::open(small(in_blocks.path())).unwrap();
        for mut batch in batches {
            // Announcements may match differently than final spans; see `Store::scan`.
            let scopes = batch.iter_mut().flat_map(|resource| &mut resource.scope_spans);
            scopes.flat_map(|scope| &mut scope.spans).for_each(|span| span.pending = true);
            for store in [&memory, &blocks] {
                store.append(SpanBatch::from_resource_spans(&batch).unwrap()).wait().unwrap();
            }
        }
        blocks.flush().unwrap();
        merge_all(&blocks);
        let all = ScanRequest::default;
        let conditions = [
            ScanRequest { min_duration_nano: Some(durations.0), ..all() },
            ScanRequest { max_duration_nano: Some(durations.1), ..all() },
            ScanRequest { attributes: vec![(key, text.clone())], ..all() },
            ScanRequest { text: Some(text), newest_first: false, ..all() },
        ];
        for request in conditions.into_iter().chain(requests()) {
            let sorted = |store: &Store| {
                let mut records: Vec<String> =
                    scanned(store, &request).iter().map(|record| self::text(record)).collect();
                records.sort();
                records
            };
            prop_assert_eq!(sorted(&memory), sorted(&blocks), "{:?}", request);
        }
    }
}

#[test]
fn a_search_that_stops_after_the_newest_reads_one_row_group() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        row_group_rows: 100,
        ..options(dir.path())
    })
    .unwrap();
    let spans = (1..1_000).map(|number| {
        let mut span = batch::testing::span(1, number);
        span.start_unix_nano = number * SCAN_WINDOW_NANO;
        span
    });
    super::append(&store, spans.collect());
    store.flush().unwrap();
    let mut newest = Vec::new();
    let stats = store
        .scan(&ScanRequest::default(), &mut |record| {
            newest.push(record.span.start_unix_nano / SCAN_WINDOW_NANO);
            if newest.len() < 3 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .unwrap();
    assert_eq!(newest, [999, 998, 997]);
    assert_eq!((stats.row_groups_read, stats.stopped), (1, true));

    let range = ScanRequest {
        start_unix_nano: 150 * SCAN_WINDOW_NANO,
        end_unix_nano: 151 * SCAN_WINDOW_NANO,
        ..ScanRequest::default()
    };
    assert_eq!(scanned(&store, &range).len(), 2);
    let other = ScanRequest {
        service: Some("other".to_owned()),
        ..ScanRequest::default()
    };
    let stats = store
        .scan(&other, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((stats.blocks_read, stats.blocks_pruned), (0, 1));
}
