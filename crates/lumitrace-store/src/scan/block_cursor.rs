//! Reading a block in windows, in the order of a scan.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array, UInt64Array};
use lumitrace_model::StatusCode;

use super::cursor::{Cursor, FIRST_CHUNK_SPANS, MAX_CHUNK_SPANS};
use super::predicate::{Predicate, contains_ignoring_case, has_attribute, value_matches};
use super::pruning::{candidate_rows, condition_columns, start_bounds};
use crate::SpanRecord;
use crate::block::attributes::AttributesColumn;
use crate::block::index::Resources;
use crate::block::reader::{Block, BlockData};
use crate::block::rows::column;
use crate::block::schema;
use crate::error::ReadError;
use crate::scan::{SCAN_WINDOW_NANO, ScanStats};

/// A row that may be what is asked for, and the window it is in.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    row: usize,
    window: u64,
}

/// A block's spans: first the columns that conditions are on, for a whole row group; then, for
/// the rows that fulfil them, everything else, in chunks.
pub(crate) struct BlockCursor<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    predicate: &'a Predicate<'a>,
    /// Row groups to come, the next one at the front.
    groups: VecDeque<usize>,
    group_starts: Vec<usize>,
    /// Rows of the current row group to come, the next one at the front.
    candidates: VecDeque<Candidate>,
    /// Spans to come, the next one at the front.
    ready: VecDeque<Arc<SpanRecord>>,
    chunk_spans: usize,
}

impl<'a> BlockCursor<'a> {
    pub(crate) fn new(
        block: &'a Block,
        predicate: &'a Predicate<'a>,
        stats: &mut ScanStats,
    ) -> Result<Self, ReadError> {
        let data = block.open_data()?;
        let group_starts = data.row_group_starts();
        let count = data.metadata().num_row_groups();
        let mut groups: VecDeque<usize> = (0..count)
            .filter(|group| {
                !candidate_rows(data.metadata(), *group, predicate.request()).is_empty()
            })
            .collect();
        stats.row_groups_pruned += (count - groups.len()) as u64;
        if predicate.request().newest_first {
            groups.make_contiguous().reverse();
        }
        Ok(Self {
            block,
            data,
            predicate,
            groups,
            group_starts,
            candidates: VecDeque::new(),
            ready: VecDeque::new(),
            chunk_spans: FIRST_CHUNK_SPANS,
        })
    }

    /// The window in which the spans of a row group begin, as far as statistics say.
    fn group_window(&self, group: usize) -> u64 {
        let windows = self.predicate.windows();
        let bounds = start_bounds(self.data.metadata(), group);
        if self.predicate.request().newest_first {
            bounds
                .map_or(u64::MAX, |(_, last)| last / SCAN_WINDOW_NANO)
                .min(*windows.end())
        } else {
            bounds
                .map_or(0, |(first, _)| first / SCAN_WINDOW_NANO)
                .max(*windows.start())
        }
    }

    fn read_group(&mut self, group: usize, stats: &mut ScanStats) -> Result<(), ReadError> {
        let first_row = self.group_starts[group];
        let pages = candidate_rows(self.data.metadata(), group, self.predicate.request());
        let rows: Vec<Range<usize>> = pages
            .into_iter()
            .map(|range| first_row + range.start..first_row + range.end)
            .collect();
        stats.row_groups_read += 1;
        stats.examined_spans += rows.iter().map(ExactSizeIterator::len).sum::<usize>() as u64;
        let mut candidates = self.filter_by_columns(&rows)?;
        if !content_columns(self.predicate).is_empty() {
            candidates = self.filter_by_content(candidates)?;
        }
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

    /// Keeps those that fulfil the conditions on attributes and may hold the text: without making
    /// the others whole, which would take several times longer.
    fn filter_by_content(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, ReadError> {
        let resources = self.block.index().resources()?;
        let rows = ranges_of(candidates.iter().map(|candidate| candidate.row));
        let mut batches = self.data.batches(&rows, &content_columns(self.predicate))?;
        let mut rest = candidates.into_iter();
        let mut kept = Vec::new();
        while let Some(batch) = batches.next()? {
            let conditions = ContentConditions::new(&batch, self.predicate, &resources)
                .ok_or_else(|| self.block.malformed("a column is not of its type"))?;
            for (index, candidate) in rest.by_ref().take(batch.num_rows()).enumerate() {
                kept.extend(conditions.may_hold(index).then_some(candidate));
            }
        }
        Ok(kept)
    }

    /// Makes the next candidates whole.
    fn read_chunk(&mut self) -> Result<(), ReadError> {
        let count = self.chunk_spans.min(self.candidates.len());
        self.chunk_spans = (self.chunk_spans * 4).min(MAX_CHUNK_SPANS);
        let mut rows: Vec<usize> = self
            .candidates
            .drain(..count)
            .map(|candidate| candidate.row)
            .collect();
        rows.sort_unstable();
        let mut chunk = self
            .data
            .records(&ranges_of(rows.into_iter()), self.predicate.parts())?;
        let mut records = Vec::new();
        while let Some(batch) = chunk.next()? {
            records.extend(
                batch
                    .into_iter()
                    .filter(|record| self.predicate.matches(record)),
            );
        }
        if self.predicate.request().newest_first {
            records.reverse();
        }
        self.ready = records.into_iter().map(Arc::new).collect();
        Ok(())
    }
}

impl Cursor for BlockCursor<'_> {
    fn next_window(&self) -> Option<u64> {
        let ready = self.ready.front().map(window_of);
        ready
            .or_else(|| self.candidates.front().map(|candidate| candidate.window))
            .or_else(|| self.groups.front().map(|group| self.group_window(*group)))
    }

    fn read(&mut self, stats: &mut ScanStats) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        if let Some(window) = self.ready.front().map(window_of) {
            let end = self
                .ready
                .iter()
                .take_while(|record| window_of(record) == window)
                .count();
            return Ok(self.ready.drain(..end).collect());
        }
        if !self.candidates.is_empty() {
            self.read_chunk()?;
        } else if let Some(group) = self.groups.pop_front() {
            self.read_group(group, stats)?;
        }
        Ok(Vec::new())
    }
}

