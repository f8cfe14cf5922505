//! Any bytes either decode or are refused as log records, what decodes survives encoding again, and log
//! records read in place are those that decoding makes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_model::LogRecord;
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf::view::LogView;
use lumitrace_wire::otlp::protobuf::{self, LogHead};

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits::default();
    // Of no checked request, but they must not panic.
    let _ = format!("{:?}", LogView::new(bytes).attributes().to_vec());
    let indexed = protobuf::index_logs(bytes, &limits);
    let (index, logs) = match (indexed, protobuf::decode_logs(bytes, &limits)) {
        (Ok(index), Ok(logs)) => (index, logs),
        (Err(index), Err(logs)) => return assert_eq!(index, logs),
        (index, logs) => panic!("{index:?}, but {logs:?}"),
    };
    let scopes = logs.iter().flat_map(|group| &group.scope_logs);
    let records: Vec<_> = scopes.flat_map(|scope| &scope.log_records).collect();
    let viewed: Vec<_> = index.logs.iter().map(|head| viewed(head, bytes)).collect();
    // Compared as text: NaN does not equal itself.
    assert_eq!(format!("{viewed:?}"), format!("{records:?}"));
    let encoded = protobuf::encode_logs(&logs);
    let again = protobuf::decode_logs(&encoded, &DecodeLimits::own_data())
        .expect("what we encoded must decode");
    assert_eq!(format!("{again:?}"), format!("{logs:?}"));
});

/// A log record put together from its head and its view.
fn viewed(head: &LogHead, bytes: &[u8]) -> LogRecord {
    let view = LogView::new(head.message(bytes));
    LogRecord {
        time_unix_nano: head.time_unix_nano,
        observed_time_unix_nano: head.observed_time_unix_nano,
        severity: head.severity,
        severity_text: view.severity_text.to_owned().into(),
        body: view.body.into(),
        attributes: view.attributes().to_vec(),
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
        trace_id: head.trace_id,
        span_id: head.span_id,
        event_name: head.event_name(bytes).to_owned().into(),
    }
}
