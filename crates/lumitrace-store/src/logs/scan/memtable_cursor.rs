//! Reading a memtable of log records, newest first.

use std::sync::Arc;

use super::request::Predicate;
use super::{Cursor, FIRST_CHUNK, LogScanStats, MAX_CHUNK};
use crate::error::ReadError;
use crate::logs::batch::LogEntry;
use crate::logs::memtable::LogMemtable;
use crate::logs::row::{SortKey, sort_key};

/// A memtable, or the log records of one trace in it.
pub(super) struct MemtableCursor<'a> {
    memtable: &'a LogMemtable,
    predicate: &'a Predicate<'a>,
    /// What is still to come is below this: nothing, if it is the default.
    end: SortKey,
    chunk: usize,
}

impl<'a> MemtableCursor<'a> {
    pub(super) fn new(memtable: &'a LogMemtable, predicate: &'a Predicate<'a>) -> Self {
        Self {
            memtable,
            predicate,
            end: (predicate.request.end_unix_nano, u64::MAX),
            chunk: FIRST_CHUNK,
        }
    }

    /// The log records of the trace that is asked for, newest first.
    fn trace(&self) -> Option<Vec<Arc<LogEntry>>> {
        let mut entries = self.memtable.trace(self.predicate.request.trace_id?);
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(sort_key(entry)));
        Some(entries)
    }
}

impl Cursor for MemtableCursor<'_> {
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        if self.end == SortKey::default() {
            return Ok(Vec::new());
        }
        let mut entries = match self.trace() {
            Some(trace) => {
                self.end = SortKey::default();
                trace
            }
            None => {
                let first = (self.predicate.request.start_unix_nano, 0);
                let entries = self.memtable.newest(first..self.end, self.chunk);
                self.end = match entries.last() {
                    Some(last) if entries.len() == self.chunk => sort_key(last),
                    _ => SortKey::default(),
                };
                self.chunk = (self.chunk * 4).min(MAX_CHUNK);
                entries
            }
        };
        stats.examined_records += entries.len() as u64;
        entries.retain(|entry| self.predicate.matches(&**entry));
        Ok(entries)
    }

    fn bound(&self) -> SortKey {
        self.end
    }
}
