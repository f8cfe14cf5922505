//! The sidecar of a block: what it holds in short and when, which attribute keys its spans have,
//! where each trace's rows are, what its spans share, how many they are and how long they took,
//! where its large values are, the checksums of its data, and what a digester left.

mod verification;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lumitrace_model::TraceId;
use parquet::bloom_filter::Sbbf;

use super::caches::BlockCache;
use super::digest::DigestContent;
use super::file::{CHUNK_BYTES, CHUNK_BYTES_V1, Checksums};
use super::index_header::{Header, Section};
use super::keys::Keys;
use super::payload::frames::FrameTable;
use super::received::ReceivedTable;
use super::rollup::{BlockRollup, RollupBuilder};
use super::tables::{Tables, TablesBuilder, decode_resources, decode_scopes};
use super::time_ranges::{self, TimeRange, TimeRangesBuilder};
use super::trace_table::{self, PAGE_BYTES, TraceRows, trace_hash};
use super::value_filters::{FilterDirectory, FilterPlace};
use crate::binary::{Fields, PutFields};
use crate::error::{Corruption, OpenError, ReadError, block_file_error, io_error, read_error};
use crate::summary::Summaries;

/// Everything that a sidecar holds, for writing it.
#[derive(Debug, Default)]
pub(crate) struct IndexContent {
    pub(crate) summaries: Summaries,
    pub(crate) time_ranges: TimeRangesBuilder,
    pub(crate) checksums: Vec<u32>,
    pub(crate) keys: Keys,
    pub(crate) traces: Vec<TraceRows>,
    pub(crate) tables: TablesBuilder,
    pub(crate) received: ReceivedTable,
    pub(crate) filter_directory: FilterDirectory,
    pub(crate) filters: Vec<u8>,
    pub(crate) rollup: RollupBuilder,
    pub(crate) payload: FrameTable,
    /// None if there was no digester.
    pub(crate) digest: Option<DigestContent>,
}

impl IndexContent {
    /// The bytes of the sidecar.
    ///
    /// # Errors
    /// A part of it cannot be compressed.
    pub(crate) fn encode(self) -> io::Result<Vec<u8>> {
        let mut summary = Vec::new();
        self.summaries.encode(&mut summary);
        let mut checksums = Vec::new();
        self.checksums
            .iter()
            .for_each(|crc| checksums.put_u32(*crc));
        let time_ranges = self.time_ranges.finish();
        let traces = trace_table::encode(self.traces);
        let (resources, scopes) = self.tables.encode();
        let digest = self.digest.map_or_else(Vec::new, |it| it.encode());
        let sections = [
            (Section::Summary, summary),
            (Section::TimeRanges, time_ranges::encode(&time_ranges)),
            (Section::Checksums, checksums),
            (Section::Keys, self.keys.encode()),
            (Section::TraceFilter, traces.filter),
            (Section::Fences, traces.fences),
            (Section::Traces, traces.pages),
            (Section::Resources, resources),
            (Section::Scopes, scopes),
            (Section::Received, self.received.encode()),
            (Section::FilterDirectory, self.filter_directory.encode()),
            (Section::Filters, self.filters),
            (Section::Rollup, self.rollup.encode()?),
            (Section::Payload, self.payload.encode()),
            (Section::Digest, digest),
        ];
        let mut out = Header::lay_out(&sections).encode();
        for (_, section) in &sections {
            out.extend_from_slice(section);
        }
        Ok(out)
    }
}

/// A sidecar. In memory are its short parts; traces and filters are read when asked for. The file
/// is opened for each read, which costs little beside it: a store may have more blocks than a
/// process may have open files.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    header: Header,
    summaries: Summaries,
    /// None before version 3, and once they were taken.
    time_ranges: Option<Vec<TimeRange>>,
    checksums: Checksums,
    /// None in version 1.
    keys: Option<Keys>,
    /// None in version 1.
    trace_filter: Option<Sbbf>,
    fences: Fences,
    received_range: OnceLock<Option<(u64, u64)>>,
    /// What was read of the rest last.
    cache: BlockCache,
}

/// What each page of the trace table begins with.
#[derive(Debug)]
enum Fences {
    Hashes(Vec<u32>),
    /// Version 1.
    Ids(Vec<TraceId>),
}

