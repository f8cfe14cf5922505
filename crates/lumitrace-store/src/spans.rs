//! Spans as the engine takes them.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use lumitrace_wire::{DecodeError, DecodeLimits};

use crate::block::columns::SpanColumns;
use crate::block::digest::DigestWriter;
use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::PayloadCopier;
use crate::block::row::{Row, SortKey, sort_key, sort_key_of_head};
use crate::block::{Block, BlockWriter};
use crate::check::{RowCheck, SpanSums};
use crate::error::ReadError;
use crate::identity::supersedes;
use crate::manifest::BlockRecord;
use crate::memtable::Memtable;
use crate::origins::Origins;
use crate::retries::RetryKey;
use crate::rewrite::{self, Batches, Rewritable};
use crate::signal::{Batch, BlockRows, BlockTarget, Signal};
use crate::stored::StoredBatch;
use crate::summary::Summaries;
use crate::{SpanBatch, SpanParts, SpanRecord};

/// What a digester sees of a span in memory.
const DIGESTED_PARTS: SpanParts = SpanParts {
    attributes: true,
    events: true,
    links: false,
    large_values: false,
};

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

    fn retry_key(&self) -> Option<RetryKey> {
        self.retry_key
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
        Arc::new(StoredBatch::new(
            self,
            first_seq,
            received_unix_nano,
            origins,
        ))
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
        let digest = memtable.with_summaries(|it| digest_writer(&target, &[it]));
        let mut writer = BlockWriter::<SpanColumns>::create(target, planner.finish())?;
        digest
            .into_iter()
            .for_each(|digest| writer.begin_digest(digest));
        spans.iter().try_for_each(|span| {
            writer.push_span(&span.into())?;
            writer.digest_span(span.origin().service_name(), || span.record(DIGESTED_PARTS))
        })?;
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
        let rows = BlockRows::all(block);
        let mut next = Self::read(&rows)?;
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

/// What makes the digest of a block with spans of these operations, if there is a digester.
fn digest_writer(target: &BlockTarget, summaries: &[&Summaries]) -> Option<DigestWriter> {
    let digester = target.digester.as_ref()?;
    Some(DigestWriter::new(digester, summaries))
}

impl Rewritable for Spans {
    type Record = SpanRecord;
    type Columns = SpanColumns;
    type Key = SortKey;

    fn read<'a>(rows: &BlockRows<'a>) -> Result<Batches<'a, SpanRecord>, ReadError> {
        let data = rows.block.open_data()?;
        let mut records = data.records(&rows.rows, SpanParts::ALL)?;
        Ok(Box::new(move || records.next_cut()))
    }

    fn sort_key(record: &SpanRecord) -> SortKey {
        sort_key(record)
    }

    fn times(record: &SpanRecord) -> (u64, u64) {
        (record.span.start_unix_nano, record.span.end_unix_nano)
    }

    fn supersedes(next: &SpanRecord, held: &SpanRecord) -> bool {
        supersedes(next, held)
    }

    fn plan(planner: &mut Planner, cut: &CutRecord) {
        planner.add(&Row::from(cut));
    }

    fn begin(writer: &mut BlockWriter<SpanColumns>, target: &BlockTarget, rows: &[BlockRows<'_>]) {
        let summaries: Vec<_> = rows.iter().map(|part| part.block.summaries()).collect();
        let digest = digest_writer(target, &summaries);
        digest
            .into_iter()
            .for_each(|digest| writer.begin_digest(digest));
    }

    fn push_from(
        writer: &mut BlockWriter<SpanColumns>,
        cut: &CutRecord,
        payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        writer.push_from(cut, payload)
    }
}
