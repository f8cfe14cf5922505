//! Reading a block: a trace's spans, chosen rows, or all of them in order.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{FixedSizeBinaryArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use lumitrace_model::{SpanId, TraceId};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::caches::{BlockCache, BlockCaches};
use super::few_rows::{FewRows, FewValues, MAX_FEW_ROWS, WantedColumn};
use super::file::ChecksummedFile;
use super::footer::{AttributeName, Footer};
use super::index::Index;
use super::layout::{OptionalColumns, Planner};
use super::payload::{PayloadReader, payload_path};
use super::records::{Records, SpanBatches};
use super::schema::RowSchema;
use super::time_ranges::TimeRange;
use super::writer::{data_path, index_path, remove_files};
use super::{guarded_pages, rows, schema};
use crate::SpanRecord;
use crate::disk::{Disk, RealDisk};
use crate::error::{Corruption, OpenError, ReadError, io_error};
use crate::manifest::{BlockId, BlockRecord};
use crate::retention::{Leaving, LeavingBytes};
use crate::scan::SpanParts;
use crate::summary::Summaries;
use crate::trace::TraceLookup;

/// Rows that are made spans at once, ...
const MAX_BATCH_ROWS: usize = 4096;
/// ... or of which single columns are looked at, ...
const MAX_COLUMN_ROWS: usize = 65_536;
/// ... unless they are so long that they would take more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

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
        records.set_leaves_cut(lookup.leaves_cut);
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
        Ok(BlockData {
            block: self,
            footer,
        })
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

    fn data_file(&self) -> ChecksummedFile {
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

/// A block's file of spans, for one reader.
#[derive(Debug, Clone)]
pub(crate) struct BlockData<'a> {
    block: &'a Block,
    footer: Arc<Footer>,
}

