//! Columns of a few rows, such as those of one trace.
//!
//! Parquet's own reader decodes whole pages, and the dictionary of each column even where no wanted
//! row has a value; a block has a hundred columns. Here of each column only the pages of the wanted
//! rows are decompressed, and of them only the wanted values decoded; dictionaries are kept. Where
//! there are many columns, several threads share them; where pages have to come from the disk, the
//! system is told of all of them before the first is waited for. What is stored in a way that is not known
//! here is left to Parquet's reader, and so is saying what is wrong with pages that make no sense.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, Once};

use arrow::array::{ArrayRef, BooleanArray, FixedSizeBinaryBuilder, PrimitiveArray, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type,
    UInt64Type,
};
use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::schema::types::ColumnDescriptor;

use super::caches::BlockCache;
use super::decompress::decompress;
use super::file::ChecksummedFile;
use super::page_header::PageHeader;
use super::page_values::{Cells, Dictionary, PhysicalType, WantedValues};
use crate::error::ReadError;
use crate::parallel;

/// Rows up to which this is quicker than decoding pages whole.
pub(crate) const MAX_FEW_ROWS: usize = 512;

/// Columns that are worth another thread: to wake one takes as long as reading two or three.
const MIN_COLUMNS_OF_A_THREAD: usize = 8;

/// Reads columns of the same few rows.
pub(crate) struct FewRows<'a> {
    file: ChecksummedFile,
    metadata: &'a ParquetMetaData,
    cache: &'a BlockCache,
    /// Row groups, and wanted rows counted from the group's first.
    rows: Vec<(usize, Vec<usize>)>,
}

/// A column that is wanted.
pub(crate) struct WantedColumn<'a> {
    pub(crate) leaf: usize,
    /// What it is to be, but texts, which never have a dictionary.
    pub(crate) data_type: &'a DataType,
}

/// What was found of a column.
pub(crate) enum FewValues {
    /// A value, or null, for each row.
    Values(ArrayRef),
    /// No row has a value.
    AllNull,
    /// Parquet's reader has to be asked.
    Unknown,
}

/// Why there are no values.
enum Miss {
    Unknown,
    Unreadable(ReadError),
}

impl<'a> FewRows<'a> {
    /// For these rows of the block, which must ascend and not overlap. `group_starts` are the first
    /// row of each row group and, at the end, the number of rows.
    pub(crate) fn new(
        file: ChecksummedFile,
        metadata: &'a ParquetMetaData,
        cache: &'a BlockCache,
        rows: &[Range<usize>],
        group_starts: &[usize],
    ) -> Self {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for row in rows.iter().cloned().flatten() {
            let group = group_starts.partition_point(|start| *start <= row) - 1;
            let row = row - group_starts[group];
            match groups.last_mut() {
                Some((last, rows)) if *last == group => rows.push(row),
                _ => groups.push((group, vec![row])),
            }
        }
        Self {
            file,
            metadata,
            cache,
            rows: groups,
        }
    }

