//! Log records as the engine takes them, and searching them.
//!
//! In reading order: `batch` is what is stored, `stored` how it is kept in memory, `memtable` the newest of it. A log record is a
//! `row` of a block, goes into `columns`, but for its `large_values`, and comes back out of them
//! (`rows`). `scan` is what a search asks for, and how it walks memtables and blocks. The bytes are described in
//! `docs/formats/logs.md`.

pub(crate) mod batch;
pub(crate) mod columns;
mod large_values;
pub(crate) mod memtable;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod stored;

pub use batch::{LogBatch, LogEntry};
pub use scan::{LogScan, LogScanStats};
pub use stored::{LogRef, StoredLogs};

use std::io;
use std::ops::ControlFlow;

use columns::LogColumns;
use memtable::LogMemtable;
use row::{LogRow, SortKey, sort_key};
use rows::LogRows;

use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::PayloadCopier;
use crate::block::time_ranges::TimeRangesBuilder;
use crate::block::{Block, BlockWriter};
use crate::check::RowCheck;
use crate::error::ReadError;
use crate::manifest::BlockRecord;
use crate::rewrite::{self, Batches, Rewritable};
use crate::signal::{BlockRows, BlockTarget, Signal};

/// The signal of log records.
pub(crate) struct Logs;

impl Signal for Logs {
    type Batch = LogBatch;
    type Memtable = LogMemtable;

    fn write_memtable(memtable: &LogMemtable, target: BlockTarget) -> io::Result<BlockRecord> {
        let logs = memtable.logs();
        let mut planner = Planner::default();
        logs.iter().for_each(|log| planner.add(&LogRow::from(log)));
        let mut writer = BlockWriter::<LogColumns>::create(target, planner.finish())?;
        logs.iter()
            .try_for_each(|log| writer.push_log(&log.into()))?;
        writer.finish()
    }

    fn write_rows(
        rows: &[BlockRows<'_>],
        target: BlockTarget,
        is_stopping: &dyn Fn() -> bool,
    ) -> io::Result<Option<BlockRecord>> {
        rewrite::write_rows::<Self>(rows, target, is_stopping)
    }

    fn visit_times(rows: &BlockRows<'_>, visit: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        rewrite::visit_times::<Self>(rows, visit)
    }

    fn check_rows(block: &Block, check: &mut RowCheck<'_, '_>) -> Result<(), ReadError> {
        let mut rows = LogRows::read(block, &BlockRows::all(block).rows)?;
        let (mut last_key, mut time_ranges) = (None, TimeRangesBuilder::default());
        while let Some(mut batch) = rows.next()? {
            for cut in &mut batch {
                check.add_large_values(cut)?;
                let entry = &cut.record;
                let key = sort_key(entry);
                check.add_row(entry.seq, last_key.is_none_or(|last| last <= key))?;
                last_key = Some(key);
                check.include(key.0, key.0);
                time_ranges.add(key.0);
                row::add_to(&mut check.summaries, &entry.into());
                if let Some(trace_id) = entry.log.trace_id {
                    check.add_trace(trace_id);
                }
            }
            if let ControlFlow::Break(()) = check.advance(batch.len()) {
                return Ok(());
            }
        }
        if time_ranges.finish() != block.time_ranges() {
            return Err(block.malformed("the index says other ranges of time than the rows say"));
        }
        Ok(())
    }
}

impl Rewritable for Logs {
    type Record = LogEntry;
    type Columns = LogColumns;
    type Key = SortKey;

    fn read<'a>(rows: &BlockRows<'a>) -> Result<Batches<'a, LogEntry>, ReadError> {
        let mut rows = LogRows::read(rows.block, &rows.rows)?;
        Ok(Box::new(move || rows.next()))
    }

    fn sort_key(entry: &LogEntry) -> SortKey {
        sort_key(entry)
    }

    fn times(entry: &LogEntry) -> (u64, u64) {
        let time = entry.log.timestamp_unix_nano();
        (time, time)
    }

    fn supersedes(_next: &LogEntry, _held: &LogEntry) -> bool {
        // Their keys have the sequence number, which is unique.
        false
    }

    fn plan(planner: &mut Planner, cut: &CutRecord<LogEntry>) {
        planner.add(&LogRow::from(cut));
    }

    fn push_from(
        writer: &mut BlockWriter<LogColumns>,
        cut: &CutRecord<LogEntry>,
        payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        writer.push_log_from(cut, payload)
    }
}