impl Index {
    pub(crate) fn open(path: PathBuf, cache: BlockCache) -> Result<Self, OpenError> {
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let header = Header::read(&path, &file)?;
        // What stays in memory lies together.
        let resident = header.resident();
        let bytes = read_exact(&path, &file, &resident)?;
        let section = |section: Section| checked(&path, &header, section, &bytes, resident.start);
        let malformed = |section: Section| malformed(&path, &header, section);

        let summary = section(Section::Summary)?;
        let summaries = Summaries::decode(&mut Fields::new(summary))
            .ok_or_else(|| malformed(Section::Summary))?;
        let time_ranges = if header.version() >= 3 {
            let ranges = time_ranges::decode(section(Section::TimeRanges)?);
            Some(ranges.ok_or_else(|| malformed(Section::TimeRanges))?)
        } else {
            None
        };
        let chunks = numbers(section(Section::Checksums)?).collect();
        let is_v1 = header.version() == 1;
        let fences = section(Section::Fences)?;
        let (keys, trace_filter, fences) = if is_v1 {
            let ids = fences.chunks_exact(16).filter_map(|id| id.try_into().ok());
            (
                None,
                None,
                Fences::Ids(ids.map(TraceId::from_bytes).collect()),
            )
        } else {
            let keys = Keys::decode(section(Section::Keys)?);
            let filter = trace_table::decode_filter(section(Section::TraceFilter)?);
            (
                Some(keys.ok_or_else(|| malformed(Section::Keys))?),
                Some(filter.ok_or_else(|| malformed(Section::TraceFilter))?),
                Fences::Hashes(numbers(fences).collect()),
            )
        };
        Ok(Self {
            checksums: Checksums {
                chunk_bytes: if is_v1 { CHUNK_BYTES_V1 } else { CHUNK_BYTES },
                chunks,
            },
            path,
            header,
            summaries,
            time_ranges,
            keys,
            trace_filter,
            fences,
            received_range: OnceLock::new(),
            cache,
        })
    }

    /// The version of the sidecar and of its block.
    pub(crate) fn version(&self) -> u32 {
        self.header.version()
    }

    pub(crate) fn summaries(&self) -> &Summaries {
        &self.summaries
    }

    /// When the block's spans start, and in which rows; none before version 3. The caller keeps it.
    pub(crate) fn take_time_ranges(&mut self) -> Option<Vec<TimeRange>> {
        self.time_ranges.take()
    }

    pub(crate) fn checksums(&self) -> Checksums {
        self.checksums.clone()
    }

    /// The attribute keys of the block's spans, if they are known.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Rows that may be those of a trace, ascending. They may be those of another: whoever reads
    /// them compares the ids.
    pub(crate) fn trace_rows(&self, trace_id: TraceId) -> Result<Vec<Range<usize>>, ReadError> {
        let hash = trace_hash(trace_id);
        let is_absent = |filter: &Sbbf| !trace_table::filter_may_hold(filter, hash);
        if self.trace_filter.as_ref().is_some_and(is_absent) {
            return Ok(Vec::new());
        }
        let pages = match &self.fences {
            Fences::Hashes(hashes) => pages_with(hashes, &hash),
            Fences::Ids(ids) => pages_with(ids, &trace_id),
        };
        let mut rows = Vec::new();
        for page in pages {
            let table = self.header.bytes(Section::Traces);
            let start = table.start.saturating_add((page * PAGE_BYTES) as u64);
            let end = start.saturating_add(PAGE_BYTES as u64).min(table.end);
            let bytes = self.read(start..end)?;
            let found = match self.fences {
                Fences::Hashes(_) => trace_table::rows_in_page(&bytes, hash),
                Fences::Ids(_) => trace_table::rows_in_page_v1(&bytes, trace_id),
            };
            let damage =
                || Corruption::new(&self.path, start, "a page of the trace table is damaged");
            rows.extend(found.ok_or_else(damage)?);
        }
        rows.sort_unstable_by_key(|range| range.start);
        Ok(rows)
    }

    /// What the block's spans share.
    pub(crate) fn tables(&self) -> Result<Arc<Tables>, ReadError> {
        self.cache.part(|| {
            let resources = decode_resources(&self.section(Section::Resources)?)
                .ok_or_else(|| self.malformed(Section::Resources))?;
            let scopes = decode_scopes(&self.section(Section::Scopes)?)
                .ok_or_else(|| self.malformed(Section::Scopes))?;
            Ok(Tables::new(resources, scopes, self.received()?))
        })
    }

    fn received(&self) -> Result<ReceivedTable, ReadError> {
        if self.header.version() == 1 {
            return Ok(ReceivedTable::default());
        }
        let received = ReceivedTable::decode(&self.section(Section::Received)?);
        Ok(received.ok_or_else(|| self.malformed(Section::Received))?)
    }

    /// When the first and the last of the block's spans were received, in nanoseconds since the Unix
    /// epoch; none in version 1, where only the spans say so.
    pub(crate) fn received_range_unix_nano(&self) -> Result<Option<(u64, u64)>, ReadError> {
        if let Some(known) = self.received_range.get() {
            return Ok(*known);
        }
        let range = self.received()?.range_unix_nano();
        Ok(*self.received_range.get_or_init(|| range))
    }

    /// How many spans there are of which operation, and how long they took; none if the block does
    /// not say. It is read each time, which takes milliseconds, rather than kept in memory. The block
    /// has `rows` spans.
    pub(crate) fn rollup(&self, rows: u64) -> Result<Option<BlockRollup>, ReadError> {
        if self.header.version() < 3 {
            return Ok(None);
        }
        let rollup = BlockRollup::decode(&self.section(Section::Rollup)?, rows as usize);
        Ok(rollup.ok_or_else(|| self.malformed(Section::Rollup))?)
    }

