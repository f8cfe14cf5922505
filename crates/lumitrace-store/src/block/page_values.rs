//! Single values out of a page, without decoding the others.
//!
//! A data page of version 1, of a column that is not nested, is, after decompression: where the
//! column is optional, a u32 length and so many bytes of definition levels, 1 for each row that has
//! a value; then the values of those rows. Levels, numbers of dictionary entries and, where they are
//! so encoded, booleans are the hybrid of run lengths and bit packing (`Encodings.md` of the Parquet
//! format, "Run Length Encoding / Bit-Packing Hybrid").
//!
//! Every function returns none if the bytes are not what they should be, and never panics.

use std::ops::Range;

use super::page_deltas;
use super::page_header::{PageEncoding, PageHeader, PageKind, split_varint};

/// How values lie in memory, in the encoding PLAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PhysicalType {
    Bool,
    /// Of so many bytes.
    Fixed(usize),
    /// Each after its length as u32.
    Bytes,
}

/// Values of rows one after the other: numbers little-endian, booleans as a byte.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
}

impl Cells {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        let start = self.bytes.len();
        let cell = value.map(|value| {
            self.bytes.extend_from_slice(value);
            start..self.bytes.len()
        });
        self.cells.push(cell);
    }

    /// The value of each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let cells = self.cells.iter();
        cells.map(|cell| cell.clone().map(|cell| &self.bytes[cell]))
    }

    pub(crate) fn are_all_null(&self) -> bool {
        self.cells.iter().all(Option::is_none)
    }
}

/// The entries of a dictionary page, which many are kept of: without anything else in between.
#[derive(Debug)]
pub(crate) struct Dictionary {
    bytes: Box<[u8]>,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Fixed(usize),
    /// Where each one ends.
    Bytes(Box<[u32]>),
}

impl Dictionary {
    /// Takes the content of a dictionary page.
    pub(crate) fn new(header: PageHeader, content: Vec<u8>, of: PhysicalType) -> Option<Self> {
        let is_plain = matches!(
            header.encoding,
            PageEncoding::Plain | PageEncoding::Dictionary
        );
        if header.kind != PageKind::Dictionary || !is_plain {
            return None;
        }
        match of {
            PhysicalType::Bool => None,
            PhysicalType::Fixed(width) => Some(Self {
                bytes: content.into_boxed_slice(),
                entries: Entries::Fixed(width),
            }),
            PhysicalType::Bytes => Self::of_texts(&content, header.values),
        }
    }

    fn of_texts(content: &[u8], count: usize) -> Option<Self> {
        let mut texts = Texts::new(content);
        // Each has its length before it, so there cannot be more than this.
        let mut ends = Vec::with_capacity(count.min(content.len() / 4));
        let mut bytes = Vec::with_capacity(content.len().saturating_sub(count.saturating_mul(4)));
        for _ in 0..count {
            bytes.extend_from_slice(&content[texts.next()?]);
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        Some(Self {
            bytes: bytes.into_boxed_slice(),
            entries: Entries::Bytes(ends.into_boxed_slice()),
        })
    }

    /// The entry of this number.
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        match &self.entries {
            Entries::Fixed(width) => fixed(&self.bytes, *width, number),
            Entries::Bytes(ends) => {
                let end = *ends.get(number)? as usize;
                let start = number.checked_sub(1).map_or(0, |last| ends[last] as usize);
                self.bytes.get(start..end)
            }
        }
    }

    /// Size in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let ends = match &self.entries {
            Entries::Fixed(_) => 0,
            Entries::Bytes(ends) => size_of_val::<[u32]>(ends),
        };
        size_of::<Self>() + self.bytes.len() + ends
    }
}

/// A decompressed data page, and which of its values are wanted.
#[derive(Debug)]
pub(crate) struct WantedValues<'a> {
    encoding: PageEncoding,
    values: &'a [u8],
    /// For each wanted row the position of its value among the values, if it has one.
    positions: Vec<Option<usize>>,
}

