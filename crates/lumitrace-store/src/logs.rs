//! Log records as the engine takes them, and searching them.
//!
//! In reading order: `batch` is what is stored, `memtable` the newest of it. A log record is a
//! `row` of a block, goes into `columns` and comes back out of them (`rows`). `scan` is what
//! a search asks for, and how it walks memtables and blocks. The bytes are described in
//! `docs/formats/logs.md`.

pub(crate) mod batch;
pub(crate) mod columns;
pub(crate) mod memtable;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod scan;

pub use batch::{LogBatch, LogEntry, StoredLogs};
pub use scan::{LogScan, LogScanStats};

use std::io;
use std::ops::ControlFlow;

use columns::{LOG_SCHEMA, LogColumns};
use memtable::LogMemtable;
use row::sort_key;
use rows::LogRows;

use crate::block::in_order::in_order;
use crate::block::layout::Planner;
use crate::block::time_ranges::TimeRangesBuilder;
use crate::block::{Block, BlockWriter};
use crate::check::RowCheck;
use crate::error::ReadError;
use crate::manifest::BlockRecord;
use crate::signal::{BlockRows, BlockTarget, Signal};

/// The signal of log records.
pub(crate) struct Logs;

impl Signal for Logs {
    type Batch = LogBatch;
    type Memtable = LogMemtable;

    fn write_memtable(memtable: &LogMemtable, target: BlockTarget) -> io::Result<BlockRecord> {
        let entries = memtable.entries();
        let mut planner = Planner::default();
        entries.iter().for_each(|entry| planner.add(&**entry));
        let mut writer = BlockWriter::<LogColumns>::create(target, planner.finish())?;
        entries.iter().try_for_each(|entry| writer.push(entry))?;
        writer.finish()
    }

    fn write_rows(
        rows: &[BlockRows<'_>],
        target: BlockTarget,
        is_stopping: &dyn Fn() -> bool,
    ) -> io::Result<Option<BlockRecord>> {
        let mut planner = Planner::default();
        for part in rows {
            plan(part, &mut planner).map_err(io::Error::other)?;
        }
        let mut writer = BlockWriter::<LogColumns>::create(target, planner.finish())?;
        let mut inputs = Vec::new();
        for part in rows {
            let mut rows = LogRows::read(part.block, &part.rows).map_err(io::Error::other)?;
            inputs.push(move || rows.next());
        }
        let written = in_order(inputs, sort_key, is_stopping, |entry| writer.push(&entry))?;
        if written.is_break() {
            return Ok(None);
        }
        writer.finish().map(Some)
    }

    fn visit_times(rows: &BlockRows<'_>, visit: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        let mut rows = LogRows::read(rows.block, &rows.rows)?;
        while let Some(batch) = rows.next()? {
            for entry in &batch {
                let time = entry.log.timestamp_unix_nano();
                visit(time, time);
            }
        }
        Ok(())
    }

    fn check_rows(block: &Block, check: &mut RowCheck<'_, '_>) -> Result<(), ReadError> {
        let mut rows = LogRows::read(block, &BlockRows::all(block).rows)?;
        let (mut last_key, mut time_ranges) = (None, TimeRangesBuilder::default());
        while let Some(batch) = rows.next()? {
            for entry in &batch {
                let key = sort_key(entry);
                check.add_row(entry.seq, last_key.is_none_or(|last| last <= key))?;
                last_key = Some(key);
                check.include(key.0, key.0);
                time_ranges.add(key.0);
                row::add_to(&mut check.summaries, entry);
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

/// Tells the planner of these rows.
fn plan(rows: &BlockRows<'_>, planner: &mut Planner) -> Result<(), ReadError> {
    if rows.block.add_to(planner, &LOG_SCHEMA, &rows.rows)? {
        return Ok(());
    }
    let mut rows = LogRows::read(rows.block, &rows.rows)?;
    while let Some(batch) = rows.next()? {
        batch.iter().for_each(|entry| planner.add(entry));
    }
    Ok(())
}
