//! From bytes to log records.

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Severity, SpanId, TraceId};

use super::{Builder, text};
use crate::proto::Reader;
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportLogsServiceRequest`.
///
/// No log record is rejected: one with an invalid trace or span id belongs to none, as `logs.proto`
/// recommends.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand in memory
/// beyond the limit.
pub fn decode_logs(bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<ResourceLogs>, DecodeError> {
    let mut builder = Builder::new(bytes, limits);
    let mut decoded = Vec::new();
    let mut request = Reader::new(bytes);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            let message = field.message()?;
            builder.push(&mut decoded, |builder| builder.resource_logs(message))?;
        }
    }
    Ok(decoded)
}

impl Builder {
    fn resource_logs(&mut self, mut message: Reader<'_>) -> Result<ResourceLogs, DecodeError> {
        let mut group = ResourceLogs::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.resource(field, &mut group.resource)?,
                2 => {
                    let message = field.message()?;
                    self.push(&mut group.scope_logs, |builder| builder.scope_logs(message))?;
                }
                3 => group.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(group)
    }

    fn scope_logs(&mut self, mut message: Reader<'_>) -> Result<ScopeLogs, DecodeError> {
        let mut group = ScopeLogs::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.scope(field, &mut group.scope)?,
                2 => {
                    let message = field.message()?;
                    self.push(&mut group.log_records, |builder| {
                        builder.log_record(message)
                    })?;
                }
                3 => group.schema_url = text(field)?,
                _ => {}
            }
        }
        Ok(group)
    }

    fn log_record(&mut self, mut message: Reader<'_>) -> Result<LogRecord, DecodeError> {
        let mut record = LogRecord::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => record.time_unix_nano = field.fixed64()?,
                2 => record.severity = Severity::from_number(field.varint()? as i32),
                3 => record.severity_text = text(field)?,
                5 => record.body = self.body(field)?,
                6 => self.attribute(field, &mut record.attributes)?,
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
}
