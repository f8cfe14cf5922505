//! Files of records that any reader of Parquet can open: what is exported and imported.
//!
//! A row is a span, a log record or a point, with everything that belongs to it; the columns are
//! described in `docs/formats/record-files.md`. Unlike a block such a file needs no second one beside
//! it, and all of them have the same columns.
//!
//! In reading order: `spans` and `as_in_blocks` (log records and points) become columns, with
//! `origins` beside them; `writer` and `reader` are what others use.

mod as_in_blocks;
mod origins;
mod reader;
mod spans;
mod writer;

pub use reader::{RecordFileReader, signal_of};
pub use writer::RecordFileWriter;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::block::large_values::Restorable;
use crate::block::tables::Tables;
use crate::rewrite::Rewritable;

/// A record that files have rows of.
pub(crate) trait FileRecord: Restorable + Sized + 'static {
    /// What files of them hold.
    const NOUN: &'static str;
    type Signal: Rewritable<Record = Self>;
    type Columns: FileColumns<Record = Self>;

    /// The records in a batch of a file, to which the numbers of its resources and scopes in `tables`
    /// were added as columns; none if its columns are others.
    fn decode(batch: &RecordBatch, tables: &Tables) -> Option<Vec<Self>>;
}

/// Collects records into record batches of a file.
pub(crate) trait FileColumns: Default {
    type Record;

    fn schema(&self) -> SchemaRef;

    /// Appends a record.
    fn push(&mut self, record: &Self::Record) -> Result<(), ArrowError>;

    /// Whether it is time to [`finish`](Self::finish) a batch.
    fn is_full(&self) -> bool;

    fn is_empty(&self) -> bool;

    /// The batch of the records pushed since the last call.
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
}
