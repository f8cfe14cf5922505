//! Reading a block of log records, newest first: the last rows before those that come before them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch, UInt64Array};
use lumitrace_model::Severity;

use super::request::Predicate;
use super::{Cursor, FIRST_CHUNK, LogScanStats, MAX_CHUNK};
use crate::block::Block;
use crate::block::data::{BlockData, ranges_of};
use crate::block::large_values::{self, CutRecord, Owner, restore_readable};
use crate::block::payload::PayloadReader;
use crate::block::rows::column;
use crate::block::schema;
use crate::block::text::TextColumn;
use crate::block::time_ranges::TimeRange;
use crate::block::value_filters::STRIPE_ROWS;
use crate::error::{Corruption, ReadError};
use crate::logs::batch::LogEntry;
use crate::logs::columns::{BODY, BODY_VALUE, SEVERITY, TIME};
use crate::logs::row::{SortKey, sort_key};
use crate::logs::rows::LogRows;
use crate::scan::content::ContentConditions;
use crate::scan::cut_candidate::CutCandidate;
use crate::scan::predicate::contains_ignoring_case;
use crate::scan::pruning::{Condition, candidate_rows, row_bounds};

/// Rows of which columns are looked at together.
const UNIT_ROWS: usize = 16_384;

/// A block's log records: first the columns that conditions are on, for a unit of rows; then, for
/// the rows that may fulfil them, everything else, in chunks.
pub(super) struct BlockCursor<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    predicate: &'a Predicate<'a>,
    content: ContentConditions<'a>,
    /// Rows to come, in ascending order; of a unit, or of the trace that is asked for.
    units: Vec<Unit>,
    /// Rows of the last unit to come, in ascending order.
    candidates: Vec<usize>,
    /// Log records to come before those, the next one at the front, as the columns have them.
    ready: VecDeque<CutRecord<LogEntry>>,
    /// The latest time of a log record in the last unit.
    bound: u64,
    chunk: usize,
}

/// Rows that are looked at together, of one row group and one stripe.
struct Unit {
    rows: Vec<Range<usize>>,
    /// The latest time of a log record in it, as far as statistics say.
    last_time: u64,
}

impl<'a> BlockCursor<'a> {
    /// None if the block's index rules out that there is anything.
    pub(super) fn new(
        block: &'a Block,
        predicate: &'a Predicate<'a>,
    ) -> Result<Option<Self>, ReadError> {
        let request = predicate.request;
        let of_trace = match request.trace_id {
            Some(trace_id) => Some(block.trace_rows(trace_id)?),
            None => None,
        };
        if of_trace.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let data = block.open_data()?;
        let Some(content) = ContentConditions::new(block, &data, &request.attributes, None)? else {
            return Ok(None);
        };
        let units = units(block, &data, predicate, of_trace.as_deref());
        let mut cursor = Self {
            block,
            data,
            predicate,
            content,
            units,
            candidates: Vec::new(),
            ready: VecDeque::new(),
            bound: 0,
            chunk: FIRST_CHUNK,
        };
        cursor.bound = cursor.last_time();
        Ok(Some(cursor))
    }

    /// The latest time of what is still to come.
    fn last_time(&self) -> u64 {
        self.units.last().map_or(0, |unit| unit.last_time)
    }

    /// Those of the rows of a unit that may be what is asked for.
    fn filter(&self, unit: &Unit) -> Result<Vec<usize>, ReadError> {
        let stripe = unit.rows.first().map_or(0, |rows| rows.start) / STRIPE_ROWS;
        if !self.content.may_hold_stripe(self.block, stripe)? {
            return Ok(Vec::new());
        }
        let mut columns = vec![TIME, SEVERITY, schema::SERVICE];
        if self.predicate.text.is_some() {
            columns.extend([BODY, schema::LARGE_VALUE_OWNER]);
        }
        let rows = self.filter_by(&unit.rows, &columns, |batch| self.ask(batch))?;
        if self.content.columns().is_empty() || rows.is_empty() {
            return Ok(rows);
        }
        let tables = self.block.index().tables()?;
        self.filter_by(&ranges_of(rows), &self.content.columns(), |batch| {
            self.content.ask(batch, &tables)
        })
    }

