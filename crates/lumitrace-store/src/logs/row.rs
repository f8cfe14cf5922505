//! A log record on its way into a block: borrowed, whether it lies in a request's bytes or in a record.

use lumitrace_model::{LogRecord, Severity, SpanId, TraceId};

use super::batch::LogEntry;
use super::columns;
use super::large_values::CutLog;
use super::stored::LogRef;
use crate::block::index::IndexContent;
use crate::block::large_values::{CutRecord, LargeValue, bytes_of_cut};
use crate::block::layout::OptionalColumns;
use crate::block::row::{AttributeList, BlockRow, RowHead};
use crate::block::schema;
use crate::block::value::{LARGE_VALUE_BYTES, ValueRef};
use crate::stored::Origin;
use crate::summary::Summaries;

/// See [`sort_key`].
pub(crate) type SortKey = (u64, u64);

/// The order of log records in a block: by time, so that a search for the newest reads the end;
/// those of the same time as they came.
pub(crate) fn sort_key(entry: &LogEntry) -> SortKey {
    (entry.log.timestamp_unix_nano(), entry.seq)
}

/// [`sort_key`] of a log record in memory.
pub(crate) fn sort_key_of(log: LogRef<'_>) -> SortKey {
    (log.head().timestamp_unix_nano(), log.seq())
}

/// Counts a log record as summaries do: by service and event name, errors and worse as failed.
pub(crate) fn add_to(summaries: &mut Summaries, facts: &LogFacts<'_>) {
    let is_error = facts.severity >= Severity::ERROR;
    let (service, time) = (facts.origin.service_name(), facts.timestamp_unix_nano());
    summaries.add_one(service, facts.event_name, 0, time, is_error);
}

/// What is known of a log record without looking into its body and its attributes, wherever it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFacts<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) observed_time_unix_nano: u64,
    pub(crate) severity: Severity,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) event_name: &'a str,
    pub(crate) origin: &'a Origin,
    pub(crate) seq: u64,
    pub(crate) received_unix_nano: u64,
}

impl LogFacts<'_> {
    pub(crate) fn timestamp_unix_nano(&self) -> u64 {
        LogRecord::timestamp_of(self.time_unix_nano, self.observed_time_unix_nano)
    }
}

impl<'a> From<&'a LogEntry> for LogFacts<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        let log = &entry.log;
        Self {
            time_unix_nano: log.time_unix_nano,
            observed_time_unix_nano: log.observed_time_unix_nano,
            severity: log.severity,
            trace_id: log.trace_id,
            span_id: log.span_id,
            event_name: &log.event_name,
            origin: &entry.origin,
            seq: entry.seq,
            received_unix_nano: entry.received_unix_nano,
        }
    }
}

impl<'a> From<LogRef<'a>> for LogFacts<'a> {
    fn from(log: LogRef<'a>) -> Self {
        let head = log.head();
        Self {
            time_unix_nano: head.time_unix_nano,
            observed_time_unix_nano: head.observed_time_unix_nano,
            severity: head.severity,
            trace_id: head.trace_id,
            span_id: head.span_id,
            event_name: log.event_name(),
            origin: log.origin(),
            seq: log.seq(),
            received_unix_nano: log.received_unix_nano(),
        }
    }
}

/// What a block keeps of a log record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRow<'a> {
    pub(crate) facts: LogFacts<'a>,
    pub(crate) severity_text: &'a str,
    pub(crate) body: ValueRef<'a>,
    pub(crate) flags: u32,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) attributes: AttributeList<'a>,
    /// About how many bytes it takes in columns.
    pub(crate) bytes: usize,
    /// Of those that were cut, where the whole is; see [`LogRow::has_large_values`] for others.
    pub(crate) large_values: &'a [LargeValue],
}

impl<'a> From<&'a LogEntry> for LogRow<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        let log = &entry.log;
        Self {
            facts: entry.into(),
            severity_text: &log.severity_text,
            body: (&log.body).into(),
            flags: log.flags,
            dropped_attributes_count: log.dropped_attributes_count,
            attributes: AttributeList::Slice(&log.attributes),
            bytes: entry.memory_bytes(),
            large_values: &[],
        }
    }
}

