//! Verifying the payload file of a block: every chunk against its hash, and the length of every value.

use std::fs;
use std::path::Path;

use crate::block::Block;
use crate::block::large_values::LargeValue;
use crate::block::payload::{ContentHash, PayloadReader, payload_path};
use crate::error::{Corruption, ReadError, read_error};

/// The lengths of the chunks of a payload file, by their numbers.
#[derive(Debug, Default)]
pub(super) struct ChunkLengths(Vec<u32>);

impl ChunkLengths {
    /// Whether a value has the length that it says.
    pub(super) fn fit(&self, value: &LargeValue) -> bool {
        let mut bytes = 0_u64;
        for number in value.stored.chunks.numbers() {
            let Some(len) = self.0.get(number as usize) else {
                return false;
            };
            bytes += u64::from(*len);
            if bytes > value.stored.bytes {
                return false;
            }
        }
        bytes == value.stored.bytes
    }
}

/// All that is damaged in the payload file of `block`, and how long its chunks are if nothing is.
pub(super) fn damages(
    dir: &Path,
    block: &Block,
) -> Result<(Vec<Corruption>, ChunkLengths), ReadError> {
    let mut damages = Vec::new();
    let lengths = match verify(dir, block, &mut damages) {
        Ok(lengths) => lengths,
        Err(ReadError::Corrupt(damage)) => {
            damages.push(damage);
            ChunkLengths::default()
        }
        Err(error) => return Err(error),
    };
    Ok((damages, lengths))
}

fn verify(
    dir: &Path,
    block: &Block,
    damages: &mut Vec<Corruption>,
) -> Result<ChunkLengths, ReadError> {
    let mut lengths = ChunkLengths::default();
    let mut payload = block.payload()?;
    let table = block.index().payload()?;
    if table.frames().is_empty() {
        return Ok(lengths);
    }
    payload.check_header()?;
    let path = payload_path(dir, block.id());
    let found = fs::metadata(&path).map_err(read_error(&path))?.len();
    if found > table.file_bytes() {
        let reason = "it goes on after its last frame";
        damages.push(Corruption::new(&path, table.file_bytes(), reason));
    }
    for (number, frame) in table.frames().iter().enumerate() {
        match add_frame(&mut payload, number, &mut lengths) {
            Ok(true) => {}
            Ok(false) => {
                let reason = "a chunk does not have its hash";
                damages.push(Corruption::new(&path, frame.offset, reason));
            }
            Err(ReadError::Corrupt(damage)) => damages.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok(lengths)
}

/// Takes in the chunks of a frame; false if one is another than its hash says.
fn add_frame(
    payload: &mut PayloadReader,
    number: usize,
    lengths: &mut ChunkLengths,
) -> Result<bool, ReadError> {
    let chunks = payload.frame(number)?;
    let mut is_whole = true;
    for (hash, chunk) in (0..chunks.len()).filter_map(|place| chunks.get(place)) {
        is_whole &= ContentHash::of(chunk) == hash;
        lengths.0.push(chunk.len() as u32);
    }
    Ok(is_whole)
}
