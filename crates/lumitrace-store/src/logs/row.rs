//! A log record on its way into a block.

use lumitrace_model::{Severity, Value};

use super::batch::LogEntry;
use super::columns;
use crate::block::index::IndexContent;
use crate::block::large_values::{CutRecord, LargeValue};
use crate::block::layout::OptionalColumns;
use crate::block::row::{BlockRow, RowHead};
use crate::block::schema;
use crate::block::value::{LARGE_VALUE_BYTES, ValueRef};
use crate::summary::Summaries;

/// See [`sort_key`].
pub(crate) type SortKey = (u64, u64);

/// The order of log records in a block: by time, so that a search for the newest reads the end;
/// those of the same time as they came.
pub(crate) fn sort_key(entry: &LogEntry) -> SortKey {
    (entry.log.timestamp_unix_nano(), entry.seq)
}

/// Counts a log record as summaries do: by service and event name, errors and worse as failed.
pub(crate) fn add_to(summaries: &mut Summaries, entry: &LogEntry) {
    let is_error = entry.log.severity >= Severity::ERROR;
    let time = entry.log.timestamp_unix_nano();
    let (service, event_name) = (entry.service_name(), &entry.log.event_name);
    summaries.add_one(service, event_name, 0, time, is_error);
}

/// What a block keeps of a log record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRow<'a> {
    pub(crate) entry: &'a LogEntry,
    /// Of those that were cut, where the whole is; see [`LogRow::has_large_values`] for others.
    pub(crate) large_values: &'a [LargeValue],
}

impl<'a> From<&'a LogEntry> for LogRow<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        Self {
            entry,
            large_values: &[],
        }
    }
}

impl<'a> From<&'a CutRecord<LogEntry>> for LogRow<'a> {
    fn from(cut: &'a CutRecord<LogEntry>) -> Self {
        Self {
            entry: &cut.record,
            large_values: &cut.large_values,
        }
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

    /// Whether the body, or an attribute, has a large value that was not cut.
    pub(crate) fn has_large_values(&self) -> bool {
        if self.entry.memory_bytes() <= LARGE_VALUE_BYTES {
            return false;
        }
        let log = &self.entry.log;
        let attributes = log.attributes.iter().map(|attribute| &attribute.value);
        let mut values = std::iter::once(&log.body).chain(attributes);
        values.any(|value| ValueRef::from(value).large_bytes().is_some())
    }
}

impl LogEntry {
    /// What every row has.
    pub(crate) fn row_head(&self) -> RowHead<'_> {
        let time = self.log.timestamp_unix_nano();
        RowHead {
            trace_id: self.log.trace_id,
            start_unix_nano: time,
            end_unix_nano: time,
            seq: self.seq,
            received_unix_nano: self.received_unix_nano,
            resource: &self.origin.resource,
            resource_schema_url: &self.origin.resource_schema_url,
            scope: &self.origin.scope,
            scope_schema_url: &self.origin.scope_schema_url,
        }
    }
}

impl BlockRow for LogRow<'_> {
    fn head(&self) -> RowHead<'_> {
        self.entry.row_head()
    }

    fn each_attribute(&self, mut take: impl FnMut(&str, ValueRef<'_>)) {
        for attribute in &self.entry.log.attributes {
            take(&attribute.key, (&attribute.value).into());
        }
    }

    fn kept<'v>(&self, value: ValueRef<'v>) -> ValueRef<'v> {
        value.kept()
    }

    fn add_to_index(&self, index: &mut IndexContent) {
        add_to(&mut index.summaries, self.entry);
        index.time_ranges.add(self.entry.log.timestamp_unix_nano());
    }

    fn note_used_columns(&self, used: &mut OptionalColumns) {
        let log = &self.entry.log;
        let body_is_text = matches!(log.body, Value::String(_));
        used.insert_used([
            (columns::IS_OBSERVED_TIME, log.time_unix_nano == 0),
            (columns::OBSERVED_TIME, log.observed_time_unix_nano != 0),
            (columns::SEVERITY_TEXT, !log.severity_text.is_empty()),
            (columns::BODY, body_is_text),
            (
                columns::BODY_VALUE,
                !body_is_text && log.body != Value::Null,
            ),
            (columns::EVENT_NAME, !log.event_name.is_empty()),
            (schema::TRACE_ID, log.trace_id.is_some()),
            (schema::SPAN_ID, log.span_id.is_some()),
            (schema::FLAGS, log.flags != 0),
            (
                schema::DROPPED_ATTRIBUTES,
                log.dropped_attributes_count != 0,
            ),
            (
                schema::LARGE_VALUES,
                !self.large_values.is_empty() || self.has_large_values(),
            ),
        ]);
    }
}