impl<'a> From<LogRef<'a>> for LogRow<'a> {
    fn from(log: LogRef<'a>) -> Self {
        let view = log.view();
        Self {
            facts: log.into(),
            severity_text: view.severity_text,
            body: view.body.into(),
            flags: view.flags,
            dropped_attributes_count: view.dropped_attributes_count,
            attributes: AttributeList::View(view.attributes()),
            bytes: size_of::<LogRecord>() + log.message().len(),
            large_values: &[],
        }
    }
}

impl<'a> From<&'a CutRecord<LogEntry>> for LogRow<'a> {
    fn from(cut: &'a CutRecord<LogEntry>) -> Self {
        Self::from(&cut.record).with_large_values(&cut.large_values)
    }
}

impl<'a> LogRow<'a> {
    /// The row of which these are what was cut.
    pub(crate) fn with_large_values(self, large_values: &'a [LargeValue]) -> Self {
        Self {
            large_values,
            ..self
        }
    }

    /// The row with what is kept of its body and its attributes.
    pub(crate) fn with_kept(self, kept: &'a CutLog) -> Self {
        let large_values = &kept.large_values;
        Self {
            body: (&kept.body).into(),
            attributes: AttributeList::Slice(&kept.attributes),
            bytes: bytes_of_cut(self.bytes, large_values),
            ..self.with_large_values(large_values)
        }
    }

    /// Whether the body, or an attribute, has a large value that was not cut.
    pub(crate) fn has_large_values(&self) -> bool {
        if self.bytes <= LARGE_VALUE_BYTES {
            return false;
        }
        let mut any = self.body.large_bytes().is_some();
        self.attributes
            .each(|_, value| any = any || value.large_bytes().is_some());
        any
    }
}

impl LogEntry {
    /// What every row has.
    pub(crate) fn row_head(&self) -> RowHead<'_> {
        row_head(LogFacts::from(self))
    }
}

fn row_head(facts: LogFacts<'_>) -> RowHead<'_> {
    let time = facts.timestamp_unix_nano();
    RowHead {
        trace_id: facts.trace_id,
        start_unix_nano: time,
        end_unix_nano: time,
        seq: facts.seq,
        received_unix_nano: facts.received_unix_nano,
        resource: &facts.origin.resource,
        resource_schema_url: &facts.origin.resource_schema_url,
        scope: &facts.origin.scope,
        scope_schema_url: &facts.origin.scope_schema_url,
    }
}

impl BlockRow for LogRow<'_> {
    fn head(&self) -> RowHead<'_> {
        row_head(self.facts)
    }

    fn each_attribute(&self, take: impl FnMut(&str, ValueRef<'_>)) {
        self.attributes.each(take);
    }

    fn kept<'v>(&self, value: ValueRef<'v>) -> ValueRef<'v> {
        value.kept()
    }

    fn add_to_index(&self, index: &mut IndexContent) {
        add_to(&mut index.summaries, &self.facts);
        index.time_ranges.add(self.facts.timestamp_unix_nano());
    }

    fn note_used_columns(&self, used: &mut OptionalColumns) {
        let facts = &self.facts;
        let body_is_text = matches!(self.body, ValueRef::String(_));
        used.insert_used([
            (columns::IS_OBSERVED_TIME, facts.time_unix_nano == 0),
            (columns::OBSERVED_TIME, facts.observed_time_unix_nano != 0),
            (columns::SEVERITY_TEXT, !self.severity_text.is_empty()),
            (columns::BODY, body_is_text),
            (
                columns::BODY_VALUE,
                !body_is_text && !matches!(self.body, ValueRef::Null),
            ),
            (columns::EVENT_NAME, !facts.event_name.is_empty()),
            (schema::TRACE_ID, facts.trace_id.is_some()),
            (schema::SPAN_ID, facts.span_id.is_some()),
            (schema::FLAGS, self.flags != 0),
            (
                schema::DROPPED_ATTRIBUTES,
                self.dropped_attributes_count != 0,
            ),
            (
                schema::LARGE_VALUES,
                !self.large_values.is_empty() || self.has_large_values(),
            ),
        ]);
    }
}
