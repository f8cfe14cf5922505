//! Reading a memtable in windows, in the order of a scan.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::cursor::Cursor;
use super::predicate::Predicate;
use crate::SpanRecord;
use crate::error::ReadError;
use crate::memtable::Memtable;
use crate::scan::ScanStats;

/// A memtable's windows.
pub(crate) struct MemtableCursor<'a> {
    memtable: &'a Memtable,
    predicate: &'a Predicate<'a>,
    next: Option<(u64, Vec<Arc<SpanRecord>>)>,
}

impl<'a> MemtableCursor<'a> {
    pub(crate) fn new(memtable: &'a Memtable, predicate: &'a Predicate<'a>) -> Self {
        let next = memtable.window(predicate.windows(), predicate.request().newest_first);
        Self {
            memtable,
            predicate,
            next,
        }
    }

    fn windows_after(&self, window: u64) -> Option<RangeInclusive<u64>> {
        let windows = self.predicate.windows();
        Some(if self.predicate.request().newest_first {
            *windows.start()..=window.checked_sub(1)?
        } else {
            window.checked_add(1)?..=*windows.end()
        })
    }
}

impl Cursor for MemtableCursor<'_> {
    fn next_window(&self) -> Option<u64> {
        self.next.as_ref().map(|(window, _)| *window)
    }

    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let Some((window, mut records)) = self.next.take() else {
            return Ok(Vec::new());
        };
        let newest = self.predicate.request().newest_first;
        self.next = self
            .windows_after(window)
            .and_then(|windows| self.memtable.window(windows, newest));
        stats.examined_spans += records.len() as u64;
        records.retain(|record| self.predicate.matches(record));
        Ok(records)
    }
}
