//! Large values of log records: bodies, and attributes.

use std::io;

use lumitrace_model::{LogRecord, Value};

use super::batch::LogEntry;
use super::columns::LogColumns;
use super::row::LogRow;
use crate::block::BlockWriter;
use crate::block::large_values::{CutRecord, Cutter, LargeValue, Owner, Restorable};
use crate::block::payload::{PayloadCopier, PayloadWriter};

impl Restorable for LogEntry {
    fn is_read(&self, _owner: Owner) -> bool {
        true
    }

    fn kept_mut(&mut self, large: &LargeValue) -> Option<&mut Value> {
        match large.owner {
            Owner::Record => large.kept_among(&mut self.log.attributes),
            Owner::Body => Some(&mut self.log.body),
            Owner::Event(_) | Owner::Link(_) => None,
        }
    }
}

impl BlockWriter<LogColumns> {
    /// Appends a log record, of which large values go into the payload file; log records must come in
    /// the order of [`super::row::sort_key`].
    pub(crate) fn push_log(&mut self, entry: &LogEntry) -> io::Result<()> {
        let row = LogRow::from(entry);
        match self.payload() {
            Some(payload) if row.has_large_values() => {
                let cut = cut(entry, payload)?;
                self.push(&(&cut).into())
            }
            _ => self.push(&row),
        }
    }

    /// Appends a log record of another block, whose large values are copied as they are.
    pub(crate) fn push_log_from(
        &mut self,
        cut: &CutRecord<LogEntry>,
        payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        if cut.large_values.is_empty() {
            return self.push_log(&cut.record);
        }
        let copies = self.copy_large_values(&cut.large_values, payload)?;
        let row = LogRow::from(&cut.record);
        self.push(&row.with_large_values(&copies))
    }
}

/// Puts the large values of a log record into a payload file.
fn cut(entry: &LogEntry, payload: &mut PayloadWriter) -> io::Result<CutRecord<LogEntry>> {
    let log = &entry.log;
    let mut cutter = Cutter::new(payload);
    let body = cutter.keep(Owner::Body, "", || 0, (&log.body).into());
    let mut attributes = Vec::with_capacity(log.attributes.len());
    for attribute in &log.attributes {
        let value = (&attribute.value).into();
        cutter.take(Owner::Record, &attribute.key, value, &mut attributes);
    }
    let kept = LogRecord {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        severity: log.severity,
        severity_text: log.severity_text.clone(),
        body,
        attributes,
        dropped_attributes_count: log.dropped_attributes_count,
        flags: log.flags,
        trace_id: log.trace_id,
        span_id: log.span_id,
        event_name: log.event_name.clone(),
    };
    Ok(CutRecord {
        record: LogEntry {
            log: kept,
            origin: entry.origin.clone(),
            seq: entry.seq,
            received_unix_nano: entry.received_unix_nano,
        },
        large_values: cutter.finish()?,
    })
}
