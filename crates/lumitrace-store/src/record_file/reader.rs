//! Reading a file of records, or a block.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use lumitrace_wire::otlp::Signal;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::file::metadata::ParquetMetaData;

use super::FileRecord;
use super::origins::{RESOURCE_ATTRIBUTES, numbered};
use crate::block::Block;
use crate::block::file::parsed;
use crate::block::guarded_pages;
use crate::block::large_values::{CutRecord, restore_some};
use crate::block::schema;
use crate::error::{Corruption, OpenError, ReadError, io_error};
use crate::manifest::BlockId;
use crate::rewrite::Rewritable;
use crate::signal::BlockRows;
use crate::{found_block, logs, metrics};

/// Rows that are decoded at once, unless they are so long that they would take ...
const BATCH_ROWS: usize = 2048;
/// ... more than about this many bytes.
const BATCH_BYTES: i64 = 8 << 20;

/// What an exported file, or a block, holds by its columns; none if it is neither.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use lumitrace_store::record_file::signal_of;
/// use lumitrace_wire::otlp::Signal;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = &dir.path().join("spans.parquet");
/// # example::export(path)?;
/// assert_eq!(signal_of(path)?, Some(Signal::Traces));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// It is no Parquet, or cannot be read.
pub fn signal_of(path: &Path) -> Result<Option<Signal>, OpenError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let metadata = parsed(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()));
    let metadata = metadata.map_err(|reason| Corruption::new(path, 0, reason))?;
    let has_column = |name: &str| metadata.schema().column_with_name(name).is_some();
    Ok(if has_column(schema::DURATION) {
        Some(Signal::Traces)
    } else if has_column(logs::columns::SEVERITY) {
        Some(Signal::Logs)
    } else {
        has_column(metrics::columns::SERIES).then_some(Signal::Metrics)
    })
}

/// Reads the records of an exported file, or of a block with its index beside it, some at a time.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use lumitrace_store::SpanRecord;
/// use lumitrace_store::record_file::RecordFileReader;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = &dir.path().join("spans.parquet");
/// # example::export(path)?;
/// let mut reader = RecordFileReader::<SpanRecord>::open(path)?;
/// while let Some(spans) = reader.next()? {
///     println!("{} of {}", spans.len(), reader.rows());
/// }
/// # assert_eq!(reader.rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(private_bounds, reason = "files hold the store's own records alone")]
pub struct RecordFileReader<R: FileRecord> {
    rows: u64,
    source: Source<R>,
}

enum Source<R> {
    File {
        path: PathBuf,
        reader: ParquetRecordBatchReader,
    },
    Block {
        block: Box<Block>,
        next_row: usize,
        /// Records that were read, and whose large values are to be put back.
        waiting: VecDeque<CutRecord<R>>,
    },
}

#[expect(private_bounds, reason = "files hold the store's own records alone")]
impl<R: FileRecord> RecordFileReader<R> {
    /// Opens a file that [`RecordFileWriter`](super::RecordFileWriter) wrote, or a block.
    ///
    /// # Errors
    /// It is none of them, damaged, a block without its index, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let damage = |reason| Corruption::new(path, 0, reason);
        let load = || ArrowReaderMetadata::load(&file, ArrowReaderOptions::default());
        let footer = parsed(load).map_err(damage)?;
        let has_column = |name: &str| footer.schema().column_with_name(name).is_some();
        if has_column(schema::SEQ) && !has_column(RESOURCE_ATTRIBUTES) {
            return Self::open_block(path);
        }
        let rows = u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or(0);
        let row_groups = (0..footer.metadata().num_row_groups()).collect();
        let (mask, batch_rows) = (ProjectionMask::all(), batch_rows(footer.metadata()));
        let read = || guarded_pages::read(file, &footer, mask, row_groups, None, batch_rows);
        let reader = parsed(read).map_err(damage)?;
        let path = path.to_owned();
        let source = Source::File { path, reader };
        Ok(Self { rows, source })
    }

    fn open_block(path: &Path) -> Result<Self, OpenError> {
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let dir = path.parent().unwrap_or(Path::new(""));
        let Some(id) = name.and_then(BlockId::parse) else {
            let reason =
                "it is a block, but its file was renamed, so that its index cannot be found";
            return Err(Corruption::new(path, 0, reason).into());
        };
        let block = Box::new(found_block::open(dir, id)?);
        Ok(Self {
            rows: block.record().rows,
            source: Source::Block {
                block,
                next_row: 0,
                waiting: VecDeque::new(),
            },
        })
    }

    /// How many records the file says it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next records; none after the last. Those of an exported file have no sequence number.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could be asked to go on after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Vec<R>>, ReadError> {
        match &mut self.source {
            Source::File { path, reader } => {
                let damage = |reason: String| ReadError::from(Corruption::new(path, 0, reason));
                let Some(batch) = parsed(|| reader.next().transpose()).map_err(damage)? else {
                    return Ok(None);
                };
                let decoded = numbered(&batch)
                    .and_then(|(batch, tables)| R::decode(&batch, &tables))
                    .map(Some);
                let reason = || damage(format!("its columns are not those of {}", R::NOUN));
                decoded.ok_or_else(reason)
            }
            Source::Block {
                block,
                next_row,
                waiting,
            } => {
                let end = (*next_row + BATCH_ROWS).min(self.rows as usize);
                if waiting.is_empty() && *next_row >= end {
                    return Ok(None);
                }
                if waiting.is_empty() {
                    let range = *next_row..end;
                    let mut next = R::Signal::read(&BlockRows {
                        rows: std::iter::once(range).collect(),
                        ..BlockRows::all(block)
                    })?;
                    while let Some(batch) = next()? {
                        waiting.extend(batch);
                    }
                    *next_row = end;
                }
                restore_some(waiting, &mut block.payload()?).map(Some)
            }
        }
    }
}

fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let groups = metadata.row_groups();
    let sizes = groups.iter().map(|group| group.total_byte_size());
    // What a file says of itself may be any number.
    let bytes = sizes.fold(0, i64::saturating_add);
    let row_bytes = (bytes / metadata.file_metadata().num_rows().max(1)).max(1);
    usize::try_from(BATCH_BYTES / row_bytes)
        .unwrap_or(1)
        .clamp(1, BATCH_ROWS)
}
