//! Reading a block in windows, in the order of a scan.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt8Array, UInt64Array};
use lumitrace_model::StatusCode;

use super::content::ContentConditions;
use super::cursor::{Cursor, FIRST_CHUNK_SPANS, MAX_CHUNK_SPANS};
use super::cut_candidate::CutCandidate;
use super::predicate::Predicate;
use super::pruning::{candidate_rows, condition_columns, conditions, row_bounds};
use crate::SpanRecord;
use crate::block::Block;
use crate::block::data::{BlockData, ranges_of};
use crate::block::large_values::{CutRecord, restore_readable};
use crate::block::payload::PayloadReader;
use crate::block::records::Records;
use crate::block::rows::column;
use crate::block::schema;
use crate::block::text::TextColumn;
use crate::block::time_ranges::TimeRange;
use crate::block::value_filters::STRIPE_ROWS;
use crate::error::{Corruption, ReadError};
use crate::scan::{SCAN_WINDOW_NANO, ScanStats};

/// A row that may be what is asked for, and the window it is in.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    row: usize,
    window: u64,
}

/// Rows of a row group, of one stripe and of one range of time, that are looked at together.
#[derive(Debug, Clone)]
struct Unit {
    group: usize,
    /// From the earliest to the latest start in the range of time.
    starts: RangeInclusive<u64>,
    /// Numbers of rows in the block.
    rows: Range<usize>,
}

/// A block's spans: first the columns that conditions are on, for a unit of rows; then, for the
/// rows that fulfil them, everything else, in chunks.
pub(crate) struct BlockCursor<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    predicate: &'a Predicate<'a>,
    content: ContentConditions<'a>,
    /// Units to come, the next one at the front.
    units: VecDeque<Unit>,
    group_starts: Vec<usize>,
    last_group: Option<usize>,
    /// Rows of the current unit to come, the next one at the front.
    candidates: VecDeque<Candidate>,
    /// All of these, read in the order of the block, once a search has shown that it goes on.
    stream: Option<Records<'a>>,
    /// Spans to come, the next one at the front, as the columns have them.
    ready: VecDeque<CutRecord>,
    chunk_spans: usize,
}

impl<'a> BlockCursor<'a> {
    /// None if the block's index rules out that there is anything.
    pub(crate) fn new(
        block: &'a Block,
        predicate: &'a Predicate<'a>,
        stats: &mut ScanStats,
    ) -> Result<Option<Self>, ReadError> {
        let data = block.open_data()?;
        let Some(content) = ContentConditions::new(
            block,
            &data,
            &predicate.request().attributes,
            predicate.text(),
        )?
        else {
            return Ok(None);
        };
        let group_starts = data.row_group_starts();
        let starts = predicate.request().starts();
        let ranges = block.time_ranges().iter();
        let ranges: Vec<_> = ranges.filter(|range| range.overlaps(&starts)).collect();
        let mut units = VecDeque::new();
        for group in 0..data.metadata().num_row_groups() {
            let rows = group_starts[group]..group_starts[group + 1];
            let mut found: VecDeque<Unit> = units_of(group, rows, &ranges)
                .filter(|unit| !unit_rows(&data, unit, &group_starts, predicate).is_empty())
                .collect();
            stats.row_groups_pruned += u64::from(found.is_empty());
            units.append(&mut found);
        }
        if predicate.request().newest_first {
            units.make_contiguous().reverse();
        }
        Ok(Some(Self {
            block,
            data,
            predicate,
            content,
            units,
            group_starts,
            last_group: None,
            candidates: VecDeque::new(),
            stream: None,
            ready: VecDeque::new(),
            chunk_spans: FIRST_CHUNK_SPANS,
        }))
    }

