//! Points of metrics as the engine takes them, and finding them again.
//!
//! In reading order: `batch` is what is stored, `stored` how it is kept in memory, `series` which points
//! belong together, `memtable` the newest of them. A point is a `row` of a block, goes into `columns` with
//! `lists` and comes back out of them (`rows`). `select` is what is asked for, and how it is
//! found; `catalog` says which metrics there are. The bytes are described in `docs/formats/metrics.md`.

pub(crate) mod batch;
pub(crate) mod catalog;
pub(crate) mod columns;
mod lists;
pub(crate) mod memtable;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod select;
mod series;
pub(crate) mod stored;

pub use batch::{MetricBatch, MetricInfo, Point, StoredPoint};
pub use catalog::MetricSummary;
pub use select::{MetricSelection, MetricSelector, MetricSeries};
pub use stored::{PointRef, StoredPoints};

use std::io;
use std::ops::ControlFlow;

use columns::PointColumns;
use memtable::MetricMemtable;
use row::{PointRow, SortKey, sort_key};
use rows::PointRows;

use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::PayloadCopier;
use crate::block::{Block, BlockWriter};
use crate::check::RowCheck;
use crate::error::ReadError;
use crate::manifest::BlockRecord;
use crate::rewrite::{self, Batches, Rewritable};
use crate::signal::{BlockRows, BlockTarget, Signal};

/// The signal of points of metrics.
pub(crate) struct Metrics;

impl Signal for Metrics {
    type Batch = MetricBatch;
    type Memtable = MetricMemtable;

    const IS_BY_TIME: bool = false;

    fn write_memtable(memtable: &MetricMemtable, target: BlockTarget) -> io::Result<BlockRecord> {
        let points = memtable.points(None);
        let mut planner = Planner::default();
        let rows = points.iter().map(PointRow::from);
        rows.for_each(|row| planner.add(&row));
        let mut writer = BlockWriter::<PointColumns>::create(target, planner.finish())?;
        points
            .iter()
            .try_for_each(|point| writer.push(&point.into()))?;
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
        let mut rows = PointRows::read(block, &BlockRows::all(block).rows)?;
        let mut last_key = None;
        while let Some(batch) = rows.next()? {
            for stored in &batch {
                let key = sort_key(stored);
                check.add_row(
                    stored.seq,
                    last_key.as_ref().is_none_or(|last| *last <= key),
                )?;
                last_key = Some(key);
                let time = stored.point.time_unix_nano();
                check.include(time, time);
                row::add_to(&mut check.summaries, &stored.into());
            }
            if let ControlFlow::Break(()) = check.advance(batch.len()) {
                break;
            }
        }
        Ok(())
    }
}

impl Rewritable for Metrics {
    type Record = StoredPoint;
    type Columns = PointColumns;
    type Key = SortKey;

    fn read<'a>(rows: &BlockRows<'a>) -> Result<Batches<'a, StoredPoint>, ReadError> {
        let mut rows = PointRows::read(rows.block, &rows.rows)?;
        Ok(Box::new(move || {
            let batch = rows.next()?;
            Ok(batch.map(|points| points.into_iter().map(CutRecord::whole).collect()))
        }))
    }

    fn sort_key(stored: &StoredPoint) -> SortKey {
        sort_key(stored)
    }

    fn times(stored: &StoredPoint) -> (u64, u64) {
        let time = stored.point.time_unix_nano();
        (time, time)
    }

    fn supersedes(_next: &StoredPoint, _held: &StoredPoint) -> bool {
        // Their keys have the sequence number, which is unique.
        false
    }

    fn plan(planner: &mut Planner, cut: &CutRecord<StoredPoint>) {
        planner.add(&PointRow::from(&cut.record));
    }

    fn push_from(
        writer: &mut BlockWriter<PointColumns>,
        cut: &CutRecord<StoredPoint>,
        _payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        writer.push(&(&cut.record).into())
    }
}
