//! A block in a scan, not opened before its time has come: a search that stops after twenty spans must
//! not read the footers of all blocks.

use std::sync::Arc;

use super::block_cursor::BlockCursor;
use super::cursor::Cursor;
use super::predicate::Predicate;
use crate::SpanRecord;
use crate::block::Block;
use crate::error::ReadError;
use crate::scan::{SCAN_WINDOW_NANO, ScanStats};

/// A block's windows. What its index says in memory is enough to know when the first may come.
pub(crate) struct LateCursor<'a> {
    block: &'a Block,
    predicate: &'a Predicate<'a>,
    state: State<'a>,
}

enum State<'a> {
    /// Nothing was read. The window of the first spans, if there are any.
    Waiting(Option<u64>),
    Open(Box<BlockCursor<'a>>),
}

impl<'a> LateCursor<'a> {
    pub(crate) fn new(block: &'a Block, predicate: &'a Predicate<'a>) -> Self {
        let window = first_window(block, predicate);
        Self {
            block,
            predicate,
            state: State::Waiting(window),
        }
    }
}

/// The first window, in the order of the scan, in which spans of the block may be asked for.
fn first_window(block: &Block, predicate: &Predicate<'_>) -> Option<u64> {
    let starts = predicate.request().starts();
    let ranges = block.time_ranges().iter();
    let ranges = ranges.filter(|range| range.overlaps(&starts));
    let first = match predicate.request().newest_first {
        true => ranges
            .map(|range| *range.starts.end().min(starts.end()))
            .max(),
        false => ranges
            .map(|range| *range.starts.start().max(starts.start()))
            .min(),
    };
    first.map(|start| start / SCAN_WINDOW_NANO)
}

impl Cursor for LateCursor<'_> {
    fn next_window(&self) -> Option<u64> {
        match &self.state {
            State::Waiting(window) => *window,
            State::Open(cursor) => cursor.next_window(),
        }
    }

    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        if let State::Open(cursor) = &mut self.state {
            return cursor.read(stats);
        }
        // Also if it cannot be opened.
        self.state = State::Waiting(None);
        match BlockCursor::new(self.block, self.predicate, stats)? {
            Some(cursor) => {
                stats.blocks_read += 1;
                self.state = State::Open(Box::new(cursor));
            }
            None => stats.blocks_pruned += 1,
        }
        Ok(Vec::new())
    }
}
