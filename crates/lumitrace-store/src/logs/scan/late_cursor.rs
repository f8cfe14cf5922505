//! A block in a search for log records, not opened before its time has come.

use std::sync::Arc;

use super::block_cursor::BlockCursor;
use super::request::Predicate;
use super::{Cursor, LogScanStats};
use crate::block::Block;
use crate::error::ReadError;
use crate::logs::batch::LogEntry;
use crate::logs::row::SortKey;

/// A block's log records. What its index says in memory is enough to know when the newest may be.
pub(super) struct LateCursor<'a> {
    block: &'a Block,
    predicate: &'a Predicate<'a>,
    state: State<'a>,
}

enum State<'a> {
    /// Nothing was read: see [`Cursor::bound`].
    Waiting(SortKey),
    Open(Box<BlockCursor<'a>>),
}

impl<'a> LateCursor<'a> {
    pub(super) fn new(block: &'a Block, predicate: &'a Predicate<'a>) -> Self {
        let times = predicate.request.times();
        let ranges = block.time_ranges().iter();
        let overlapping = ranges.filter(|range| range.overlaps(&times));
        let newest = overlapping
            .map(|range| *range.starts.end().min(times.end()))
            .max();
        Self {
            block,
            predicate,
            state: State::Waiting(newest.map_or(SortKey::default(), |newest| (newest, u64::MAX))),
        }
    }
}

impl Cursor for LateCursor<'_> {
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        if let State::Open(cursor) = &mut self.state {
            return cursor.read(stats);
        }
        // Also if it cannot be opened.
        self.state = State::Waiting(SortKey::default());
        match BlockCursor::new(self.block, self.predicate)? {
            Some(cursor) => {
                stats.blocks_read += 1;
                self.state = State::Open(Box::new(cursor));
            }
            None => stats.blocks_pruned += 1,
        }
        Ok(Vec::new())
    }

    fn bound(&self) -> SortKey {
        match &self.state {
            State::Waiting(bound) => *bound,
            State::Open(cursor) => cursor.bound(),
        }
    }
}
