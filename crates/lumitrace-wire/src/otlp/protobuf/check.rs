//! Checking what all signals are made of: resources, scopes, attributes and their values.

use lumitrace_model::{KeyValue, Value, names};

use crate::proto::{Field, Reader};
use crate::{DecodeError, DecodeLimits};

/// Reads messages without building anything of them, and refuses what is malformed or beyond the
/// limits.
pub(super) struct Checker {
    limits: DecodeLimits,
    remaining_bytes: usize,
}

impl Checker {
    /// Checks the message in `bytes`, of which all that is counted must be a part.
    pub(super) fn new(bytes: &[u8], limits: &DecodeLimits) -> Self {
        Self {
            limits: *limits,
            remaining_bytes: limits.item_bytes(bytes.len()),
        }
    }

    /// Counts an item that decoding makes, unless the message turns out to be made of empty items
    /// that only exist to fill memory.
    pub(super) fn count<T>(&mut self) -> Result<(), DecodeError> {
        self.remaining_bytes =
            self.remaining_bytes
                .checked_sub(size_of::<T>())
                .ok_or(DecodeError::TooManyItems {
                    ratio: self.limits.max_expansion,
                })?;
        Ok(())
    }

    pub(super) fn resource(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.attribute(field).map(|_| ())?,
                2 => drop(field.uint32()?),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn scope(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            match field.number {
                1 | 2 => drop(field.string()?),
                3 => drop(self.attribute(field)?),
                4 => drop(field.uint32()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Says whether it is the mark of an announcement.
    pub(super) fn attribute(&mut self, field: Field<'_>) -> Result<bool, DecodeError> {
        self.count::<KeyValue>()?;
        self.key_value(field.message()?, self.limits.max_depth)
    }

    /// A `KeyValueList` that stands alone.
    pub(super) fn attributes(&mut self, message: Reader<'_>) -> Result<(), DecodeError> {
        self.key_value_list(message, self.limits.max_depth)
    }

    /// An `AnyValue` that is no attribute's: the body of a log record.
    pub(super) fn body(&mut self, message: Reader<'_>) -> Result<(), DecodeError> {
        self.value(message, self.limits.max_depth).map(drop)
    }

    fn key_value(
        &mut self,
        mut message: Reader<'_>,
        depth_left: usize,
    ) -> Result<bool, DecodeError> {
        let (mut is_mark_key, mut is_true) = (false, false);
        while let Some(field) = message.next()? {
            match field.number {
                1 => is_mark_key = field.string()? == names::PENDING_ATTRIBUTE,
                2 => is_true = self.value(field.message()?, depth_left)?,
                _ => {}
            }
        }
        Ok(is_mark_key && is_true)
    }

    fn key_value_list(
        &mut self,
        mut message: Reader<'_>,
        depth_left: usize,
    ) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            if field.number == 1 {
                self.count::<KeyValue>()?;
                self.key_value(field.message()?, depth_left)?;
            }
        }
        Ok(())
    }

    /// Says whether it is the truth value true.
    fn value(&mut self, mut message: Reader<'_>, depth_left: usize) -> Result<bool, DecodeError> {
        let deeper = depth_left.checked_sub(1).ok_or(DecodeError::TooDeep {
            max_depth: self.limits.max_depth,
        })?;
        let mut is_true = false;
        // Of several cases of a `oneof`, the last one counts.
        while let Some(field) = message.next()? {
            is_true = match field.number {
                1 => field.string().map(|_| false)?,
                2 => field.varint()? != 0,
                3 => field.varint().map(|_| false)?,
                4 => field.fixed64().map(|_| false)?,
                5 => self.array(field.message()?, deeper).map(|()| false)?,
                6 => self
                    .key_value_list(field.message()?, deeper)
                    .map(|()| false)?,
                7 => field.bytes().map(|_| false)?,
                _ => is_true,
            };
        }
        Ok(is_true)
    }

    fn array(&mut self, mut message: Reader<'_>, depth_left: usize) -> Result<(), DecodeError> {
        while let Some(field) = message.next()? {
            if field.number == 1 {
                self.count::<Value>()?;
                self.value(field.message()?, depth_left)?;
            }
        }
        Ok(())
    }
}
