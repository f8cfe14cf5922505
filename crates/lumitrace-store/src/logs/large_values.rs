//! Large values of log records: bodies, and attributes.

use std::io;

use lumitrace_model::{KeyValue, Value};

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

/// What is kept of a log record in the columns, and where the rest is.
#[derive(Debug)]
pub(crate) struct CutLog {
    pub(super) body: Value,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) large_values: Vec<LargeValue>,
}

impl BlockWriter<LogColumns> {
    /// Appends a log record, of which large values go into the payload file; log records must come in
    /// the order of [`super::row::sort_key`].
    pub(crate) fn push_log(&mut self, row: &LogRow<'_>) -> io::Result<()> {
        match self.payload() {
            Some(payload) if row.has_large_values() => {
                let kept = cut(row, payload)?;
                self.push(&row.with_kept(&kept))
            }
            _ => self.push(row),
        }
    }

    /// Appends a log record of another block, whose large values are copied as they are.
    pub(crate) fn push_log_from(
        &mut self,
        cut: &CutRecord<LogEntry>,
        payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        let row = LogRow::from(&cut.record);
        if cut.large_values.is_empty() {
            return self.push_log(&row);
        }
        let copies = self.copy_large_values(&cut.large_values, payload)?;
        self.push(&row.with_large_values(&copies))
    }
}

/// Puts the large values of a log record into a payload file.
fn cut(row: &LogRow<'_>, payload: &mut PayloadWriter) -> io::Result<CutLog> {
    let mut cutter = Cutter::new(payload);
    let body = cutter.keep(Owner::Body, "", || 0, row.body);
    let mut attributes = Vec::new();
    row.attributes
        .each(|key, value| cutter.take(Owner::Record, key, value, &mut attributes));
    Ok(CutLog {
        body,
        attributes,
        large_values: cutter.finish()?,
    })
}
