//! The codec against the generated types of `opentelemetry-proto`, and against random telemetry.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use lumitrace_model::{Event, KeyValue, Link, Resource, Scope, Span, Status, Value};

use super::view::{LogView, SpanView, ValueView};
use super::*;
use crate::otlp::samples;
use crate::{DecodeError, DecodeLimits};

fn decode(bytes: &[u8]) -> Result<crate::DecodedTraces, DecodeError> {
    decode_traces(bytes, &DecodeLimits::default())
}

/// A span put together from its head and its view.
fn viewed(head: &SpanHead, bytes: &[u8]) -> Span {
    let view = SpanView::new(head.message(bytes));
    let events = view.events().map(|event| Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name.to_owned().into(),
        attributes: event.attributes().to_vec(),
        dropped_attributes_count: event.dropped_attributes_count,
    });
    let links = view.links().map(|link| Link {
        trace_id: link.trace_id,
        span_id: link.span_id,
        trace_state: link.trace_state.to_owned().into(),
        attributes: link.attributes().to_vec(),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    });
    Span {
        trace_id: head.trace_id,
        span_id: head.span_id,
        parent_span_id: head.parent_span_id,
        trace_state: view.trace_state.to_owned().into(),
        flags: view.flags,
        name: head.name(bytes).to_owned().into(),
        kind: head.kind,
        start_unix_nano: head.start_unix_nano,
        end_unix_nano: head.end_unix_nano,
        attributes: view.attributes().map(KeyValue::from).collect(),
        dropped_attributes_count: view.dropped_attributes_count,
        events: events.collect(),
        dropped_events_count: view.dropped_events_count,
        links: links.collect(),
        dropped_links_count: view.dropped_links_count,
        status: Status {
            code: head.status_code,
            message: view.status_message.to_owned().into(),
        },
        pending: head.pending,
    }
}

/// The origin of a request's index is this resource and this scope, each with its schema.
fn assert_origin(
    origin: &Origin,
    request: &[u8],
    (resource, resource_schema_url): (&Resource, &str),
    (scope, scope_schema_url): (&Scope, &str),
) {
    let text = |part: &Part| String::from_utf8(part.bytes(request).to_vec()).unwrap();
    let indexed = (
        decode_resource(origin.resource.bytes(request)).unwrap(),
        decode_scope(origin.scope.bytes(request)).unwrap(),
    );
    // Not every double is equal to itself.
    assert_eq!(format!("{indexed:?}"), format!("{:?}", (resource, scope)));
    assert_eq!(text(&origin.resource_schema_url), resource_schema_url);
    assert_eq!(text(&origin.scope_schema_url), scope_schema_url);
}

/// `content` in fields within fields, by their numbers from the outermost on.
fn wrapped(path: &[u32], content: &[u8]) -> Vec<u8> {
    path.iter().rev().fold(content.to_vec(), |inner, number| {
        let mut writer = crate::proto::Writer::default();
        writer.bytes_always(*number, &inner);
        writer.into_bytes()
    })
}

/// A request with very many empty messages in the field that the path leads to.
fn empty_items(path: &[u32]) -> Vec<u8> {
    let (last, outer) = path.split_last().unwrap();
    wrapped(outer, &wrapped(&[*last], &[]).repeat(100_000))
}

/// What holds for a signal of which nothing is left out.
macro_rules! whole_signal {
    ($samples:expr, $encode:ident, $decode:ident, $generated:ty) => {
        proptest! {
            #[test]
            fn everything_survives_encoding_and_decoding(groups in $samples) {
                let decoded = $decode(&$encode(&groups), &DecodeLimits::default())?;
                prop_assert_eq!(samples::comparable(&decoded), samples::comparable(&groups));
            }

            #[test]
            fn the_generated_types_read_what_we_write_and_we_read_what_they_write(
                groups in $samples
            ) {
                let theirs = <$generated>::decode(&$encode(&groups)[..]).unwrap();
                let decoded = $decode(&theirs.encode_to_vec(), &DecodeLimits::own_data())?;
                // They leave minus zero out.
                let comparable = |text: String| text.replace("-0.0", "0.0");
                prop_assert_eq!(
                    comparable(samples::comparable(&decoded)),
                    comparable(samples::comparable(&groups))
                );
            }

            #[test]
            fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
                let _ = $decode(&bytes, &DecodeLimits::default());
            }

            #[test]
            fn a_message_cut_anywhere_is_an_error_or_a_shorter_message(
                groups in $samples, cut in any::<prop::sample::Index>()
            ) {
                let bytes = $encode(&groups);
                let cut = cut.index(bytes.len() + 1);
                if let Ok(decoded) = $decode(&bytes[..cut], &DecodeLimits::default()) {
                    prop_assert!(decoded.len() <= groups.len());
                }
            }

            #[test]
            fn a_message_with_a_flipped_bit_is_an_error_or_another_message(
                groups in $samples, at in any::<prop::sample::Index>(), bit in 0..8_u32
            ) {
                let mut bytes = $encode(&groups);
                let at = at.index(bytes.len().max(1));
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
                if let Ok(decoded) = $decode(&bytes, &DecodeLimits::default()) {
                    let again = $decode(&$encode(&decoded), &DecodeLimits::own_data())?;
                    prop_assert_eq!(samples::comparable(&again), samples::comparable(&decoded));
                }
            }
        }
    };
}

