//! From log records to JSON text.

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Value};
use serde_json::{Value as Json, json};

use super::{Object, key_value, resource, scope, value};

/// Encodes an `ExportLogsServiceRequest` in JSON; fields that hold their default are left out.
///
/// ```
/// assert_eq!(lumitrace_wire::otlp::json::encode_logs(&[]), br#"{"resourceLogs":[]}"#);
/// ```
pub fn encode_logs(resource_logs: &[ResourceLogs]) -> Vec<u8> {
    let groups: Vec<Json> = resource_logs.iter().map(resource_group).collect();
    json!({ "resourceLogs": groups }).to_string().into_bytes()
}

fn resource_group(group: &ResourceLogs) -> Json {
    let mut object = Object::default();
    object.set("resource", resource(&group.resource));
    object.list("scopeLogs", &group.scope_logs, scope_group);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn scope_group(group: &ScopeLogs) -> Json {
    let mut object = Object::default();
    object.set("scope", scope(&group.scope));
    object.list("logRecords", &group.log_records, log_record);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn log_record(record: &LogRecord) -> Json {
    let mut object = Object::default();
    object.long("timeUnixNano", record.time_unix_nano);
    object.long("observedTimeUnixNano", record.observed_time_unix_nano);
    object.number("severityNumber", record.severity.number());
    object.text("severityText", &record.severity_text);
    if record.body != Value::Null {
        object.set("body", value(&record.body));
    }
    object.list("attributes", &record.attributes, key_value);
    object.number("droppedAttributesCount", record.dropped_attributes_count);
    object.number("flags", record.flags);
    object.optional_text("traceId", record.trace_id);
    object.optional_text("spanId", record.span_id);
    object.text("eventName", &record.event_name);
    Json::Object(object.0)
}
