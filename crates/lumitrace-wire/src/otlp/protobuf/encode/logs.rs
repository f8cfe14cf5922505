//! From log records to bytes.

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Value};

use super::{key_values, messages, resource, scope, value};
use crate::proto::Writer;

/// Encodes an `ExportLogsServiceRequest`.
///
/// ```
/// use lumitrace_wire::{otlp::protobuf, DecodeLimits};
/// let bytes = protobuf::encode_logs(&[]);
/// assert_eq!(protobuf::decode_logs(&bytes, &DecodeLimits::default())?, []);
/// # Ok::<(), lumitrace_wire::DecodeError>(())
/// ```
pub fn encode_logs(resource_logs: &[ResourceLogs]) -> Vec<u8> {
    let mut request = Writer::default();
    messages(&mut request, 1, resource_logs, resource_group);
    request.into_bytes()
}

fn resource_group(message: &mut Writer, group: &ResourceLogs) {
    message.message(1, |message| resource(message, &group.resource));
    messages(message, 2, &group.scope_logs, scope_group);
    message.bytes(3, group.schema_url.as_bytes());
}

fn scope_group(message: &mut Writer, group: &ScopeLogs) {
    message.message(1, |message| scope(message, &group.scope));
    messages(message, 2, &group.log_records, log_record);
    message.bytes(3, group.schema_url.as_bytes());
}

fn log_record(message: &mut Writer, record: &LogRecord) {
    message.fixed64(1, record.time_unix_nano);
    // A negative enum is sign-extended.
    message.varint(2, i64::from(record.severity.number()) as u64);
    message.bytes(3, record.severity_text.as_bytes());
    if record.body != Value::Null {
        message.message(5, |message| value(message, &record.body));
    }
    key_values(message, 6, &record.attributes);
    message.varint(7, record.dropped_attributes_count.into());
    message.fixed32(8, record.flags);
    if let Some(trace_id) = record.trace_id {
        message.bytes(9, trace_id.as_bytes());
    }
    if let Some(span_id) = record.span_id {
        message.bytes(10, span_id.as_bytes());
    }
    message.fixed64(11, record.observed_time_unix_nano);
    message.bytes(12, record.event_name.as_bytes());
}
