//! A block that is open: what is known of it without reading its spans, and the spans of a trace.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lumitrace_model::{SpanId, TraceId};

use super::caches::{BlockCache, BlockCaches};
use super::data::{BlockData, ranges_of};
use super::file::ChecksummedFile;
use super::footer::Footer;
use super::index::Index;
use super::layout::{OptionalColumns, Planner};
use super::payload::{PayloadReader, payload_path};
use super::schema;
use super::schema::RowSchema;
use super::time_ranges::TimeRange;
use super::writer::{data_path, index_path, remove_files};
use crate::SpanRecord;
use crate::disk::{Disk, RealDisk};
use crate::error::{Corruption, OpenError, ReadError, io_error};
use crate::manifest::{BlockId, BlockRecord};
use crate::retention::{Leaving, LeavingBytes};
use crate::scan::SpanParts;
use crate::summary::Summaries;
use crate::trace::TraceLookup;

/// A block that counts. Its short parts are in memory, its spans are read when asked for.
#[derive(Debug)]
pub(crate) struct Block {
    record: BlockRecord,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    index: Index,
    time_ranges: Vec<TimeRange>,
    /// What was read of it last.
    cache: BlockCache,
    /// Set once it does not count any more.
    leaving: OnceLock<Leaving>,
}

impl Block {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        record: BlockRecord,
        cache: BlockCache,
    ) -> Result<Self, OpenError> {
        if record.payload_bytes > 0 {
            check_length(&payload_path(&dir, record.id), record.payload_bytes)?;
        }
        Self::open_without_payload(disk, dir, record, cache)
    }

    /// Opens a block of whose payload file anything may be lost: it shows when it is read.
    pub(crate) fn open_without_payload(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        record: BlockRecord,
        cache: BlockCache,
    ) -> Result<Self, OpenError> {
        check_length(&data_path(&dir, record.id), record.data_bytes)?;
        check_length(&index_path(&dir, record.id), record.index_bytes)?;
        let mut index = Index::open(index_path(&dir, record.id), cache.clone())?;
        let time_ranges = index
            .take_time_ranges()
            .unwrap_or_else(|| vec![whole_range(&record)]);
        let rows = time_ranges.last().map_or(0, |last| last.rows.end);
        if rows as u64 != record.rows {
            let path = index_path(&dir, record.id);
            let reason = "its ranges of time do not have as many rows as the manifest says";
            return Err(Corruption::new(&path, 0, reason).into());
        }
        Ok(Self {
            record,
            disk,
            dir,
            index,
            time_ranges,
            cache,
            leaving: OnceLock::new(),
        })
    }

    /// Opens a block to look at it on its own, without a store around it. Its payload file may be
    /// damaged: what the columns have of it can still be read.
    pub(crate) fn open_alone(dir: &Path, record: BlockRecord) -> Result<Self, OpenError> {
        let cache = Arc::<BlockCaches>::default().for_block();
        let disk = Arc::new(RealDisk);
        Self::open_without_payload(disk, dir.to_owned(), record, cache)
    }

    pub(crate) fn record(&self) -> &BlockRecord {
        &self.record
    }

    pub(crate) fn id(&self) -> BlockId {
        self.record.id
    }

    pub(crate) fn summaries(&self) -> &Summaries {
        self.index.summaries()
    }

    /// When its spans start, and in which rows: ascending, with the largest gaps left out.
    pub(crate) fn time_ranges(&self) -> &[TimeRange] {
        &self.time_ranges
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// Says that another block holds these spans now, or none: the files go with the last reader, and
    /// count as `leaving` until then.
    pub(crate) fn mark_replaced(&self, leaving: &LeavingBytes) {
        self.leaving
            .get_or_init(|| leaving.add(self.record.bytes()));
    }

    /// Hands these parts of all records of a trace to `visit`, some at a time, in the order of the
    /// block. An error may come after all of them: that of large values which were left cut.
    pub(crate) fn visit_trace<E: From<ReadError>>(
        &self,
        lookup: TraceLookup,
        visit: &mut dyn FnMut(Vec<SpanRecord>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = self.trace_rows(lookup.trace_id)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut records = self.open_data()?.records(&rows, lookup.parts)?;
        records.set_leaves_cut(true);
        while let Some(mut spans) = records.next()? {
            // Its rows may be those of another trace whose id has the same checksum.
            spans.retain(|record| record.span.trace_id == lookup.trace_id);
            visit(spans)?;
        }
        Ok(())
    }

    /// Hands all records of one span of a trace to `visit`. Of the others only the ids are read. An
    /// error may come after all of them: that of large values which were left cut.
    pub(crate) fn visit_span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
        visit: &mut dyn FnMut(SpanRecord),
    ) -> Result<(), ReadError> {
        let rows = self.trace_rows(trace_id)?;
        if rows.is_empty() {
            return Ok(());
        }
        let data = self.open_data()?;
        let ids = data.span_ids(rows.into_iter().flatten())?;
        let mut found: Vec<usize> = ids
            .into_iter()
            .filter_map(|(row, id)| (id == span_id).then_some(row))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        found.sort_unstable();
        let mut records = data.records(&ranges_of(found), SpanParts::ALL)?;
        records.set_leaves_cut(true);
        while let Some(mut spans) = records.next()? {
            spans.retain(|record| record.span.trace_id == trace_id);
            spans.into_iter().for_each(&mut *visit);
        }
        Ok(())
    }

    /// The error of a block whose checksums fit, but whose content does not make sense.
    pub(crate) fn malformed(&self, reason: &str) -> ReadError {
        Corruption::new(&data_path(&self.dir, self.record.id), 0, reason).into()
    }

    /// The file of spans, for one reader.
    pub(crate) fn open_data(&self) -> Result<BlockData<'_>, ReadError> {
        let footer = self.cache.part(|| {
            let footer = Footer::read(&self.data_file(), self.index.keys())?;
            self.check_rows(&footer)?;
            Ok(footer)
        })?;
        Ok(BlockData::new(self, footer))
    }

    /// Row groups that do not add up to the rows that the manifest knows are not those of the block.
    fn check_rows(&self, footer: &Footer) -> Result<(), ReadError> {
        let groups = footer.metadata.metadata().row_groups().iter();
        let mut rows = groups.map(|group| u64::try_from(group.num_rows()).ok());
        let rows = rows.try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
        if rows == Some(self.record.rows) {
            return Ok(());
        }
        Err(self.malformed("it does not have as many rows as the manifest says"))
    }

    /// Rows that may be those of a trace, ascending and apart.
    pub(crate) fn trace_rows(&self, trace_id: TraceId) -> Result<Vec<Range<usize>>, ReadError> {
        let rows = self.index.trace_rows(trace_id)?;
        let are_apart = rows.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let are_inside = rows
            .last()
            .is_none_or(|last| last.end as u64 <= self.record.rows);
        if are_apart && are_inside {
            return Ok(rows);
        }
        let path = index_path(&self.dir, self.record.id);
        Err(Corruption::new(&path, 0, "the rows of a trace are not rows of the block").into())
    }

    /// The file of large values, for one reader.
    pub(crate) fn payload(&self) -> Result<PayloadReader, ReadError> {
        let path = payload_path(&self.dir, self.record.id);
        let table = self.index.payload()?;
        if table.file_bytes() != self.record.payload_bytes {
            let found = self.record.payload_bytes;
            let reason = format!(
                "it has {found} bytes, the index says {}",
                table.file_bytes()
            );
            let offset = found.min(table.file_bytes());
            return Err(Corruption::new(&path, offset, reason).into());
        }
        Ok(PayloadReader::new(path, table))
    }

    pub(super) fn data_file(&self) -> ChecksummedFile {
        let path = data_path(&self.dir, self.record.id);
        ChecksummedFile::new(path, self.record.data_bytes, self.index.checksums())
    }

    /// Tells a plan for another block of the same kind that it gets these rows of this one. False if
    /// the index does not say enough, so that the rows have to be looked at.
    pub(crate) fn add_to(
        &self,
        planner: &mut Planner,
        kind: &RowSchema,
        rows: &[Range<usize>],
    ) -> Result<bool, ReadError> {
        let data = self.open_data()?;
        let all = 0..self.record.rows as usize;
        let takes_all = rows == std::slice::from_ref(&all);
        let Some(keys) = self.index.keys().filter(|_| takes_all) else {
            // What the index says is said of all rows, and version 1 does not say which keys there
            // are.
            return Ok(false);
        };
        let mut optional = OptionalColumns::default();
        let names = kind.optional.iter().filter(|name| data.has_column(name));
        names.for_each(|name| optional.insert(name));
        if self.index.version() < 3 {
            // Its large values are in its columns, and nobody has counted them.
            optional.insert(schema::LARGE_VALUES);
        }
        planner.add_block(self.record.rows, &optional, keys, &*self.index.tables()?);
        Ok(true)
    }
}

/// The only range of a block before version 3: of it only the manifest says when spans start.
fn whole_range(record: &BlockRecord) -> TimeRange {
    TimeRange {
        starts: record.first_start_unix_nano..=record.last_start_unix_nano,
        rows: 0..record.rows as usize,
    }
}

/// A file of another length than the manifest says has lost something, whatever is left of it.
fn check_length(path: &Path, expected: u64) -> Result<(), OpenError> {
    let found = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(
                Corruption::new(path, 0, "the manifest names it, but it is missing").into(),
            );
        }
        Err(error) => return Err(io_error("open", path)(error)),
    };
    if found != expected {
        let reason = format!("it has {found} bytes, the manifest says {expected}");
        return Err(Corruption::new(path, found.min(expected), reason).into());
    }
    Ok(())
}

impl Drop for Block {
    fn drop(&mut self) {
        self.cache.forget_parts();
        if self.leaving.get().is_some()
            && let Err(error) = remove_files(&*self.disk, &self.dir, self.record.id)
        {
            // Only space is lost: the next opening of the store removes what no record names.
            tracing::warn!(block = %self.record.id, %error, "could not remove a replaced block");
        }
    }
}
