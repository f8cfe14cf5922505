//! Log records, and log records grouped as OTLP sends them (opentelemetry-proto `logs.proto`).

use crate::{KeyValue, Resource, Scope, SpanId, Text, TraceId, Value, value};

/// How grave a log record is: the number of OpenTelemetry's log data model, 1 to 24, in six ranges
/// of four.
///
/// Numbers compare as the severities do. Those without a name are kept, as protobuf asks of open
/// enums.
///
/// ```
/// use lumitrace_model::Severity;
/// assert!(Severity::WARN < Severity::from_number(14));
/// assert_eq!(Severity::from_number(14).name(), Some("WARN2"));
/// assert_eq!(Severity::from_number(99).name(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Severity(i32);

impl Severity {
    /// The sender did not say.
    pub const UNSPECIFIED: Self = Self(0);
    /// Fine-grained detail, usually switched off.
    pub const TRACE: Self = Self(1);
    /// For those who look for a fault.
    pub const DEBUG: Self = Self(5);
    /// Something happened, as it should.
    pub const INFO: Self = Self(9);
    /// Something may be wrong.
    pub const WARN: Self = Self(13);
    /// Something went wrong.
    pub const ERROR: Self = Self(17);
    /// Something went wrong for good, such as a crash.
    pub const FATAL: Self = Self(21);

    /// The names of the numbers from 0 on, as the specification shortens them.
    pub const NAMES: [&str; 25] = [
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ];

    /// The severity with OTLP's `number`, known or not.
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// The number that OTLP uses.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Its short name, such as `INFO2`; `None` for a number that has none.
    pub fn name(self) -> Option<&'static str> {
        let index = usize::try_from(self.0).ok()?;
        Self::NAMES.get(index).copied()
    }
}

/// Something that a program said at one moment, for people or for machines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogRecord {
    /// When it happened, in nanoseconds since the Unix epoch; 0 if nobody knows.
    pub time_unix_nano: u64,
    /// When the telemetry library or a collector saw it, in nanoseconds since the Unix epoch; 0 if
    /// nobody knows.
    pub observed_time_unix_nano: u64,
    /// How grave it is.
    pub severity: Severity,
    /// The level as its source spells it, such as `WARNING`, or empty.
    pub severity_text: Text,
    /// What was said: text mostly, but any value may be. [`Value::Null`] if nothing.
    pub body: Value,
    /// The facts.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the low eight bits; the others are reserved.
    pub flags: u32,
    /// The trace it was said in. An id of the wrong length or of zeroes counts as none.
    pub trace_id: Option<TraceId>,
    /// The span it was said in. An id of the wrong length or of zeroes counts as none.
    pub span_id: Option<SpanId>,
    /// What kind of event it is, such as `gen_ai.user.message`; empty for a plain log record.
    pub event_name: Text,
}

impl LogRecord {
    /// The one time to sort it by, in nanoseconds since the Unix epoch: see
    /// [`timestamp_of`](Self::timestamp_of).
    pub fn timestamp_unix_nano(&self) -> u64 {
        Self::timestamp_of(self.time_unix_nano, self.observed_time_unix_nano)
    }

    /// The one time to sort a log record by: when it happened or else, as `logs.proto` recommends,
    /// when it was observed.
    ///
    /// ```
    /// use lumitrace_model::LogRecord;
    /// assert_eq!((LogRecord::timestamp_of(7, 9), LogRecord::timestamp_of(0, 9)), (7, 9));
    /// ```
    pub const fn timestamp_of(time_unix_nano: u64, observed_time_unix_nano: u64) -> u64 {
        match time_unix_nano {
            0 => observed_time_unix_nano,
            time => time,
        }
    }

    /// The value of its first attribute named `key`.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }
}

/// Log records of one scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeLogs {
    /// Who recorded them.
    pub scope: Scope,
    /// Schema of the scope and its log records, or empty.
    pub schema_url: Text,
    /// The log records.
    pub log_records: Vec<LogRecord>,
}

/// Log records of one resource, by scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceLogs {
    /// Who produced them.
    pub resource: Resource,
    /// Schema of the resource, or empty.
    pub schema_url: Text,
    /// Its log records.
    pub scope_logs: Vec<ScopeLogs>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_severities_are_where_their_ranges_begin() {
        for (severity, name) in [
            (Severity::UNSPECIFIED, "UNSPECIFIED"),
            (Severity::TRACE, "TRACE"),
            (Severity::DEBUG, "DEBUG"),
            (Severity::INFO, "INFO"),
            (Severity::WARN, "WARN"),
            (Severity::ERROR, "ERROR"),
            (Severity::FATAL, "FATAL"),
        ] {
            assert_eq!(severity.name(), Some(name));
        }
        for number in [-1, 25, i32::MAX] {
            assert_eq!(Severity::from_number(number).name(), None);
        }
    }

    #[test]
    fn a_record_without_a_time_is_sorted_by_when_it_was_observed() {
        let mut record = LogRecord {
            observed_time_unix_nano: 7,
            ..LogRecord::default()
        };
        assert_eq!(record.timestamp_unix_nano(), 7);
        record.time_unix_nano = 5;
        assert_eq!(record.timestamp_unix_nano(), 5);
    }
}
