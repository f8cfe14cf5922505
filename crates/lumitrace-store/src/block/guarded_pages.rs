//! Pages of a Parquet file on their way to its decoders, looked at first.
//!
//! Two things in a page say how many values follow, and Parquet's decoders allocate for that many before
//! they read any: the entries of a dictionary, and the lengths of the two encodings of texts that
//! write lengths as deltas. An allocation that is too large ends the process. So what the counts
//! promise is held here against what the page has.
//!
//! And pages are decompressed here rather than by Parquet's reader, since [`decompress`] keeps contexts.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups, RowSelection,
};
use parquet::arrow::parquet_to_arrow_field_levels;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::decompress::decompress;
use super::page_deltas::DeltaHeader;

/// Most values of a page. Ours have some ten thousands, and no more rows than that, but a row may hold
/// a long list.
const MAX_PAGE_VALUES: usize = 1 << 26;

/// Reads the leaves that `mask` names of these row groups, and of them the rows of `selection`.
pub(crate) fn read<F: ChunkReader + 'static>(
    file: F,
    metadata: &ArrowReaderMetadata,
    mask: ProjectionMask,
    row_groups: Vec<usize>,
    selection: Option<RowSelection>,
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader> {
    let fields = metadata.schema().fields();
    let levels = parquet_to_arrow_field_levels(metadata.parquet_schema(), mask, Some(fields))?;
    let row_groups = GuardedRowGroups {
        file: Arc::new(file),
        metadata: Arc::clone(metadata.metadata()),
        row_groups,
    };
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &row_groups, batch_rows, selection)
}

/// Row groups of a file whose pages are looked at.
struct GuardedRowGroups<F> {
    file: Arc<F>,
    metadata: Arc<ParquetMetaData>,
    row_groups: Vec<usize>,
}

impl<F: ChunkReader + 'static> RowGroups for GuardedRowGroups<F> {
    fn num_rows(&self) -> usize {
        let rows = RowGroups::row_groups(self).map(|group| group.num_rows() as usize);
        rows.fold(0, usize::saturating_add)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(ColumnChunks {
            file: Arc::clone(&self.file),
            metadata: Arc::clone(&self.metadata),
            row_groups: self.row_groups.clone().into_iter(),
            leaf,
        }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        let groups = self.row_groups.iter();
        Box::new(groups.map(|group| self.metadata.row_group(*group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The chunks of one column, row group by row group.
struct ColumnChunks<F> {
    file: Arc<F>,
    metadata: Arc<ParquetMetaData>,
    row_groups: std::vec::IntoIter<usize>,
    leaf: usize,
}

impl<F: ChunkReader + 'static> ColumnChunks<F> {
    fn pages(&self, group: usize) -> Result<GuardedPages<F>> {
        let row_group = self.metadata.row_group(group);
        let chunk = row_group.column(self.leaf);
        let locations = self.metadata.offset_index().and_then(|groups| {
            let pages = groups.get(group)?.get(self.leaf)?;
            Some(pages.page_locations().clone())
        });
        let (file, rows) = (Arc::clone(&self.file), row_group.num_rows() as usize);
        let descriptor = chunk.column_descr();
        let levels = [descriptor.max_rep_level(), descriptor.max_def_level()];
        let is_zstd = matches!(chunk.compression(), Compression::ZSTD(_));
        let pages = if is_zstd {
            // Parquet's reader is to hand them out as they are.
            let stored = chunk.clone().into_builder();
            let stored = stored.set_compression(Compression::UNCOMPRESSED).build()?;
            SerializedPageReader::new(file, &stored, rows, locations)?
        } else {
            SerializedPageReader::new(file, chunk, rows, locations)?
        };
        Ok(GuardedPages {
            pages,
            levels,
            max_zstd_bytes: is_zstd
                .then(|| usize::try_from(chunk.uncompressed_size()).unwrap_or(0)),
        })
    }
}

impl<F: ChunkReader + 'static> Iterator for ColumnChunks<F> {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.row_groups.next()?;
        Some(self.pages(group).map(|pages| Box::new(pages) as _))
    }
}

impl<F: ChunkReader + 'static> PageIterator for ColumnChunks<F> {}

/// The pages of a column chunk.
struct GuardedPages<F: ChunkReader> {
    pages: SerializedPageReader<F>,
    /// The highest repetition and definition level.
    levels: [i16; 2],
    /// If pages are compressed with zstd, how many bytes they have at most.
    max_zstd_bytes: Option<usize>,
}

impl<F: ChunkReader + 'static> PageReader for GuardedPages<F> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        let page = match (page, self.max_zstd_bytes) {
            (Some(page), Some(max_bytes)) => Some(decompressed(page, max_bytes)?),
            (page, _) => page,
        };
        match &page {
            Some(page) if !keeps_its_promises(page, self.levels) => Err(ParquetError::General(
                "a page says that it has more values than fit into it".to_owned(),
            )),
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl<F: ChunkReader + 'static> Iterator for GuardedPages<F> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The page with its content as it was before zstd. Levels of version 2 are not compressed, nor is the
/// rest if the page says so.
fn decompressed(mut page: Page, max_bytes: usize) -> Result<Page> {
    let (content, levels) = match &mut page {
        Page::DataPageV2 {
            is_compressed: false,
            ..
        } => return Ok(page),
        Page::DataPageV2 {
            buf,
            rep_levels_byte_len,
            def_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*rep_levels_byte_len) + u64::from(*def_levels_byte_len);
            (buf, levels as usize)
        }
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
    };
    let Some((levels, values)) = content.split_at_checked(levels) else {
        let reason = "a page ends within its levels";
        return Err(ParquetError::General(reason.to_owned()));
    };
    // Where no row has a value there may be nothing at all.
    if !values.is_empty() {
        let values = decompress(values, max_bytes)?;
        *content = if levels.is_empty() {
            Bytes::from(values)
        } else {
            Bytes::from([levels, &values].concat())
        };
    }
    Ok(page)
}

/// Whether the counts in a page are of values that it may have. Where the page makes no sense at
/// all, that is left to the decoder to find out.
fn keeps_its_promises(page: &Page, levels: [i16; 2]) -> bool {
    let values = page.num_values() as usize;
    let content = page.buffer();
    let counts = match page {
        // An entry takes a byte at least.
        Page::DictionaryPage { .. } => return values <= content.len(),
        Page::DataPage {
            rep_level_encoding,
            def_level_encoding,
            ..
        } => {
            let encodings = [*rep_level_encoding, *def_level_encoding];
            let values_at = levels
                .into_iter()
                .zip(encodings)
                .try_fold(content.as_ref(), |rest, (level, encoding)| {
                    after_levels(rest, level, encoding, values)
                });
            values_at.map(|rest| delta_counts(rest, page.encoding()))
        }
        Page::DataPageV2 {
            rep_levels_byte_len,
            def_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*rep_levels_byte_len) + u64::from(*def_levels_byte_len);
            let values_at = content.get(levels as usize..);
            values_at.map(|rest| delta_counts(rest, page.encoding()))
        }
    };
    let counts = counts.into_iter().flatten().flatten();
    values <= MAX_PAGE_VALUES && counts.into_iter().all(|count| count <= values as u64)
}

