//! Making a block of sorted spans, so that it is there whole or not at all.

use std::borrow::Borrow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use lumitrace_model::TraceId;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;

use super::columns::{Columns, SpanColumns};
use super::digest::DigestWriter;
use super::file::ChecksummedWriter;
use super::index::IndexContent;
use super::keys::KeyCounter;
use super::large_values::{CutRecord, Cutter, LargeValue};
use super::layout::{self, BlockPlan, Layout};
use super::payload::{PayloadCopier, PayloadWriter, payload_path};
use super::received::ReceivedBuilder;
use super::row::{BlockRow, Row};
use super::schema;
use super::trace_table::{TraceRows, trace_hash};
use super::value_filters::{ColumnFilterBuilder, FilterDirectory, int_hash, text_hash};
use crate::SpanRecord;
use crate::disk::{Disk, create_anew, remove_if_present};
use crate::failpoint::{Failpoint, reached};
use crate::manifest::{BlockId, BlockRecord};
use crate::signal::BlockTarget;

/// The file of a block's spans.
pub(crate) fn data_path(dir: &Path, id: BlockId) -> PathBuf {
    dir.join(format!("{id}.parquet"))
}

/// The file of a block's index.
pub(crate) fn index_path(dir: &Path, id: BlockId) -> PathBuf {
    dir.join(format!("{id}.idx"))
}

/// The files that a block may have; that of large values is there only if it has any.
pub(crate) fn block_files(dir: &Path, id: BlockId) -> [PathBuf; 3] {
    [
        data_path(dir, id),
        index_path(dir, id),
        payload_path(dir, id),
    ]
}

/// Where a file of a block is until it is whole.
fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

/// Writes one block. Dropped before it is finished, it leaves no block.
pub(crate) struct BlockWriter<C> {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    record: BlockRecord,
    parquet: ArrowWriter<ChecksummedWriter>,
    columns: C,
    payload: PayloadWriter,
    digest: Option<DigestWriter>,
    layout: Layout,
    index: IndexContent,
    /// Counts keys, where they are not known from the plan.
    counter: Option<KeyCounter>,
    received: ReceivedBuilder,
    /// Of selective attribute columns.
    filters: Vec<ColumnFilters>,
    written_rows: usize,
}

