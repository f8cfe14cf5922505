//! Spans read in place, out of the bytes of a request, are those that decoding makes; and knowing
//! where they are takes no more memory than is promised.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_model::{Event, KeyValue, Link, Span, Status};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf::view::SpanView;
use lumitrace_wire::otlp::protobuf::{self, SpanHead};

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits::default();
    let indexed = protobuf::index_traces(bytes, &limits);
    let decoded = protobuf::decode_traces(bytes, &limits);
    // Of no checked request, but they must not panic.
    let _ = format!("{:?}", SpanView::new(bytes).attributes().count());
    let (index, traces) = match (indexed, decoded) {
        (Ok(index), Ok(traces)) => (index, traces),
        (Err(index), Err(traces)) => return assert_eq!(index, traces),
        (index, traces) => panic!("{index:?}, but {traces:?}"),
    };
    assert_eq!(index.rejected_spans, traces.rejected_spans);
    assert!(
        index.memory_bytes() <= 5 * bytes.len(),
        "{}",
        index.memory_bytes()
    );
    let mut heads = index.spans.iter();
    for group in &traces.resource_spans {
        for scope_spans in &group.scope_spans {
            for span in &scope_spans.spans {
                let head = heads.next().expect("it was indexed");
                let origin = &index.origins[head.origin as usize];
                let resource = protobuf::decode_resource(origin.resource.bytes(bytes));
                assert_eq!(format!("{resource:?}"), format!("Ok({:?})", group.resource));
                let scope = protobuf::decode_scope(origin.scope.bytes(bytes));
                assert_eq!(format!("{scope:?}"), format!("Ok({:?})", scope_spans.scope));
                assert_eq!(
                    origin.resource_schema_url.bytes(bytes),
                    group.schema_url.as_bytes()
                );
                assert_eq!(
                    origin.scope_schema_url.bytes(bytes),
                    scope_spans.schema_url.as_bytes()
                );
                // Compared as text: NaN does not equal itself.
                assert_eq!(format!("{:?}", viewed(head, bytes)), format!("{span:?}"));
            }
        }
    }
    assert!(heads.next().is_none());
});

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
