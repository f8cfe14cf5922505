//! Spans as the engine takes them.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use lumitrace_wire::{DecodeError, DecodeLimits};

use crate::block::columns::SpanColumns;
use crate::block::in_order::in_order;
use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::PayloadCopier;
use crate::block::row::{Row, sort_key, sort_key_of_head};
use crate::block::schema::SPAN_SCHEMA;
use crate::block::{Block, BlockWriter};
use crate::check::{RowCheck, SpanSums};
use crate::error::ReadError;
use crate::identity::supersedes;
use crate::manifest::BlockRecord;
use crate::memtable::Memtable;
use crate::signal::{Batch, BlockRows, BlockTarget, Signal};
use crate::stored::{Origins, StoredBatch};
use crate::{SpanBatch, SpanParts};

/// The signal of spans.
pub(crate) struct Spans;

impl Batch for SpanBatch {
    type Stored = StoredBatch;

    const FRAME_TYPE: u8 = 1;

    fn from_logged(payload: Bytes) -> Result<Self, DecodeError> {
        // What was accepted once is read back whatever the limits were then.
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn record_count(&self) -> usize {
        self.span_count()
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn into_stored(
        self,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Arc<StoredBatch> {
        origins.store(self, first_seq, received_unix_nano)
    }
}

impl Signal for Spans {
    type Batch = SpanBatch;
    type Memtable = Memtable;

    fn write_memtable(memtable: &Memtable, target: BlockTarget) -> io::Result<BlockRecord> {
        let mut spans = memtable.spans();
        spans.sort_by_cached_key(|span| sort_key_of_head(span.head()));
        let mut planner = Planner::default();
        spans.iter().for_each(|span| planner.add(&Row::from(span)));
        let mut writer = BlockWriter::<SpanColumns>::create(target, planner.finish())?;
        spans
            .iter()
            .try_for_each(|span| writer.push_span(&span.into()))?;
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
        let mut writer = BlockWriter::<SpanColumns>::create(target, planner.finish())?;
        let inputs = rows.iter().enumerate().map(numbered_records);
        let inputs = inputs.collect::<Result<Vec<_>, _>>();
        let copiers = rows.iter().map(copier).collect::<Result<Vec<_>, _>>();
        let (inputs, mut copiers) = inputs
            .and_then(|inputs| Ok((inputs, copiers?)))
            .map_err(io::Error::other)?;
        let mut held: Option<Numbered> = None;
        let mut write = |(input, cut): Numbered| writer.push_from(&cut, &mut copiers[input]);
        let key = |(_, cut): &Numbered| sort_key(&cut.record);
        let written = in_order(inputs, key, is_stopping, |next| {
            match &mut held {
                // Records of one span are neighbours.
                Some(current) if key(current) == key(&next) => {
                    if supersedes(&next.1.record, &current.1.record) {
                        *current = next;
                    }
                    Ok(())
                }
                _ => held.replace(next).map_or(Ok(()), &mut write),
            }
        })?;
        if written.is_break() {
            return Ok(None);
        }
        held.map_or(Ok(()), &mut write)?;
        writer.finish().map(Some)
    }

    fn visit_times(rows: &BlockRows<'_>, visit: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError> {
        let mut next = records(rows)?;
        while let Some(batch) = next()? {
            for CutRecord { record, .. } in &batch {
                visit(record.span.start_unix_nano, record.span.end_unix_nano);
            }
        }
        Ok(())
    }

    fn check_rows(block: &Block, check: &mut RowCheck<'_, '_>) -> Result<(), ReadError> {
        let rows = BlockRows::all(block);
        let mut next = records(&rows)?;
        let (mut last_key, mut sums) = (None, SpanSums::default());
        while let Some(mut batch) = next()? {
            for cut in &mut batch {
                check.add_large_values(cut)?;
                let record = &cut.record;
                let key = sort_key(record);
                check.add_row(record.seq, last_key.is_none_or(|last| last <= key))?;
                last_key = Some(key);
                check.add_trace(record.span.trace_id);
                check.include(record.span.start_unix_nano, record.span.end_unix_nano);
                let row = Row::from(record);
                check.summaries.add_row(&row);
                sums.add_row(&row);
            }
            if let ControlFlow::Break(()) = check.advance(batch.len()) {
                return Ok(());
            }
        }
        sums.check(block)
    }
}

/// Tells the planner of these rows.
fn plan(rows: &BlockRows<'_>, planner: &mut Planner) -> Result<(), ReadError> {
    if rows.block.add_to(planner, &SPAN_SCHEMA, &rows.rows)? {
        return Ok(());
    }
    let mut next = records(rows)?;
    while let Some(batch) = next()? {
        let rows = batch.iter().map(Row::from);
        rows.for_each(|row| planner.add(&row));
    }
    Ok(())
}

/// Reads these rows, batch by batch, as the columns have them.
fn records<'a>(
    rows: &BlockRows<'a>,
) -> Result<impl FnMut() -> Result<Option<Vec<CutRecord>>, ReadError> + use<'a>, ReadError> {
    let mut records = rows
        .block
        .open_data()?
        .records(&rows.rows, SpanParts::ALL)?;
    Ok(move || records.next_cut())
}

/// A span, and the number of the input that it came from.
type Numbered = (usize, CutRecord);

/// Like [`records`], with the number of the input.
fn numbered_records<'a>(
    (number, rows): (usize, &BlockRows<'a>),
) -> Result<impl FnMut() -> Result<Option<Vec<Numbered>>, ReadError> + use<'a>, ReadError> {
    let mut next = records(rows)?;
    Ok(move || {
        let batch = next()?;
        Ok(batch.map(|batch| batch.into_iter().map(|cut| (number, cut)).collect()))
    })
}

fn copier(rows: &BlockRows<'_>) -> Result<PayloadCopier, ReadError> {
    let payload = rows.block.payload()?;
    Ok(PayloadCopier::new(payload, rows.is_rescue))
}