    fn filter_by(
        &self,
        rows: &[Range<usize>],
        columns: &[&str],
        ask: impl Fn(&RecordBatch) -> Option<Vec<bool>>,
    ) -> Result<Vec<usize>, ReadError> {
        let mut batches = self.data.batches(rows, columns)?;
        let mut numbers = rows.iter().cloned().flatten();
        let mut kept = Vec::new();
        while let Some(batch) = batches.next()? {
            let wanted =
                ask(&batch).ok_or_else(|| self.block.malformed("a column is not of its type"))?;
            let asked = numbers.by_ref().take(batch.num_rows()).zip(wanted);
            kept.extend(asked.filter_map(|(row, wanted)| wanted.then_some(row)));
        }
        Ok(kept)
    }

    /// For each row of a batch whether it may be what is asked for.
    fn ask(&self, batch: &RecordBatch) -> Option<Vec<bool>> {
        let request = self.predicate.request;
        let times = request.start_unix_nano..=request.end_unix_nano;
        let time: &UInt64Array = column(batch, TIME)?;
        let severity: &Int32Array = column(batch, SEVERITY)?;
        let service = TextColumn::new(batch.column_by_name(schema::SERVICE)?.as_ref())?;
        let service = service.ask(|service| self.predicate.service_matches(service));
        let text = match &self.predicate.text {
            Some(text) => Some(self.ask_for_text(batch, text)?),
            None => None,
        };
        let is_wanted = |row: usize| {
            let severity = Severity::from_number(severity.value(row));
            times.contains(&time.value(row))
                && self.predicate.severity_matches(severity)
                && service[row]
                && text.as_ref().is_none_or(|text| text[row])
        };
        Some((0..batch.num_rows()).map(is_wanted).collect())
    }

    /// For each row of a batch whether its body may contain this text: a body that is no text, or
    /// large, is not looked into.
    fn ask_for_text(&self, batch: &RecordBatch, text: &str) -> Option<Vec<bool>> {
        let Some(body) = batch.column_by_name(BODY) else {
            return Some(vec![self.data.has_column(BODY_VALUE); batch.num_rows()]);
        };
        let contains = |body: &str| contains_ignoring_case(body, text);
        let mut found = TextColumn::new(body.as_ref())?.ask(contains);
        let is_large = large_values::rows_with(batch, Owner::Body)?;
        let has_values = self.data.has_column(BODY_VALUE);
        for (row, found) in found.iter_mut().enumerate() {
            *found |= is_large[row] || (has_values && body.is_null(row));
        }
        Some(found)
    }

