//! Values of one payload file into another, chunk by chunk: no value is ever whole in memory, and a
//! chunk that many of them share is read once.

use std::io;

use hashbrown::HashMap;

use super::writer::MAX_KNOWN_CHUNKS;
use super::{ChunkRuns, PayloadReader, PayloadWriter, StoredValue};
use crate::error::ReadError;

/// Copies values of one file.
#[derive(Debug)]
pub(crate) struct PayloadCopier {
    from: PayloadReader,
    /// Numbers of chunks in the other file, by those in this one.
    numbers: HashMap<u32, u32>,
    /// Whether values that are damaged are left out, instead of failing.
    is_rescue: bool,
}

impl PayloadCopier {
    /// Copies out of `from`. In a rescue values that are damaged are left out, instead of failing.
    pub(crate) fn new(from: PayloadReader, is_rescue: bool) -> Self {
        Self {
            from,
            numbers: HashMap::new(),
            is_rescue,
        }
    }

    /// Puts a value into `to`, which must be the same each time; none if it is left out.
    pub(crate) fn copy(
        &mut self,
        stored: &StoredValue,
        to: &mut PayloadWriter,
    ) -> io::Result<Option<StoredValue>> {
        let mut chunks = ChunkRuns::default();
        for number in stored.chunks.numbers() {
            let copied = match self.numbers.get(&number) {
                Some(copied) => *copied,
                None => {
                    let (hash, chunk) = match self.from.chunk(number) {
                        Ok(chunk) => chunk,
                        Err(ReadError::Corrupt(_)) if self.is_rescue => return Ok(None),
                        Err(error) => return Err(io::Error::other(error)),
                    };
                    let copied = to.add_chunk(hash, chunk)?;
                    if self.numbers.len() >= MAX_KNOWN_CHUNKS {
                        self.numbers.clear();
                    }
                    self.numbers.insert(number, copied);
                    copied
                }
            };
            chunks.push(copied);
        }
        let (bytes, hash) = (stored.bytes, stored.hash);
        Ok(Some(StoredValue {
            bytes,
            hash,
            chunks,
        }))
    }
}
