//! Columns and spans out of the file of a block's spans.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{FixedSizeBinaryArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use lumitrace_model::SpanId;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::few_rows::{FewRows, FewValues, MAX_FEW_ROWS, WantedColumn};
use super::file::ChecksummedFile;
use super::footer::{AttributeName, Footer};
use super::reader::Block;
use super::records::{Records, SpanBatches};
use super::{guarded_pages, rows, schema};
use crate::error::ReadError;
use crate::scan::SpanParts;

/// Rows that are made spans at once, ...
const MAX_BATCH_ROWS: usize = 4096;
/// ... or of which single columns are looked at, ...
const MAX_COLUMN_ROWS: usize = 65_536;
/// ... unless they are so long that they would take more than about this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// A block's file of spans, for one reader.
#[derive(Debug, Clone)]
pub(crate) struct BlockData<'a> {
    block: &'a Block,
    footer: Arc<Footer>,
}

impl<'a> BlockData<'a> {
    pub(super) fn new(block: &'a Block, footer: Arc<Footer>) -> Self {
        Self { block, footer }
    }

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
        let cache = self.block.cache();
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
        let row_bytes = bytes as usize / (self.block.record().rows as usize).max(1);
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