impl<'a> BlockData<'a> {
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.footer.metadata.metadata()
    }

    /// Whether the block has a column, or a leaf of one, of this name.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.footer.leaves.contains_key(name)
    }

    /// Whether a column is one of texts.
    pub(crate) fn is_text(&self, name: &str) -> bool {
        let field = self.footer.metadata.schema().field_with_name(name);
        field.is_ok_and(|field| {
            matches!(field.data_type(), DataType::Utf8 | DataType::Dictionary(..))
        })
    }

    /// The attributes that have columns.
    pub(crate) fn attribute_columns(&self) -> &[AttributeName] {
        &self.footer.attributes
    }

    /// The first row of each row group, and at the end the number of rows.
    pub(crate) fn row_group_starts(&self) -> Vec<usize> {
        let mut starts = vec![0];
        let mut rows = 0;
        for group in self.metadata().row_groups() {
            rows += group.num_rows() as usize;
            starts.push(rows);
        }
        starts
    }

    /// Reads the named columns, or leaves of them, of these rows, which must ascend and not
    /// overlap. Those that the block has left out are left out.
    pub(crate) fn batches(
        &self,
        rows: &[Range<usize>],
        columns: &[&str],
    ) -> Result<Batches, ReadError> {
        self.read(rows, columns, MAX_COLUMN_ROWS)
    }

    /// Reads the spans in these rows, which must ascend and not overlap.
    pub(crate) fn records(
        &self,
        rows: &[Range<usize>],
        parts: SpanParts,
    ) -> Result<Records<'a>, ReadError> {
        let columns = self.columns_of(parts);
        let selected: usize = rows.iter().map(ExactSizeIterator::len).sum();
        let is_few = selected <= MAX_FEW_ROWS.min(self.batch_rows(&self.leaves_of(&columns)));
        let batches = if is_few {
            SpanBatches::Few(Some(self.read_few(rows, &columns)?))
        } else {
            SpanBatches::Many(self.read(rows, &columns, MAX_BATCH_ROWS)?)
        };
        Ok(Records::new(self.block, self.clone(), batches, rows))
    }

    /// Reads columns of rows that fit into one batch. Those in which no row has a value may be left
    /// out.
    fn read_few(&self, rows: &[Range<usize>], columns: &[&str]) -> Result<RecordBatch, ReadError> {
        let (metadata, starts) = (self.metadata(), self.row_group_starts());
        let cache = &self.block.cache;
        let file = self.block.data_file();
        let few = FewRows::new(file.clone(), metadata, cache, rows, &starts);
        let schema = self.footer.metadata.schema();
        let (mut names, mut wanted, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for column in columns {
            let leaves = self.footer.leaves.get(*column).map(Vec::as_slice);
            match (leaves, schema.field_with_name(column)) {
                (Some([leaf]), Ok(field)) => {
                    names.push(*column);
                    wanted.push(WantedColumn {
                        leaf: *leaf,
                        data_type: field.data_type(),
                    });
                }
                _ => others.push(*column),
            }
        }
        let mut found = Vec::new();
        for (column, values) in names.into_iter().zip(few.columns(&wanted)?) {
            match values {
                FewValues::Values(values) => {
                    let field = Field::new(column, values.data_type().clone(), true);
                    found.push((Arc::new(field), values));
                }
                FewValues::AllNull => {}
                FewValues::Unknown => others.push(column),
            }
        }
        if !others.is_empty() {
            let mut batches = self.read(rows, &others, MAX_FEW_ROWS)?;
            let mut read = Vec::new();
            while let Some(batch) = batches.next()? {
                read.push(batch);
            }
            let Some(first) = read.first() else {
                return Err(self.block.malformed("it has fewer rows than it says"));
            };
            let read = file.parsed(|| concat_batches(&first.schema(), &read))?;
            let fields = read.schema_ref().fields().iter().cloned();
            found.extend(fields.zip(read.columns().iter().cloned()));
        }
        let (fields, values): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        file.parsed(|| RecordBatch::try_new(Arc::new(Schema::new(fields)), values))
    }

    fn leaves_of(&self, columns: &[&str]) -> Vec<usize> {
        let leaves = columns
            .iter()
            .filter_map(|column| self.footer.leaves.get(*column));
        leaves.flatten().copied().collect()
    }

    fn read(
        &self,
        rows: &[Range<usize>],
        columns: &[&str],
        max_rows: usize,
    ) -> Result<Batches, ReadError> {
        let leaves = self.leaves_of(columns);
        let selected = rows.iter().map(ExactSizeIterator::len).sum();
        let batch_rows = self.batch_rows(&leaves).min(max_rows).min(selected).max(1);
        let (row_groups, selection) = self.select(rows);
        // Open as long as it is read.
        let file = self.block.data_file();
        let metadata = &self.footer.metadata;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves);
        let read = || {
            let file = file.clone();
            guarded_pages::read(
                file,
                metadata,
                mask,
                row_groups,
                Some(selection),
                batch_rows,
            )
        };
        let reader = file.parsed(read)?;
        Ok(Batches { file, reader })
    }

    /// How many rows of these leaves take about [`BATCH_BYTES`].
    fn batch_rows(&self, leaves: &[usize]) -> usize {
        let groups = self.metadata().row_groups();
        let bytes_of = |group: &RowGroupMetaData| -> i64 {
            let columns = leaves.iter().filter_map(|leaf| group.columns().get(*leaf));
            columns
                .map(ColumnChunkMetaData::uncompressed_size)
                .fold(0, i64::saturating_add)
        };
        // What the footer says of sizes is not checked: too large a number makes small batches.
        let bytes = groups.iter().map(bytes_of).fold(0, i64::saturating_add);
        let row_bytes = bytes as usize / (self.block.record.rows as usize).max(1);
        BATCH_BYTES / row_bytes.max(1)
    }

    /// Reads all columns of these rows, which must ascend and not overlap.
    pub(crate) fn whole_rows(&self, rows: &[Range<usize>]) -> Result<Batches, ReadError> {
        self.read(rows, &self.columns_of(SpanParts::ALL), MAX_BATCH_ROWS)
    }

    fn columns_of(&self, parts: SpanParts) -> Vec<&str> {
        let has_resource_ids = self.has_column(schema::RESOURCE_ID);
        let wanted = |name: &str| match name {
            schema::ATTRIBUTES => parts.attributes,
            schema::EVENTS => parts.events,
            schema::LINKS => parts.links,
            schema::LARGE_VALUES => parts.large_values,
            // Only one of the two is needed to know the resource.
            schema::SERVICE => !has_resource_ids,
            _ => parts.attributes || !name.starts_with(schema::ATTRIBUTE_PREFIX),
        };
        let fields = self.footer.metadata.schema().fields().iter();
        let names = fields.map(|field| field.name().as_str());
        names.filter(|name| wanted(name)).collect()
    }

    /// The ids of the spans in these rows, which must ascend.
    pub(super) fn span_ids(
        &self,
        rows: impl Iterator<Item = usize>,
    ) -> Result<HashMap<usize, SpanId>, ReadError> {
        let ranges = ranges_of(rows);
        let mut batches = self.batches(&ranges, &[schema::SPAN_ID])?;
        let mut numbers = ranges.iter().cloned().flatten();
        let mut found = HashMap::new();
        while let Some(batch) = batches.next()? {
            let ids: &FixedSizeBinaryArray = rows::column(&batch, schema::SPAN_ID)
                .ok_or_else(|| self.block.malformed("a column is not of its type"))?;
            for (index, row) in numbers.by_ref().take(batch.num_rows()).enumerate() {
                found.extend(SpanId::from_slice(ids.value(index)).map(|id| (row, id)));
            }
        }
        Ok(found)
    }

    /// The row groups that hold these rows, and the rows within them.
    fn select(&self, rows: &[Range<usize>]) -> (Vec<usize>, RowSelection) {
        let starts = self.row_group_starts();
        let mut groups = Vec::new();
        let mut selected: Vec<Range<usize>> = Vec::new();
        let mut rows_before = 0;
        for (group, bounds) in starts.windows(2).enumerate() {
            let (start, end) = (bounds[0], bounds[1]);
            let first = rows.partition_point(|range| range.end <= start);
            let mut inside = rows[first..]
                .iter()
                .take_while(|range| range.start < end)
                .peekable();
            if inside.peek().is_none() {
                continue;
            }
            groups.push(group);
            selected.extend(inside.map(|range| {
                let (from, to) = (range.start.max(start), range.end.min(end));
                rows_before + from - start..rows_before + to - start
            }));
            rows_before += end - start;
        }
        (
            groups,
            RowSelection::from_consecutive_ranges(selected.into_iter(), rows_before),
        )
    }
}

/// Batches of columns, one after the other.
pub(crate) struct Batches {
    file: ChecksummedFile,
    reader: ParquetRecordBatchReader,
}

impl Batches {
    /// The next batch; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        self.file.parsed(|| self.reader.next().transpose())
    }
}

/// Ascending rows as ranges; the same row may come more than once.
pub(crate) fn ranges_of(rows: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some(range) if row < range.end => {}
            Some(range) if range.end == row => range.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}