    /// The values of these columns.
    pub(crate) fn columns(&self, wanted: &[WantedColumn<'_>]) -> Result<Vec<FewValues>, ReadError> {
        let ahead = ReadAhead {
            rows: self,
            wanted,
            is_told: Once::new(),
        };
        let read = |wanted: &WantedColumn<'_>| self.column(wanted, &ahead);
        parallel::try_map_short(MIN_COLUMNS_OF_A_THREAD, wanted, read)
    }

    fn column(
        &self,
        wanted: &WantedColumn<'_>,
        ahead: &ReadAhead<'_>,
    ) -> Result<FewValues, ReadError> {
        let WantedColumn { leaf, data_type } = *wanted;
        let descriptor = self.metadata.file_metadata().schema_descr().column(leaf);
        let Some(physical_type) = physical_type(&descriptor) else {
            return Ok(FewValues::Unknown);
        };
        let mut cells = Cells::default();
        let mut read = |page: &WantedPage<'_>| page.read(physical_type, ahead, &mut cells);
        // Like Parquet's own reader, since its metadata panics at numbers that make no sense.
        let read = self
            .file
            .parsed(|| Ok::<_, Infallible>(self.for_each_page(leaf, &mut read)))?;
        match read {
            Ok(()) if cells.are_all_null() => Ok(FewValues::AllNull),
            Ok(()) => Ok(array(&cells, data_type).map_or(FewValues::Unknown, FewValues::Values)),
            Err(Miss::Unknown) => Ok(FewValues::Unknown),
            Err(Miss::Unreadable(error)) => Err(error),
        }
    }

    /// Visits the pages of this column that have wanted rows.
    fn for_each_page(
        &self,
        leaf: usize,
        visit: &mut dyn FnMut(&WantedPage<'_>) -> Result<(), Miss>,
    ) -> Result<(), Miss> {
        let offset_index = self.metadata.offset_index().ok_or(Miss::Unknown)?;
        for (group, rows) in &self.rows {
            let column = ColumnReader {
                file: &self.file,
                chunk: self.metadata.row_group(*group).column(leaf),
                cache: self.cache,
            };
            let pages = offset_index
                .get(*group)
                .and_then(|columns| columns.get(leaf));
            let pages = pages.ok_or(Miss::Unknown)?.page_locations();
            let mut rows = rows.as_slice();
            while let Some(first) = rows.first() {
                let next = pages.partition_point(|page| first_row(page) <= *first);
                let number = next.checked_sub(1).ok_or(Miss::Unknown)?;
                let end = pages.get(next).map_or(usize::MAX, first_row);
                let (wanted, rest) = rows.split_at(rows.partition_point(|row| *row < end));
                let page_start = first_row(&pages[number]);
                let in_page = wanted.iter().map(|row| row.checked_sub(page_start));
                let in_page: Option<Vec<usize>> = in_page.collect();
                visit(&WantedPage {
                    column: &column,
                    location: &pages[number],
                    first_page: &pages[0],
                    rows: in_page.ok_or(Miss::Unknown)?,
                })?;
                rows = rest;
            }
        }
        Ok(())
    }
}

/// Tells the system of all pages of the wanted columns, once one of them has to come from the disk.
struct ReadAhead<'a> {
    rows: &'a FewRows<'a>,
    wanted: &'a [WantedColumn<'a>],
    is_told: Once,
}

impl ReadAhead<'_> {
    fn tell(&self) {
        self.is_told.call_once(|| {
            for column in self.wanted {
                // What is not known here is read in another way, and reading it says why.
                let _ = self
                    .rows
                    .for_each_page(column.leaf, &mut |page| page.announce());
            }
        });
    }
}

/// A page with wanted rows.
struct WantedPage<'a> {
    column: &'a ColumnReader<'a>,
    location: &'a PageLocation,
    /// The first data page of the column chunk.
    first_page: &'a PageLocation,
    /// Counted from the page's first.
    rows: Vec<usize>,
}

impl WantedPage<'_> {
    /// Adds the wanted values.
    fn read(&self, of: PhysicalType, ahead: &ReadAhead<'_>, cells: &mut Cells) -> Result<(), Miss> {
        let column = self.column;
        let (offset, len) = self.bytes()?;
        let (header, content) = column.content(offset, len, ahead)?;
        let is_optional = column.chunk.column_descr().max_def_level() == 1;
        let values = WantedValues::new(header, &content, is_optional, &self.rows);
        let values = values.ok_or(Miss::Unknown)?;
        let dictionary = if values.need_dictionary() {
            Some(column.dictionary(self.first_page, of, ahead)?)
        } else {
            None
        };
        values
            .read(of, dictionary.as_deref(), cells)
            .ok_or(Miss::Unknown)
    }

    /// Tells the system that this page will be read, and the dictionary unless it is kept.
    fn announce(&self) -> Result<(), Miss> {
        let column = self.column;
        let (offset, len) = self.bytes()?;
        column.file.will_need(offset, len);
        let (offset, len) = column.dictionary_bytes(self.first_page)?;
        if column.cache.dictionary(offset).is_none() {
            column.file.will_need(offset, len);
        }
        Ok(())
    }

    fn bytes(&self) -> Result<(u64, usize), Miss> {
        let (offset, len) = (self.location.offset, self.location.compressed_page_size);
        let offset = u64::try_from(offset).map_err(|_| Miss::Unknown)?;
        let len = usize::try_from(len).map_err(|_| Miss::Unknown)?;
        Ok((offset, len))
    }
}