    /// The window in which the spans of a unit begin, as far as statistics say.
    fn unit_window(&self, unit: &Unit) -> u64 {
        let windows = self.predicate.windows();
        let first = self.group_starts[unit.group];
        let rows = unit.rows.start - first..unit.rows.end - first;
        let bounds = row_bounds(self.data.metadata(), schema::START, unit.group, rows);
        let (first, last) = bounds.unwrap_or((0, u64::MAX));
        if self.predicate.request().newest_first {
            let last = last.min(*unit.starts.end());
            (last / SCAN_WINDOW_NANO).min(*windows.end())
        } else {
            let first = first.max(*unit.starts.start());
            (first / SCAN_WINDOW_NANO).max(*windows.start())
        }
    }

    fn read_unit(&mut self, unit: &Unit, stats: &mut ScanStats) -> Result<(), ReadError> {
        let stripe = unit.rows.start / STRIPE_ROWS;
        if !self.content.may_hold_stripe(self.block, stripe)? {
            return Ok(());
        }
        let rows = unit_rows(&self.data, unit, &self.group_starts, self.predicate);
        let is_new_group = self.last_group.replace(unit.group) != Some(unit.group);
        stats.row_groups_read += u64::from(is_new_group);
        stats.examined_spans += rows.iter().map(ExactSizeIterator::len).sum::<usize>() as u64;
        // What rules out most comes first; what is left decides how much is read after it.
        let asks_columns = condition_columns(self.predicate.request()).len() > 1;
        let mut candidates = if self.content.columns().is_empty() {
            self.filter_by_columns(&rows)?
        } else if asks_columns {
            let candidates = self.filter_by_columns(&rows)?;
            let rows = ranges_of(candidates.iter().map(|candidate| candidate.row));
            let kept = self.filter_by_content(&rows)?;
            only(candidates, &kept)
        } else {
            let kept = self.filter_by_content(&rows)?;
            self.filter_by_columns(&ranges_of(kept))?
        };
        if self.predicate.request().newest_first {
            candidates.reverse();
        }
        self.candidates = candidates.into();
        Ok(())
    }

    fn filter_by_columns(&self, rows: &[Range<usize>]) -> Result<Vec<Candidate>, ReadError> {
        let columns = condition_columns(self.predicate.request());
        let mut batches = self.data.batches(rows, &columns)?;
        let mut numbers = rows.iter().cloned().flatten();
        let mut candidates = Vec::new();
        while let Some(batch) = batches.next()? {
            let conditions = ColumnConditions::new(&batch, self.predicate)
                .ok_or_else(|| self.block.malformed("a column is not of its type"))?;
            for (index, row) in numbers.by_ref().take(batch.num_rows()).enumerate() {
                candidates.extend(
                    conditions
                        .window(index)
                        .map(|window| Candidate { row, window }),
                );
            }
        }
        Ok(candidates)
    }

    /// The rows that fulfil the conditions on attributes and may hold the text: found without making
    /// the others whole, which would take several times longer.
    fn filter_by_content(&self, rows: &[Range<usize>]) -> Result<Vec<usize>, ReadError> {
        let tables = self.block.index().tables()?;
        let mut batches = self.data.batches(rows, &self.content.columns())?;
        let mut numbers = rows.iter().cloned().flatten();
        let mut kept = Vec::new();
        while let Some(batch) = batches.next()? {
            let may_hold = self
                .content
                .ask(&batch, &tables)
                .ok_or_else(|| self.block.malformed("a column is not of its type"))?;
            let asked = numbers.by_ref().take(batch.num_rows()).zip(may_hold);
            kept.extend(asked.filter_map(|(row, may_hold)| may_hold.then_some(row)));
        }
        Ok(kept)
    }

