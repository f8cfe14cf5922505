//! What apache/thrift's own library reads in what is written for Jaeger.

use lumitrace_model::{KeyValue, Status, value};
use proptest::prelude::*;

use super::*;
use crate::otlp::samples;
use crate::thrift::reading::{Read, oneway_call, structure};

const AGENT_PACKET_BYTES: usize = 65_000;

fn resource() -> Resource {
    Resource {
        attributes: vec![
            KeyValue::new(names::SERVICE_NAME, "train"),
            KeyValue::new("process.pid", 7),
        ],
        ..Resource::default()
    }
}

fn scope() -> Scope {
    Scope {
        name: "fx".into(),
        version: "1.2".into(),
        ..Scope::default()
    }
}

fn ids() -> Span {
    Span {
        trace_id: TraceId::from_bytes([0xff, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 2]),
        span_id: SpanId::from_bytes([0xff; 8]),
        ..Span::default()
    }
}

/// The batch as a collector reads it.
fn read(span: &Span) -> Read {
    let bytes = encode_batch(&resource(), [(&scope(), span)]);
    structure(Encoding::Binary, &bytes)
}

/// The one span in it.
fn read_span(span: &Span) -> Read {
    read(span).field(2).unwrap().items()[0].clone()
}

/// The tags in a field, as far as they have names of their own, with the number of their type.
fn tags_in(structure: &Read, field: i16) -> Vec<(String, i64, Read)> {
    let tags = structure.field(field).map_or(&[][..], Read::items);
    let value_fields = [3, 4, 5, 6, 7];
    tags.iter()
        .map(|tag| {
            let value_type = tag.field(2).unwrap().int();
            let value = tag.field(value_fields[value_type as usize]).unwrap();
            let key = tag.field(1).unwrap().text().to_owned();
            (key, value_type, value.clone())
        })
        .collect()
}

fn tag(span: &Span, key: &str) -> Option<(i64, Read)> {
    let tags = tags_in(&read_span(span), 10);
    let mut found = tags.into_iter().filter(|(known, ..)| known == key);
    let tag = found
        .next()
        .map(|(_, value_type, value)| (value_type, value));
    assert!(found.next().is_none(), "{key} is there twice");
    tag
}

fn string(text: &str) -> Option<(i64, Read)> {
    Some((0, Read::Bytes(text.into())))
}

#[test]
fn a22_ids_are_signed_numbers_of_64_bits_and_a_root_has_parent_zero() {
    let span = read_span(&ids());
    let int = |field| span.field(field).unwrap().int();
    assert_eq!(int(1), i64::MIN + 2, "low half");
    assert_eq!(int(2), -0x00ff_ffff_ffff_ffff, "high half");
    assert_eq!((int(3), int(4)), (-1, 0));
    let child = read_span(&Span {
        parent_span_id: Some(SpanId::from_bytes([0, 0, 0, 0, 0, 0, 1, 0])),
        ..ids()
    });
    assert_eq!(child.field(4).unwrap().int(), 256);
}

#[test]
fn a22_times_are_microseconds_and_only_the_sampled_flag_is_passed_on() {
    let span = read_span(&Span {
        name: "training_epoch".into(),
        flags: 0x0000_0303,
        start_unix_nano: 1_700_000_000_123_456_789,
        end_unix_nano: 1_700_000_000_123_459_999,
        ..ids()
    });
    assert_eq!(span.field(5).unwrap().text(), "training_epoch");
    assert_eq!(span.field(7), Some(&Read::Int(1)), "2 would mean debug");
    assert_eq!(span.field(8), Some(&Read::Int(1_700_000_000_123_456)));
    assert_eq!(span.field(9), Some(&Read::Int(3)));
}

#[test]
fn a22_the_resource_is_the_process() {
    let batch = read(&ids());
    let process = batch.field(1).unwrap();
    assert_eq!(process.field(1).unwrap().text(), "train");
    let expected = [("process.pid".to_owned(), 3, Read::Int(7))];
    assert_eq!(tags_in(process, 2), expected);
    let nameless = encode_batch(&Resource::default(), []);
    let nameless = structure(Encoding::Binary, &nameless);
    let process = nameless.field(1).unwrap();
    assert_eq!(process.field(1).unwrap().text(), "unknown_service");
}