impl<'a> WantedValues<'a> {
    /// Finds the values of `rows`, which must ascend and are counted from the page's first.
    pub(crate) fn new(
        header: PageHeader,
        content: &'a [u8],
        is_optional: bool,
        rows: &[usize],
    ) -> Option<Self> {
        let in_page = rows.last().is_none_or(|row| *row < header.values);
        if header.kind != PageKind::Data || !in_page {
            return None;
        }
        let (positions, values) = if is_optional {
            let (levels, values) = split_prefixed(content)?;
            (present(levels, rows)?, values)
        } else {
            (rows.iter().copied().map(Some).collect(), content)
        };
        Some(Self {
            encoding: header.encoding,
            values,
            positions,
        })
    }

    /// Whether [`read`](Self::read) needs the dictionary.
    pub(crate) fn need_dictionary(&self) -> bool {
        self.encoding == PageEncoding::Dictionary && self.positions.iter().any(Option::is_some)
    }

    /// Adds the value of each wanted row to `cells`.
    pub(crate) fn read(
        &self,
        of: PhysicalType,
        dictionary: Option<&Dictionary>,
        cells: &mut Cells,
    ) -> Option<()> {
        let positions: Vec<usize> = self.positions.iter().copied().flatten().collect();
        if positions.is_empty() {
            self.positions.iter().for_each(|_| cells.push(None));
            return Some(());
        }
        let mut found = Cells::default();
        match (self.encoding, of) {
            (PageEncoding::Dictionary, _) => {
                let (width, numbers) = self.values.split_first()?;
                for number in numbers_at(numbers, *width, &positions)? {
                    found.push(Some(dictionary?.get(number)?));
                }
            }
            (PageEncoding::Plain, PhysicalType::Fixed(width)) => {
                for position in positions {
                    found.push(Some(fixed(self.values, width, position)?));
                }
            }
            (PageEncoding::Plain, PhysicalType::Bytes) => {
                let mut texts = Texts::new(self.values);
                let mut passed = 0;
                for position in positions {
                    let text = texts.nth(position - passed)?;
                    passed = position + 1;
                    found.push(Some(&self.values[text]));
                }
            }
            (PageEncoding::Plain, PhysicalType::Bool) => {
                for position in positions {
                    let bit = packed(self.values, 1, position)?;
                    found.push(Some(&[bit as u8]));
                }
            }
            (PageEncoding::Rle, PhysicalType::Bool) => {
                let (bits, _) = split_prefixed(self.values)?;
                for bit in numbers_at(bits, 1, &positions)? {
                    found.push(Some(&[bit as u8]));
                }
            }
            (PageEncoding::DeltaBinaryPacked, PhysicalType::Fixed(width @ (4 | 8))) => {
                page_deltas::numbers(self.values, width, &positions, &mut found)?;
            }
            (PageEncoding::DeltaByteArray, PhysicalType::Fixed(width)) => {
                page_deltas::byte_arrays(self.values, width, &positions, &mut found)?;
            }
            (PageEncoding::ByteStreamSplit, PhysicalType::Fixed(width)) => {
                split_streams(self.values, width, &positions, &mut found)?;
            }
            _ => return None,
        }
        let mut found = found.iter();
        for position in &self.positions {
            cells.push(match position {
                Some(_) => found.next()?,
                None => None,
            });
        }
        Some(())
    }
}

/// BYTE_STREAM_SPLIT: the first byte of every value, then the second of every value, and so on.
fn split_streams(
    values: &[u8],
    width: usize,
    positions: &[usize],
    found: &mut Cells,
) -> Option<()> {
    let count = values.len().checked_div(width)?;
    let mut value = vec![0; width];
    for position in positions {
        if *position >= count {
            return None;
        }
        for (byte, stream) in value.iter_mut().zip(values.chunks_exact(count)) {
            *byte = stream[*position];
        }
        found.push(Some(&value));
    }
    Some(())
}

/// A u32 length and so many bytes, and what follows.
fn split_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    bytes[4..].split_at_checked(len)
}

fn u32_at(bytes: &[u8], start: usize) -> Option<u32> {
    let (number, _) = bytes.get(start..)?.split_first_chunk()?;
    Some(u32::from_le_bytes(*number))
}

fn fixed(bytes: &[u8], width: usize, position: usize) -> Option<&[u8]> {
    let start = position.checked_mul(width)?;
    bytes.get(start..start.checked_add(width)?)
}

/// Texts in the encoding PLAIN, one after the other, as ranges of their bytes.
struct Texts<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Texts<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }
}