impl<C: Columns> BlockWriter<C> {
    pub(crate) fn create(target: BlockTarget, plan: BlockPlan) -> io::Result<Self> {
        let path = temporary(&data_path(&target.dir, target.id));
        let file = ChecksummedWriter::create(Arc::clone(&target.disk), path)?;
        let payload = PayloadWriter::new(
            Arc::clone(&target.disk),
            temporary(&payload_path(&target.dir, target.id)),
            target.compression_level,
        );
        let level = ZstdLevel::try_new(target.compression_level).map_err(io_of_parquet)?;
        let schema = schema::schema_of(C::kind(), &plan.layout);
        let rows = target.row_group_rows;
        let properties = schema::writer_properties(C::kind(), &plan.layout, rows, level);
        // Parquet's own types say all that there is to say.
        let arrow_options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let parquet = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), arrow_options)
            .map_err(io_of_parquet)?;
        Ok(Self {
            disk: target.disk,
            dir: target.dir,
            record: BlockRecord::empty(target.id),
            parquet,
            filters: column_filters(&plan.layout, &schema),
            columns: C::new(&plan.layout, schema),
            payload,
            digest: None,
            layout: plan.layout,
            counter: plan.keys.is_none().then(KeyCounter::default),
            index: IndexContent {
                keys: plan.keys.unwrap_or_default(),
                tables: plan.tables,
                ..IndexContent::default()
            },
            received: ReceivedBuilder::default(),
            written_rows: 0,
        })
    }

    /// Appends a row; rows must come in the order of their kind.
    pub(crate) fn push(&mut self, row: &C::Row<'_>) -> io::Result<()> {
        let head = row.head();
        self.index_row(head.trace_id)?;
        row.add_to_index(&mut self.index);
        self.received.add(head.seq, head.received_unix_nano);
        if let Some(counter) = &mut self.counter {
            counter.begin_span();
            row.each_attribute(|key, value| counter.add(key, value));
        }
        self.record.rows += 1;
        self.record
            .include(head.start_unix_nano, head.end_unix_nano);
        let (resource_id, scope_id) = self.index.tables.numbers(&head);
        self.columns
            .push(row, resource_id, scope_id)
            .map_err(io::Error::other)?;
        if self.columns.is_full() {
            self.write_columns()?;
        }
        Ok(())
    }

    fn index_row(&mut self, trace_id: Option<TraceId>) -> io::Result<()> {
        let first_row = u32::try_from(self.record.rows)
            .map_err(|_| io::Error::other("a block cannot have more than 2^32 rows"))?;
        let Some(trace_id) = trace_id else {
            return Ok(());
        };
        let hash = trace_hash(trace_id);
        match self.index.traces.last_mut() {
            // Neighbours of which only the hashes are the same share their rows.
            Some(rows) if rows.hash == hash && rows.first_row + rows.row_count == first_row => {
                rows.row_count += 1;
            }
            _ => self.index.traces.push(TraceRows {
                hash,
                first_row,
                row_count: 1,
            }),
        }
        Ok(())
    }

    fn write_columns(&mut self) -> io::Result<()> {
        let batch = self.columns.finish().map_err(io::Error::other)?;
        for filters in &mut self.filters {
            filters.add(&batch, self.written_rows);
        }
        self.written_rows += batch.num_rows();
        self.parquet.write(&batch).map_err(io_of_parquet)
    }

    /// Puts the block in its place, durably. It counts once the manifest has its record.
    pub(crate) fn finish(mut self) -> io::Result<BlockRecord> {
        if !self.columns.is_empty() {
            self.write_columns()?;
        }
        let (checksums, data_bytes) = self.parquet.into_inner().map_err(io_of_parquet)?.finish()?;
        reached(Failpoint::BlockDataWritten);
        let mut index = self.index;
        if let Some(digest) = self.digest {
            index.digest = Some(digest.finish(&mut self.payload)?);
        }
        index.payload = self.payload.finish()?;
        self.record.payload_bytes = index.payload.file_bytes();
        index.checksums = checksums;
        index.received = self.received.finish();
        if let Some(counter) = self.counter {
            index.keys = counter.finish();
            layout::apply(&self.layout.attributes, &mut index.keys);
        }
        let filters = self.filters.into_iter();
        let filters = filters.map(|filters| (filters.key, filters.builder));
        (index.filter_directory, index.filters) = FilterDirectory::lay_out(filters);
        let index = index.encode()?;
        self.record.data_bytes = data_bytes;
        self.record.index_bytes = index.len() as u64;

        let (data_path, index_path) = (
            data_path(&self.dir, self.record.id),
            index_path(&self.dir, self.record.id),
        );
        let index_tmp = temporary(&index_path);
        let file = create_anew(&*self.disk, &index_tmp)?;
        self.disk.write_all(&index_tmp, &file, &index)?;
        self.disk.sync_data(&index_tmp, &file)?;
        reached(Failpoint::BlockIndexWritten);
        let data_tmp = temporary(&data_path);
        if self.record.payload_bytes > 0 {
            let path = payload_path(&self.dir, self.record.id);
            self.disk.rename(&temporary(&path), &path)?;
            reached(Failpoint::BlockPayloadRenamed);
        }
        self.disk.rename(&index_tmp, &index_path)?;
        reached(Failpoint::BlockIndexRenamed);
        self.disk.rename(&data_tmp, &data_path)?;
        reached(Failpoint::BlockDataRenamed);
        self.disk.sync_dir(&self.dir)?;
        reached(Failpoint::BlockNamed);
        Ok(self.record)
    }
}

impl<C: Columns> BlockWriter<C> {
    /// The payload file, for large values of the next row; none if no row of the block was planned to
    /// have any, so that there is no column to say where they are.
    pub(crate) fn payload(&mut self) -> Option<&mut PayloadWriter> {
        let has_column = self.layout.optional.contains(schema::LARGE_VALUES);
        has_column.then_some(&mut self.payload)
    }

