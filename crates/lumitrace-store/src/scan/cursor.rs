//! One source of a scan, read in windows.

use std::sync::Arc;

use crate::SpanRecord;
use crate::error::ReadError;
use crate::scan::ScanStats;

/// Spans made whole at first: a search that stops after twenty must not pay for thousands.
pub(crate) const FIRST_CHUNK_SPANS: usize = 64;
/// Most spans made whole at once.
pub(crate) const MAX_CHUNK_SPANS: usize = 4096;

/// Spans that match, in windows that only get older (or newer, if the oldest are asked for first).
pub(crate) trait Cursor {
    /// The window of the next spans, if there are any. It may be too optimistic, never too
    /// pessimistic.
    fn next_window(&self) -> Option<u64>;

    /// Spans of [`next_window`](Self::next_window), or none if reading showed that they are in a
    /// later one.
    ///
    /// # Errors
    /// A file cannot be read or is damaged. What was to be read is left behind: reading again goes on
    /// after it.
    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError>;
}
