//! Attributes in columns and in the list: nothing changed, nothing missed, little read.

use std::fs;
use std::ops::ControlFlow;

use lumitrace_model::{KeyValue, Span, Value};

use super::{append, only_file, options};
use crate::batch::testing::span;
use crate::block::index_header::{Header, Section};
use crate::block::value_filters::STRIPE_ROWS;
use crate::{SCAN_WINDOW_NANO, ScanRequest, ScanStats, Store, StoreOptions};

fn with_attributes(number: u64, attributes: Vec<KeyValue>) -> Span {
    Span {
        attributes,
        ..span(1, number)
    }
}

fn where_attribute(key: &str, text: &str) -> ScanRequest {
    ScanRequest {
        attributes: vec![(key.to_owned(), text.to_owned())],
        ..ScanRequest::default()
    }
}

/// How many spans a request finds, and what that cost.
fn count(store: &Store, request: &ScanRequest) -> (u64, ScanStats) {
    let mut visit = |_| ControlFlow::Continue(());
    let stats = store.scan(request, &mut visit).unwrap();
    (stats.matched_spans, stats)
}

#[test]
fn values_come_back_bit_by_bit_whichever_column_holds_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let odd_nan = f64::from_bits(0xfff8_0000_dead_beef);
    let sent = vec![
        with_attributes(1, vec![KeyValue::new("loss", odd_nan)]),
        with_attributes(2, vec![KeyValue::new("loss", -0.0)]),
        with_attributes(3, vec![KeyValue::new("loss", "NaN")]),
        with_attributes(
            4,
            vec![KeyValue::new("loss", 1), KeyValue::new("loss", 2.5)],
        ),
        with_attributes(
            5,
            vec![KeyValue::new("loss", 3.5), KeyValue::new("loss", 4.5)],
        ),
        with_attributes(
            6,
            vec![KeyValue::new("", "no key"), KeyValue::new("a.b\0ü", "")],
        ),
        with_attributes(7, vec![KeyValue::new("loss", Value::Null)]),
    ];
    append(&store, sent.clone());
    store.flush().unwrap();
    let bits = |spans: Vec<Span>| -> Vec<_> {
        let attribute = |attribute: KeyValue| match attribute.value {
            Value::Double(double) => (attribute.key, Value::Int(double.to_bits() as i64)),
            value => (attribute.key, value),
        };
        let attributes = spans.into_iter().map(|span| {
            let mut attributes = span.attributes;
            attributes.sort_by(|left, right| left.key.cmp(&right.key));
            attributes.into_iter().map(attribute).collect::<Vec<_>>()
        });
        attributes.collect()
    };
    let found = store.trace(sent[0].trace_id).unwrap();
    let found = found.iter().map(|record| record.span.clone()).collect();
    assert_eq!(bits(found), bits(sent));
    assert_eq!(count(&store, &where_attribute("loss", "2.5")).0, 1);
    assert_eq!(count(&store, &where_attribute("loss", "NaN")).0, 2);
}

#[test]
fn a_block_is_not_read_for_an_attribute_that_none_of_its_spans_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(
        &store,
        vec![with_attributes(1, vec![KeyValue::new("epoch", 7)])],
    );
    store.flush().unwrap();
    for (key, text, matched, blocks_read) in [
        ("epoch", "7", 1, 1),
        ("epoch", "8", 0, 1),
        ("epoch", "seven", 0, 0),
        ("batch", "7", 0, 0),
        ("service.name", "checkout", 1, 1),
        ("service.name", "other", 0, 0),
    ] {
        let (found, stats) = count(&store, &where_attribute(key, text));
        assert_eq!(
            (found, stats.blocks_read),
            (matched, blocks_read),
            "{key}={text}"
        );
    }
}

/// A block of several stripes, each span with a session of its own.
fn store_of_sessions(options: StoreOptions, spans: u64) -> Store {
    let store = Store::open(options).unwrap();
    let session = |number: u64| {
        let mut span = with_attributes(
            number,
            vec![
                KeyValue::new("session.id", format!("session-{number:032}")),
                KeyValue::new("request", 1_000_000 + number),
            ],
        );
        span.start_unix_nano = number * SCAN_WINDOW_NANO / 1_000;
        span
    };
    let numbers: Vec<u64> = (1..=spans).collect();
    for chunk in numbers.chunks(10_000) {
        append(&store, chunk.iter().copied().map(session).collect());
    }
    store.flush().unwrap();
    store
}

#[test]
fn only_the_stripe_that_holds_a_rare_value_is_read_and_a_damaged_filter_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let large = StoreOptions {
        memtable_bytes: 1 << 30,
        ..options(dir.path())
    };
    let spans = 2 * STRIPE_ROWS as u64 + 10_000;
    let store = store_of_sessions(large.clone(), spans);
    let session = format!("session-{:032}", 70_000);
    let request = (1_070_000_u64).to_string();
    for (key, text) in [("session.id", &session), ("request", &request)] {
        let (found, stats) = count(&store, &where_attribute(key, text));
        assert_eq!(found, 1);
        assert_eq!(stats.examined_spans, STRIPE_ROWS as u64, "{key}");
    }
    let (found, stats) = count(&store, &where_attribute("session.id", "session-0"));
    assert_eq!((found, stats.examined_spans), (0, 0));
    drop(store);

    let index = only_file(&dir.path().join("blocks"), "idx");
    let mut bytes = fs::read(&index).unwrap();
    let header = Header::decode(&bytes).unwrap();
    let last = header.bytes(Section::Filters).end as usize - 1;
    bytes[last] ^= 1;
    fs::write(&index, bytes).unwrap();
    let store = Store::open(large).unwrap();
    let request = where_attribute("session.id", &session);
    let stats = store.scan(&request, &mut |_| ControlFlow::Continue(()));
    let damaged = stats.unwrap().damaged;
    assert_eq!(damaged[0].reason, "a filter of values is damaged");
}