    /// The frames of the payload file; none if there is no such file.
    pub(crate) fn payload(&self) -> Result<Arc<FrameTable>, ReadError> {
        self.cache.part(|| match self.header.version() {
            ..3 => Ok(FrameTable::default()),
            _ => {
                let table = FrameTable::decode(&self.section(Section::Payload)?);
                Ok(table.ok_or_else(|| self.malformed(Section::Payload))?)
            }
        })
    }

    /// What a digester left; none if there was none.
    pub(crate) fn digest(&self) -> Result<Option<DigestContent>, ReadError> {
        if self.header.bytes(Section::Digest).is_empty() {
            return Ok(None);
        }
        let digest = DigestContent::decode(&self.section(Section::Digest)?);
        Ok(Some(digest.ok_or_else(|| self.malformed(Section::Digest))?))
    }

    /// The error of a digest whose checksum fits, but whose content does not make sense.
    pub(crate) fn malformed_digest(&self) -> ReadError {
        self.malformed(Section::Digest).into()
    }

    /// The error of a section whose checksum fits, but whose content does not make sense.
    pub(crate) fn malformed_rollup(&self) -> ReadError {
        self.malformed(Section::Rollup).into()
    }

    /// The filter of the values that attribute `key` has in the rows of a stripe; none if there is
    /// no such filter, and an inner none if there are no such values.
    pub(crate) fn value_filter(
        &self,
        key: &str,
        stripe: usize,
    ) -> Result<Option<Option<Sbbf>>, ReadError> {
        if self.header.version() == 1 {
            return Ok(None);
        }
        let directory = self.cache.part(|| {
            let directory = FilterDirectory::decode(&self.section(Section::FilterDirectory)?);
            Ok(directory.ok_or_else(|| self.malformed(Section::FilterDirectory))?)
        })?;
        let Some(places) = directory.columns.get(key) else {
            return Ok(None);
        };
        match places.get(stripe) {
            Some(place) if !place.bytes.is_empty() => self.read_filter(place).map(Some).map(Some),
            _ => Ok(Some(None)),
        }
    }

    fn read_filter(&self, place: &FilterPlace) -> Result<Sbbf, ReadError> {
        let section = self.header.bytes(Section::Filters).start;
        let start = section.saturating_add(place.bytes.start);
        let bytes = self.read(start..section.saturating_add(place.bytes.end))?;
        let is_whole = crc32c::crc32c(&bytes) == place.crc;
        let filter = is_whole
            .then(|| trace_table::decode_filter(&bytes))
            .flatten();
        filter.ok_or_else(|| {
            Corruption::new(&self.path, start, "a filter of values is damaged").into()
        })
    }

    fn section(&self, section: Section) -> Result<Vec<u8>, ReadError> {
        let range = self.header.bytes(section);
        let bytes = self.read(range.clone())?;
        checked(&self.path, &self.header, section, &bytes, range.start)?;
        Ok(bytes)
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let file = File::open(&self.path).map_err(block_file_error(&self.path))?;
        read_exact(&self.path, &file, &range)
    }

    fn malformed(&self, section: Section) -> Corruption {
        malformed(&self.path, &self.header, section)
    }
}

/// The pages that may hold `wanted`, of which the first entries are `fences`. What is wanted may
/// begin in the middle of a page and go on over several.
fn pages_with<T: Ord>(fences: &[T], wanted: &T) -> Range<usize> {
    let first = fences.partition_point(|fence| fence < wanted);
    first.saturating_sub(1)..fences.partition_point(|fence| fence <= wanted)
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let mut fields = Fields::new(bytes);
    std::iter::from_fn(move || fields.u32())
}

/// A section out of `bytes`, which begin at `start` in the file, if its checksum fits.
fn checked<'a>(
    path: &Path,
    header: &Header,
    section: Section,
    bytes: &'a [u8],
    start: u64,
) -> Result<&'a [u8], Corruption> {
    let range = header.bytes(section);
    let place = |offset: u64| offset.checked_sub(start).map(|place| place as usize);
    let inside = place(range.start)
        .zip(place(range.end))
        .and_then(|(first, end)| bytes.get(first..end));
    match inside {
        Some(bytes) if crc32c::crc32c(bytes) == header.crc(section) => Ok(bytes),
        _ => {
            let reason = "a section's checksum does not fit";
            Err(Corruption::new(path, range.start, reason))
        }
    }
}

fn malformed(path: &Path, header: &Header, section: Section) -> Corruption {
    let offset = header.bytes(section).start;
    Corruption::new(path, offset, "a section does not hold what it should")
}

fn read_exact(path: &Path, file: &File, range: &Range<u64>) -> Result<Vec<u8>, ReadError> {
    let len = file.metadata().map_err(read_error(path))?.len();
    if range.end > len || range.start > range.end {
        return Err(Corruption::new(path, range.start, "the file is cut short").into());
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)
        .map_err(read_error(path))?;
    Ok(bytes)
}
