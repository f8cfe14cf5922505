//! Reading a memtable of log records, newest first.

use std::sync::Arc;

use super::request::Predicate;
use super::{Cursor, FIRST_CHUNK, LogScanStats, MAX_CHUNK};
use crate::error::ReadError;
use crate::logs::batch::LogEntry;
use crate::logs::memtable::LogMemtable;
use crate::logs::row::{SortKey, sort_key_of};
use crate::logs::stored::{LogRef, StoredLogs};
use crate::places::PlacedRecords;

/// Log records are made whole until they take about this many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A memtable, or the log records of one trace in it.
pub(super) struct MemtableCursor<'a> {
    memtable: &'a LogMemtable,
    predicate: &'a Predicate<'a>,
    /// Those of the trace that is asked for, in ascending order, and how many of them are still to come.
    of_trace: Option<(PlacedRecords<StoredLogs>, usize)>,
    /// What is still to come is below this: nothing, if it is the default.
    end: SortKey,
    chunk: usize,
}

impl<'a> MemtableCursor<'a> {
    pub(super) fn new(memtable: &'a LogMemtable, predicate: &'a Predicate<'a>) -> Self {
        let of_trace = predicate.request.trace_id.map(|trace_id| {
            let mut logs = memtable.trace(trace_id);
            logs.sort_by_cached_key(sort_key_of);
            let count = logs.len();
            (logs, count)
        });
        Self {
            memtable,
            predicate,
            of_trace,
            end: (predicate.request.end_unix_nano, u64::MAX),
            chunk: FIRST_CHUNK,
        }
    }

    /// Looks at the next ones, and makes whole those that are wanted. Returns how many were looked at, and
    /// the key of the last of them.
    fn take<'l>(
        &self,
        newest_first: impl Iterator<Item = LogRef<'l>>,
        taken: &mut Vec<Arc<LogEntry>>,
    ) -> (usize, Option<SortKey>) {
        let (mut count, mut last, mut bytes) = (0, None, 0);
        for log in newest_first.take(self.chunk) {
            count += 1;
            last = Some(sort_key_of(log));
            if self.predicate.matches(&log) {
                bytes += log.message().len();
                taken.push(Arc::new(log.entry()));
            }
            if bytes >= CHUNK_BYTES {
                break;
            }
        }
        (count, last)
    }
}

impl Cursor for MemtableCursor<'_> {
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        let mut taken = Vec::new();
        if self.end == SortKey::default() {
            return Ok(taken);
        }
        let (count, last, is_end) = match self.of_trace.take() {
            Some((logs, left)) => {
                let newest_first = (0..left).rev().map(|index| logs.get(index));
                let (count, last) = self.take(newest_first, &mut taken);
                let left = left - count;
                self.of_trace = Some((logs, left));
                (count, last, left == 0)
            }
            None => {
                let first = (self.predicate.request.start_unix_nano, 0);
                let logs = self.memtable.newest(first..self.end, self.chunk);
                let (count, last) = self.take(logs.iter(), &mut taken);
                (count, last, logs.len() < self.chunk && count == logs.len())
            }
        };
        self.end = last.filter(|_| !is_end).unwrap_or_default();
        self.chunk = (self.chunk * 4).min(MAX_CHUNK);
        stats.examined_records += count as u64;
        Ok(taken)
    }

    fn bound(&self) -> SortKey {
        self.end
    }
}