impl Iterator for Texts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let len = u32_at(self.bytes, self.position)? as usize;
        let start = self.position + 4;
        let end = start.checked_add(len)?;
        self.bytes.get(start..end)?;
        self.position = end;
        Some(start..end)
    }
}

/// A part of the hybrid.
#[derive(Debug, Clone, Copy)]
enum Run<'a> {
    Same { value: u64, count: usize },
    Packed { bits: &'a [u8], count: usize },
}

impl Run<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Same { count, .. } | Self::Packed { count, .. } => *count,
        }
    }
}

/// Splits the next run off numbers of `width` bits, which are at most 32.
fn next_run(bytes: &[u8], width: u8) -> Option<(Run<'_>, &[u8])> {
    let (head, rest) = match bytes {
        // Nearly all are so short.
        [head, rest @ ..] if *head < 0x80 => (u64::from(*head), rest),
        _ => split_varint(bytes)?,
    };
    let count = usize::try_from(head >> 1).ok()?;
    let width = usize::from(width);
    if head & 1 == 0 {
        let (bytes, rest) = rest.split_at_checked(width.div_ceil(8))?;
        let value = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        return Some((Run::Same { value, count }, rest));
    }
    // The last run may leave out bytes of which nothing is used.
    let len = count.checked_mul(width)?.min(rest.len());
    let (bits, rest) = rest.split_at(len);
    let count = count.checked_mul(8)?;
    Some((Run::Packed { bits, count }, rest))
}

/// The number of `width` bits, at most 64, at `position` of those that are packed, lowest bits first.
pub(super) fn packed(bits: &[u8], width: u8, position: usize) -> Option<u64> {
    let first_bit = position.checked_mul(width.into())?;
    let bytes = bits.get(first_bit / 8..)?;
    let shift = first_bit % 8;
    let needed_bits = shift + usize::from(width);
    let word = match bytes.first_chunk() {
        Some(word) if needed_bits <= 64 => u64::from_le_bytes(*word) >> shift,
        _ => {
            let bytes = bytes.get(..needed_bits.div_ceil(8))?.iter().rev();
            let word = bytes.fold(0, |word: u128, byte| word << 8 | u128::from(*byte));
            (word >> shift) as u64
        }
    };
    // Of a number of no bits nothing is left.
    Some(
        word & u64::MAX
            .checked_shr(64_u32.checked_sub(width.into())?)
            .unwrap_or(0),
    )
}

/// The numbers at these positions, which must ascend.
fn numbers_at(mut bytes: &[u8], width: u8, positions: &[usize]) -> Option<Vec<usize>> {
    if width > 32 {
        return None;
    }
    let mut numbers = Vec::with_capacity(positions.len());
    let mut start = 0_usize;
    let mut run = Run::Same { value: 0, count: 0 };
    for position in positions {
        while position - start >= run.count() {
            start += run.count();
            (run, bytes) = next_run(bytes, width)?;
        }
        let number = match run {
            Run::Same { value, .. } => value,
            Run::Packed { bits, .. } => packed(bits, width, position - start)?,
        };
        numbers.push(usize::try_from(number).ok()?);
    }
    Some(numbers)
}

/// For each of these rows, which must ascend, the number of rows before it that have a value, if it
/// has one itself.
fn present(mut levels: &[u8], rows: &[usize]) -> Option<Vec<Option<usize>>> {
    let mut found = Vec::with_capacity(rows.len());
    let (mut start, mut values) = (0_usize, 0_usize);
    let mut run = Run::Same { value: 0, count: 0 };
    for row in rows {
        while row - start >= run.count() {
            start += run.count();
            values += ones(run, run.count());
            let (passed_rows, passed_values, rest) = pass_short_runs(levels, row - start);
            start += passed_rows;
            values += passed_values;
            (run, levels) = next_run(rest, 1)?;
        }
        let is_present = match run {
            Run::Same { value, .. } => value == 1,
            Run::Packed { bits, .. } => packed(bits, 1, row - start)? == 1,
        };
        found.push(is_present.then(|| values + ones(run, row - start)));
    }
    Some(found)
}