    /// Reads the next candidates.
    fn read_chunk(&mut self) -> Result<(), ReadError> {
        let kept = self.candidates.len().saturating_sub(self.chunk);
        self.chunk = (self.chunk * 4).min(MAX_CHUNK);
        let rows = ranges_of(self.candidates.split_off(kept));
        if rows.is_empty() {
            return Ok(());
        }
        let payload = RefCell::new(self.block.payload()?);
        let mut damage: Option<Corruption> = None;
        let mut rows = LogRows::read(self.block, &rows)?;
        while let Some(batch) = rows.next()? {
            for cut in batch {
                match self.matches(&cut, &payload) {
                    Ok(true) => self.ready.push_front(cut),
                    Ok(false) => {}
                    Err(ReadError::Corrupt(met)) => {
                        damage.get_or_insert(met);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    fn matches(
        &self,
        cut: &CutRecord<LogEntry>,
        payload: &RefCell<PayloadReader>,
    ) -> Result<bool, ReadError> {
        let candidate = CutCandidate::new(cut, payload, &self.predicate.request.budget);
        let matches = self.predicate.matches(&candidate);
        candidate.into_failure().map_or(Ok(matches), Err)
    }

    /// Takes log records that were read, with their large values if they are wanted. Those that are
    /// damaged stay cut: that is said before they come.
    fn take_ready(&mut self) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        let is_whole = |cut: &CutRecord<LogEntry>| cut.large_values.is_empty();
        let taken = match self.predicate.request.large_values {
            true if !self.ready.iter().all(is_whole) => {
                let payload = self.block.payload();
                let mut payload = payload.inspect_err(|_| self.ready.clear())?;
                let mut damage = None;
                let restored = restore_readable(&mut self.ready, &mut payload, &mut damage)?;
                if let Some(damage) = damage {
                    let cut = restored.into_iter().rev().map(CutRecord::whole);
                    cut.for_each(|cut| self.ready.push_front(cut));
                    return Err(damage.into());
                }
                restored
            }
            _ => self.ready.drain(..).map(|cut| cut.record).collect(),
        };
        Ok(taken.into_iter().map(Arc::new).collect())
    }
}

/// The rows that may be what is asked for, as far as statistics say, in ascending order.
fn units(
    block: &Block,
    data: &BlockData<'_>,
    predicate: &Predicate<'_>,
    of_trace: Option<&[Range<usize>]>,
) -> Vec<Unit> {
    let request = predicate.request;
    let mut conditions = vec![Condition::Numbers(
        TIME,
        request.start_unix_nano,
        request.end_unix_nano,
    )];
    conditions.extend(request.service.as_deref().map(Condition::Service));
    if request.min_severity != Severity::UNSPECIFIED {
        let least = request.min_severity.number();
        conditions.push(Condition::AtLeast(SEVERITY, least.into()));
    }
    let times = request.times();
    let ranges = block.time_ranges().iter();
    let ranges: Vec<_> = ranges.filter(|range| range.overlaps(&times)).collect();
    let mut units = Vec::new();
    let starts = data.row_group_starts();
    for (group, bounds) in starts.windows(2).enumerate() {
        let (first, end) = (bounds[0], bounds[1]);
        for unit in ranges.iter().flat_map(|range| parts_of(range, first..end)) {
            let in_group = unit.rows.start - first..unit.rows.end - first;
            let rows = candidate_rows(data.metadata(), group, in_group.clone(), &conditions);
            let rows = rows
                .into_iter()
                .map(|rows| first + rows.start..first + rows.end);
            let rows: Vec<Range<usize>> = match of_trace {
                Some(trace) => rows.flat_map(|rows| overlaps(trace, rows)).collect(),
                None => rows.collect(),
            };
            if !rows.is_empty() {
                let bounds = row_bounds(data.metadata(), TIME, group, in_group);
                let last_time = bounds.map_or(u64::MAX, |(_, last)| last);
                let last_time = last_time.min(unit.last_time);
                units.push(Unit { rows, last_time });
            }
        }
    }
    units
}

/// Rows that are side by side, and the latest time of a log record in their range of time.
struct Part {
    rows: Range<usize>,
    last_time: u64,
}

/// The rows of a range of time as far as they are in a row group, in parts of one stripe each that are
/// looked at together.
fn parts_of(range: &TimeRange, group: Range<usize>) -> impl Iterator<Item = Part> {
    let end = range.rows.end.min(group.end);
    let mut start = range.rows.start.max(group.start);
    let last_time = *range.starts.end();
    std::iter::from_fn(move || {
        let stripe_end = (start / STRIPE_ROWS + 1) * STRIPE_ROWS;
        let rows = start..(start + UNIT_ROWS).min(stripe_end).min(end);
        start = rows.end;
        (!rows.is_empty()).then_some(Part { rows, last_time })
    })
}

/// The parts of `rows` that lie in these ranges, which ascend.
fn overlaps(ranges: &[Range<usize>], rows: Range<usize>) -> Vec<Range<usize>> {
    let first = ranges.partition_point(|range| range.end <= rows.start);
    let inside = ranges[first..]
        .iter()
        .take_while(|range| range.start < rows.end);
    let both = inside.map(|range| range.start.max(rows.start)..range.end.min(rows.end));
    both.collect()
}

impl Cursor for BlockCursor<'_> {
    fn read(&mut self, stats: &mut LogScanStats) -> Result<Vec<Arc<LogEntry>>, ReadError> {
        if self.ready.is_empty() {
            if self.candidates.is_empty() {
                let Some(unit) = self.units.pop() else {
                    self.bound = 0;
                    return Ok(Vec::new());
                };
                let rows = unit.rows.iter().map(ExactSizeIterator::len);
                stats.examined_records += rows.sum::<usize>() as u64;
                self.candidates = self.filter(&unit)?;
                self.bound = unit.last_time;
            }
            self.read_chunk()?;
        }
        let taken = self.take_ready()?;
        if self.candidates.is_empty() {
            self.bound = self.last_time();
        }
        Ok(taken)
    }

    fn bound(&self) -> SortKey {
        if let Some(next) = self.ready.front() {
            return sort_key(&next.record);
        }
        if self.candidates.is_empty() && self.units.is_empty() {
            return SortKey::default();
        }
        (self.bound, u64::MAX)
    }
}
