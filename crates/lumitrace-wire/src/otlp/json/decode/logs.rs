//! From JSON text to log records.

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Severity};
use serde::{Deserialize, Deserializer};

use super::{AnyValueJson, KeyValueJson, ResourceJson, ScopeJson, attributes, message, request};
use crate::otlp::json::fields::{self, Enumeration, Text, Uint32, Uint64};
use crate::otlp::json::limited::List;
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportLogsServiceRequest` in JSON.
///
/// No log record is rejected: one with an invalid trace or span id belongs to none, as `logs.proto`
/// recommends.
///
/// # Errors
/// The bytes are no JSON object of this form, nest deeper than the limit, or would expand in
/// memory beyond the limit.
pub fn decode_logs(bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<ResourceLogs>, DecodeError> {
    let request: RequestJson = request(bytes, limits)?;
    Ok(request.resource_logs.map(ResourceLogsJson::decode))
}

message! {
    struct RequestJson { resource_logs: List<ResourceLogsJson>, }
    struct ResourceLogsJson {
        resource: ResourceJson,
        scope_logs: List<ScopeLogsJson>,
        schema_url: Text,
    }
    struct ScopeLogsJson { scope: ScopeJson, log_records: List<LogRecordJson>, schema_url: Text, }
    struct LogRecordJson {
        time_unix_nano: Uint64,
        observed_time_unix_nano: Uint64,
        severity_number: Enumeration<fields::Severities>,
        severity_text: Text,
        body: AnyValueJson,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
        flags: Uint32,
        trace_id: Text,
        span_id: Text,
        event_name: Text,
    }
}

impl ResourceLogsJson {
    fn decode(self) -> ResourceLogs {
        ResourceLogs {
            resource: self.resource.decode(),
            schema_url: self.schema_url.0,
            scope_logs: self.scope_logs.map(ScopeLogsJson::decode),
        }
    }
}

impl ScopeLogsJson {
    fn decode(self) -> ScopeLogs {
        ScopeLogs {
            scope: self.scope.decode(),
            schema_url: self.schema_url.0,
            log_records: self.log_records.map(LogRecordJson::decode),
        }
    }
}

impl LogRecordJson {
    fn decode(self) -> LogRecord {
        let severity = i32::try_from(self.severity_number.number());
        LogRecord {
            time_unix_nano: self.time_unix_nano.0,
            observed_time_unix_nano: self.observed_time_unix_nano.0,
            // An enum has 32 bits; what needs more says nothing.
            severity: severity.map_or(Severity::UNSPECIFIED, Severity::from_number),
            severity_text: self.severity_text.0,
            body: self.body.decode(),
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
            flags: self.flags.0,
            trace_id: self.trace_id.0.parse().ok(),
            span_id: self.span_id.0.parse().ok(),
            event_name: self.event_name.0,
        }
    }
}
