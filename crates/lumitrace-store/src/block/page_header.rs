//! The header before each page of a Parquet file, as far as pages of single rows need it.
//!
//! It is a Thrift structure in the compact protocol: `PageHeader` in Parquet's `parquet.thrift`.

/// Nesting beyond which a header is not one that anybody wrote.
const MAX_DEPTH: usize = 16;

/// Types of the compact protocol.
mod wire_type {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// Values of rows, version 1.
    Data,
    Dictionary,
}

/// How values are encoded, with the number of the case in Parquet's `Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageEncoding {
    Plain,
    Dictionary,
    Rle,
    DeltaBinaryPacked,
    DeltaByteArray,
    ByteStreamSplit,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) kind: PageKind,
    /// Of the values; definition levels are always run lengths.
    pub(crate) encoding: PageEncoding,
    /// How many values or, in a dictionary, entries there are, nulls included.
    pub(crate) values: usize,
    pub(crate) uncompressed_bytes: usize,
    pub(crate) compressed_bytes: usize,
}

impl PageHeader {
    /// Splits a page into its header and its content. None if this is not a page of a kind and
    /// encoding that is known here.
    pub(crate) fn split(page: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = CompactReader { rest: page };
        // Type, length uncompressed and compressed; values, encoding, encoding of levels.
        let (mut outer, mut inner) = ([None; 3], [None; 3]);
        reader.structure(|reader, id, wire_type| match (id, wire_type) {
            (1..=3, wire_type::I32) => reader.number_into(&mut outer, id),
            (5 | 7, wire_type::STRUCT) => {
                reader.structure(|reader, id, wire_type| match (id, wire_type) {
                    (1..=3, wire_type::I32) => reader.number_into(&mut inner, id),
                    _ => reader.skip(wire_type, MAX_DEPTH),
                })
            }
            _ => reader.skip(wire_type, MAX_DEPTH),
        })?;
        let kind = match outer[0]? {
            0 if inner[2] == Some(3) => PageKind::Data,
            2 => PageKind::Dictionary,
            _ => return None,
        };
        let encoding = match inner[1]? {
            0 => PageEncoding::Plain,
            2 | 8 => PageEncoding::Dictionary,
            3 => PageEncoding::Rle,
            5 => PageEncoding::DeltaBinaryPacked,
            7 => PageEncoding::DeltaByteArray,
            9 => PageEncoding::ByteStreamSplit,
            _ => return None,
        };
        let header = Self {
            kind,
            encoding,
            values: inner[0]?,
            uncompressed_bytes: outer[1]?,
            compressed_bytes: outer[2]?,
        };
        Some((header, reader.rest.get(..header.compressed_bytes)?))
    }
}

/// Reads Thrift's compact protocol.
struct CompactReader<'a> {
    rest: &'a [u8],
}

impl CompactReader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn advance(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, rest) = split_varint(self.rest)?;
        self.rest = rest;
        Some(value)
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Keeps field `id`, counted from 1, which must not be negative.
    fn number_into(&mut self, fields: &mut [Option<usize>; 3], id: i16) -> Option<()> {
        let value = usize::try_from(self.zigzag()?).ok()?;
        fields[usize::try_from(id).ok()? - 1] = Some(value);
        Some(())
    }

    /// Gives each field's id and type to `field`, which must read or skip it.
    fn structure(&mut self, mut field: impl FnMut(&mut Self, i16, u8) -> Option<()>) -> Option<()> {
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            if head & 0x0f == wire_type::STOP {
                return Some(());
            }
            id = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                delta => id.checked_add(delta.into())?,
            };
            field(self, id, head & 0x0f)?;
        }
    }

    /// Skips the value of a field. Maps are nowhere in a header.
    fn skip(&mut self, wire_type: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match wire_type {
            wire_type::TRUE | wire_type::FALSE => Some(()),
            wire_type::BYTE => self.advance(1),
            wire_type::I16 | wire_type::I32 | wire_type::I64 => self.varint().map(drop),
            wire_type::DOUBLE => self.advance(8),
            wire_type::BINARY => {
                let len = self.varint()?;
                self.advance(usize::try_from(len).ok()?)
            }
            wire_type::LIST | wire_type::SET => self.skip_list(depth),
            wire_type::STRUCT => {
                self.structure(|reader, _, wire_type| reader.skip(wire_type, depth))
            }
            _ => None,
        }
    }

    fn skip_list(&mut self, depth: usize) -> Option<()> {
        let head = self.byte()?;
        let len = match head >> 4 {
            15 => self.varint()?,
            len => len.into(),
        };
        for _ in 0..len {
            match head & 0x0f {
                // Unlike as a field, an element has a byte for it.
                wire_type::TRUE | wire_type::FALSE => self.advance(1)?,
                element => self.skip(element, depth)?,
            }
        }
        Some(())
    }
}

/// An unsigned LEB128 number, and what follows it.
pub(crate) fn split_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_with_unknown_fields_is_split_from_its_content() {
        // type 0; lengths 6 and 2; crc; a data page with 5 values, RLE_DICTIONARY, levels RLE, RLE,
        // and statistics, of which one is binary.
        let page = [
            0x15, 0, 0x15, 12, 0x15, 4, 0x15, 9, 0x1c, 0x15, 10, 0x15, 16, 0x15, 6, 0x15, 6, 0x1c,
            0x18, 1, 7, 0, 0, 0, b'a', b'b', b'c',
        ];
        let (header, content) = PageHeader::split(&page).unwrap();
        let expected = PageHeader {
            kind: PageKind::Data,
            encoding: PageEncoding::Dictionary,
            values: 5,
            uncompressed_bytes: 6,
            compressed_bytes: 2,
        };
        assert_eq!((header, content), (expected, &b"ab"[..]));
        for len in 0..page.len() - 1 {
            assert_eq!(PageHeader::split(&page[..len]), None, "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn damaged_headers_are_no_headers_and_never_panic(page: Vec<u8>) {
            if let Some((header, content)) = PageHeader::split(&page) {
                prop_assert_eq!(content.len(), header.compressed_bytes);
            }
        }
    }
}