mod logs;
mod metrics;

proptest! {
    #[test]
    fn every_span_survives_encoding_and_decoding(traces in samples::traces()) {
        let decoded = decode(&encode_traces(&traces))?;
        prop_assert_eq!(samples::comparable(&decoded.resource_spans), samples::comparable(&traces));
    }

    #[test]
    fn the_generated_types_read_what_we_write_and_we_read_what_they_write(
        traces in samples::traces()
    ) {
        let ours = encode_traces(&traces);
        let theirs = ExportTraceServiceRequest::decode(&ours[..]).unwrap();
        let decoded = decode(&theirs.encode_to_vec())?;
        prop_assert_eq!(samples::comparable(&decoded.resource_spans), samples::comparable(&traces));
    }

    #[test]
    fn the_request_encoder_builds_the_same_request(traces in samples::traces()) {
        for group in &traces {
            let mut request = RequestEncoder::new(&group.resource, &group.schema_url);
            for scope_spans in &group.scope_spans {
                scope_spans.spans.iter().for_each(|span| request.span(&scope_spans.scope, span));
            }
            let decoded = decode(&request.finish())?;
            let spans = |groups: &[lumitrace_model::ResourceSpans]| {
                let scopes = groups.iter().flat_map(|group| &group.scope_spans);
                let mut spans: Vec<String> =
                    scopes.flat_map(|s| &s.spans).map(|span| format!("{span:?}")).collect();
                spans.sort();
                spans
            };
            prop_assert_eq!(spans(&decoded.resource_spans), spans(std::slice::from_ref(group)));
        }
    }

    #[test]
    fn the_index_and_its_views_say_what_decoding_says(traces in samples::traces()) {
        let bytes = encode_traces(&traces);
        let index = index_traces(&bytes, &DecodeLimits::default())?;
        let mut heads = index.spans.iter();
        for group in &decode(&bytes)?.resource_spans {
            for scope_spans in &group.scope_spans {
                for span in &scope_spans.spans {
                    let head = heads.next().unwrap();
                    assert_origin(
                        &index.origins[head.origin as usize],
                        &bytes,
                        (&group.resource, &group.schema_url),
                        (&scope_spans.scope, &scope_spans.schema_url),
                    );
                    let decoded = decode_span(head.message(&bytes))?;
                    prop_assert_eq!(format!("{decoded:?}"), format!("{span:?}"));
                    prop_assert_eq!(format!("{:?}", viewed(head, &bytes)), format!("{span:?}"));
                }
            }
        }
        prop_assert!(heads.next().is_none());
    }

    #[test]
    fn attributes_in_the_order_of_their_keys_are_encoded_as_if_they_had_been_decoded(
        logs in samples::logs()
    ) {
        let bytes = encode_logs(&logs);
        for head in &index_logs(&bytes, &DecodeLimits::default())?.logs {
            let attributes = LogView::new(head.message(&bytes)).attributes();
            let mut decoded = attributes.to_vec();
            decoded.sort_by(|one, other| one.key.cmp(&other.key));
            let mut list = b"before".to_vec();
            encode_sorted(attributes, &mut list);
            prop_assert_eq!(&list[6..], &encode_attributes(&decoded)[..]);
        }
    }

    #[test]
    fn views_of_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let view = SpanView::new(&bytes);
        let values: Vec<_> = view.attributes().map(|it| Value::from(it.value)).collect();
        let in_events = view.events().flat_map(|event| event.attributes().iter()).count();
        let in_links = view.links().flat_map(|link| link.attributes().iter()).count();
        prop_assert!(values.len() + in_events + in_links <= bytes.len());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_message(
        traces in samples::traces(), cut in 0.0..1.0_f64
    ) {
        let bytes = encode_traces(&traces);
        let cut = (bytes.len() as f64 * cut) as usize;
        if let Ok(decoded) = decode(&bytes[..cut]) {
            prop_assert!(decoded.resource_spans.len() <= traces.len());
        }
    }
}

#[test]
fn spans_with_invalid_ids_are_counted_and_the_rest_is_kept() {
    let mut traces = samples::one_span();
    let mut bad = traces[0].scope_spans[0].spans[0].clone();
    bad.span_id = lumitrace_model::SpanId::INVALID;
    traces[0].scope_spans[0].spans.push(bad);
    let decoded = decode(&encode_traces(&traces)).unwrap();
    assert_eq!((decoded.span_count(), decoded.rejected_spans), (1, 1));
    assert!(decoded.rejection.unwrap().contains("16 bytes"));
}