#[test]
fn a22_attributes_keep_their_types_and_nested_ones_become_json() {
    let attributes = vec![
        KeyValue::new("text", "a"),
        KeyValue::new("loss", 0.25),
        KeyValue::new("best", true),
        KeyValue::new("epoch", -3),
        KeyValue::new("raw", vec![0xff_u8]),
        KeyValue::new("shape", vec![Value::Int(1), Value::Int(2)]),
        KeyValue::new("nothing", Value::Null),
    ];
    let span = Span {
        attributes,
        ..ids()
    };
    for (key, expected) in [
        ("text", string("a")),
        ("loss", Some((1, Read::Double(0.25)))),
        ("best", Some((2, Read::Bool(true)))),
        ("epoch", Some((3, Read::Int(-3)))),
        ("raw", Some((4, Read::Bytes(vec![0xff])))),
        ("shape", string("[1,2]")),
        ("nothing", string("")),
    ] {
        assert_eq!(tag(&span, key), expected, "{key}");
    }
}

#[test]
fn a22_kind_status_scope_and_dropped_counts_are_tags() {
    let mut span = Span {
        kind: SpanKind::Client,
        trace_state: "a=b".into(),
        dropped_attributes_count: 1,
        dropped_events_count: 2,
        dropped_links_count: 3,
        attributes: vec![KeyValue::new("error", "of the program")],
        ..ids()
    };
    assert_eq!(tag(&span, "error"), string("of the program"));
    assert_eq!(tag(&span, "otel.status_code"), None);
    span.status = Status {
        code: StatusCode::Error,
        message: "no memory".into(),
    };
    for (key, expected) in [
        ("span.kind", string("client")),
        ("otel.scope.name", string("fx")),
        ("otel.scope.version", string("1.2")),
        ("otel.library.name", string("fx")),
        ("otel.library.version", string("1.2")),
        ("w3c.tracestate", string("a=b")),
        ("otel.dropped_attributes_count", Some((3, Read::Int(1)))),
        ("otel.dropped_events_count", Some((3, Read::Int(2)))),
        ("otel.dropped_links_count", Some((3, Read::Int(3)))),
        ("otel.status_code", string("ERROR")),
        ("otel.status_description", string("no memory")),
        ("error", Some((2, Read::Bool(true)))),
    ] {
        assert_eq!(tag(&span, key), expected, "{key}");
    }
    span.status.code = StatusCode::Ok;
    span.kind = SpanKind::Internal;
    assert_eq!(tag(&span, "otel.status_code"), string("OK"));
    assert_eq!(tag(&span, "span.kind"), None);
}

#[test]
fn a22_events_are_logs_and_links_are_references() {
    let plain = Link {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        ..Link::default()
    };
    let telling = Link {
        attributes: vec![KeyValue::new("why", "retry")],
        ..plain.clone()
    };
    let event = Event {
        time_unix_nano: 5_000,
        name: "exception".into(),
        attributes: vec![KeyValue::new("exception.type", "OOM")],
        dropped_attributes_count: 2,
    };
    let named_otherwise = Event {
        attributes: vec![KeyValue::new("event", "own")],
        ..Event::default()
    };
    let span = read_span(&Span {
        start_unix_nano: 3_000,
        events: vec![event, named_otherwise],
        links: vec![plain, telling],
        ..ids()
    });
    let references = span.field(6).unwrap().items();
    assert_eq!(references.len(), 2);
    let half = 0x0101_0101_0101_0101;
    for (field, value) in [(1, 1), (2, half), (3, half), (4, 2 * half)] {
        assert_eq!(references[0].field(field), Some(&Read::Int(value)));
    }
    let logs = span.field(11).unwrap().items();
    let text = |text: &str| Read::Bytes(text.into());
    assert_eq!(logs[0].field(1), Some(&Read::Int(5)));
    let expected = [
        ("event".to_owned(), 0, text("exception")),
        ("exception.type".to_owned(), 0, text("OOM")),
        (
            "otel.event.dropped_attributes_count".to_owned(),
            3,
            Read::Int(2),
        ),
    ];
    assert_eq!(tags_in(&logs[0], 2), expected);
    let expected = [("event".to_owned(), 0, text("own"))];
    assert_eq!(tags_in(&logs[1], 2), expected, "its own field wins");
    assert_eq!(logs[2].field(1), Some(&Read::Int(3)));
    let expected = [
        ("event".to_owned(), 0, text("link")),
        ("trace_id".to_owned(), 0, text(&"01".repeat(16))),
        ("span_id".to_owned(), 0, text(&"02".repeat(8))),
        ("why".to_owned(), 0, text("retry")),
    ];
    assert_eq!(tags_in(&logs[2], 2), expected);
    assert_eq!(logs.len(), 3, "a link without attributes has none");
}

