//! Reading what is readable of damaged files, and storing it anew.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::block::Block;
use crate::disk::RealDisk;
use crate::error::{OpenError, ReadError, io_error};
use crate::manifest::{BlockId, BlockRecord};
use crate::options::StoreOptions;
use crate::origins::Origins;
use crate::scan::SCAN_WINDOW_NANO;
use crate::signal::{Batch, BlockRows, BlockTarget, Memtable, Signal};
use crate::wal::survey::{FoundFrame, survey};
use crate::{compaction, flush};

/// Rows that are tried at once.
const STEP_ROWS: usize = 16_384;
/// Rows that are given up together. Fewer would take long: each attempt decodes whole pages.
const MIN_ROWS: usize = 64;
/// Size in memory at which spans of the log become a block.
const MEMTABLE_BYTES: usize = 64 << 20;

/// What is readable of a damaged block.
#[derive(Debug, Default)]
pub(super) struct Readable {
    pub(super) rows: Vec<Range<usize>>,
    /// Between which starts of spans the others lie.
    pub(super) lost_starts: Range<u64>,
}

/// The rows of a block in `dir` that can be read, though it is damaged.
pub(super) fn readable_rows<S: Signal>(dir: &Path, record: &BlockRecord) -> Readable {
    let mut readable = Readable {
        rows: Vec::new(),
        lost_starts: record.first_start_unix_nano..record.last_start_unix_nano,
    };
    let Ok(block) = Block::open_alone(dir, *record) else {
        return readable;
    };
    let mut search = Search {
        block: &block,
        rows: Vec::new(),
        last_start: None,
        lost: None,
        is_losing: false,
        record,
    };
    let all = record.rows as usize;
    for start in (0..all).step_by(STEP_ROWS) {
        search.read::<S>(start..all.min(start + STEP_ROWS));
    }
    readable.rows = search.rows;
    if S::IS_BY_TIME {
        readable.lost_starts = search.lost.unwrap_or(readable.lost_starts);
    }
    readable
}

struct Search<'a> {
    block: &'a Block,
    rows: Vec<Range<usize>>,
    /// Of the last row that could be read.
    last_start: Option<u64>,
    lost: Option<Range<u64>>,
    is_losing: bool,
    record: &'a BlockRecord,
}

impl Search<'_> {
    /// Takes the rows that can be read, in halves where not all can.
    fn read<S: Signal>(&mut self, rows: Range<usize>) {
        match self.starts::<S>(&rows) {
            Ok((first, last)) => {
                if std::mem::take(&mut self.is_losing) {
                    self.note_lost_until(first);
                }
                self.last_start = Some(last);
                match self.rows.last_mut() {
                    Some(range) if range.end == rows.start => range.end = rows.end,
                    _ => self.rows.push(rows),
                }
            }
            Err(_) if rows.len() <= MIN_ROWS => {
                if !std::mem::replace(&mut self.is_losing, true) {
                    let from = self
                        .last_start
                        .map_or(self.record.first_start_unix_nano, window);
                    let until = self.record.last_start_unix_nano;
                    let known = self.lost.take();
                    let start = known.map_or(from, |lost| lost.start);
                    self.lost = Some(start..until);
                }
            }
            Err(_) => {
                let middle = rows.start + rows.len() / 2;
                self.read::<S>(rows.start..middle);
                self.read::<S>(middle..rows.end);
            }
        }
    }

    /// Rows are sorted by windows of time: what is lost is not later than that of the next row.
    fn note_lost_until(&mut self, next_start: u64) {
        if let Some(lost) = &mut self.lost {
            lost.end = window(next_start)
                .saturating_add(SCAN_WINDOW_NANO - 1)
                .min(self.record.last_start_unix_nano);
        }
    }

    /// The starts of the first and the last of these rows, all of which were decoded.
    fn starts<S: Signal>(&self, rows: &Range<usize>) -> Result<(u64, u64), ReadError> {
        let rows = BlockRows {
            block: self.block,
            rows: std::iter::once(rows.clone()).collect(),
            is_rescue: true,
        };
        let (mut first, mut last) = (None, 0);
        S::visit_times(&rows, &mut |start, _| {
            first.get_or_insert(start);
            last = start;
        })?;
        Ok((first.unwrap_or(last), last))
    }
}

/// When the window of a row began.
fn window(start_unix_nano: u64) -> u64 {
    start_unix_nano - start_unix_nano % SCAN_WINDOW_NANO
}

/// Writes these rows of a damaged block in `from` as a block of the same name into `to`.
pub(super) fn write_rows<S: Signal>(
    from: &Path,
    to: &Path,
    record: &BlockRecord,
    rows: &[Range<usize>],
) -> Result<BlockRecord, OpenError> {
    let block = Block::open_alone(from, *record)?;
    let readable = BlockRows {
        block: &block,
        rows: rows.to_vec(),
        is_rescue: true,
    };
    let target = target(to, record.id, compaction::COMPRESSION_LEVEL);
    let written = S::write_rows(&[readable], target, &|| false);
    let written = written.map_err(io_error("write a block to", to))?;
    // Nobody tells it to stop.
    Ok(written.unwrap_or(BlockRecord::empty(record.id)))
}

fn target(dir: &Path, id: BlockId, compression_level: i32) -> BlockTarget {
    BlockTarget {
        disk: Arc::new(RealDisk),
        dir: dir.to_owned(),
        id,
        row_group_rows: StoreOptions::new(dir).row_group_rows,
        compression_level,
        // Whoever opens the store has it made when the block is merged.
        digester: None,
    }
}

/// Writes the records of these segments from `durable_seq` on as blocks into `to`: each block only of
/// frames that follow each other.
pub(super) fn write_log<S: Signal>(
    segments: &[PathBuf],
    durable_seq: u64,
    to: &Path,
) -> Result<Vec<BlockRecord>, OpenError> {
    let mut blocks = Vec::new();
    let (mut memtable, mut next_seq) = (S::Memtable::default(), None);
    let mut origins = Origins::default();
    for path in segments {
        let mut failure = None;
        let mut visit = |frame: &FoundFrame<'_>| {
            let first_seq = frame.header.first_seq;
            // What came before is in blocks, and what comes twice is there already.
            if first_seq < next_seq.unwrap_or(durable_seq) {
                return ControlFlow::Continue(());
            }
            let Some(batch) = frame.stored::<S::Batch>(&mut origins) else {
                return ControlFlow::Continue(());
            };
            let follows = next_seq.is_none_or(|next| next == first_seq);
            if !follows || memtable.size().bytes >= MEMTABLE_BYTES {
                match write_one::<S>(&std::mem::take(&mut memtable), to) {
                    Ok(block) => blocks.extend(block),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            memtable.insert(&batch, &[]);
            next_seq = Some(first_seq + u64::from(frame.header.record_count));
            ControlFlow::Continue(())
        };
        survey(path, S::Batch::FRAME_TYPE, true, &mut visit).map_err(io_error("read", path))?;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    blocks.extend(write_one::<S>(&memtable, to)?);
    Ok(blocks)
}

fn write_one<S: Signal>(
    memtable: &S::Memtable,
    to: &Path,
) -> Result<Option<BlockRecord>, OpenError> {
    let Some(id) = memtable.block_id() else {
        return Ok(None);
    };
    let written = S::write_memtable(memtable, target(to, id, flush::COMPRESSION_LEVEL));
    written.map(Some).map_err(io_error("write a block to", to))
}