    /// Copies large values of a row of another block, which are none if it is a rescue and they are
    /// damaged.
    pub(crate) fn copy_large_values(
        &mut self,
        large_values: &[LargeValue],
        from: &mut PayloadCopier,
    ) -> io::Result<Vec<LargeValue>> {
        let mut copies = Vec::new();
        for large in large_values {
            let copied = from.copy(&large.stored, &mut self.payload)?;
            copies.extend(copied.map(|stored| LargeValue {
                stored,
                ..large.clone()
            }));
        }
        Ok(copies)
    }
}

impl BlockWriter<SpanColumns> {
    /// Has a digest made of what follows.
    pub(crate) fn begin_digest(&mut self, digest: DigestWriter) {
        self.digest = Some(digest);
    }

    /// Adds the span that was appended last to the digest, if it is of a service that is digested.
    pub(crate) fn digest_span<R: Borrow<SpanRecord>>(
        &mut self,
        service: &str,
        record: impl FnOnce() -> R,
    ) -> io::Result<()> {
        match &mut self.digest {
            Some(digest) if digest.wants(service) => {
                let row = self.record.rows - 1;
                digest.add(row, record().borrow(), &mut self.payload)
            }
            _ => Ok(()),
        }
    }

    /// Appends a span, of which large values go into the payload file; spans must come in the order of
    /// [`super::row::sort_key`].
    pub(crate) fn push_span(&mut self, row: &Row<'_>) -> io::Result<()> {
        match self.payload() {
            Some(payload) if row.has_large_values() => {
                let kept = Cutter::new(payload).cut(row)?;
                self.push(&row.with_lists(&kept))
            }
            _ => self.push(row),
        }
    }

    /// Appends a span of another block, whose large values are copied as they are.
    pub(crate) fn push_from(
        &mut self,
        cut: &CutRecord,
        payload: &mut PayloadCopier,
    ) -> io::Result<()> {
        if cut.large_values.is_empty() {
            // Before version 3 they are in the columns.
            self.push_span(&(&cut.record).into())?;
        } else {
            let copies = self.copy_large_values(&cut.large_values, payload)?;
            self.push(&Row::from(&cut.record).with_large_values(&copies))?;
        }
        self.digest_span(cut.record.service_name(), || &cut.record)
    }
}

/// The filters of one attribute column while they are made.
struct ColumnFilters {
    key: String,
    /// Place of the column in a batch.
    column: usize,
    builder: ColumnFilterBuilder,
}

impl ColumnFilters {
    /// Adds a batch, whose first row is the block's row `first_row`.
    fn add(&mut self, batch: &RecordBatch, first_row: usize) {
        let column = batch.column(self.column);
        if let Some(texts) = column.as_string_opt::<i32>() {
            for (row, text) in (first_row..).zip(texts) {
                text.into_iter()
                    .for_each(|text| self.builder.add(row, text_hash(text)));
            }
        } else if let Some(ints) = column.as_primitive_opt::<Int64Type>() {
            for (row, int) in (first_row..).zip(ints) {
                int.into_iter()
                    .for_each(|int| self.builder.add(row, int_hash(int)));
            }
        }
    }
}

fn column_filters(layout: &Layout, schema: &Schema) -> Vec<ColumnFilters> {
    let selective = layout
        .attributes
        .iter()
        .filter(|column| column.has_filters());
    let filters = selective.filter_map(|column| {
        let name = schema::attribute_column(&column.key);
        Some(ColumnFilters {
            key: column.key.clone(),
            column: schema.index_of(&name).ok()?,
            builder: ColumnFilterBuilder::default(),
        })
    });
    filters.collect()
}

/// Removes what an unfinished or replaced block `id` has left.
pub(crate) fn remove_files(disk: &dyn Disk, dir: &Path, id: BlockId) -> io::Result<()> {
    let files = block_files(dir, id);
    for file in &files {
        remove_if_present(disk, &temporary(file))?;
    }
    let [data, index, payload] = files;
    remove_if_present(disk, &data)?;
    reached(Failpoint::BlockDataRemoved);
    remove_if_present(disk, &index)?;
    remove_if_present(disk, &payload)
}

/// The operating system's error, where it is the cause: its kind decides what happens next.
fn io_of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}