/// How many of the first `count` levels of a run are 1.
fn ones(run: Run<'_>, count: usize) -> usize {
    match run {
        Run::Same { value, .. } => count * usize::from(value == 1),
        Run::Packed { bits, .. } => {
            let whole = &bits[..(count / 8).min(bits.len())];
            let ones: u32 = whole.iter().map(|byte| byte.count_ones()).sum();
            let rest = bits
                .get(count / 8)
                .map_or(0, |byte| byte & ((1 << (count % 8)) - 1));
            (ones + rest.count_ones()) as usize
        }
    }
}

/// Passes runs of levels that end within `rows`, as long as they are short: where few rows have a
/// value there are two thousand of them in a page. Says how many rows and values it has passed.
fn pass_short_runs(mut levels: &[u8], rows: usize) -> (usize, usize, &[u8]) {
    let (mut passed, mut values) = (0, 0);
    while let Some([head, bits @ ..]) = levels.first_chunk::<9>() {
        let count = usize::from(head >> 1);
        // Without a branch for each byte of a run, which could not be predicted.
        let (run_rows, run_values, run_bytes) = if head & 1 == 0 {
            (count, count * usize::from(bits[0] == 1), 2)
        } else {
            let unused_bits = 64_u32.saturating_sub(count as u32 * 8);
            let bits = u64::from_le_bytes(*bits);
            let used = bits.checked_shl(unused_bits).unwrap_or(0);
            (count * 8, used.count_ones() as usize, 1 + count)
        };
        let is_short = *head < 0x80 && run_bytes <= 9;
        if !is_short || passed + run_rows > rows {
            break;
        }
        passed += run_rows;
        values += run_values;
        levels = &levels[run_bytes..];
    }
    (passed, values, levels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_levels_are_found_in_runs_and_in_packed_groups() {
        // Five times 1, then 8 packed: 0, 1, 0, 1, 1, 0, 0, 1.
        let bits = [5 << 1, 1, 3, 0b1001_1010];
        assert_eq!(
            numbers_at(&bits, 1, &[0, 4, 5, 6, 12]).unwrap(),
            [1, 1, 0, 1, 1]
        );
        let found = present(&bits, &[0, 4, 5, 6, 9, 10, 12]).unwrap();
        let expected = [Some(0), Some(4), None, Some(5), Some(7), None, Some(8)];
        assert_eq!(found, expected);
        assert_eq!(present(&bits, &[13]), None);
        // 0 to 7 with 3 bits each, the example of the format's description.
        let packed = [3, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(numbers_at(&packed, 3, &all).unwrap(), all);
    }

    fn header(kind: PageKind, encoding: PageEncoding, values: usize) -> PageHeader {
        PageHeader {
            kind,
            encoding,
            values,
            uncompressed_bytes: 0,
            compressed_bytes: 0,
        }
    }

    proptest! {
        #[test]
        fn damaged_pages_never_panic(
            bytes: Vec<u8>,
            dictionary: Vec<u8>,
            values in prop_oneof![0..50_usize, Just(usize::MAX)],
            rows in prop::collection::btree_set(0..50_usize, 0..8),
            far in prop::option::of(any::<usize>()),
            is_optional: bool,
            of in prop::sample::select(vec![
                PhysicalType::Bool,
                PhysicalType::Fixed(0),
                PhysicalType::Fixed(8),
                PhysicalType::Bytes,
            ]),
        ) {
            let mut rows = rows;
            rows.extend(far);
            let rows: Vec<usize> = rows.into_iter().collect();
            let entries = header(PageKind::Dictionary, PageEncoding::Plain, values);
            let dictionary = Dictionary::new(entries, dictionary, of);
            for encoding in [
                PageEncoding::Plain,
                PageEncoding::Dictionary,
                PageEncoding::Rle,
                PageEncoding::DeltaBinaryPacked,
                PageEncoding::DeltaByteArray,
                PageEncoding::ByteStreamSplit,
            ] {
                let header = header(PageKind::Data, encoding, values);
                if let Some(wanted) = WantedValues::new(header, &bytes, is_optional, &rows) {
                    let mut cells = Cells::default();
                    if wanted.read(of, dictionary.as_ref(), &mut cells).is_some() {
                        prop_assert_eq!(cells.iter().count(), rows.len());
                    }
                }
            }
        }
    }
}