    /// Reads the next candidates.
    fn read_candidates(&mut self) -> Result<(), ReadError> {
        let is_long = self.chunk_spans == MAX_CHUNK_SPANS;
        if self.stream.is_some() || is_long && !self.predicate.request().newest_first {
            return self.read_from_stream();
        }
        let count = self.chunk_spans.min(self.candidates.len());
        self.chunk_spans = (self.chunk_spans * 4).min(MAX_CHUNK_SPANS);
        let rows = self.candidates.drain(..count);
        let mut rows: Vec<usize> = rows.map(|candidate| candidate.row).collect();
        rows.sort_unstable();
        let mut chunk = self
            .data
            .records(&ranges_of(rows), self.predicate.parts())?;
        let (mut found, mut damage) = (Vec::new(), None);
        while let Some(batch) = chunk.next_cut()? {
            self.keep_matching(batch, &mut found, &mut damage)?;
        }
        if self.predicate.request().newest_first {
            found.reverse();
        }
        self.ready = found.into();
        damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// Reads the next candidates of a search that wants the oldest first: their order is that of the
    /// block, so that each page is decompressed once for all of them, and not once for each chunk.
    fn read_from_stream(&mut self) -> Result<(), ReadError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let rows = self.candidates.iter().map(|candidate| candidate.row);
                let parts = self.predicate.parts();
                self.data.records(&ranges_of(rows), parts)?
            }
        };
        let batch = stream.next_cut().and_then(|batch| {
            batch.ok_or_else(|| self.block.malformed("it has fewer rows than it says"))
        });
        // Where one cannot be read, no more than a chunk is left behind.
        let count = batch.as_ref().map_or(MAX_CHUNK_SPANS, Vec::len);
        self.candidates.drain(..count.min(self.candidates.len()));
        let batch = batch?;
        if !self.candidates.is_empty() {
            self.stream = Some(stream);
        }
        let (mut found, mut damage) = (Vec::with_capacity(batch.len()), None);
        self.keep_matching(batch, &mut found, &mut damage)?;
        self.ready = found.into();
        damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// Adds those of a batch that match to `found`. Of one whose large values cannot be asked for damage,
    /// the first damage is kept.
    fn keep_matching(
        &self,
        batch: Vec<CutRecord>,
        found: &mut Vec<CutRecord>,
        damage: &mut Option<Corruption>,
    ) -> Result<(), ReadError> {
        let payload = RefCell::new(self.block.payload()?);
        for cut in batch {
            match self.matches(&cut, &payload) {
                Ok(true) => found.push(cut),
                Ok(false) => {}
                Err(ReadError::Corrupt(met)) => {
                    damage.get_or_insert(met);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn matches(
        &self,
        cut: &CutRecord,
        payload: &RefCell<PayloadReader>,
    ) -> Result<bool, ReadError> {
        let budget = &self.predicate.request().budget;
        let span = CutCandidate::new(cut, payload, budget);
        let matches = self.predicate.matches(&span);
        span.into_failure().map_or(Ok(matches), Err)
    }

    /// Takes the next spans of this window, with their large values if they are wanted. Those that are
    /// damaged stay cut: that is said before they come.
    fn take_ready(&mut self, window: u64) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let is_of_window = |cut: &&CutRecord| window_of(cut) == window;
        let count = self.ready.iter().take_while(is_of_window).count();
        if !self.predicate.request().parts.large_values {
            let spans = self.ready.drain(..count);
            return Ok(spans.map(|cut| Arc::new(cut.record)).collect());
        }
        let later = self.ready.split_off(count);
        let mut ready = mem::replace(&mut self.ready, later);
        let mut damage = None;
        let restored = restore_readable(&mut ready, &mut self.block.payload()?, &mut damage)?;
        if let Some(damage) = damage {
            let cut = restored.into_iter().map(CutRecord::whole).chain(ready);
            self.ready = cut.chain(mem::take(&mut self.ready)).collect();
            return Err(damage.into());
        }
        ready.append(&mut self.ready);
        self.ready = ready;
        Ok(restored.into_iter().map(Arc::new).collect())
    }
}

impl Cursor for BlockCursor<'_> {
    fn next_window(&self) -> Option<u64> {
        let ready = self.ready.front().map(window_of);
        ready
            .or_else(|| self.candidates.front().map(|candidate| candidate.window))
            .or_else(|| self.units.front().map(|unit| self.unit_window(unit)))
    }

    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        if let Some(window) = self.ready.front().map(window_of) {
            return self.take_ready(window);
        }
        if !self.candidates.is_empty() {
            self.read_candidates()?;
        } else if let Some(unit) = self.units.pop_front() {
            self.read_unit(&unit, stats)?;
        }
        Ok(Vec::new())
    }
}

