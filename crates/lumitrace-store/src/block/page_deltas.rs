//! Numbers and texts of which a page has only how they differ from the one before: `Encodings.md` of
//! the Parquet format, "Delta Encoding" and "Delta Strings". To know one, all before it must be
//! decoded; of those after it nothing is.
//!
//! Every function returns none if the bytes are not what they should be, and never panics.

use super::page_header::split_varint;
use super::page_values::{Cells, packed};

/// A block of more values is not one that anybody wrote.
const MAX_BLOCK_VALUES: u64 = 1 << 20;

/// The header of numbers in the encoding DELTA_BINARY_PACKED.
pub(super) struct DeltaHeader {
    block_values: u64,
    miniblocks: u64,
    /// Of all values, the first included.
    pub(super) count: u64,
    first: i64,
}

impl DeltaHeader {
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (block_values, rest) = split_varint(bytes)?;
        let (miniblocks, rest) = split_varint(rest)?;
        let (count, rest) = split_varint(rest)?;
        let (first, rest) = split_zigzag(rest)?;
        let header = Self {
            block_values,
            miniblocks,
            count,
            first,
        };
        Some((header, rest))
    }

    /// What follows the blocks of these numbers; none if they do not fit into `rest`.
    pub(super) fn after_blocks<'a>(&self, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        let miniblock_values = self.block_values.checked_div(self.miniblocks)?;
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            let (_min_delta, after) = split_varint(rest)?;
            let (widths, after) = after.split_at_checked(usize::try_from(self.miniblocks).ok()?)?;
            rest = after;
            for width in widths {
                // Miniblocks that no value is left for are not written, whatever their width says.
                if left > 0 {
                    let bits = miniblock_values.checked_mul(u64::from(*width))?;
                    rest = rest.get(usize::try_from(bits / 8).ok()?..)?;
                    left = left.saturating_sub(miniblock_values.max(1));
                }
            }
        }
        Some(rest)
    }
}

/// Adds the numbers at these positions, which must ascend, in the encoding DELTA_BINARY_PACKED, each
/// as `width` bytes.
pub(super) fn numbers(
    bytes: &[u8],
    width: usize,
    positions: &[usize],
    found: &mut Cells,
) -> Option<()> {
    let count = positions.last()?.checked_add(1)?;
    let (numbers, _) = split_numbers(bytes, count)?;
    for position in positions {
        let number = numbers.get(*position)?.to_le_bytes();
        found.push(Some(number.get(..width)?));
    }
    Some(())
}

/// Adds the values of `width` bytes at these positions, which must ascend, in the encoding
/// DELTA_BYTE_ARRAY: how much each has from the one before, how long what follows is, and what follows.
pub(super) fn byte_arrays(
    bytes: &[u8],
    width: usize,
    positions: &[usize],
    found: &mut Cells,
) -> Option<()> {
    let count = positions.last()?.checked_add(1)?;
    let (prefixes, rest) = split_numbers(bytes, count)?;
    let (suffixes, mut rest) = split_numbers(rest, count)?;
    let mut positions = positions.iter().peekable();
    let mut value = vec![0; width];
    for (position, (prefix, suffix)) in prefixes.into_iter().zip(suffixes).enumerate() {
        let (prefix, suffix) = (usize::try_from(prefix).ok()?, usize::try_from(suffix).ok()?);
        let (own, after) = rest.split_at_checked(suffix)?;
        if prefix.checked_add(suffix)? != width {
            return None;
        }
        value[prefix..].copy_from_slice(own);
        rest = after;
        if positions.next_if(|next| **next == position).is_some() {
            found.push(Some(&value));
        }
    }
    positions.peek().is_none().then_some(())
}

/// The first `count` numbers of a sequence, or all if it has fewer, and what follows the sequence.
fn split_numbers(bytes: &[u8], count: usize) -> Option<(Vec<i64>, &[u8])> {
    let (header, mut rest) = DeltaHeader::split(bytes)?;
    if header.block_values > MAX_BLOCK_VALUES {
        return None;
    }
    let miniblock_values = header.block_values.checked_div(header.miniblocks)? as usize;
    if miniblock_values == 0 || !miniblock_values.is_multiple_of(8) {
        return None;
    }
    // Those after the first, which is in the header.
    let mut left = usize::try_from(header.count).ok()?.checked_sub(1)?;
    let mut numbers = vec![header.first];
    while left > 0 {
        let (least, after) = split_zigzag(rest)?;
        let (widths, after) = after.split_at_checked(header.miniblocks as usize)?;
        rest = after;
        for width in widths.iter().take(left.div_ceil(miniblock_values)) {
            // Of the last one, too, all values are there.
            let len = miniblock_values / 8 * usize::from(*width);
            let (bits, after) = rest.split_at_checked(len)?;
            rest = after;
            let values = miniblock_values.min(left);
            left -= values;
            let wanted = values.min(count.saturating_sub(numbers.len()));
            add_miniblock(&mut numbers, bits, *width, least, wanted)?;
        }
    }
    Some((numbers, rest))
}

/// Adds as many numbers, each by its difference to the one before, less the least of the block.
fn add_miniblock(
    numbers: &mut Vec<i64>,
    bits: &[u8],
    width: u8,
    least: i64,
    count: usize,
) -> Option<()> {
    let mut number = *numbers.last()?;
    for position in 0..count {
        let difference = least.wrapping_add(packed(bits, width, position)? as i64);
        number = number.wrapping_add(difference);
        numbers.push(number);
    }
    Some(())
}

fn split_zigzag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = split_varint(bytes)?;
    Some(((value >> 1) as i64 ^ -((value & 1) as i64), rest))
}
