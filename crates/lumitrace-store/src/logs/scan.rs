//! Searching log records, newest first.
//!
//! In reading order: `request` is what is asked for and whether a log record is it;
//! `memtable_cursor` and `block_cursor` read one source each, the latter opened by a `late_cursor`, and
//! `scan` merges them.

mod block_cursor;
mod late_cursor;
mod memtable_cursor;
mod request;

pub use request::{LogScan, LogScanStats};

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

use late_cursor::LateCursor;
use memtable_cursor::MemtableCursor;
use request::Predicate;

use super::Logs;
use super::batch::LogEntry;
use super::row::{SortKey, sort_key};
use crate::block::Block;
use crate::damage::DamageLog;
use crate::engine::Sources;
use crate::error::ReadError;

/// Log records made whole at first: a search that stops after twenty must not pay for thousands.
const FIRST_CHUNK: usize = 64;
/// Most log records made whole at once.
const MAX_CHUNK: usize = 4096;

/// Log records that match, newest first.
trait Cursor {
    /// The next ones; none after the last.
    ///
    /// # Errors
    /// A file cannot be read or is damaged. What was to be read is left behind: reading again goes on
    /// after it.
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError>;

    /// No log record that is still to come has a greater key. The least key of all, which no log
    /// record has, says that none comes.
    fn bound(&self) -> SortKey;
}

/// Hands every log record that `request` asks for to `visit`, newest first, until it breaks.
pub(crate) fn scan(
    sources: &Sources<Logs>,
    request: &LogScan,
    visit: &mut dyn FnMut(Arc<LogEntry>) -> ControlFlow<()>,
) -> Result<LogScanStats, ReadError> {
    let predicate = Predicate::new(request);
    let mut stats = LogScanStats::default();
    let memtables = sources.memtables();
    let mut cursors: Vec<Box<dyn Cursor + '_>> = Vec::new();
    for memtable in &memtables {
        cursors.push(Box::new(MemtableCursor::new(memtable, &predicate)));
    }
    let damage_log = &sources.damage_log;
    for block in &sources.damaged {
        if block.overlaps(&request.times()) {
            damage_log.leave_out_block(block, &mut stats.damaged);
        }
    }
    for block in &sources.blocks {
        if may_hold(block, request) {
            cursors.push(Box::new(LateCursor::new(block, &predicate)));
        } else {
            stats.blocks_pruned += 1;
        }
    }
    stats.stopped = merge(cursors, damage_log, request, &mut stats, visit)?.is_break();
    Ok(stats)
}

fn may_hold(block: &Block, request: &LogScan) -> bool {
    let times = request.times();
    let mut ranges = block.time_ranges().iter();
    ranges.any(|range| range.overlaps(&times))
        && block.summaries().may_hold(
            request.service.as_deref(),
            &[],
            request.min_severity >= lumitrace_model::Severity::ERROR,
            times,
        )
}

/// What a source has next: something it has read, or what it may come to at best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    key: SortKey,
    /// What was read comes before what may be read.
    is_read: bool,
    source: usize,
}

fn merge(
    mut cursors: Vec<Box<dyn Cursor + '_>>,
    damage_log: &DamageLog,
    request: &LogScan,
    stats: &mut LogScanStats,
    visit: &mut dyn FnMut(Arc<LogEntry>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    let mut read: Vec<std::vec::IntoIter<Arc<LogEntry>>> = Vec::new();
    read.resize_with(cursors.len(), || Vec::new().into_iter());
    let unread = |cursors: &[Box<dyn Cursor + '_>], source: usize| Next {
        key: cursors[source].bound(),
        is_read: false,
        source,
    };
    let mut heap: BinaryHeap<Next> = (0..cursors.len())
        .map(|source| unread(&cursors, source))
        .collect();
    while let Some(Next {
        is_read, source, ..
    }) = heap.pop()
    {
        if is_read {
            if let Some(entry) = read[source].next() {
                stats.matched_records += 1;
                if visit(entry).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        } else {
            // Here also searches come by that find nothing, and before they open a block.
            if let Err(exhausted) = request.budget.check() {
                stats.exhausted = Some(exhausted);
                return Ok(ControlFlow::Break(()));
            }
            let before = stats.examined_records;
            let entries = match cursors[source].read(stats) {
                Ok(entries) => entries,
                Err(error) => {
                    damage_log.leave_out(error, &mut stats.damaged)?;
                    Vec::new()
                }
            };
            if let Err(exhausted) = request.budget.look_at(stats.examined_records - before) {
                stats.exhausted = Some(exhausted);
                return Ok(ControlFlow::Break(()));
            }
            if entries.is_empty() && cursors[source].bound() == SortKey::default() {
                continue;
            }
            read[source] = entries.into_iter();
        }
        heap.push(match read[source].as_slice().first() {
            Some(entry) => Next {
                key: sort_key(entry),
                is_read: true,
                source,
            },
            None => unread(&cursors, source),
        });
    }
    Ok(ControlFlow::Continue(()))
}