/// The candidates in these rows, of which all are candidates; both ascend.
fn only(candidates: Vec<Candidate>, rows: &[usize]) -> Vec<Candidate> {
    let mut rows = rows.iter().peekable();
    let is_kept = |candidate: &Candidate| rows.next_if(|row| **row == candidate.row).is_some();
    candidates.into_iter().filter(is_kept).collect()
}

fn window_of(cut: &CutRecord) -> u64 {
    cut.record.span.start_unix_nano / SCAN_WINDOW_NANO
}

/// The units of a row group with these rows, as far as they are in `ranges`.
fn units_of(group: usize, rows: Range<usize>, ranges: &[&TimeRange]) -> impl Iterator<Item = Unit> {
    ranges.iter().flat_map(move |range| {
        let mut start = range.rows.start.max(rows.start);
        let end = range.rows.end.min(rows.end);
        std::iter::from_fn(move || {
            let unit = Unit {
                group,
                starts: range.starts.clone(),
                rows: start..((start / STRIPE_ROWS + 1) * STRIPE_ROWS).min(end),
            };
            start = unit.rows.end;
            (!unit.rows.is_empty()).then_some(unit)
        })
    })
}

/// The rows of a unit that may be what is asked for, as far as statistics say.
fn unit_rows(
    data: &BlockData<'_>,
    unit: &Unit,
    group_starts: &[usize],
    predicate: &Predicate<'_>,
) -> Vec<Range<usize>> {
    let first = group_starts[unit.group];
    let rows = unit.rows.start - first..unit.rows.end - first;
    candidate_rows(
        data.metadata(),
        unit.group,
        rows,
        &conditions(predicate.request()),
    )
    .into_iter()
    .map(|range| first + range.start..first + range.end)
    .collect()
}

/// The conditions on single columns, asked of a batch of them.
struct ColumnConditions<'a> {
    predicate: &'a Predicate<'a>,
    start: &'a UInt64Array,
    duration: Option<&'a Int64Array>,
    service: Option<Vec<bool>>,
    name: Option<Vec<bool>>,
    status: Option<&'a UInt8Array>,
}

impl<'a> ColumnConditions<'a> {
    fn new(batch: &'a RecordBatch, predicate: &'a Predicate<'a>) -> Option<Self> {
        let wanted_service = predicate.request().service.as_deref();
        let ask = |name: &str, is_wanted: &dyn Fn(&str) -> bool| match batch.column_by_name(name) {
            Some(column) => Some(Some(TextColumn::new(column.as_ref())?.ask(is_wanted))),
            None => Some(None),
        };
        Some(Self {
            predicate,
            start: column(batch, schema::START)?,
            duration: column(batch, schema::DURATION),
            service: ask(schema::SERVICE, &|service| Some(service) == wanted_service)?,
            name: ask(schema::NAME, &|name| predicate.name_matches(name))?,
            status: column(batch, schema::STATUS_CODE),
        })
    }

    /// The window of row `row` if it fulfils the conditions.
    fn window(&self, row: usize) -> Option<u64> {
        let predicate = self.predicate;
        let start = self.start.value(row);
        let matches = predicate.start_matches(start)
            && self
                .status
                .is_none_or(|status| status.value(row) == StatusCode::Error.code())
            && self
                .duration
                .is_none_or(|column| predicate.duration_matches(column.value(row)))
            && self.service.as_ref().is_none_or(|wanted| wanted[row])
            && self.name.as_ref().is_none_or(|wanted| wanted[row]);
        matches.then_some(start / SCAN_WINDOW_NANO)
    }
}
