//! Protobuf's encoding, as far as OTLP needs it (protobuf.dev, "Encoding").
//!
//! A [`Reader`] walks the fields of one message and hands out borrowed slices; a [`Writer`] appends
//! fields to one buffer, nested messages in place.

use std::ops::Range;

use crate::DecodeError;

/// One field of a message: its number and its value, by wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(
        &'a [u8],
        /* offset of the slice in the whole message */ usize,
    ),
    Fixed32(u32),
}

/// A field that was just read, with the place it was read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: FieldValue<'a>,
    offset: usize,
}

impl<'a> Field<'a> {
    pub(crate) fn varint(self) -> Result<u64, DecodeError> {
        match self.value {
            FieldValue::Varint(value) => Ok(value),
            _ => Err(self.wrong_type("expected a varint")),
        }
    }

    /// A `uint32`: protobuf keeps the low 32 bits of a longer varint.
    pub(crate) fn uint32(self) -> Result<u32, DecodeError> {
        self.varint().map(|value| value as u32)
    }

    pub(crate) fn fixed64(self) -> Result<u64, DecodeError> {
        match self.value {
            FieldValue::Fixed64(value) => Ok(value),
            _ => Err(self.wrong_type("expected 64 fixed bits")),
        }
    }

    pub(crate) fn fixed32(self) -> Result<u32, DecodeError> {
        match self.value {
            FieldValue::Fixed32(value) => Ok(value),
            _ => Err(self.wrong_type("expected 32 fixed bits")),
        }
    }

    /// A `sint32`, whose sign is in the lowest bit.
    pub(crate) fn sint32(self) -> Result<i32, DecodeError> {
        self.uint32()
            .map(|value| (value >> 1) as i32 ^ -((value & 1) as i32))
    }

    pub(crate) fn double(self) -> Result<f64, DecodeError> {
        self.fixed64().map(f64::from_bits)
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            FieldValue::Bytes(bytes, _) => Ok(bytes),
            _ => Err(self.wrong_type("expected a length-delimited field")),
        }
    }

    /// Where the content of a length-delimited field lies in the whole message.
    pub(crate) fn range(self) -> Result<Range<u32>, DecodeError> {
        match self.value {
            // Messages of 4 GiB and more are refused before they are read.
            FieldValue::Bytes(bytes, start) => Ok(start as u32..(start + bytes.len()) as u32),
            _ => Err(self.wrong_type("expected a length-delimited field")),
        }
    }

    pub(crate) fn string(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.wrong_type("a string is not UTF-8"))
    }

    pub(crate) fn message(self) -> Result<Reader<'a>, DecodeError> {
        match self.value {
            FieldValue::Bytes(bytes, base) => Ok(Reader {
                bytes,
                position: 0,
                base,
            }),
            _ => Err(self.wrong_type("expected a message")),
        }
    }

    /// The items of a repeated field of 64 fixed bits.
    pub(crate) fn each_fixed64(self) -> impl Iterator<Item = Result<u64, DecodeError>> + 'a {
        self.each(Self::fixed64, |packed| {
            packed.array().map(u64::from_le_bytes)
        })
    }

    /// The items of a repeated varint.
    pub(crate) fn each_varint(self) -> impl Iterator<Item = Result<u64, DecodeError>> + 'a {
        self.each(Self::varint, Reader::varint)
    }

    /// The items of a repeated number: many `packed` in one field as proto3 writes them, or a
    /// `single` one as readers must also take them. Ends after the first error.
    fn each<T: 'a>(
        self,
        single: fn(Self) -> Result<T, DecodeError>,
        packed: fn(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> impl Iterator<Item = Result<T, DecodeError>> + 'a {
        let mut items = self.message().ok();
        let mut only = items.is_none().then_some(self);
        std::iter::from_fn(move || {
            let Some(reader) = &mut items else {
                return only.take().map(single);
            };
            let item = (!reader.is_at_end()).then(|| packed(reader))?;
            if item.is_err() {
                items = None;
            }
            Some(item)
        })
    }

    fn wrong_type(self, reason: &'static str) -> DecodeError {
        DecodeError::Malformed {
            offset: self.offset,
            reason,
        }
    }
}

/// Reads the fields of one message.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            base: 0,
        }
    }

    fn offset(&self) -> usize {
        self.base + self.position
    }

    fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// The next field, or `None` at the end of the message.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let offset = self.offset();
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| *number != 0)
            .ok_or(DecodeError::Malformed {
                offset,
                reason: "invalid field number",
            })?;
        let value = match key & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let base = self.offset();
                FieldValue::Bytes(self.take(length)?, base)
            }
            5 => FieldValue::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups (3 and 4) ended with proto2; 6 and 7 never existed.
            _ => {
                return Err(DecodeError::Malformed {
                    offset,
                    reason: "unknown wire type",
                });
            }
        };
        Ok(Some(Field {
            number,
            value,
            offset,
        }))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most keys, lengths and numbers have one byte.
        if let Some(byte) = self.bytes.get(self.position)
            && *byte < 0x80
        {
            self.position += 1;
            return Ok(u64::from(*byte));
        }
        let start = self.offset();
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed {
            offset: start,
            reason: "a varint has more than ten bytes",
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated {
            offset: self.base + self.bytes.len(),
        };
        self.take(N)?.try_into().map_err(|_| truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..length).ok_or(DecodeError::Truncated {
            offset: self.base + self.bytes.len(),
        })?;
        self.position += length;
        Ok(taken)
    }
}

