//! The walk over all memtables and blocks at once, window by window.
//!
//! **Each span once.** Within a window a span is visited once, from the newest source that has it,
//! and an announcement is not visited if a memtable knows better. That is exact as long as the
//! records of a span start at the same time, which senders keep to, and match alike: an older
//! announcement in a block may still come where the final span, in another block, does not match
//! the request. [`Store::trace`](crate::Store::trace) is exact without conditions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::cursor::{BlockCursor, Cursor, MemtableCursor};
use super::predicate::Predicate;
use crate::SpanRecord;
use crate::block::Block;
use crate::error::ReadError;
use crate::identity::Identity;
use crate::memtable::Memtable;
use crate::scan::{ScanRequest, ScanStats};

/// Hands every span that `request` asks for to `visit`. Memtables and blocks come newest first.
pub(crate) fn scan(
    memtables: &[Arc<Memtable>],
    blocks: &[Arc<Block>],
    request: &ScanRequest,
    visit: &mut dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()>,
) -> Result<ScanStats, ReadError> {
    let predicate = Predicate::new(request);
    let mut stats = ScanStats::default();
    let mut cursors: Vec<Box<dyn Cursor + '_>> = Vec::new();
    for memtable in memtables {
        cursors.push(Box::new(MemtableCursor::new(memtable, &predicate)));
    }
    for block in blocks {
        if may_hold(block, request) {
            stats.blocks_read += 1;
            cursors.push(Box::new(BlockCursor::new(block, &predicate, &mut stats)?));
        } else {
            stats.blocks_pruned += 1;
        }
    }
    let visited = merge(cursors, memtables, request.newest_first, &mut stats, visit)?;
    stats.stopped = visited.is_break();
    Ok(stats)
}

fn may_hold(block: &Block, request: &ScanRequest) -> bool {
    let record = block.record();
    let starts = request.start_unix_nano..=request.end_unix_nano;
    record.first_start_unix_nano <= *starts.end()
        && record.last_start_unix_nano >= *starts.start()
        && block.summaries().may_hold(
            request.service.as_deref(),
            &request.names,
            request.only_errors,
            starts,
        )
}

fn merge(
    mut cursors: Vec<Box<dyn Cursor + '_>>,
    memtables: &[Arc<Memtable>],
    newest_first: bool,
    stats: &mut ScanStats,
    visit: &mut dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    // The greatest is next: the newest window, or the oldest, and of one window the newest source.
    let rank = |window: u64| if newest_first { window } else { !window };
    let mut heap: BinaryHeap<(u64, Reverse<usize>)> = cursors
        .iter()
        .enumerate()
        .filter_map(|(source, cursor)| Some((rank(cursor.next_window()?), Reverse(source))))
        .collect();
    let mut visited_in_window = HashSet::new();
    let mut current = None;
    while let Some((rank_of_window, Reverse(source))) = heap.pop() {
        if current != Some(rank_of_window) {
            current = Some(rank_of_window);
            visited_in_window.clear();
        }
        for record in cursors[source].read(stats)? {
            if !visited_in_window.insert(Identity::of(&record.span)) {
                continue;
            }
            let superseded = |memtable: &Arc<Memtable>| memtable.supersedes(&record);
            if record.span.pending && memtables.iter().any(superseded) {
                continue;
            }
            stats.matched_spans += 1;
            if visit(record).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        heap.extend(
            cursors[source]
                .next_window()
                .map(|window| (rank(window), Reverse(source))),
        );
    }
    Ok(ControlFlow::Continue(()))
}