/// The names of the spans in a packet, which must be a call of `emitBatch`.
fn names_in(packet: &AgentPacket) -> Vec<String> {
    let (method, arguments) = oneway_call(Encoding::Compact, &packet.bytes);
    assert_eq!(method, "emitBatch");
    let batch = arguments.field(1).unwrap();
    let process = batch.field(1).unwrap();
    assert_eq!(process.field(1).unwrap().text(), "train");
    let spans = batch.field(2).unwrap().items();
    assert_eq!(spans.len() as u64, packet.span_count);
    let names = spans.iter().map(|span| span.field(5).unwrap().text());
    names.map(str::to_owned).collect()
}

fn packets_of(spans: &[Span], max_packet_bytes: usize) -> AgentPackets {
    let scope = scope();
    let spans = spans.iter().map(|span| (&scope, span));
    encode_agent_packets(&resource(), spans, max_packet_bytes)
}

fn sized(name: impl Into<lumitrace_model::Text>, bytes: usize) -> Span {
    Span {
        name: name.into(),
        attributes: vec![KeyValue::new("prompt", "x".repeat(bytes))],
        ..ids()
    }
}

#[test]
fn c22_packets_keep_to_their_size_and_carry_each_span_once() {
    let spans: Vec<_> = (0..300)
        .map(|number| sized(number.to_string(), number * 10))
        .collect();
    let encoded = packets_of(&spans, AGENT_PACKET_BYTES);
    assert_eq!(encoded.too_large_spans, 0);
    let sizes: Vec<_> = encoded
        .packets
        .iter()
        .map(|packet| packet.bytes.len())
        .collect();
    assert!(
        sizes.iter().all(|size| *size <= AGENT_PACKET_BYTES),
        "{sizes:?}"
    );
    let total: usize = sizes.iter().sum();
    assert!(
        sizes.len() <= total / 60_000 + 1,
        "they are filled: {sizes:?}"
    );
    let names: Vec<_> = encoded.packets.iter().flat_map(names_in).collect();
    let expected: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(names, expected);
}

#[test]
fn c22_a_span_larger_than_a_packet_is_left_out_and_counted() {
    let spans = [sized("small", 1), sized("large", 70_000), sized("last", 1)];
    let encoded = packets_of(&spans, AGENT_PACKET_BYTES);
    assert_eq!(encoded.too_large_spans, 1);
    let names: Vec<_> = encoded.packets.iter().flat_map(names_in).collect();
    assert_eq!(names, ["small", "last"]);
    let nothing_fits = packets_of(&spans, 100);
    assert_eq!(
        (nothing_fits.packets, nothing_fits.too_large_spans),
        (vec![], 3)
    );
    assert_eq!(packets_of(&[], AGENT_PACKET_BYTES), AgentPackets::default());
}

#[test]
fn c22_a_span_that_just_fits_is_sent() {
    let fits = |bytes| packets_of(&[sized("s", bytes)], 2_000).packets.pop();
    let largest = (0..2_000).rev().find_map(fits).unwrap();
    // Room is kept for the length of a long list.
    assert!(
        (1_990..=2_000).contains(&largest.bytes.len()),
        "{}",
        largest.bytes.len()
    );
}

proptest! {
    #[test]
    fn c22_a22_any_spans_are_read_by_thrifts_own_library(
        groups in samples::traces(),
        max_packet_bytes in 300_usize..3_000,
    ) {
        for group in &groups {
            let spans: Vec<_> = group.scope_spans.iter()
                .flat_map(|scope| scope.spans.iter().map(|span| (&scope.scope, span)))
                .collect();
            let body = encode_batch(&group.resource, spans.iter().copied());
            let batch = structure(Encoding::Binary, &body);
            prop_assert_eq!(batch.field(2).unwrap().items().len(), spans.len());
            let service = value::find(&group.resource.attributes, names::SERVICE_NAME);
            prop_assert!(service.is_none());
            let encoded = encode_agent_packets(&group.resource, spans.iter().copied(), max_packet_bytes);
            let mut sent = 0;
            for packet in &encoded.packets {
                prop_assert!(packet.bytes.len() <= max_packet_bytes);
                let (_, arguments) = oneway_call(Encoding::Compact, &packet.bytes);
                let count = arguments.field(1).unwrap().field(2).unwrap().items().len() as u64;
                prop_assert_eq!(count, packet.span_count);
                sent += count;
            }
            prop_assert_eq!(sent + encoded.too_large_spans, spans.len() as u64);
        }
    }
}
