//! How many spans there are, how many failed and how long they took: by service, operation and kind,
//! over a range of time or in steps of it.
//!
//! Blocks answer from the rollups in their indexes. Where the range, or a step of it, begins or ends
//! within a step of a block's rollup, the block's spans are counted there, from the few columns that
//! say it; so are all spans of a block that has no rollup (before version 3, or of nearly as many
//! operations as spans). Memtables count their spans when asked, which takes less time than a
//! search and costs nothing while spans come in.
//!
//! In reading order: what is asked and answered, the sources, `collector` which sums up, and
//! `block_spans`, which counts where a rollup is too coarse.

mod block_spans;
mod collector;

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::sync::Arc;

use lumitrace_model::SpanKind;

use crate::block::Block;
use crate::block::rollup::BlockRollup;
use crate::engine::Sources;
use crate::error::ReadError;
use crate::memtable::Memtable;
use crate::spans::Spans;
use crate::{Damaged, DurationSketch, Exhausted, QueryBudget};
use collector::Collector;

/// Which spans are counted, and in which steps. The default asks for all in one.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use std::num::NonZeroU64;
/// use lumitrace_store::RollupRequest;
///
/// let by_minute = RollupRequest {
///     service: Some("trainer".to_owned()),
///     step_nano: NonZeroU64::new(60_000_000_000),
///     ..RollupRequest::default()
/// };
/// assert_eq!(store.span_rollup(&by_minute)?.rows.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RollupRequest {
    /// Earliest start of a span, inclusive, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Latest start of a span, inclusive, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// The service's name.
    pub service: Option<String>,
    /// The span's name.
    pub name: Option<String>,
    /// Length of the steps, which begin at multiples of it since the Unix epoch. None: one step for
    /// the whole range. Multiples of a minute, of an hour or of a day need the fewest spans to be
    /// read.
    pub step_nano: Option<NonZeroU64>,
    /// What it may cost: unlimited by default. What was counted when it is exhausted is the answer.
    pub budget: QueryBudget,
}

impl Default for RollupRequest {
    fn default() -> Self {
        Self {
            start_unix_nano: 0,
            end_unix_nano: u64::MAX,
            service: None,
            name: None,
            step_nano: None,
            budget: QueryBudget::unlimited(),
        }
    }
}

impl RollupRequest {
    fn starts(&self) -> RangeInclusive<u64> {
        self.start_unix_nano..=self.end_unix_nano
    }

    /// The number of the step in which a span starts.
    fn step_of(&self, start_unix_nano: u64) -> u64 {
        self.step_nano.map_or(0, |step| start_unix_nano / step)
    }

    fn wants(&self, service: &str, name: &str) -> bool {
        self.service.as_ref().is_none_or(|wanted| wanted == service)
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// Spans of one operation and outcome in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRow {
    /// When the step begins, in nanoseconds since the Unix epoch; zero if there is only one.
    pub step_unix_nano: u64,
    /// The service.
    pub service: Arc<str>,
    /// The spans' name.
    pub name: Arc<str>,
    /// The spans' kind.
    pub kind: SpanKind,
    /// Whether their status is error.
    pub failed: bool,
    /// How many they are and how long they took: exact but for percentiles, which are within one
    /// percent. A span whose clock ran backwards took no time.
    pub durations: DurationSketch,
}

/// What spans add up to.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use lumitrace_store::RollupRequest;
///
/// for row in store.span_rollup(&RollupRequest::default())?.rows {
///     println!("{} {}: {}", row.service, row.name, row.durations.count());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpanRollup {
    /// By step, service, name, kind and outcome; only where there are spans.
    pub rows: Vec<RollupRow>,
    /// What it cost, and whether it is whole.
    pub stats: RollupStats,
}

/// What counting cost, and what it could not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollupStats {
    /// Blocks of which the rollups said at least a part of it.
    pub rollups_read: u64,
    /// Spans that were looked at.
    pub examined_spans: u64,
    /// What the budget lacked, if it ended before everything was counted.
    pub exhausted: Option<Exhausted>,
    /// Damage that was met: spans may not have been counted for it.
    pub damaged: Damaged,
}

/// Counts the spans in all sources.
pub(crate) fn roll_up(
    sources: &Sources<Spans>,
    request: &RollupRequest,
) -> Result<SpanRollup, ReadError> {
    let mut collector = Collector::new(request);
    for memtable in sources.memtables() {
        add_memtable(&memtable, &mut collector);
    }
    let damage_log = &sources.damage_log;
    for block in &sources.damaged {
        if block.overlaps(&request.starts()) {
            damage_log.leave_out_block(block, &mut collector.stats.damaged);
        }
    }
    for block in &sources.blocks {
        if collector.look_at(0).is_break() {
            break;
        }
        // What was counted of it by then is right.
        if let Err(error) = add_block(block, &mut collector) {
            damage_log.leave_out(error, &mut collector.stats.damaged)?;
        }
    }
    Ok(collector.finish())
}

fn add_memtable(memtable: &Memtable, collector: &mut Collector<'_>) {
    let spans = memtable.spans();
    if collector.look_at(spans.len() as u64).is_break() {
        return;
    }
    spans
        .iter()
        .filter(|span| !span.head().pending)
        .for_each(|span| collector.add_span(span));
}

fn add_block(block: &Block, collector: &mut Collector<'_>) -> Result<(), ReadError> {
    let request = collector.request();
    let starts = request.starts();
    let names: Vec<String> = request.name.iter().cloned().collect();
    let may_hold = block
        .time_ranges()
        .iter()
        .any(|range| range.overlaps(&starts))
        && block
            .summaries()
            .may_hold(request.service.as_deref(), &names, false, starts.clone());
    if !may_hold {
        return Ok(());
    }
    let to_count = match block.index().rollup(block.record().rows)? {
        Some(rollup) => {
            collector.stats.rollups_read += 1;
            let added = add_rollup(&rollup, collector);
            added.ok_or_else(|| block.index().malformed_rollup())?
        }
        None => vec![starts],
    };
    for starts in to_count {
        block_spans::add(block, starts, collector)?;
    }
    Ok(())
}

/// Adds what the rollup of a block says. Returns the ranges in which it is too coarse; `None` if it is
/// damaged.
fn add_rollup(
    rollup: &BlockRollup,
    collector: &mut Collector<'_>,
) -> Option<Vec<RangeInclusive<u64>>> {
    let request = collector.request();
    let numbers = collector.numbers_of(rollup.keys());
    let mut to_count: Vec<RangeInclusive<u64>> = Vec::new();
    let mut follows_a_cut_step = false;
    for step in rollup.steps() {
        let (first, last) = (*step.starts.start(), *step.starts.end());
        if last < request.start_unix_nano || first > request.end_unix_nano {
            continue;
        }
        let number = request.step_of(first);
        let is_inside = first >= request.start_unix_nano
            && last <= request.end_unix_nano
            && request.step_of(last) == number;
        if is_inside {
            let mut is_whole = true;
            step.each_entry(|key, durations| match numbers.get(key as usize) {
                Some(Some(key)) => collector.add(*key, number, durations),
                Some(None) => {}
                None => is_whole = false,
            })?;
            is_whole.then_some(())?;
        } else {
            let (from, to) = (
                first.max(request.start_unix_nano),
                last.min(request.end_unix_nano),
            );
            match to_count.last_mut() {
                // Nothing of the block starts between two steps.
                Some(range) if follows_a_cut_step => *range = *range.start()..=to,
                _ => to_count.push(from..=to),
            }
        }
        follows_a_cut_step = !is_inside;
    }
    Some(to_count)
}

#[cfg(test)]
mod tests;