/// Reads pages of one column of a row group.
struct ColumnReader<'a> {
    file: &'a ChecksummedFile,
    chunk: &'a ColumnChunkMetaData,
    cache: &'a BlockCache,
}

impl ColumnReader<'_> {
    /// The dictionary, which is before the first data page.
    fn dictionary(
        &self,
        first_page: &PageLocation,
        of: PhysicalType,
        ahead: &ReadAhead<'_>,
    ) -> Result<Arc<Dictionary>, Miss> {
        let (offset, len) = self.dictionary_bytes(first_page)?;
        if let Some(dictionary) = self.cache.dictionary(offset) {
            return Ok(dictionary);
        }
        let (header, content) = self.content(offset, len, ahead)?;
        let dictionary = Dictionary::new(header, content, of).ok_or(Miss::Unknown)?;
        let dictionary = Arc::new(dictionary);
        self.cache.insert_dictionary(offset, &dictionary);
        Ok(dictionary)
    }

    /// Where the dictionary is, if there is one; otherwise no bytes.
    fn dictionary_bytes(&self, first_page: &PageLocation) -> Result<(u64, usize), Miss> {
        let (offset, _) = self.chunk.byte_range();
        let first_page = u64::try_from(first_page.offset).map_err(|_| Miss::Unknown)?;
        let len = first_page.checked_sub(offset).ok_or(Miss::Unknown)?;
        Ok((offset, len as usize))
    }

    /// The header and the decompressed content of the page in these bytes.
    fn content(
        &self,
        offset: u64,
        len: usize,
        ahead: &ReadAhead<'_>,
    ) -> Result<(PageHeader, Vec<u8>), Miss> {
        let (chunk_offset, chunk_len) = self.chunk.byte_range();
        if offset < chunk_offset || (offset - chunk_offset).saturating_add(len as u64) > chunk_len {
            return Err(Miss::Unknown);
        }
        let page = self
            .file
            .read_after(offset, len, || ahead.tell())
            .map_err(Miss::Unreadable)?;
        let (header, content) = PageHeader::split(&page).ok_or(Miss::Unknown)?;
        let content = match self.chunk.compression() {
            Compression::UNCOMPRESSED => Ok(content.to_vec()),
            // So damage cannot ask for any amount of memory.
            Compression::ZSTD(_)
                if header.uncompressed_bytes as i64 <= self.chunk.uncompressed_size() =>
            {
                decompress(content, header.uncompressed_bytes).map_err(|_| Miss::Unknown)
            }
            _ => Err(Miss::Unknown),
        };
        let content = content?;
        if content.len() != header.uncompressed_bytes {
            return Err(Miss::Unknown);
        }
        Ok((header, content))
    }
}

/// Past all rows if it makes no sense.
fn first_row(page: &PageLocation) -> usize {
    usize::try_from(page.first_row_index).unwrap_or(usize::MAX)
}

/// None if the column is nested, or of a type that blocks do not have.
fn physical_type(column: &ColumnDescriptor) -> Option<PhysicalType> {
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return None;
    }
    match column.physical_type() {
        Type::BOOLEAN => Some(PhysicalType::Bool),
        Type::INT32 => Some(PhysicalType::Fixed(4)),
        Type::INT64 | Type::DOUBLE => Some(PhysicalType::Fixed(8)),
        Type::BYTE_ARRAY => Some(PhysicalType::Bytes),
        Type::FIXED_LEN_BYTE_ARRAY => Some(PhysicalType::Fixed(
            usize::try_from(column.type_length()).ok()?,
        )),
        Type::FLOAT | Type::INT96 => None,
    }
}

