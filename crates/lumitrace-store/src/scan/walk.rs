//! The walk over all memtables and blocks at once, window by window.
//!
//! **Each span once.** Within a window a span is visited once, from the newest source that has it;
//! announcements wait for the end of the window, in case the final span comes. That is exact as
//! long as the records of a span start at the same time, which senders keep to, and match alike:
//! where the final span does not match the request, but an older announcement does, the
//! announcement is left out only if a memtable holds the final span.
//! [`Store::trace`](crate::Store::trace) is exact without conditions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::cursor::Cursor;
use super::late_cursor::LateCursor;
use super::memtable_cursor::MemtableCursor;
use super::predicate::Predicate;
use crate::block::Block;
use crate::damage::DamageLog;
use crate::engine::Sources;
use crate::error::ReadError;
use crate::identity::{Identity, Version, supersedes};
use crate::memtable::Memtable;
use crate::scan::{ScanRequest, ScanStats};
use crate::spans::Spans;
use crate::trace::archived;
use crate::{Exhausted, QueryBudget, SpanRecord};

/// About what an identity takes in a set of them.
const ENTRY_BYTES: usize = 2 * size_of::<Identity>();

/// Takes a span, and says whether to go on.
pub(crate) type Visit<'a> = dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()> + 'a;

/// Whether a request is also for what only the archive has. It numbers its copies by itself, and they
/// count as number 0.
pub(crate) fn includes_archive(request: &ScanRequest) -> bool {
    request.seqs.contains(&0)
}

/// Hands every span that `request` asks for to `visit`, from the spans' shelf, which is the first of
/// `shelves`, and the archive, if there is a second one. The newest sources of a shelf come first.
pub(crate) fn scan(
    shelves: &[Arc<Sources<Spans>>],
    request: &ScanRequest,
    visit: &mut Visit<'_>,
) -> Result<ScanStats, ReadError> {
    let archive_request = ScanRequest {
        seqs: 0..u64::MAX,
        except_seqs: Vec::new(),
        ..request.clone()
    };
    let predicates = [request, &archive_request].map(Predicate::new);
    let memtables: Vec<_> = shelves.iter().map(|sources| sources.memtables()).collect();
    let mut stats = ScanStats::default();
    let mut cursors: Vec<Source<'_>> = Vec::new();
    for (shelf, memtables) in memtables.iter().enumerate() {
        let (predicate, is_archive) = (&predicates[shelf.min(1)], shelf > 0);
        let damage_log = &*shelves[shelf].damage_log;
        for memtable in memtables {
            let cursor = Box::new(MemtableCursor::new(memtable, predicate));
            cursors.push(Source {
                cursor,
                is_archive,
                damage_log,
            });
        }
        for block in &shelves[shelf].damaged {
            let request = predicate.request();
            if block.overlaps(&request.starts()) && request.wants_block(block.record.id) {
                damage_log.leave_out_block(block, &mut stats.damaged);
            }
        }
        for block in shelves[shelf].blocks.iter().rev() {
            if !may_hold(block, predicate.request()) {
                stats.blocks_pruned += 1;
                continue;
            }
            let cursor = Box::new(LateCursor::new(block, predicate));
            cursors.push(Source {
                cursor,
                is_archive,
                damage_log,
            });
        }
    }
    let visited = merge(cursors, &memtables, request, &mut stats, visit)?;
    stats.stopped = visited.is_break();
    Ok(stats)
}

/// A memtable or block, and whether it is one of the archive.
struct Source<'a> {
    cursor: Box<dyn Cursor + 'a>,
    is_archive: bool,
    damage_log: &'a DamageLog,
}

impl Source<'_> {
    /// The next spans. What is damaged of them is left out.
    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let mut records = match self.cursor.read(stats) {
            Ok(records) => records,
            Err(error) => {
                self.damage_log.leave_out(error, &mut stats.damaged)?;
                return Ok(Vec::new());
            }
        };
        if self.is_archive {
            for record in &mut records {
                *record = Arc::new(archived(SpanRecord::clone(record)));
            }
        }
        Ok(records)
    }
}

fn may_hold(block: &Block, request: &ScanRequest) -> bool {
    let record = block.record();
    let starts = request.starts();
    request.wants_block(record.id)
        && block
            .time_ranges()
            .iter()
            .any(|range| range.overlaps(&starts))
        && block.summaries().may_hold(
            request.service.as_deref(),
            &request.names,
            request.only_errors,
            starts,
        )
}