/// What follows the levels of a page of version 1; none if they do not fit into it.
fn after_levels(rest: &[u8], level: i16, encoding: Encoding, values: usize) -> Option<&[u8]> {
    if level == 0 {
        return Some(rest);
    }
    if encoding == Encoding::RLE {
        let (len, rest) = rest.split_first_chunk()?;
        return rest.get(u32::from_le_bytes(*len) as usize..);
    }
    // Packed, which is what is left of the encodings of levels.
    let bits = (i16::BITS - level.leading_zeros()) as usize;
    rest.get((values * bits).div_ceil(8)..)
}

/// The counts that the encoding writes as numbers of values to come.
fn delta_counts(values: &[u8], encoding: Encoding) -> [Option<u64>; 2] {
    match encoding {
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => [
            DeltaHeader::split(values).map(|(header, _)| header.count),
            None,
        ],
        // Two lists of lengths, one after the other.
        Encoding::DELTA_BYTE_ARRAY => match DeltaHeader::split(values) {
            Some((prefixes, rest)) => {
                let suffixes = prefixes.after_blocks(rest).and_then(DeltaHeader::split);
                [
                    Some(prefixes.count),
                    suffixes.map(|(header, _)| header.count),
                ]
            }
            None => [None, None],
        },
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ArrowReaderOptions;
    use parquet::basic::ZstdLevel;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::schema::types::ColumnPath;
    use proptest::prelude::*;

    use super::*;

    /// A file of one column in this encoding.
    fn file_of(column: &ArrayRef, encoding: Encoding, version: WriterVersion) -> Bytes {
        compressed_file_of(column, encoding, version, Compression::UNCOMPRESSED)
    }

    fn compressed_file_of(
        column: &ArrayRef,
        encoding: Encoding,
        version: WriterVersion,
        compression: Compression,
    ) -> Bytes {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_compression(compression)
            .set_dictionary_enabled(encoding == Encoding::RLE_DICTIONARY);
        let properties = match encoding {
            Encoding::RLE_DICTIONARY => properties.build(),
            _ => properties
                .set_column_encoding(ColumnPath::from("column"), encoding)
                .build(),
        };
        let batch =
            RecordBatch::try_from_iter_with_nullable([("column", Arc::clone(column), true)]);
        let batch = batch.unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file.into()
    }

    fn read_all(file: Bytes) -> Result<ArrayRef> {
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let groups = (0..metadata.metadata().num_row_groups()).collect();
        let reader = read(
            file,
            &metadata,
            ProjectionMask::all(),
            groups,
            None,
            1 << 20,
        )?;
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
        let columns: Vec<_> = batches
            .iter()
            .map(|batch| batch.column(0).as_ref())
            .collect();
        Ok(arrow::compute::concat(&columns)?)
    }

    /// The pages of the only column, behind the guard or not.
    fn pages(file: &Bytes) -> Vec<Page> {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).unwrap();
        let group = metadata.metadata().row_group(0);
        let rows = group.num_rows() as usize;
        let pages = SerializedPageReader::new(Arc::new(file.clone()), group.column(0), rows, None);
        pages.unwrap().map(Result::unwrap).collect()
    }

    fn with_content(page: &Page, content: Vec<u8>) -> Page {
        let mut changed = page.clone();
        match &mut changed {
            Page::DataPage { buf, .. }
            | Page::DataPageV2 { buf, .. }
            | Page::DictionaryPage { buf, .. } => *buf = content.into(),
        }
        changed
    }

    const TEXT_ENCODINGS: [Encoding; 4] = [
        Encoding::PLAIN,
        Encoding::RLE_DICTIONARY,
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::DELTA_BYTE_ARRAY,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn everything_that_parquet_writes_passes(
            texts in prop::collection::vec(prop::option::of("[a-c]{0,40}"), 1..700),
        ) {
            let texts: ArrayRef = Arc::new(StringArray::from(texts));
            for encoding in TEXT_ENCODINGS {
                for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                    for compression in [Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default())] {
                        let file = compressed_file_of(&texts, encoding, version, compression);
                        let read = read_all(file).unwrap();
                        prop_assert_eq!(&read, &texts, "{:?} {:?}", encoding, compression);
                    }
                }
            }
        }
    }

    #[test]
    fn counts_beyond_what_the_page_has_are_refused_wherever_they_are() {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..300).map(|number| format!("a text {number}")),
        ));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..300));
        let mut refused = 0;
        for (column, encoding) in [
            (&texts, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (&texts, Encoding::DELTA_BYTE_ARRAY),
            (&numbers, Encoding::DELTA_BINARY_PACKED),
        ] {
            for page in pages(&file_of(column, encoding, WriterVersion::PARQUET_1_0)) {
                // Optional, so that the values come after the definition levels.
                assert!(keeps_its_promises(&page, [0, 1]), "{encoding}");
                // The count, 300, in the header, is in two bytes: in its place stands 2^56.
                let content = page.buffer();
                let at = content.windows(2).enumerate();
                let counts = at.filter(|(_, bytes)| *bytes == [0xac, 0x02]);
                for (at, _) in counts {
                    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
                    let content = [&content[..at], &huge, &content[at + 2..]].concat();
                    if !keeps_its_promises(&with_content(&page, content), [0, 1]) {
                        refused += 1;
                    }
                }
            }
        }
        // One for each list of lengths, and for the numbers.
        assert_eq!(refused, 4);
    }

    #[test]
    fn a_dictionary_has_no_more_entries_than_bytes() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let file = file_of(&texts, Encoding::RLE_DICTIONARY, WriterVersion::PARQUET_1_0);
        let dictionary = pages(&file)
            .into_iter()
            .find(|page| page.is_dictionary_page());
        let dictionary = dictionary.unwrap();
        assert!(keeps_its_promises(&dictionary, [0, 1]));
        assert!(!keeps_its_promises(
            &with_content(&dictionary, vec![0]),
            [0, 1]
        ));
    }

    proptest! {
        #[test]
        fn pages_of_any_bytes_never_panic(
            content: Vec<u8>,
            values in any::<u32>(),
            encoding in prop::sample::select(vec![
                Encoding::PLAIN,
                Encoding::DELTA_BINARY_PACKED,
                Encoding::DELTA_LENGTH_BYTE_ARRAY,
                Encoding::DELTA_BYTE_ARRAY,
            ]),
            levels in prop::array::uniform2(0..5_i16),
        ) {
            #[allow(deprecated, reason = "files of others may have levels in it")]
            let packed = Encoding::BIT_PACKED;
            let page = Page::DataPage {
                buf: content.into(),
                num_values: values,
                encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: packed,
                statistics: None,
            };
            keeps_its_promises(&page, levels);
        }
    }
}