/// Appends fields to a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Goes on after these bytes.
    pub(crate) fn appending_to(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, number: u32, wire_type: u32) {
        self.raw_varint(u64::from(number << 3 | wire_type));
    }

    /// A varint field, left out when zero as proto3 does.
    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.varint_always(number, value);
        }
    }

    /// A varint field of a `oneof`, where zero is a value.
    pub(crate) fn varint_always(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.raw_varint(value);
    }

    /// A `sint32` field, left out when zero.
    pub(crate) fn sint32(&mut self, number: u32, value: i32) {
        self.varint(number, u64::from((value << 1 ^ value >> 31) as u32));
    }

    /// A repeated varint field, left out when empty.
    pub(crate) fn packed_varints(&mut self, number: u32, values: &[u64]) {
        self.packed(number, values, |packed, value| packed.raw_varint(*value));
    }

    /// A repeated 64-bit field, left out when empty.
    pub(crate) fn packed_fixed64(&mut self, number: u32, values: &[u64]) {
        self.packed(number, values, |packed, value| {
            packed.bytes.extend_from_slice(&value.to_le_bytes());
        });
    }

    /// A repeated double field, left out when empty.
    pub(crate) fn packed_doubles(&mut self, number: u32, values: &[f64]) {
        self.packed(number, values, |packed, value| {
            packed.bytes.extend_from_slice(&value.to_le_bytes());
        });
    }

    fn packed<T>(&mut self, number: u32, values: &[T], write: impl Fn(&mut Self, &T)) {
        if !values.is_empty() {
            self.message(number, |packed| {
                values.iter().for_each(|value| write(packed, value));
            });
        }
    }

    /// A double field, left out when zero; minus zero is none.
    pub(crate) fn double(&mut self, number: u32, value: f64) {
        self.fixed64(number, value.to_bits());
    }

    /// A double field that is written even when zero.
    pub(crate) fn double_always(&mut self, number: u32, value: f64) {
        self.fixed64_always(number, value.to_bits());
    }

    /// An `optional` double field, left out when there is no value.
    pub(crate) fn optional_double(&mut self, number: u32, value: Option<f64>) {
        if let Some(value) = value {
            self.double_always(number, value);
        }
    }

    /// A 64-bit field, left out when zero.
    pub(crate) fn fixed64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.fixed64_always(number, value);
        }
    }

    /// A 64-bit field of a `oneof`, where zero is a value.
    pub(crate) fn fixed64_always(&mut self, number: u32, value: u64) {
        self.key(number, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A 32-bit field, left out when zero.
    pub(crate) fn fixed32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.key(number, 5);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A string or bytes field, left out when empty.
    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.bytes_always(number, value);
        }
    }

    /// A string or bytes field that is written even when empty.
    pub(crate) fn bytes_always(&mut self, number: u32, value: &[u8]) {
        self.key(number, 2);
        self.raw_varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A nested message, written in place: one byte is kept free for its length, and only longer
    /// messages are moved.
    pub(crate) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.key(number, 2);
        let length_at = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - length_at - 1;
        if length < 0x80 {
            self.bytes[length_at] = length as u8;
            return;
        }
        let mut prefix = Writer::default();
        prefix.raw_varint(length as u64);
        self.bytes.splice(length_at..=length_at, prefix.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_beyond_the_message_are_truncation_not_a_panic() {
        let mut reader = Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        assert_eq!(
            reader.next().unwrap_err(),
            DecodeError::Truncated { offset: 7 }
        );
    }

    #[test]
    fn endless_varints_are_malformed() {
        let mut reader = Reader::new(&[0xff; 11]);
        assert!(matches!(
            reader.next(),
            Err(DecodeError::Malformed { offset: 0, .. })
        ));
    }

    proptest! {
        #[test]
        fn what_the_writer_writes_the_reader_reads(
            varint: u64, fixed: u64, inner in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut writer = Writer::default();
            writer.varint_always(1, varint);
            writer.message(2, |message| {
                message.fixed64_always(3, fixed);
                message.bytes_always(4, &inner);
            });
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.next()?.unwrap().varint()?, varint);
            let mut message = reader.next()?.unwrap().message()?;
            prop_assert_eq!(message.next()?.unwrap().fixed64()?, fixed);
            prop_assert_eq!(message.next()?.unwrap().bytes()?, &inner[..]);
            prop_assert!(message.next()?.is_none() && reader.next()?.is_none());
        }

        #[test]
        fn repeated_numbers_are_read_packed_and_single(
            varints in prop::collection::vec(any::<u64>(), 0..40), sint: i32
        ) {
            let mut writer = Writer::default();
            writer.packed_varints(1, &varints);
            writer.packed_fixed64(2, &varints);
            for value in &varints {
                writer.varint_always(1, *value);
                writer.fixed64_always(2, *value);
            }
            writer.sint32(3, sint);
            let bytes = writer.into_bytes();
            let (mut read_varints, mut read_fixed, mut read_sint) = (Vec::new(), Vec::new(), 0);
            let mut reader = Reader::new(&bytes);
            while let Some(field) = reader.next()? {
                match field.number {
                    1 => read_varints.extend(field.each_varint().collect::<Result<Vec<_>, _>>()?),
                    2 => read_fixed.extend(field.each_fixed64().collect::<Result<Vec<_>, _>>()?),
                    _ => read_sint = field.sint32()?,
                }
            }
            let twice = varints.repeat(2);
            prop_assert_eq!((read_varints, read_fixed, read_sint), (twice.clone(), twice, sint));
        }
    }

    #[test]
    fn packed_numbers_that_end_too_early_are_one_error() {
        let mut reader = Reader::new(&[0x0a, 3, 1, 2, 0xff]);
        let field = reader.next().unwrap().unwrap();
        assert_eq!(field.each_varint().count(), 3);
        let truncated = DecodeError::Truncated { offset: 5 };
        assert_eq!(field.each_varint().last(), Some(Err(truncated.clone())));
        assert_eq!(field.each_fixed64().last(), Some(Err(truncated)));
    }
}