#[test]
fn a_resource_in_pieces_is_read_as_one() {
    let piece = |key: &str| {
        let mut writer = crate::proto::Writer::default();
        writer.bytes_always(1, &encode_attributes(&[KeyValue::new(key.to_owned(), 1)]));
        writer.into_bytes()
    };
    let traces = samples::one_span();
    let request = encode_traces(&traces);
    // The first piece before the spans, the second after them.
    let spans = {
        let mut reader = crate::proto::Reader::new(&request);
        reader.next().unwrap().unwrap().bytes().unwrap().to_vec()
    };
    let joined = [piece("first"), spans, piece("second")].concat();
    let mut writer = crate::proto::Writer::default();
    writer.bytes_always(1, &joined);
    let bytes = writer.into_bytes();
    let index = index_traces(&bytes, &DecodeLimits::default()).unwrap();
    let resource = decode_resource(index.origins[0].resource.bytes(&bytes)).unwrap();
    assert_eq!(resource.attributes.len(), 2);
    assert_eq!(decode(&bytes).unwrap().resource_spans[0].resource, resource);
}

#[test]
fn a_resource_in_pieces_takes_its_memory_once_however_many_scopes_share_it() {
    let field = |number: u32, inner: &[u8]| {
        let mut writer = crate::proto::Writer::default();
        writer.bytes_always(number, inner);
        writer.into_bytes()
    };
    let span = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
    let scope_spans = field(2, &field(2, &span));
    let piece = field(
        1,
        &encode_attributes(&[KeyValue::new("key", "x".repeat(5_000))]),
    );
    let resource_spans = [piece.clone(), piece, scope_spans.repeat(1_000)].concat();
    let bytes = field(1, &resource_spans);
    let index = index_traces(&bytes, &DecodeLimits::default()).unwrap();
    assert_eq!((index.spans.len(), index.origins.len()), (1_000, 1_000));
    assert!(index.memory_bytes() <= 5 * bytes.len());
    let parts = index.origins.iter().map(|origin| &origin.resource);
    let addresses: std::collections::HashSet<_> =
        parts.map(|part| part.bytes(&bytes).as_ptr()).collect();
    assert_eq!(addresses.len(), 1);
}

#[test]
fn a_map_with_an_unknown_field_behind_it_is_a_map() {
    let traces = {
        let mut traces = samples::one_span();
        let map = Value::Map(vec![KeyValue::new("key", 1)]);
        traces[0].scope_spans[0].spans[0].attributes = vec![KeyValue::new("map", map)];
        encode_traces(&traces)
    };
    let head = &index_traces(&traces, &DecodeLimits::default())
        .unwrap()
        .spans[0];
    // The attribute of the span once more, with an unknown field at the end of its value.
    let attribute = encode_attributes(&[KeyValue::new("map", Value::Map(Vec::new()))]);
    let mut message = head.message(&traces).to_vec();
    let mut value = attribute[2..].to_vec();
    let value_len = value.len();
    // Key and value are the fields 1 and 2 of the attribute; the value is its end.
    value.extend([0x78, 1]);
    value[6] += 2;
    message.extend([0x4a, value_len as u8 + 2]);
    message.extend(value);
    let view = SpanView::new(&message);
    let ValueView::Nested(nested) = view.attributes().last().unwrap().value else {
        panic!("no nested value");
    };
    assert!(nested.is_map());
    assert_eq!(nested.to_value(), Value::Map(Vec::new()));
}

#[test]
fn an_announced_span_is_marked_and_loses_its_marker() {
    let mut traces = samples::one_span();
    traces[0].scope_spans[0].spans[0].pending = true;
    let bytes = encode_traces(&traces);
    assert!(
        bytes
            .windows(17)
            .any(|window| window == b"lumitrace.pending")
    );
    assert_eq!(decode(&bytes).unwrap().resource_spans, traces);
}

#[test]
fn values_nested_beyond_the_limit_are_refused_without_overflowing_the_stack() {
    let mut value = lumitrace_model::Value::from(1);
    for _ in 0..65 {
        value = lumitrace_model::Value::Array(vec![value]);
    }
    let bytes = encode_attributes(&[lumitrace_model::KeyValue::new("deep", value)]);
    let result = decode_attributes(&bytes, &DecodeLimits::default());
    assert_eq!(result, Err(DecodeError::TooDeep { max_depth: 64 }));
}

#[test]
fn a_message_of_empty_items_is_refused_before_it_fills_memory() {
    // A span (field 2 of a scope, field 2 of a resource) with very many empty events.
    let mut span = vec![0x0a, 16];
    span.extend([1; 16]);
    span.extend([0x12, 8]);
    span.extend([1; 8]);
    span.extend([0x5a, 0x00].repeat(100_000));
    let wrap = |inner: &[u8], tag: u8| {
        let mut writer = crate::proto::Writer::default();
        writer.bytes_always(u32::from(tag), inner);
        writer.into_bytes()
    };
    let request = wrap(&wrap(&wrap(&span, 2), 2), 1);
    assert!(matches!(
        decode(&request),
        Err(DecodeError::TooManyItems { .. })
    ));
}