fn merge(
    mut cursors: Vec<Source<'_>>,
    memtables: &[Vec<Arc<Memtable>>],
    request: &ScanRequest,
    stats: &mut ScanStats,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, ReadError> {
    // The greatest is next: the newest window, or the oldest, and of one window the newest source.
    let rank = |window: u64| {
        if request.newest_first {
            window
        } else {
            !window
        }
    };
    let mut heap: BinaryHeap<(u64, Reverse<usize>)> = cursors
        .iter()
        .enumerate()
        .filter_map(|(number, source)| Some((rank(source.cursor.next_window()?), Reverse(number))))
        .collect();
    let mut window = Window {
        memtables,
        budget: &request.budget,
        held: request.budget.part(),
        visited: HashSet::new(),
        announced: HashMap::new(),
    };
    let (mut current, mut spent) = (None, 0);
    while let Some((rank_of_window, Reverse(source))) = heap.pop() {
        // Here also searches come by that find nothing, and before they open a block.
        if spend(stats, &mut spent, &request.budget).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if current != Some(rank_of_window) {
            current = Some(rank_of_window);
            if window.end(stats, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for record in cursors[source].read(stats)? {
            if window.add(record, stats, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        heap.extend(
            cursors[source]
                .cursor
                .next_window()
                .map(|window| (rank(window), Reverse(source))),
        );
    }
    if window.end(stats, visit).is_break() {
        return Ok(ControlFlow::Break(()));
    }
    Ok(spend(stats, &mut spent, &request.budget))
}

/// Counts what was looked at since `spent` was.
fn spend(stats: &mut ScanStats, spent: &mut u64, budget: &QueryBudget) -> ControlFlow<()> {
    let examined = stats.examined_spans - *spent;
    *spent = stats.examined_spans;
    match budget.look_at(examined) {
        Ok(()) => ControlFlow::Continue(()),
        Err(exhausted) => {
            stats.exhausted = Some(exhausted);
            ControlFlow::Break(())
        }
    }
}

/// The spans of one window, each of which is visited once.
struct Window<'a> {
    /// Of the spans' shelf, and of the archive if there is one.
    memtables: &'a [Vec<Arc<Memtable>>],
    budget: &'a QueryBudget,
    /// What is kept of the window, in memory.
    held: QueryBudget,
    /// Spans whose final record was visited.
    visited: HashSet<Identity>,
    /// The latest announcements of others.
    announced: HashMap<Identity, Arc<SpanRecord>>,
}

impl Window<'_> {
    fn add(
        &mut self,
        record: Arc<SpanRecord>,
        stats: &mut ScanStats,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let identity = Identity::of(&record.span);
        let counts = if record.span.pending {
            let later = |known: &Arc<SpanRecord>| supersedes(&record, known);
            self.announced.get(&identity).is_none_or(later)
        } else {
            !self.visited.contains(&identity)
        };
        if !counts {
            return ControlFlow::Continue(());
        }
        if let Err(exhausted) = self.hold(&record) {
            stats.exhausted = Some(exhausted);
            return ControlFlow::Break(());
        }
        if record.span.pending {
            self.announced.insert(identity, record);
            return ControlFlow::Continue(());
        }
        self.visited.insert(identity);
        stats.matched_spans += 1;
        visit(record)
    }

    /// Counts what is kept of a span. What it replaces counts until the end of the window.
    fn hold(&self, record: &SpanRecord) -> Result<(), Exhausted> {
        let kept_bytes = match record.span.pending {
            true => record.memory_bytes(),
            false => 0,
        };
        self.held.hold(ENTRY_BYTES + kept_bytes)
    }

    /// Visits the announced spans of which no final record came, and begins the next window.
    fn end(&mut self, stats: &mut ScanStats, visit: &mut Visit<'_>) -> ControlFlow<()> {
        for (identity, record) in self.announced.drain() {
            if self.visited.contains(&identity) || is_superseded(self.memtables, &record) {
                continue;
            }
            stats.matched_spans += 1;
            visit(record)?;
        }
        self.visited.clear();
        self.held = self.budget.part();
        ControlFlow::Continue(())
    }
}

/// Whether a memtable of one of the shelves holds a record of the same span that counts rather than this
/// announcement.
fn is_superseded(shelves: &[Vec<Arc<Memtable>>], announced: &SpanRecord) -> bool {
    let identity = Identity::of(&announced.span);
    shelves.iter().enumerate().any(|(shelf, memtables)| {
        let mut versions = memtables.iter().filter_map(|it| it.version_of(identity));
        versions.any(|version| {
            // As in the records themselves; see `archived`.
            let seq = if shelf > 0 { 0 } else { version.seq };
            Version { seq, ..version }.supersedes(Version::of(announced))
        })
    })
}
