//! Where the log records of a request are.

use std::ops::Range;

use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Severity, SpanId, TraceId};

use super::super::check::Checker;
use super::{Items, Origin, index, origins_bytes, slice};
use crate::proto::Field;
use crate::{DecodeError, DecodeLimits};

/// Where the log records of a checked request are, and what every reader of them asks first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogsIndex {
    /// The log records, in the request's order.
    pub logs: Vec<LogHead>,
    /// What the log records come from: one for each scope of each resource that has any.
    pub origins: Vec<Origin>,
}

impl LogsIndex {
    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.logs.len() * size_of::<LogHead>() + origins_bytes(&self.origins)
    }
}

/// The parts of a log record that decide where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// When it happened, in nanoseconds since the Unix epoch; 0 if nobody knows.
    pub time_unix_nano: u64,
    /// When it was observed, in nanoseconds since the Unix epoch; 0 if nobody knows.
    pub observed_time_unix_nano: u64,
    /// How grave it is.
    pub severity: Severity,
    /// The trace it was said in, if the id is valid.
    pub trace_id: Option<TraceId>,
    /// The span it was said in, if the id is valid.
    pub span_id: Option<SpanId>,
    /// Number of its origin among [`LogsIndex::origins`].
    pub origin: u32,
    /// Where the name of its event is in the request.
    pub event_name: Range<u32>,
    /// Where the `LogRecord` message is in the request.
    pub message: Range<u32>,
}

impl LogHead {
    /// The one time to sort it by, as [`LogRecord::timestamp_unix_nano`].
    pub fn timestamp_unix_nano(&self) -> u64 {
        LogRecord::timestamp_of(self.time_unix_nano, self.observed_time_unix_nano)
    }

    /// What kind of event it is, or empty, out of the request's `bytes`.
    pub fn event_name<'a>(&self, bytes: &'a [u8]) -> &'a str {
        // Checked to be UTF-8 when the head was made.
        std::str::from_utf8(slice(bytes, &self.event_name)).unwrap_or_default()
    }

    /// The `LogRecord` message, out of the request's `bytes`.
    pub fn message<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, &self.message)
    }
}

/// Checks every byte of an `ExportLogsServiceRequest`, and says where its log records are.
///
/// No log record is rejected: one with an invalid trace or span id belongs to none, as `logs.proto`
/// recommends.
///
/// # Errors
/// The bytes are no protobuf of this message, nest deeper than the limit, or would expand beyond
/// the limit once they are decoded. A request must be smaller than 4 GiB.
pub fn index_logs(bytes: &[u8], limits: &DecodeLimits) -> Result<LogsIndex, DecodeError> {
    let (found, origins) = index::<LogsIndex>(bytes, limits)?;
    Ok(LogsIndex { origins, ..found })
}

impl Items for LogsIndex {
    type ResourceGroup = ResourceLogs;
    type ScopeGroup = ScopeLogs;

    fn len(&self) -> usize {
        self.logs.len()
    }

    fn add(
        &mut self,
        checker: &mut Checker,
        field: Field<'_>,
        origin: u32,
    ) -> Result<(), DecodeError> {
        checker.count::<LogRecord>()?;
        let mut head = LogHead {
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity: Severity::UNSPECIFIED,
            trace_id: None,
            span_id: None,
            origin,
            event_name: 0..0,
            message: field.range()?,
        };
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => head.time_unix_nano = field.fixed64()?,
                2 => head.severity = Severity::from_number(field.varint()? as i32),
                3 => drop(field.string()?),
                5 => checker.body(field.message()?)?,
                6 => drop(checker.attribute(field)?),
                7 => drop(field.uint32()?),
                8 => drop(field.fixed32()?),
                9 => head.trace_id = TraceId::from_slice(field.bytes()?),
                10 => head.span_id = SpanId::from_slice(field.bytes()?),
                11 => head.observed_time_unix_nano = field.fixed64()?,
                12 => {
                    field.string()?;
                    head.event_name = field.range()?;
                }
                _ => {}
            }
        }
        self.logs.push(head);
        Ok(())
    }
}
