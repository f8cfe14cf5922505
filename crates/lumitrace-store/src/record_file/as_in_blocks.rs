//! Log records and points into the columns of a file: those of a block that leaves none out, but for
//! numbers that mean nothing outside of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::origins::OriginColumns;
use super::{FileColumns, FileRecord};
use crate::block::columns::Columns;
use crate::block::layout::{Layout, OptionalColumns};
use crate::block::row::RowHead;
use crate::block::schema;
use crate::block::tables::Tables;
use crate::logs::Logs;
use crate::logs::columns::LogColumns;
use crate::logs::rows as log_rows;
use crate::metrics::Metrics;
use crate::metrics::columns::PointColumns;
use crate::metrics::rows as point_rows;
use crate::{LogEntry, StoredPoint};

/// Columns of blocks that only mean something beside an index and a payload file.
const ONLY_IN_BLOCKS: [&str; 4] = [
    schema::RESOURCE_ID,
    schema::SCOPE_ID,
    schema::SEQ,
    schema::LARGE_VALUES,
];

/// A record whose columns in files are those of blocks.
pub(crate) trait BlockLike: FileRecord {
    type BlockColumns: Columns;

    fn head(&self) -> RowHead<'_>;

    /// Appends it. Its resource and its scope have no numbers.
    fn push_to(&self, columns: &mut Self::BlockColumns) -> Result<(), ArrowError>;
}

/// The columns of a block, and who produced each row.
pub(crate) struct AsInBlocks<R: BlockLike> {
    columns: R::BlockColumns,
    /// Places of the columns of blocks that the file has.
    kept: Vec<usize>,
    received: UInt64Builder,
    origins: OriginColumns,
    schema: SchemaRef,
}

impl<R: BlockLike> Default for AsInBlocks<R> {
    fn default() -> Self {
        let kind = R::BlockColumns::kind();
        let mut optional = OptionalColumns::default();
        kind.optional.iter().for_each(|name| optional.insert(name));
        let layout = Layout {
            optional,
            ..Layout::default()
        };
        let of_block = schema::schema_of(kind, &layout);
        let is_kept = |field: &Field| !ONLY_IN_BLOCKS.contains(&field.name().as_str());
        let fields = of_block.fields().iter().enumerate();
        let (kept, mut fields): (Vec<_>, Vec<_>) = fields
            .filter(|(_, field)| is_kept(field))
            .map(|(place, field)| (place, Arc::clone(field)))
            .unzip();
        let received = Field::new(schema::RECEIVED, DataType::UInt64, false);
        fields.push(Arc::new(received));
        fields.extend(OriginColumns::fields().map(Arc::new));
        Self {
            columns: R::BlockColumns::new(&layout, of_block),
            kept,
            received: UInt64Builder::new(),
            origins: OriginColumns::default(),
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

impl<R: BlockLike> FileColumns for AsInBlocks<R> {
    type Record = R;

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, record: &R) -> Result<(), ArrowError> {
        let head = record.head();
        self.received.append_value(head.received_unix_nano);
        self.origins.push(&head);
        record.push_to(&mut self.columns)
    }

    fn is_full(&self) -> bool {
        self.columns.is_full()
    }

    fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let batch = self.columns.finish()?;
        let kept = self.kept.iter().map(|place| batch.column(*place));
        let mut columns: Vec<ArrayRef> = kept.cloned().collect();
        columns.push(Arc::new(self.received.finish()));
        columns.extend(self.origins.finish());
        RecordBatch::try_new(self.schema(), columns)
    }
}

impl FileRecord for LogEntry {
    const NOUN: &'static str = "log records";
    type Signal = Logs;
    type Columns = AsInBlocks<Self>;

    fn decode(batch: &RecordBatch, tables: &Tables) -> Option<Vec<Self>> {
        let cuts = log_rows::decode(batch, &[], tables)?.into_iter();
        Some(cuts.map(|cut| cut.record).collect())
    }
}

impl BlockLike for LogEntry {
    type BlockColumns = LogColumns;

    fn head(&self) -> RowHead<'_> {
        self.row_head()
    }

    fn push_to(&self, columns: &mut LogColumns) -> Result<(), ArrowError> {
        columns.push(&self.into(), 0, 0)
    }
}

impl FileRecord for StoredPoint {
    const NOUN: &'static str = "points";
    type Signal = Metrics;
    type Columns = AsInBlocks<Self>;

    fn decode(batch: &RecordBatch, tables: &Tables) -> Option<Vec<Self>> {
        point_rows::decode(batch, &[], tables)
    }
}

impl BlockLike for StoredPoint {
    type BlockColumns = PointColumns;

    fn head(&self) -> RowHead<'_> {
        self.row_head()
    }

    fn push_to(&self, columns: &mut PointColumns) -> Result<(), ArrowError> {
        columns.push(&self.into(), 0, 0)
    }
}
