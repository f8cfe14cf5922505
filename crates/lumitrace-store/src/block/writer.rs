//! Making a block of sorted spans, so that it is there whole or not at all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumitrace_model::{Resource, Scope, SpanId, TraceId};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::columns::SpanColumns;
use super::file::ChecksummedWriter;
use super::index::{IndexContent, TraceRows, encode_resource, encode_scope};
use super::schema;
use crate::SpanRecord;
use crate::disk::{Disk, remove_if_present, sync_dir};
use crate::manifest::{BlockId, BlockRecord};
use crate::scan::SCAN_WINDOW_NANO;
use crate::stored::SpanRef;

/// The file of a block's spans.
pub(crate) fn data_path(dir: &Path, id: BlockId) -> PathBuf {
    dir.join(format!("{id}.parquet"))
}

/// The file of a block's index.
pub(crate) fn index_path(dir: &Path, id: BlockId) -> PathBuf {
    dir.join(format!("{id}.idx"))
}

/// The order of spans in a block: by window of start, so that a search for the newest reads the
/// end; by trace within it, so that a trace's rows lie together; then so that records of the same
/// span are neighbours when blocks are merged.
pub(crate) fn sort_key(record: &SpanRecord) -> SortKey {
    let span = &record.span;
    key(
        span.start_unix_nano,
        span.trace_id,
        span.span_id,
        span.kind.code(),
    )
}

/// [`sort_key`] of a span in memory.
pub(crate) fn sort_key_of(span: SpanRef<'_>) -> SortKey {
    let head = span.head();
    key(
        head.start_unix_nano,
        head.trace_id,
        head.span_id,
        head.kind.code(),
    )
}

/// See [`sort_key`].
pub(crate) type SortKey = (u64, TraceId, u64, SpanId, u8);

fn key(start_unix_nano: u64, trace_id: TraceId, span_id: SpanId, kind: u8) -> SortKey {
    let window = start_unix_nano / SCAN_WINDOW_NANO;
    (window, trace_id, start_unix_nano, span_id, kind)
}

/// Writes one block. Dropped before it is finished, it leaves no block.
pub(crate) struct BlockWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    record: BlockRecord,
    parquet: ArrowWriter<ChecksummedWriter>,
    columns: SpanColumns,
    index: IndexContent,
    resources: Numbers<Resource>,
    scopes: Numbers<Scope>,
}

impl BlockWriter {
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        id: BlockId,
        row_group_rows: usize,
    ) -> io::Result<Self> {
        let path = data_path(dir, id).with_extension("parquet.tmp");
        let file = ChecksummedWriter::create(Arc::clone(&disk), path)?;
        let properties = schema::writer_properties(row_group_rows);
        let parquet = ArrowWriter::try_new(file, Arc::clone(&schema::SCHEMA), Some(properties))
            .map_err(io_of_parquet)?;
        let record = BlockRecord {
            id,
            rows: 0,
            first_start_unix_nano: u64::MAX,
            last_start_unix_nano: 0,
            first_end_unix_nano: u64::MAX,
            last_end_unix_nano: 0,
            data_bytes: 0,
            index_bytes: 0,
        };
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            record,
            parquet,
            columns: SpanColumns::default(),
            index: IndexContent::default(),
            resources: Numbers::default(),
            scopes: Numbers::default(),
        })
    }

    /// Appends a span; spans must come in the order of [`sort_key`].
    pub(crate) fn push(&mut self, span: &SpanRecord) -> io::Result<()> {
        let row = u32::try_from(self.record.rows)
            .map_err(|_| io::Error::other("a block cannot have more than 2^32 spans"))?;
        match self.index.traces.last_mut() {
            Some(rows) if rows.trace_id == span.span.trace_id => rows.row_count += 1,
            _ => {
                let trace_id = span.span.trace_id;
                self.index.traces.push(TraceRows {
                    trace_id,
                    first_row: row,
                    row_count: 1,
                });
            }
        }
        self.index.summaries.add_record(span);
        let record = &mut self.record;
        let (start, end) = (span.span.start_unix_nano, span.span.end_unix_nano);
        record.rows += 1;
        record.first_start_unix_nano = record.first_start_unix_nano.min(start);
        record.last_start_unix_nano = record.last_start_unix_nano.max(start);
        record.first_end_unix_nano = record.first_end_unix_nano.min(end);
        record.last_end_unix_nano = record.last_end_unix_nano.max(end);

        let encode = || encode_resource(span);
        let resource_id = self
            .resources
            .number(&span.resource, &mut self.index.resources, encode);
        let encode = || encode_scope(span);
        let scope_id = self
            .scopes
            .number(&span.scope, &mut self.index.scopes, encode);
        self.columns
            .push(span, resource_id, scope_id)
            .map_err(io::Error::other)?;
        if self.columns.is_full() {
            self.write_columns()?;
        }
        Ok(())
    }

    fn write_columns(&mut self) -> io::Result<()> {
        let batch = self.columns.finish().map_err(io::Error::other)?;
        self.parquet.write(&batch).map_err(io_of_parquet)
    }

    /// Puts the block in its place, durably. It counts once the manifest has its record.
    pub(crate) fn finish(mut self) -> io::Result<BlockRecord> {
        if !self.columns.is_empty() {
            self.write_columns()?;
        }
        let (checksums, data_bytes) = self.parquet.into_inner().map_err(io_of_parquet)?.finish()?;
        self.index.checksums = checksums;
        let index = self.index.encode();
        self.record.data_bytes = data_bytes;
        self.record.index_bytes = index.len() as u64;

        let (data_path, index_path) = (
            data_path(&self.dir, self.record.id),
            index_path(&self.dir, self.record.id),
        );
        let index_tmp = index_path.with_extension("idx.tmp");
        let file = File::create(&index_tmp)?;
        self.disk.write_all(&index_tmp, &file, &index)?;
        self.disk.sync_data(&index_tmp, &file)?;
        fs::rename(index_tmp, index_path)?;
        fs::rename(data_path.with_extension("parquet.tmp"), data_path)?;
        sync_dir(&self.dir)?;
        Ok(self.record)
    }
}

/// Removes what an unfinished or replaced block `id` has left.
pub(crate) fn remove_files(dir: &Path, id: BlockId) -> io::Result<()> {
    let (data, index) = (data_path(dir, id), index_path(dir, id));
    remove_if_present(&data.with_extension("parquet.tmp"))?;
    remove_if_present(&index.with_extension("idx.tmp"))?;
    remove_if_present(&data)?;
    remove_if_present(&index)
}

/// Numbers resources or scopes by content, quickly for spans that share one.
#[derive(Debug)]
struct Numbers<T> {
    by_content: HashMap<Vec<u8>, u32>,
    /// By address. Held, so that no address is used again for something else.
    by_address: HashMap<usize, (Arc<T>, u32)>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            by_content: HashMap::new(),
            by_address: HashMap::new(),
        }
    }
}

impl<T> Numbers<T> {
    fn number(
        &mut self,
        shared: &Arc<T>,
        table: &mut Vec<Vec<u8>>,
        encode: impl FnOnce() -> Vec<u8>,
    ) -> u32 {
        let address = Arc::as_ptr(shared) as usize;
        if let Some((_, number)) = self.by_address.get(&address) {
            return *number;
        }
        let number = *self
            .by_content
            .entry(encode())
            .or_insert_with_key(|content| {
                table.push(content.clone());
                table.len() as u32 - 1
            });
        self.by_address
            .insert(address, (Arc::clone(shared), number));
        number
    }
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
