//! Verifying one block: every byte, and that its parts agree with each other.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lumitrace_model::TraceId;

use super::Watch;
use crate::SpanParts;
use crate::SpanRecord;
use crate::block::Block;
use crate::block::row::{Row, SortKey, sort_key};
use crate::block::writer::{data_path, index_path};
use crate::error::{Corruption, ReadError, read_error};
use crate::manifest::BlockRecord;
use crate::summary::Summaries;

/// All that is damaged in `block`. Its record is held against what it holds.
pub(super) fn damages(
    dir: &Path,
    block: &Block,
    watch: &mut Watch<'_>,
) -> Result<Vec<Corruption>, ReadError> {
    let record = block.record();
    let mut damages = block.index().damages(record.index_bytes)?;
    watch.advance(record.index_bytes);
    damages.extend(damaged_chunks(dir, block)?);
    // Half of the work on the data; decoding it is the other.
    watch.advance(record.data_bytes / 2);
    if damages.is_empty() {
        match decode(block, watch) {
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

/// Decodes every span, and compares what is said of them with what they are.
fn decode(block: &Block, watch: &mut Watch<'_>) -> Result<(), ReadError> {
    let said = *block.record();
    let mut found = Found::new(&said);
    let data = block.open_data()?;
    let all = 0..said.rows as usize;
    let mut records = data.records(std::slice::from_ref(&all), SpanParts::ALL)?;
    while let Some(batch) = records.next()? {
        for span in &batch {
            found.add(span).map_err(|reason| block.malformed(&reason))?;
        }
        let share = said.data_bytes as f64 / 2.0 * batch.len() as f64;
        watch.advance((share / said.rows.max(1) as f64) as u64);
        if watch.is_stopped() {
            return Ok(());
        }
    }
    let disagreement = |what: &str| Err(block.malformed(&format!("{what} than the spans say")));
    if found.record.rows != said.rows {
        return disagreement("the manifest says another number");
    }
    if found.record != said {
        return disagreement("the manifest says other times");
    }
    if found.summaries != *block.summaries() {
        return disagreement("the index says other services and operations");
    }
    let in_file = data.metadata().file_metadata().num_rows();
    if u64::try_from(in_file) != Ok(said.rows) {
        return disagreement("the file says another number");
    }
    check_traces(block, &found)
}

/// The trace table finds every row.
fn check_traces(block: &Block, found: &Found) -> Result<(), ReadError> {
    for (trace_id, rows) in &found.traces {
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

/// What the spans of a block add up to.
struct Found {
    record: BlockRecord,
    summaries: Summaries,
    /// Rows of one trace that lie side by side.
    traces: Vec<(TraceId, Range<usize>)>,
    seqs: HashSet<u64>,
    last_key: Option<SortKey>,
}

impl Found {
    fn new(said: &BlockRecord) -> Self {
        Self {
            record: BlockRecord {
                rows: 0,
                first_start_unix_nano: u64::MAX,
                last_start_unix_nano: 0,
                first_end_unix_nano: u64::MAX,
                last_end_unix_nano: 0,
                ..*said
            },
            summaries: Summaries::default(),
            traces: Vec::new(),
            seqs: HashSet::new(),
            last_key: None,
        }
    }

    fn add(&mut self, record: &SpanRecord) -> Result<(), String> {
        let (id, seq) = (self.record.id, record.seq);
        let row = self.record.rows as usize;
        if !(id.first_seq..id.end_seq).contains(&seq) {
            return Err(format!(
                "row {row} has sequence number {seq}, which is none of its own"
            ));
        }
        if !self.seqs.insert(seq) {
            return Err(format!(
                "row {row} has sequence number {seq}, which another row has too"
            ));
        }
        let key = sort_key(record);
        if self.last_key.is_some_and(|last| last > key) {
            return Err(format!("row {row} is not in order"));
        }
        self.last_key = Some(key);
        self.summaries.add_row(&Row::from(record));
        match self.traces.last_mut() {
            Some((trace_id, rows)) if *trace_id == record.span.trace_id => rows.end += 1,
            _ => self.traces.push((record.span.trace_id, row..row + 1)),
        }
        self.record.rows += 1;
        self.record.include(&record.span);
        Ok(())
    }
}