/// The cells as a column of this type, or of plain texts in place of a dictionary.
fn array(cells: &Cells, data_type: &DataType) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Utf8 | DataType::Dictionary(..) => {
            let mut texts = StringBuilder::new();
            for cell in cells.iter() {
                texts.append_option(cell.map(str::from_utf8).transpose().ok()?);
            }
            Arc::new(texts.finish())
        }
        DataType::Boolean => {
            let bool = |cell: Option<&[u8]>| cell.map(|cell| cell == [1]);
            Arc::new(BooleanArray::from_iter(cells.iter().map(bool)))
        }
        DataType::FixedSizeBinary(width) => {
            let mut values = FixedSizeBinaryBuilder::new(*width);
            for cell in cells.iter() {
                match cell {
                    Some(cell) => values.append_value(cell).ok()?,
                    None => values.append_null(),
                }
            }
            Arc::new(values.finish())
        }
        DataType::UInt8 => numbers::<UInt8Type, 4>(cells, |bytes| u32::from_le_bytes(bytes) as u8)?,
        DataType::UInt32 => numbers::<UInt32Type, 4>(cells, u32::from_le_bytes)?,
        DataType::Int32 => numbers::<Int32Type, 4>(cells, i32::from_le_bytes)?,
        DataType::UInt64 => numbers::<UInt64Type, 8>(cells, u64::from_le_bytes)?,
        DataType::Int64 => numbers::<Int64Type, 8>(cells, i64::from_le_bytes)?,
        DataType::Float64 => numbers::<Float64Type, 8>(cells, f64::from_le_bytes)?,
        _ => return None,
    })
}

