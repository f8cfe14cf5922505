//! Reading a file of spans, or a block.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use lumitrace_model::{Resource, Scope};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::file::metadata::ParquetMetaData;

use super::{
    RESOURCE_ATTRIBUTES, RESOURCE_DROPPED_ATTRIBUTES, RESOURCE_SCHEMA_URL, SCOPE_ATTRIBUTES,
    SCOPE_DROPPED_ATTRIBUTES, SCOPE_NAME, SCOPE_SCHEMA_URL, SCOPE_VERSION,
};
use crate::block::Block;
use crate::block::attributes::AttributesColumn;
use crate::block::file::parsed;
use crate::block::guarded_pages;
use crate::block::large_values::{CutRecord, restore_some};
use crate::block::received::ReceivedTable;
use crate::block::rows::{self, column};
use crate::block::schema;
use crate::block::tables::{StoredResource, StoredScope, Tables};
use crate::error::{Corruption, OpenError, ReadError, io_error};
use crate::manifest::BlockId;
use crate::{SpanParts, SpanRecord, found_block};

/// Rows that are decoded at once, unless they are so long that they would take ...
const BATCH_ROWS: usize = 2048;
/// ... more than about this many bytes.
const BATCH_BYTES: i64 = 8 << 20;

/// Reads the spans of an exported file, or of a block with its index beside it, some at a time.
///
/// ```no_run
/// use lumitrace_store::span_file::SpanFileReader;
/// let mut reader = SpanFileReader::open("spans.parquet".as_ref())?;
/// while let Some(spans) = reader.next()? {
///     println!("{} of {}", spans.len(), reader.rows());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SpanFileReader {
    rows: u64,
    source: Source,
}

enum Source {
    File {
        path: PathBuf,
        reader: ParquetRecordBatchReader,
    },
    Block {
        block: Box<Block>,
        next_row: usize,
        /// Spans that were read, and whose large values are to be put back.
        waiting: VecDeque<CutRecord>,
    },
}

impl SpanFileReader {
    /// Opens a file that [`SpanFileWriter`](super::SpanFileWriter) wrote, or a block.
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

    /// How many spans the file says it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next spans; none after the last. Those of an exported file have no sequence number.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could be asked to go on after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Vec<SpanRecord>>, ReadError> {
        match &mut self.source {
            Source::File { path, reader } => {
                let damage = |reason: String| ReadError::from(Corruption::new(path, 0, reason));
                let Some(batch) = parsed(|| reader.next().transpose()).map_err(damage)? else {
                    return Ok(None);
                };
                decode(&batch)
                    .map(Some)
                    .ok_or_else(|| damage("its columns are not those of spans".to_owned()))
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
                    let data = block.open_data()?;
                    let range = *next_row..end;
                    let mut records = data.records(std::slice::from_ref(&range), SpanParts::ALL)?;
                    while let Some(batch) = records.next_cut()? {
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

/// The spans in `batch`; none if its columns are not those of spans.
fn decode(batch: &RecordBatch) -> Option<Vec<SpanRecord>> {
    let resources = ResourceColumns::new(batch)?;
    let scopes = ScopeColumns::new(batch)?;
    let (mut resource_table, mut scope_table) = (Table::default(), Table::default());
    for row in 0..batch.num_rows() {
        resource_table.add(resources.get(row)?);
        scope_table.add(scopes.get(row)?);
    }
    // As rows of a block are read, whose resources and scopes are numbered.
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    let seqs: ArrayRef = Arc::new(UInt64Array::from(vec![0; batch.num_rows()]));
    for (name, numbers) in [
        (schema::RESOURCE_ID, resource_table.numbers()),
        (schema::SCOPE_ID, scope_table.numbers()),
        (schema::SEQ, seqs),
    ] {
        let kind: DataType = numbers.data_type().clone();
        fields.push(Arc::new(Field::new(name, kind, false)));
        columns.push(numbers);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()?;
    let (resources, scopes) = (resource_table.entries, scope_table.entries);
    let tables = Tables::new(resources, scopes, ReceivedTable::default());
    let (records, _) = rows::decode(&batch, &[], &tables)?;
    Some(records)
}

/// Things that many rows share, each once. `T`'s text tells them apart.
struct Table<T> {
    entries: Vec<T>,
    by_text: HashMap<String, u32>,
    numbers: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_text: HashMap::new(),
            numbers: Vec::new(),
        }
    }
}

impl<T: std::fmt::Debug> Table<T> {
    fn add(&mut self, entry: T) {
        // Text, because NaN is not equal to itself.
        let text = format!("{entry:?}");
        let number = *self.by_text.entry(text).or_insert_with(|| {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        });
        self.numbers.push(number);
    }

    fn numbers(&mut self) -> ArrayRef {
        Arc::new(UInt32Array::from(std::mem::take(&mut self.numbers)))
    }
}

struct ResourceColumns<'a> {
    attributes: AttributesColumn<'a>,
    dropped_attributes: &'a UInt32Array,
    schema_url: &'a StringArray,
}

impl<'a> ResourceColumns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            attributes: AttributesColumn::new(batch.column_by_name(RESOURCE_ATTRIBUTES)?)?,
            dropped_attributes: column(batch, RESOURCE_DROPPED_ATTRIBUTES)?,
            schema_url: column(batch, RESOURCE_SCHEMA_URL)?,
        })
    }

    fn get(&self, row: usize) -> Option<StoredResource> {
        let resource = Arc::new(Resource {
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes.value(row),
        });
        Some(StoredResource {
            resource,
            schema_url: self.schema_url.value(row).into(),
        })
    }
}

struct ScopeColumns<'a> {
    name: &'a StringArray,
    version: &'a StringArray,
    attributes: AttributesColumn<'a>,
    dropped_attributes: &'a UInt32Array,
    schema_url: &'a StringArray,
}

impl<'a> ScopeColumns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            name: column(batch, SCOPE_NAME)?,
            version: column(batch, SCOPE_VERSION)?,
            attributes: AttributesColumn::new(batch.column_by_name(SCOPE_ATTRIBUTES)?)?,
            dropped_attributes: column(batch, SCOPE_DROPPED_ATTRIBUTES)?,
            schema_url: column(batch, SCOPE_SCHEMA_URL)?,
        })
    }

    fn get(&self, row: usize) -> Option<StoredScope> {
        let scope = Arc::new(Scope {
            name: self.name.value(row).to_owned().into(),
            version: self.version.value(row).to_owned().into(),
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes.value(row),
        });
        Some(StoredScope {
            scope,
            schema_url: self.schema_url.value(row).into(),
        })
    }
}
