//! Writing a file of records.

use std::io::{self, Write};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{FileColumns, FileRecord};

/// A row group ends at this size in memory, before compression has done all it can ...
const ROW_GROUP_BYTES: usize = 64 << 20;
/// ... or at this many rows.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Writes a file of spans, of log records or of points. Dropped before it is finished, it leaves a file that nobody can read.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (dir, store) = example::filled()?;
/// # let path = dir.path().join("spans.parquet");
/// use lumitrace_store::record_file::RecordFileWriter;
///
/// let mut writer = RecordFileWriter::new(std::fs::File::create(path)?)?;
/// for span in store.trace(example::trace_id())? {
///     writer.push(&*span)?;
/// }
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(private_bounds, reason = "files hold the store's own records alone")]
pub struct RecordFileWriter<R: FileRecord, W: Write + Send> {
    parquet: ArrowWriter<W>,
    columns: R::Columns,
}

#[expect(private_bounds, reason = "files hold the store's own records alone")]
impl<R: FileRecord, W: Write + Send> RecordFileWriter<R, W> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(target: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lumitrace ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(
                ZstdLevel::try_new(3).map_err(io_of_parquet)?,
            ))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let columns = R::Columns::default();
        let parquet = ArrowWriter::try_new(target, columns.schema(), Some(properties));
        Ok(Self {
            parquet: parquet.map_err(io_of_parquet)?,
            columns,
        })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, record: &R) -> io::Result<()> {
        self.columns.push(record).map_err(io::Error::other)?;
        if self.columns.is_full() {
            self.write_columns()?;
        }
        Ok(())
    }

    fn write_columns(&mut self) -> io::Result<()> {
        let batch = self.columns.finish().map_err(io::Error::other)?;
        self.parquet.write(&batch).map_err(io_of_parquet)?;
        if self.parquet.in_progress_size() >= ROW_GROUP_BYTES {
            self.parquet.flush().map_err(io_of_parquet)?;
        }
        Ok(())
    }

    /// Ends the file, and gives back what it was written to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.columns.is_empty() {
            self.write_columns()?;
        }
        self.parquet.into_inner().map_err(io_of_parquet)
    }
}

/// The operating system's error, where it is the cause.
fn io_of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}