/// None if a cell has another length.
fn numbers<T: ArrowPrimitiveType, const WIDTH: usize>(
    cells: &Cells,
    number: impl Fn([u8; WIDTH]) -> T::Native,
) -> Option<ArrayRef> {
    let numbers = cells.iter().map(|cell| match cell {
        Some(cell) => Some(Some(number(cell.try_into().ok()?))),
        None => Some(None),
    });
    let numbers: PrimitiveArray<T> = numbers.collect::<Option<Vec<_>>>()?.into_iter().collect();
    Some(Arc::new(numbers))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, RecordBatch};
    use arrow::compute::{cast, concat_batches, take};
    use arrow::datatypes::{Field, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
    };
    use parquet::basic::{Encoding, ZstdLevel};
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::ChunkReader;
    use parquet::schema::types::ColumnPath;
    use proptest::prelude::*;

    use super::*;
    use crate::block::caches::BlockCaches;
    use crate::block::file::{CHUNK_BYTES, ChecksummedWriter, Checksums};
    use crate::block::in_memory::forget;
    use crate::disk::RealDisk;

    /// How the random file of a test is made.
    #[derive(Debug, Clone)]
    struct Recipe {
        seed: u64,
        rows: usize,
        null_percent: u8,
        distinct: u64,
        page_rows: usize,
        group_rows: usize,
        has_dictionaries: bool,
        is_compressed: bool,
        is_version_2: bool,
        /// Whether it has to come from the disk, where the system knows the difference.
        is_cold: bool,
    }

    fn recipes() -> impl Strategy<Value = Recipe> {
        let version = prop::bool::weighted(0.1);
        (
            (any::<u64>(), 1..1500_usize, 0..=100_u8),
            (1..400_u64, 1..300_usize, 100..2000_usize),
            (any::<bool>(), any::<bool>(), version, any::<bool>()),
        )
            .prop_map(|((seed, rows, null_percent), sizes, flags)| Recipe {
                seed,
                rows,
                null_percent,
                distinct: sizes.0,
                page_rows: sizes.1,
                group_rows: sizes.2,
                has_dictionaries: flags.0,
                is_compressed: flags.1,
                is_version_2: flags.2,
                is_cold: flags.3,
            })
    }

    /// A column of each type that spans have, all optional but `kind`.
    fn random_batch(recipe: &Recipe) -> RecordBatch {
        let mut rng = fastrand::Rng::with_seed(recipe.seed);
        let mut numbers = |nulls: u8| -> Vec<Option<u64>> {
            let mut number = || (rng.u8(..100) >= nulls).then(|| rng.u64(..recipe.distinct));
            (0..recipe.rows).map(|_| number()).collect()
        };
        let nulls = recipe.null_percent;
        let texts = |numbers: Vec<Option<u64>>| {
            let mut texts = StringBuilder::new();
            for number in numbers {
                texts.append_option(number.map(|it| "é".repeat(it as usize % 7) + &it.to_string()));
            }
            Arc::new(texts.finish()) as ArrayRef
        };
        let mut ids = || -> ArrayRef {
            let mut ids = FixedSizeBinaryBuilder::new(8);
            for number in numbers(nulls) {
                match number {
                    Some(number) => ids.append_value(number.to_be_bytes()).unwrap(),
                    None => ids.append_null(),
                }
            }
            Arc::new(ids.finish())
        };
        let (plain_ids, delta_ids) = (ids(), ids());
        let mut bools = || -> ArrayRef {
            let bools = numbers(nulls)
                .into_iter()
                .map(|it| it.map(|it| it % 3 == 0));
            Arc::new(bools.collect::<BooleanArray>())
        };
        let (plain_bools, rle_bools) = (bools(), bools());
        // Differences of all widths.
        let spread =
            |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (number % 64)) as i64;
        let far_apart = numbers(nulls).into_iter().map(|it| it.map(spread));
        let far_apart: PrimitiveArray<Int64Type> = far_apart.collect();
        let near = numbers(nulls)
            .into_iter()
            .map(|it| it.map(|it| it as i32 * -7));
        let near: PrimitiveArray<Int32Type> = near.collect();
        let float = |number: u64| f64::from_bits(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let floats = numbers(nulls).into_iter().map(|it| it.map(float));
        let ints = numbers(nulls)
            .into_iter()
            .map(|it| it.map(|it| -(it as i64)));
        let kinds = numbers(0).into_iter().map(|it| it.map(|it| it as u8));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", texts(numbers(nulls))),
            ("delta_text", texts(numbers(nulls))),
            ("int", Arc::new(ints.collect::<PrimitiveArray<Int64Type>>())),
            (
                "float",
                Arc::new(floats.collect::<PrimitiveArray<Float64Type>>()),
            ),
            ("id", plain_ids),
            ("delta_id", delta_ids),
            ("delta_int", Arc::new(far_apart)),
            ("delta_small_int", Arc::new(near)),
            ("bool", plain_bools),
            ("rle_bool", rle_bools),
            (
                "kind",
                Arc::new(kinds.collect::<PrimitiveArray<UInt8Type>>()),
            ),
        ];
        let fields = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), *name != "kind"));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = columns.into_iter().map(|(_, column)| column);
        RecordBatch::try_new(schema, columns.collect()).unwrap()
    }

    /// Without dictionaries.
    const DELTAS: [(&str, Encoding); 3] = [
        ("delta_id", Encoding::DELTA_BYTE_ARRAY),
        ("delta_int", Encoding::DELTA_BINARY_PACKED),
        ("delta_small_int", Encoding::DELTA_BINARY_PACKED),
    ];

    fn properties(recipe: &Recipe) -> WriterProperties {
        let version = match recipe.is_version_2 {
            true => WriterVersion::PARQUET_2_0,
            false => WriterVersion::PARQUET_1_0,
        };
        let compression = match recipe.is_compressed {
            true => Compression::ZSTD(ZstdLevel::default()),
            false => Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_compression(compression)
            .set_data_page_row_count_limit(recipe.page_rows)
            .set_write_batch_size(64)
            .set_max_row_group_row_count(Some(recipe.group_rows))
            .set_dictionary_enabled(recipe.has_dictionaries)
            // Some columns have more than this, and go on without a dictionary.
            .set_dictionary_page_size_limit(1000)
            .set_column_encoding(ColumnPath::from("text"), Encoding::PLAIN)
            .set_column_encoding(
                ColumnPath::from("delta_text"),
                Encoding::DELTA_LENGTH_BYTE_ARRAY,
            )
            .set_column_encoding(ColumnPath::from("float"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(ColumnPath::from("rle_bool"), Encoding::RLE);
        let deltas = DELTAS
            .iter()
            .fold(properties, |properties, (name, encoding)| {
                let path = ColumnPath::from(*name);
                let properties = properties.set_column_encoding(path.clone(), *encoding);
                properties.set_column_dictionary_enabled(path, false)
            });
        deltas.build()
    }

    fn write(dir: &std::path::Path, recipe: &Recipe, batch: &RecordBatch) -> ChecksummedFile {
        let path = dir.join("file");
        let writer = ChecksummedWriter::create(Arc::new(RealDisk), path.clone()).unwrap();
        let properties = Some(properties(recipe));
        let mut parquet = ArrowWriter::try_new(writer, batch.schema(), properties).unwrap();
        parquet.write(batch).unwrap();
        let (chunks, len) = parquet.into_inner().unwrap().finish().unwrap();
        if recipe.is_cold {
            let file = std::fs::File::open(&path).unwrap();
            forget(&file).unwrap();
        }
        let checksums = Checksums {
            chunk_bytes: CHUNK_BYTES,
            chunks: chunks.into(),
        };
        ChecksummedFile::new(path, len, checksums)
    }

    #[test]
    fn damage_is_told_with_its_own_offset_whatever_another_thread_has_met() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe {
            seed: 1,
            rows: 1_000,
            null_percent: 0,
            distinct: 300,
            page_rows: 100,
            group_rows: 1_000,
            has_dictionaries: false,
            is_compressed: true,
            is_version_2: false,
            is_cold: false,
        };
        let batch = random_batch(&recipe);
        let file = write(dir.path(), &recipe, &batch);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
        let parquet = metadata.metadata();
        let id = batch.schema().index_of("id").unwrap();
        let (at, _) = parquet.row_group(0).column(id).byte_range();
        assert!(
            at > CHUNK_BYTES as u64,
            "an offset of zero would say nothing"
        );
        let path = dir.path().join("file");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at as usize] ^= 1;
        bytes[10] ^= 1;
        std::fs::write(&path, bytes).unwrap();

        // Another thread, which has not said so yet.
        file.get_bytes(10, 1).unwrap_err();
        let cache = Arc::new(BlockCaches::default()).for_block();
        let rows = std::slice::from_ref(&(0..1));
        let few = FewRows::new(file, parquet, &cache, rows, &[0, recipe.rows]);
        let wanted = WantedColumn {
            leaf: id,
            data_type: batch.schema_ref().field(id).data_type(),
        };
        let chunk = CHUNK_BYTES as u64;
        match few.columns(&[wanted]) {
            Err(ReadError::Corrupt(damage)) => assert_eq!(damage.offset, at / chunk * chunk),
            other => panic!("{:?}", other.map(|values| values.len())),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn single_rows_are_what_parquets_own_reader_finds(
            recipe in recipes(),
            rows in prop::collection::btree_set(0..1500_usize, 1..40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let batch = random_batch(&recipe);
            let file = write(dir.path(), &recipe, &batch);
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
            let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
            let whole = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
            let whole: Vec<RecordBatch> = whole.build().unwrap().map(Result::unwrap).collect();
            let whole = concat_batches(&batch.schema(), &whole).unwrap();

            let rows: Vec<usize> = rows.into_iter().filter(|row| *row < recipe.rows).collect();
            let ranges: Vec<Range<usize>> = rows.iter().map(|row| *row..row + 1).collect();
            let numbers = rows.iter().map(|row| Some(*row as u64));
            let numbers: PrimitiveArray<UInt64Type> = numbers.collect();
            let mut starts = vec![0];
            for group in metadata.metadata().row_groups() {
                starts.push(starts[starts.len() - 1] + group.num_rows() as usize);
            }
            let cache = Arc::new(BlockCaches::default()).for_block();
            let parquet = metadata.metadata();
            let few = FewRows::new(file, parquet, &cache, &ranges, &starts);
            let schema = batch.schema();
            // So often that threads share them, and most times with what is kept.
            let leaves = (0..batch.num_columns()).cycle();
            let leaves: Vec<usize> = leaves.take(5 * MIN_COLUMNS_OF_A_THREAD).collect();
            let wanted = leaves.iter().map(|leaf| WantedColumn {
                leaf: *leaf,
                data_type: schema.field(*leaf).data_type(),
            });
            let found = few.columns(&wanted.collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(found.len(), leaves.len());
            for (leaf, found) in leaves.into_iter().zip(found) {
                let expected = take(whole.column(leaf), &numbers, None).unwrap();
                let name = schema.field(leaf).name();
                match found {
                    FewValues::Values(values) => {
                        let values = cast(&values, expected.data_type()).unwrap();
                        prop_assert_eq!(&values, &expected, "{}", name);
                    }
                    FewValues::AllNull => {
                        prop_assert_eq!(expected.null_count(), rows.len(), "{}", name);
                    }
                    FewValues::Unknown => {
                        prop_assert!(recipe.is_version_2 || name == "delta_text", "{}", name);
                    }
                }
            }
        }
    }
}
