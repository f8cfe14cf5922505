//! Reading a memtable in windows, in the order of a scan.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::cursor::{Cursor, FIRST_CHUNK_SPANS, MAX_CHUNK_SPANS};
use super::predicate::Predicate;
use crate::SpanRecord;
use crate::error::ReadError;
use crate::memtable::{Memtable, MemtableSpans};
use crate::scan::ScanStats;

/// A memtable's windows.
pub(crate) struct MemtableCursor<'a> {
    memtable: &'a Memtable,
    predicate: &'a Predicate<'a>,
    window: Option<Window>,
    chunk_spans: usize,
}

/// Spans of one window, of which some were looked at.
struct Window {
    number: u64,
    spans: MemtableSpans,
    /// The next span to be looked at.
    next: usize,
}

impl<'a> MemtableCursor<'a> {
    pub(crate) fn new(memtable: &'a Memtable, predicate: &'a Predicate<'a>) -> Self {
        let mut cursor = Self {
            memtable,
            predicate,
            window: None,
            chunk_spans: FIRST_CHUNK_SPANS,
        };
        cursor.begin_window(predicate.windows());
        cursor
    }

    /// Begins the first of `windows` in the order of the scan, if it has spans.
    fn begin_window(&mut self, windows: RangeInclusive<u64>) {
        let newest = self.predicate.request().newest_first;
        let window = self.memtable.window(windows, newest);
        self.window = window.map(|(number, spans)| Window {
            number,
            spans,
            next: 0,
        });
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
        self.window.as_ref().map(|window| window.number)
    }

    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let Some(window) = &mut self.window else {
            return Ok(Vec::new());
        };
        let parts = self.predicate.parts();
        let mut found = Vec::new();
        while window.next < window.spans.len() && found.len() < self.chunk_spans {
            let span = window.spans.get(window.next);
            window.next += 1;
            stats.examined_spans += 1;
            if self.predicate.matches(&span) {
                found.push(Arc::new(span.record(parts)));
            }
        }
        self.chunk_spans = (self.chunk_spans * 4).min(MAX_CHUNK_SPANS);
        if window.next == window.spans.len() {
            let number = window.number;
            self.window = None;
            if let Some(windows) = self.windows_after(number) {
                self.begin_window(windows);
            }
        }
        Ok(found)
    }
}