fn window_of(record: &Arc<SpanRecord>) -> u64 {
    record.span.start_unix_nano / SCAN_WINDOW_NANO
}

/// The conditions on single columns, asked of a batch of them.
struct ColumnConditions<'a> {
    predicate: &'a Predicate<'a>,
    start: &'a UInt64Array,
    duration: Option<&'a Int64Array>,
    service: Option<&'a StringArray>,
    name: Option<&'a StringArray>,
    status: Option<&'a UInt8Array>,
}

impl<'a> ColumnConditions<'a> {
    fn new(batch: &'a RecordBatch, predicate: &'a Predicate<'a>) -> Option<Self> {
        Some(Self {
            predicate,
            start: column(batch, schema::START)?,
            duration: column(batch, schema::DURATION),
            service: column(batch, schema::SERVICE),
            name: column(batch, schema::NAME),
            status: column(batch, schema::STATUS_CODE),
        })
    }

    /// The window of row `row` if it fulfils the conditions.
    fn window(&self, row: usize) -> Option<u64> {
        let predicate = self.predicate;
        let start = self.start.value(row);
        let wanted_service = predicate.request().service.as_deref();
        let matches = predicate.start_matches(start)
            && self
                .status
                .is_none_or(|status| status.value(row) == StatusCode::Error.code())
            && self
                .duration
                .is_none_or(|column| predicate.duration_matches(column.value(row)))
            && self
                .service
                .is_none_or(|column| Some(column.value(row)) == wanted_service)
            && self
                .name
                .is_none_or(|column| predicate.name_matches(column.value(row)));
        matches.then_some(start / SCAN_WINDOW_NANO)
    }
}

/// The columns that [`ContentConditions`] needs.
fn content_columns(predicate: &Predicate<'_>) -> Vec<&'static str> {
    let mut columns = Vec::new();
    let conditions = &predicate.request().attributes;
    if !conditions.is_empty() {
        // The types of value that one of the texts can spell.
        columns.extend([
            schema::RESOURCE_ID,
            schema::ATTRIBUTE_KEY,
            schema::ATTRIBUTE_STRING,
        ]);
        let spells = |value: fn(&str) -> bool| conditions.iter().any(|(_, text)| value(text));
        columns.extend(spells(|text| text.parse::<i64>().is_ok()).then_some(schema::ATTRIBUTE_INT));
        columns
            .extend(spells(|text| text.parse::<f64>().is_ok()).then_some(schema::ATTRIBUTE_DOUBLE));
        columns
            .extend(spells(|text| text.parse::<bool>().is_ok()).then_some(schema::ATTRIBUTE_BOOL));
    }
    if predicate.text().is_some() {
        columns.extend([schema::NAME, schema::STATUS_MESSAGE]);
        columns.extend([schema::ATTRIBUTE_STRING, schema::ATTRIBUTE_BYTES]);
    }
    columns
}

/// The conditions on attributes and on text anywhere, asked of a batch of columns.
struct ContentConditions<'a> {
    predicate: &'a Predicate<'a>,
    resources: &'a Resources,
    attributes: AttributesColumn<'a>,
    resource_id: Option<&'a UInt32Array>,
    name: Option<&'a StringArray>,
    status_message: Option<&'a StringArray>,
}

impl<'a> ContentConditions<'a> {
    fn new(
        batch: &'a RecordBatch,
        predicate: &'a Predicate<'a>,
        resources: &'a Resources,
    ) -> Option<Self> {
        Some(Self {
            predicate,
            resources,
            attributes: AttributesColumn::new(batch.column_by_name(schema::ATTRIBUTES)?)?,
            resource_id: column(batch, schema::RESOURCE_ID),
            name: column(batch, schema::NAME),
            status_message: column(batch, schema::STATUS_MESSAGE),
        })
    }

    /// Whether row `row` may fulfil the conditions.
    fn may_hold(&self, row: usize) -> bool {
        let mut conditions = self.predicate.request().attributes.iter();
        conditions.all(|(key, text)| {
            self.attributes
                .any(row, key, |value| value_matches(value, text))
                || self.resource_has(row, key, text)
        }) && self.predicate.text().is_none_or(|text| {
            let contains = |string: &str| contains_ignoring_case(string, text);
            let in_column = |column: Option<&StringArray>| {
                column.is_some_and(|column| contains(column.value(row)))
            };
            in_column(self.name)
                || in_column(self.status_message)
                || self.attributes.any_text(row, contains)
        })
    }

    fn resource_has(&self, row: usize, key: &str, text: &str) -> bool {
        let number = self.resource_id.map(|column| column.value(row) as usize);
        let stored = number.and_then(|number| self.resources.get(number));
        stored.is_some_and(|stored| has_attribute(&stored.resource.attributes, key, text))
    }
}

/// Ascending rows as ranges.
fn ranges_of(rows: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some(range) if range.end == row => range.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}
