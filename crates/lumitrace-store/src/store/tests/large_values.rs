//! Large values: back bit by bit, found, read only where they are needed, and stored once.

use std::fs;
use std::ops::ControlFlow;

use lumitrace_model::{Event, KeyValue, Link, Span, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{append, only_file, options};
use crate::batch::testing::{self, span};
use crate::check::check;
use crate::compaction::{CompactionSignal, merge};
use crate::repair::repair;
use crate::{QueryBudget, ScanRequest, SpanParts, Store};

const WITHOUT_LARGE_VALUES: SpanParts = SpanParts {
    large_values: false,
    ..SpanParts::ALL
};

/// Text of some words, the same for the same seed.
pub(super) fn words(seed: u64, bytes: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text = String::new();
    while text.len() < bytes {
        let letters = rng.usize(2..9);
        text.extend((0..letters).map(|_| rng.lowercase()));
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

fn with(number: u64, attributes: Vec<KeyValue>) -> Span {
    Span {
        attributes,
        ..span(1, number)
    }
}

fn merge_all(store: &Store) {
    let engine = &store.handle.spans.engine;
    let blocks = engine.snapshot().blocks.clone();
    assert_eq!(
        merge(engine, &blocks, &CompactionSignal::default()),
        Ok(true)
    );
}

/// The spans of trace 1, attributes by key.
fn spans_of(store: &Store) -> Vec<Span> {
    let found = store.trace(span(1, 1).trace_id).unwrap();
    found.iter().map(|it| by_key(it.span.clone())).collect()
}

/// Blocks do not keep the order of different keys.
fn by_key(mut span: Span) -> Span {
    span.attributes
        .sort_by(|left, right| left.key.cmp(&right.key));
    span
}

fn found(store: &Store, request: &ScanRequest) -> Vec<Span> {
    let mut found = Vec::new();
    let mut visit = |record: std::sync::Arc<crate::SpanRecord>| {
        found.push(by_key(record.span.clone()));
        ControlFlow::Continue(())
    };
    store.scan(request, &mut visit).unwrap();
    found.sort_by_key(|span| span.span_id);
    found
}

fn where_attribute(key: &str, text: &str) -> ScanRequest {
    ScanRequest {
        attributes: vec![(key.to_owned(), text.to_owned())],
        ..ScanRequest::default()
    }
}

fn where_text(text: &str) -> ScanRequest {
    ScanRequest {
        text: Some(text.to_owned()),
        ..ScanRequest::default()
    }
}

/// A store with one block of these spans, closed.
fn folder_of(spans: Vec<Span>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, spans);
    store.flush().unwrap();
    drop(store);
    // The log goes when it is opened again.
    drop(Store::open(options(dir.path())).unwrap());
    dir
}

/// Flips a bit of every frame, so that whatever is read is damaged.
fn damage_payload(dir: &TempDir) {
    let path = only_file(&dir.path().join("blocks"), "payload");
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[16..len].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_block_without_large_values_has_no_payload_file() {
    let dir = folder_of(vec![with(1, vec![KeyValue::new("text", words(1, 2048))])]);
    let names = fs::read_dir(dir.path().join("blocks")).unwrap();
    assert_eq!(names.count(), 2);
}

#[test]
fn the_turns_of_an_agent_take_little_more_than_the_last_one() {
    let turns = 50;
    let mut history = String::new();
    let mut spans = Vec::new();
    for turn in 1..=turns {
        let said = words(turn, 1500 + 97 * turn as usize);
        history.push_str(&format!("{{\"role\":\"user\",\"content\":\"{said}\"}},"));
        let messages = format!("[{history}]");
        spans.push(with(
            turn,
            vec![KeyValue::new("gen_ai.input.messages", messages)],
        ));
    }
    let last = spans.last().unwrap().attributes[0].value.clone();
    let Value::String(last) = last else {
        panic!("another type");
    };
    let last = zstd::bulk::compress(last.as_bytes(), 3).unwrap().len() as u64;
    let sent = by_key_all(&spans);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for half in spans.chunks(25) {
        append(&store, half.to_vec());
        store.flush().unwrap();
    }
    let in_two = store.stats().block_bytes;
    merge_all(&store);
    let merged = store.stats().block_bytes;
    assert!(in_two < last * 2, "{in_two} for {last}");
    assert!(merged < last * 5 / 4, "{merged} for {last}");
    assert_eq!(spans_of(&store), sent);
}

#[test]
fn agents_that_take_turns_with_each_other_take_little_more_than_their_last_turns() {
    let (agents, turns) = (10_u64, 20_u64);
    let mut histories: Vec<String> = (0..agents).map(|agent| words(agent, 3000)).collect();
    let mut spans = Vec::new();
    for number in 0..agents * turns {
        let history = &mut histories[(number % agents) as usize];
        history.push_str(&words(1000 + number, 300 + (number * 37 % 3700) as usize));
        let messages = KeyValue::new("gen_ai.input.messages", history.clone());
        spans.push(with(number + 1, vec![messages]));
    }
    let last = zstd::bulk::compress(histories.concat().as_bytes(), 3).unwrap();
    let dir = folder_of(spans);
    let store = Store::open(options(dir.path())).unwrap();
    let found = store.stats().block_bytes;
    assert!(found < last.len() as u64 * 2, "{found} for {}", last.len());
}

fn by_key_all(spans: &[Span]) -> Vec<Span> {
    spans.iter().cloned().map(by_key).collect()
}

#[test]
fn what_does_not_need_large_values_does_not_read_them() {
    let (large, other) = (words(1, 9000), words(2, 9000));
    let dir = folder_of(vec![
        with(1, vec![KeyValue::new("prompt", large.clone())]),
        with(2, vec![KeyValue::new("prompt", other.clone())]),
        with(3, vec![KeyValue::new("small", 1)]),
    ]);
    damage_payload(&dir);
    let store = Store::open(options(dir.path())).unwrap();
    let trace_id = span(1, 1).trace_id;
    let cut = |request: ScanRequest| ScanRequest {
        parts: WITHOUT_LARGE_VALUES,
        ..request
    };

    let trace = store.trace_parts(trace_id, WITHOUT_LARGE_VALUES, &QueryBudget::unlimited());
    let first = &trace.unwrap().whole().unwrap()[0];
    assert_eq!(
        first.span.attributes[0].value,
        Value::from(large[..1024].to_owned())
    );
    // Hash and length decide about equality ...
    assert_eq!(
        found(&store, &cut(where_attribute("prompt", &large))).len(),
        1
    );
    assert_eq!(
        found(&store, &cut(where_attribute("prompt", &large[..1024]))).len(),
        0
    );
    assert_eq!(
        found(&store, &cut(where_attribute("prompt", &large[..8999]))).len(),
        0
    );
    assert_eq!(found(&store, &cut(where_attribute("small", "1"))).len(), 1);
    // ... and the beginning about a text, where it is there for all that have large values.
    let both = ScanRequest {
        attributes: vec![("prompt".to_owned(), other.clone())],
        ..where_text(&other[100..140].to_uppercase())
    };
    assert_eq!(found(&store, &cut(both)).len(), 1);

    // Otherwise values that are damaged stay cut, and the answer says so.
    let budget = QueryBudget::unlimited();
    let trace = store
        .trace_parts(trace_id, SpanParts::ALL, &budget)
        .unwrap();
    assert_eq!((trace.spans.len(), trace.damaged.len()), (3, 1));
    let first = store.span(trace_id, span(1, 1).span_id).unwrap();
    assert_eq!((first.spans.len(), first.damaged.len()), (1, 1));
    assert_eq!(
        first.spans[0].span.attributes[0].value,
        Value::from(large[..1024].to_owned())
    );
    assert_eq!(found(&store, &ScanRequest::default()).len(), 3);

    let searched = cut(where_text("nowhere"));
    let searched = store.scan(&searched, &mut |_| ControlFlow::Continue(()));
    for error in [
        store.trace(trace_id).unwrap_err().to_string(),
        searched.unwrap().damaged[0].to_string(),
    ] {
        assert!(error.contains(".payload is damaged at byte 16"), "{error}");
    }
}

#[test]
fn a_payload_file_that_is_cut_short_or_missing_is_noticed_on_opening_and_leaves_the_spans() {
    let dir = folder_of(vec![with(1, vec![KeyValue::new("prompt", words(1, 9000))])]);
    let file = only_file(&dir.path().join("blocks"), "payload");
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(100)
        .unwrap();
    let damage = || {
        let store = Store::open(options(dir.path())).unwrap();
        let without = ScanRequest {
            parts: WITHOUT_LARGE_VALUES,
            ..ScanRequest::default()
        };
        assert_eq!(found(&store, &without).len(), 1);
        let whole = found(&store, &ScanRequest::default());
        assert_eq!(whole, found(&store, &without), "only the first KiB");
        store.stats().damages[0].to_string()
    };
    assert!(damage().contains(".payload is damaged at byte 100"));
    fs::remove_file(&file).unwrap();
    assert!(damage().contains("it is missing"));
}

#[test]
fn a_check_finds_any_flipped_bit_of_a_payload_file() {
    let dir = folder_of(vec![with(1, vec![KeyValue::new("prompt", words(1, 4000))])]);
    let file = only_file(&dir.path().join("blocks"), "payload");
    let bytes = fs::read(&file).unwrap();
    let damages = || {
        check(dir.path(), &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .damages
    };
    assert_eq!(damages(), []);
    for place in (0..bytes.len()).step_by(61).chain(0..16) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(&file, damaged).unwrap();
        let found = damages();
        assert_eq!(found.len(), 1, "{place}: {found:?}");
        assert_eq!(found[0].file, file);
    }
    fs::write(&file, [&bytes[..], b"x"].concat()).unwrap();
    assert_eq!(damages()[0].offset, bytes.len() as u64);
}

#[test]
fn a_repair_keeps_the_spans_and_what_is_readable_of_their_values() {
    let values = |number| vec![KeyValue::new("prompt", words(number, 9000))];
    // Letters of one frame each, so that only one of them is damaged.
    let noise = |seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let noise: Vec<u8> = (0..300_000).map(|_| rng.u8(..)).collect();
        vec![KeyValue::new("noise", noise)]
    };
    for is_missing in [false, true] {
        let dir = folder_of(vec![
            with(1, noise(1)),
            with(2, noise(2)),
            with(3, values(3)),
        ]);
        let file = only_file(&dir.path().join("blocks"), "payload");
        let mut bytes = fs::read(&file).unwrap();
        bytes[100] ^= 1;
        fs::write(&file, bytes).unwrap();
        if is_missing {
            fs::remove_file(&file).unwrap();
        }
        let done = repair(dir.path(), false, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(
            (done.rescued_records, done.losses.len()),
            (3, 1),
            "{done:?}"
        );
        assert!(done.losses[0].reason.contains("the first KiB is left"));

        let store = Store::open(options(dir.path())).unwrap();
        let spans = spans_of(&store);
        let lengths: Vec<usize> = spans
            .iter()
            .map(|span| match &span.attributes[0].value {
                Value::String(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                _ => 0,
            })
            .collect();
        let expected = match is_missing {
            true => [1024, 1024, 1024],
            false => [1024, 300_000, 9000],
        };
        assert_eq!(lengths, expected);
        drop(store);
        let damages = check(dir.path(), &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .damages;
        assert_eq!(damages, []);
    }
}

/// Lengths around those at which something else is done.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..20_usize,
        1020..1030_usize,
        2040..2056_usize,
        2000..80_000_usize,
    ]
}

fn value() -> impl Strategy<Value = Value> {
    // Few seeds, so that values repeat, and repeat the beginning of others.
    let text = || (0..3_u64, length()).prop_map(|(seed, len)| words(seed, len));
    let wide = (0..2_u64, 0..3000_usize).prop_map(|(seed, len)| {
        let ascii = words(seed, len);
        ascii.replace('a', "ä").replace('e', "€")
    });
    let scalar = prop_oneof![
        4 => text().prop_map(Value::from),
        2 => wide.prop_map(Value::from),
        2 => text().prop_map(|it| Value::Bytes(it.into_bytes())),
        1 => any::<i64>().prop_map(Value::from),
    ];
    let scalar = scalar.boxed();
    prop_oneof![
        4 => scalar.clone(),
        1 => vec(scalar.clone(), 0..4).prop_map(Value::Array),
        1 => vec(scalar, 0..3).prop_map(|values| {
            let pairs = values.into_iter().map(|value| KeyValue::new("part", value));
            Value::Map(pairs.collect())
        }),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop::sample::select(&["prompt", "answer"][..]);
    vec(
        (key, value()).prop_map(|(key, value)| KeyValue::new(key, value)),
        0..4,
    )
}

fn any_span() -> impl Strategy<Value = Span> {
    (
        attributes(),
        vec(attributes(), 0..3),
        vec(attributes(), 0..2),
    )
        .prop_map(|(attributes, events, links)| Span {
            attributes,
            events: events
                .into_iter()
                .map(|attributes| Event {
                    name: "exception".into(),
                    attributes,
                    ..Event::default()
                })
                .collect(),
            links: links
                .into_iter()
                .map(|attributes| Link {
                    attributes,
                    ..Link::default()
                })
                .collect(),
            ..Span::default()
        })
}

/// What may be asked of these spans: values, parts of them, and beginnings as columns keep them.
fn questions(spans: &[Span]) -> Vec<ScanRequest> {
    let attributes = spans.iter().flat_map(|span| &span.attributes);
    let texts = attributes.filter_map(|attribute| match &attribute.value {
        Value::String(text) => Some((attribute.key.to_string(), text.to_string())),
        _ => None,
    });
    let mut questions = vec![where_text("no such word"), where_attribute("answer", "")];
    for (key, text) in texts.take(6) {
        let part = |from: usize, to: usize| {
            let from = text.floor_char_boundary(from.min(text.len()));
            let to = text.floor_char_boundary(to.min(text.len()));
            text[from..to.max(from)].to_owned()
        };
        questions.push(where_attribute(&key, &text));
        questions.push(where_attribute(&key, &part(0, 1024)));
        questions.push(where_attribute("answer", &text));
        questions.push(where_text(&part(0, 30)));
        questions.push(where_text(&part(1000, 1050).to_uppercase()));
        questions.push(where_text(&part(text.len().saturating_sub(40), text.len())));
    }
    questions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn spans_come_back_and_are_found_like_those_of_a_plain_list(
        batches in vec(vec(any_span(), 1..5), 2..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(options(dir.path())).unwrap();
        let mut sent = Vec::new();
        for spans in batches {
            let numbered = spans.into_iter().zip(sent.len() as u64 + 1..);
            let spans: Vec<Span> = numbered
                .map(|(lists, number)| Span {
                    attributes: lists.attributes,
                    events: lists.events,
                    links: lists.links,
                    ..span(1, number)
                })
                .collect();
            append(&store, spans.clone());
            store.flush().unwrap();
            sent.extend(spans.into_iter().map(by_key));
        }
        let compare = |store: &Store| {
            assert_eq!(spans_of(store), sent);
            for one in &sent {
                let found = store.span(one.trace_id, one.span_id).unwrap().spans;
                assert_eq!(by_key(found[0].span.clone()), *one);
            }
            for question in questions(&sent) {
                let expected: Vec<Span> = sent
                    .iter()
                    .filter(|span| {
                        let stored = testing::stored(vec![(*span).clone()], 1);
                        question.matches_stored(stored.span(0))
                    })
                    .cloned()
                    .collect();
                assert_eq!(found(store, &question), expected, "{question:?}");
                let without = ScanRequest { parts: SpanParts::NONE, ..question };
                assert_eq!(found(store, &without).len(), expected.len(), "{without:?}");
            }
        };
        compare(&store);
        merge_all(&store);
        compare(&store);
        drop(store);
        let found = check(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(found.damages, vec![]);
    }
}
