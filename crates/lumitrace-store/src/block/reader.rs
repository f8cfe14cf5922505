//! Reading a block: a trace's spans, chosen rows, or all of them in order.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{FixedSizeBinaryArray, RecordBatch};
use lumitrace_model::{SpanId, TraceId};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::file::ChecksummedFile;
use super::index::Index;
use super::writer::{data_path, index_path, remove_files};
use super::{rows, schema};
use crate::SpanRecord;
use crate::error::{Corruption, OpenError, ReadError, io_error};
use crate::manifest::{BlockId, BlockRecord};
use crate::scan::SpanParts;
use crate::summary::Summaries;

/// Rows that are decoded at once, unless they are so long that they would take ...
const MAX_BATCH_ROWS: usize = 4096;
/// ... more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// A block that counts. Its short parts are in memory, its spans are read when asked for.
#[derive(Debug)]
pub(crate) struct Block {
    record: BlockRecord,
    dir: PathBuf,
    index: Index,
    /// Parsed once: it takes longer than reading a trace.
    metadata: OnceLock<ArrowReaderMetadata>,
    replaced: AtomicBool,
}

impl Block {
    pub(crate) fn open(dir: PathBuf, record: BlockRecord) -> Result<Self, OpenError> {
        check_length(&data_path(&dir, record.id), record.data_bytes)?;
        check_length(&index_path(&dir, record.id), record.index_bytes)?;
        let index = Index::open(index_path(&dir, record.id))?;
        let (metadata, replaced) = (OnceLock::new(), AtomicBool::new(false));
        Ok(Self {
            record,
            dir,
            index,
            metadata,
            replaced,
        })
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

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Says that another block holds these spans now: the files go with the last reader.
    pub(crate) fn mark_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// These parts of all records of a trace, in the order of the block.
    pub(crate) fn trace(
        &self,
        trace_id: TraceId,
        parts: SpanParts,
    ) -> Result<Vec<SpanRecord>, ReadError> {
        let rows = self.index.trace_rows(trace_id)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.open_data()?.records(&rows, parts)?.collect_all()
    }

    /// All records of one span of a trace. Of the others only the ids are read.
    pub(crate) fn span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<Vec<SpanRecord>, ReadError> {
        let rows = self.index.trace_rows(trace_id)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let data = self.open_data()?;
        let mut batches = data.batches(&rows, &[schema::SPAN_ID])?;
        let mut numbers = rows.iter().cloned().flatten();
        let mut found = Vec::new();
        while let Some(batch) = batches.next()? {
            let ids: &FixedSizeBinaryArray = rows::column(&batch, schema::SPAN_ID)
                .ok_or_else(|| self.malformed("a column is not of its type"))?;
            for (index, row) in numbers.by_ref().take(batch.num_rows()).enumerate() {
                if ids.value(index) == span_id.as_bytes() {
                    found.push(row..row + 1);
                }
            }
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        data.records(&found, SpanParts::ALL)?.collect_all()
    }

    /// The error of a block whose checksums fit, but whose content does not make sense.
    pub(crate) fn malformed(&self, reason: &str) -> ReadError {
        Corruption::new(&data_path(&self.dir, self.record.id), 0, reason).into()
    }

    /// The file of spans, for one reader.
    pub(crate) fn open_data(&self) -> Result<BlockData<'_>, ReadError> {
        let path = data_path(&self.dir, self.record.id);
        let file = ChecksummedFile::new(path, self.record.data_bytes, self.index.checksums());
        let metadata = match self.metadata.get() {
            Some(metadata) => metadata.clone(),
            None => {
                let options =
                    ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
                let loaded =
                    ArrowReaderMetadata::load(&file, options).map_err(|error| file.error(error))?;
                self.metadata.get_or_init(|| loaded).clone()
            }
        };
        Ok(BlockData {
            block: self,
            file,
            metadata,
        })
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
        if *self.replaced.get_mut()
            && let Err(error) = remove_files(&self.dir, self.record.id)
        {
            // Only space is lost: the next opening of the store removes what no record names.
            tracing::warn!(block = %self.record.id, %error, "could not remove a replaced block");
        }
    }
}

/// A block's file of spans, for one reader.
pub(crate) struct BlockData<'a> {
    block: &'a Block,
    file: ChecksummedFile,
    metadata: ArrowReaderMetadata,
}

impl BlockData<'_> {
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
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

    /// Reads the named columns of these rows, which must ascend and not overlap.
    pub(crate) fn batches(
        &self,
        rows: &[Range<usize>],
        columns: &[&str],
    ) -> Result<Batches, ReadError> {
        let (row_groups, selection) = self.select(rows);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.file.clone(),
            self.metadata.clone(),
        );
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_batch_size(self.batch_rows())
            .with_row_groups(row_groups)
            .with_row_selection(selection)
            .build()
            .map_err(|error| self.file.error(error))?;
        Ok(Batches {
            file: self.file.clone(),
            reader,
        })
    }

    /// Reads the spans in these rows, which must ascend and not overlap.
    pub(crate) fn records(
        &self,
        rows: &[Range<usize>],
        parts: SpanParts,
    ) -> Result<Records<'_>, ReadError> {
        let batches = self.batches(rows, &columns_of(parts))?;
        Ok(Records {
            block: self.block,
            batches,
        })
    }

    fn batch_rows(&self) -> usize {
        let groups = self.metadata().row_groups();
        let bytes: i64 = groups.iter().map(|group| group.total_byte_size()).sum();
        let row_bytes = bytes as usize / (self.block.record.rows as usize).max(1);
        (BATCH_BYTES / row_bytes.max(1)).clamp(1, MAX_BATCH_ROWS)
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

fn columns_of(parts: SpanParts) -> Vec<&'static str> {
    let wanted = |name: &str| match name {
        schema::ATTRIBUTES => parts.attributes,
        schema::EVENTS => parts.events,
        schema::LINKS => parts.links,
        // The resource says it.
        schema::SERVICE => false,
        _ => true,
    };
    let names = schema::SCHEMA
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    names.filter(|name| wanted(name)).collect()
}

/// Batches of columns, one after the other.
pub(crate) struct Batches {
    file: ChecksummedFile,
    reader: ParquetRecordBatchReader,
}

impl Batches {
    /// The next batch; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        self.reader
            .next()
            .transpose()
            .map_err(|error| self.file.error(error))
    }
}

/// Spans, batch by batch.
pub(crate) struct Records<'a> {
    block: &'a Block,
    batches: Batches,
}

impl Records<'_> {
    /// The next batch of spans; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<SpanRecord>>, ReadError> {
        let Some(batch) = self.batches.next()? else {
            return Ok(None);
        };
        let (resources, scopes) = (self.block.index.resources()?, self.block.index.scopes()?);
        let records = rows::decode(&batch, &resources, &scopes);
        records
            .map(Some)
            .ok_or_else(|| self.block.malformed("its columns are not those of spans"))
    }

    fn collect_all(mut self) -> Result<Vec<SpanRecord>, ReadError> {
        let mut all = Vec::new();
        while let Some(records) = self.next()? {
            all.extend(records);
        }
        Ok(all)
    }
}
