//! Reading a memtable of log records, newest first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::request::Predicate;
use super::{Cursor, FIRST_CHUNK, LogScanStats, MAX_CHUNK};
use crate::error::ReadError;
use crate::logs::batch::LogEntry;
use crate::logs::memtable::LogMemtable;
use crate::logs::row::{SortKey, sort_key_of};
use crate::logs::stored::StoredLogs;
use crate::places::PlacedRecords;

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
    fn trace(&self) -> Option<PlacedRecords<StoredLogs>> {
        let mut logs = self.memtable.trace(self.predicate.request.trace_id?);
        logs.sort_by_cached_key(|log| Reverse(sort_key_of(log)));
        Some(logs)
    }
}

impl Cursor for MemtableCursor<'_> {
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        if self.end == SortKey::default() {
            return Ok(Vec::new());
        }
        let logs = match self.trace() {
            Some(trace) => {
                self.end = SortKey::default();
                trace
            }
            None => {
                let first = (self.predicate.request.start_unix_nano, 0);
                let logs = self.memtable.newest(first..self.end, self.chunk);
                self.end = match logs.iter().next_back() {
                    Some(last) if logs.len() == self.chunk => sort_key_of(last),
                    _ => SortKey::default(),
                };
                self.chunk = (self.chunk * 4).min(MAX_CHUNK);
                logs
            }
        };
        stats.examined_records += logs.len() as u64;
        let wanted = logs.iter().filter(|log| self.predicate.matches(log));
        Ok(wanted.map(|log| Arc::new(log.entry())).collect())
    }

    fn bound(&self) -> SortKey {
        self.end
    }
}
