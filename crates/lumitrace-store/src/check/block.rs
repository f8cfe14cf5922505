//! Verifying one block: every byte, and that its parts agree with each other.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;

use lumitrace_model::TraceId;

use super::Watch;
use super::payload::{self, ChunkLengths};
use crate::block::Block;
use crate::block::large_values::{CutRecord, LargeValue, Restorable};
use crate::block::writer::{data_path, index_path};
use crate::error::{Corruption, ReadError, read_error};
use crate::manifest::BlockRecord;
use crate::signal::Signal;
use crate::summary::Summaries;

/// All that is damaged in `block`. Its record is held against what it holds.
pub(super) fn damages<S: Signal>(
    dir: &Path,
    block: &Block,
    watch: &mut Watch<'_>,
) -> Result<Vec<Corruption>, ReadError> {
    let record = block.record();
    let mut damages = block.index().damages(record.index_bytes, record.rows)?;
    watch.advance(record.index_bytes);
    damages.extend(damaged_chunks(dir, block)?);
    let (in_payload, chunk_lengths) = payload::damages(dir, block)?;
    watch.advance(record.payload_bytes);
    damages.extend(in_payload);
    // Half of the work on the data; decoding it is the other.
    watch.advance(record.data_bytes / 2);
    if damages.is_empty() {
        let mut check = RowCheck::new(block, chunk_lengths, watch);
        let decoded = S::check_rows(block, &mut check).and_then(|()| check.finish());
        match decoded {
            Ok(()) => {}
            Err(ReadError::Corrupt(damage)) => damages.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok(damages)
}

/// The chunks of the data file whose checksums do not fit.
fn damaged_chunks(dir: &Path, block: &Block) -> Result<Vec<Corruption>, ReadError> {
    let path = data_path(dir, block.id());
    let checksums = block.index().checksums();
    let file = File::open(&path).map_err(read_error(&path))?;
    let (mut damages, len) = (Vec::new(), block.record().data_bytes);
    let chunk_count = len.div_ceil(checksums.chunk_bytes as u64);
    if checksums.chunks.len() as u64 != chunk_count {
        let index = index_path(dir, block.id());
        let (found, reason) = (
            checksums.chunks.len(),
            "checksums of the data, there must be",
        );
        damages.push(Corruption::new(
            &index,
            0,
            format!("it has {found} {reason} {chunk_count}"),
        ));
    }
    let mut bytes = vec![0; checksums.chunk_bytes];
    let starts = (0..len).step_by(checksums.chunk_bytes);
    for (start, checksum) in starts.zip(checksums.chunks.iter()) {
        let chunk = &mut bytes[..checksums.chunk_bytes.min((len - start) as usize)];
        let is_whole = match file.read_exact_at(chunk, start) {
            Ok(()) => crc32c::crc32c(chunk) == *checksum,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(read_error(&path)(error)),
        };
        if !is_whole {
            let reason = "a chunk's checksum does not fit";
            damages.push(Corruption::new(&path, start, reason));
        }
    }
    Ok(damages)
}

/// What the rows of a block add up to, to be compared with what is said of them.
pub(crate) struct RowCheck<'a, 'w> {
    block: &'a Block,
    watch: &'a mut Watch<'w>,
    found: BlockRecord,
    pub(crate) summaries: Summaries,
    /// Rows of one trace that lie side by side.
    traces: Vec<(TraceId, Range<usize>)>,
    /// The sequence numbers of the rows, a bit for each of 64 that follow each other.
    seqs: HashMap<u64, u64>,
    chunk_lengths: ChunkLengths,
}

impl<'a, 'w> RowCheck<'a, 'w> {
    fn new(block: &'a Block, chunk_lengths: ChunkLengths, watch: &'a mut Watch<'w>) -> Self {
        let said = block.record();
        Self {
            block,
            watch,
            found: BlockRecord {
                data_bytes: said.data_bytes,
                index_bytes: said.index_bytes,
                payload_bytes: said.payload_bytes,
                ..BlockRecord::empty(said.id)
            },
            summaries: Summaries::default(),
            traces: Vec::new(),
            seqs: HashMap::new(),
            chunk_lengths,
        }
    }

    /// Takes in the next row, which may be out of order.
    pub(crate) fn add_row(&mut self, seq: u64, is_in_order: bool) -> Result<(), ReadError> {
        let (id, row) = (self.found.id, self.found.rows);
        let wrong = |reason: &str| Err(self.block.malformed(&format!("row {row} {reason}")));
        if !(id.first_seq..id.end_seq).contains(&seq) {
            return wrong(&format!(
                "has sequence number {seq}, which is none of its own"
            ));
        }
        if !self.note_seq(seq) {
            return wrong(&format!(
                "has sequence number {seq}, which another row has too"
            ));
        }
        if !is_in_order {
            return wrong("is not in order");
        }
        self.found.rows += 1;
        Ok(())
    }

    /// Whether no row before had this sequence number.
    fn note_seq(&mut self, seq: u64) -> bool {
        let word = self.seqs.entry(seq / 64).or_default();
        let bit = 1 << (seq % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Holds the large values of a row against what is kept of them and the payload file.
    pub(crate) fn add_large_values<R: Restorable>(
        &self,
        cut: &mut CutRecord<R>,
    ) -> Result<(), ReadError> {
        let fits = |large: &LargeValue| self.chunk_lengths.fit(large);
        if cut.places_fit() && cut.large_values.iter().all(fits) {
            return Ok(());
        }
        let row = self.found.rows;
        let reason =
            format!("row {row} has a large value that is not in the payload file as it says");
        Err(self.block.malformed(&reason))
    }

    /// Takes in when the last row begins and ends.
    pub(crate) fn include(&mut self, start: u64, end: u64) {
        self.found.include(start, end);
    }

    /// Takes in of which trace the last row is.
    pub(crate) fn add_trace(&mut self, trace_id: TraceId) {
        let row = (self.found.rows as usize).saturating_sub(1);
        match self.traces.last_mut() {
            Some((last, rows)) if *last == trace_id && rows.end == row => rows.end += 1,
            _ => self.traces.push((trace_id, row..row + 1)),
        }
    }

    /// Says that so many more rows were decoded; breaks if told to stop.
    pub(crate) fn advance(&mut self, rows: usize) -> ControlFlow<()> {
        let said = self.block.record();
        let share = said.data_bytes as f64 / 2.0 * rows as f64;
        self.watch.advance((share / said.rows.max(1) as f64) as u64);
        if self.watch.is_stopped() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Compares what was found with what is said.
    fn finish(self) -> Result<(), ReadError> {
        if self.watch.is_stopped() {
            return Ok(());
        }
        let (block, said) = (self.block, self.block.record());
        let disagreement = |what: &str| Err(block.malformed(&format!("{what} than the rows say")));
        if self.found.rows != said.rows {
            return disagreement("the manifest says another number");
        }
        if self.found != *said {
            return disagreement("the manifest says other times");
        }
        if self.summaries != *block.summaries() {
            return disagreement("the index says other services and operations");
        }
        let in_file = block.open_data()?.metadata().file_metadata().num_rows();
        if u64::try_from(in_file) != Ok(said.rows) {
            return disagreement("the file says another number");
        }
        check_traces(block, &self.traces)
    }
}

fn check_traces(block: &Block, traces: &[(TraceId, Range<usize>)]) -> Result<(), ReadError> {
    for (trace_id, rows) in traces {
        let said = block.index().trace_rows(*trace_id)?;
        let is_in = |range: &Range<usize>| range.start <= rows.start && rows.end <= range.end;
        if !said.iter().any(is_in) {
            let reason = format!(
                "the trace table does not know rows {}..{} of trace {trace_id}",
                rows.start, rows.end
            );
            return Err(block.malformed(&reason));
        }
    }
    Ok(())
}
