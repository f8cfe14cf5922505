//! From bytes to log records.

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Severity, SpanId, TraceId};

use super::super::index::index_logs;
use super::{attribute, resource, scope, text, value};
use crate::proto::Reader;
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportLogsServiceRequest`.
///
/// # Errors
/// As [`index_logs`].
pub fn decode_logs(bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<ResourceLogs>, DecodeError> {
    index_logs(bytes, limits)?;
    let mut resource_logs = Vec::new();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            resource_logs.push(self::resource_logs(field.message()?)?);
        }
    }
    Ok(resource_logs)
}

/// Decodes a `LogRecord` of a request that [`index_logs`] has accepted.
///
/// # Errors
/// The bytes are no protobuf of this message.
pub fn decode_log_record(bytes: &[u8]) -> Result<LogRecord, DecodeError> {
    log_record(Reader::new(bytes))
}

fn resource_logs(mut message: Reader<'_>) -> Result<ResourceLogs, DecodeError> {
    let mut decoded = ResourceLogs::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => resource(field.message()?, &mut decoded.resource)?,
            2 => {
                let scope_logs = scope_logs(field.message()?)?;
                decoded.scope_logs.push(scope_logs);
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn scope_logs(mut message: Reader<'_>) -> Result<ScopeLogs, DecodeError> {
    let mut decoded = ScopeLogs::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => scope(field.message()?, &mut decoded.scope)?,
            2 => {
                let log_record = log_record(field.message()?)?;
                decoded.log_records.push(log_record);
            }
            3 => decoded.schema_url = text(field)?,
            _ => {}
        }
    }
    Ok(decoded)
}

fn log_record(mut message: Reader<'_>) -> Result<LogRecord, DecodeError> {
    let mut record = LogRecord::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => record.time_unix_nano = field.fixed64()?,
            2 => record.severity = Severity::from_number(field.varint()? as i32),
            3 => record.severity_text = text(field)?,
            5 => record.body = value(field.message()?)?,
            6 => attribute(field, &mut record.attributes)?,
            7 => record.dropped_attributes_count = field.uint32()?,
            8 => record.flags = field.fixed32()?,
            9 => record.trace_id = TraceId::from_slice(field.bytes()?),
            10 => record.span_id = SpanId::from_slice(field.bytes()?),
            11 => record.observed_time_unix_nano = field.fixed64()?,
            12 => record.event_name = text(field)?,
            _ => {}
        }
    }
    Ok(record)
}
