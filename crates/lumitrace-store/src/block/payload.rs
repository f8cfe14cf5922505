//! The payload file of a block: large values, apart from the columns, each piece of content once.
//!
//! In reading order: a [`chunks`] cutter decides where a value is cut into pieces, so that one that
//! repeats another and adds to it is cut in the same places; [`frames`] are pieces compressed
//! together; a [`writer`] makes the file and a [`reader`] reads values back; a [`copier`] brings values of
//! one file into another.

pub(crate) mod chunks;
pub(crate) mod copier;
pub(crate) mod frames;
pub(crate) mod reader;
pub(crate) mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::binary::{Fields, PutFields};
use crate::manifest::BlockId;
use crate::wal::frame::MAX_PAYLOAD_BYTES;

pub(crate) use copier::PayloadCopier;
pub(crate) use reader::PayloadReader;
pub(crate) use writer::PayloadWriter;

const MAGIC: &[u8; 8] = b"LUMITPAY";
/// Newest version of payload files that this release writes and reads.
const VERSION: u32 = 1;
/// Magic, version and checksum, before the first frame.
pub(crate) const HEADER_BYTES: u64 = 16;

/// The file of a block's large values.
pub(crate) fn payload_path(dir: &Path, id: BlockId) -> PathBuf {
    dir.join(format!("{id}.payload"))
}

/// What the file begins with.
fn header() -> Vec<u8> {
    let mut out = Vec::from(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(crc32c::crc32c(&out));
    out
}

/// By what content is known: the first 16 bytes of its BLAKE3 hash.
///
/// Whoever sends spans must not be able to make the text of somebody else another one. For that a
/// second content would have to be found for a given hash; two contents of one hash, which is easier,
/// were both made by the sender whose text they are. Both are out of reach with 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentHash(pub(crate) [u8; Self::BYTES]);

impl ContentHash {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn of(content: &[u8]) -> Self {
        let hash = blake3::hash(content);
        let (first, _) = hash.as_bytes().split_at(Self::BYTES);
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(first);
        Self(bytes)
    }
}

/// A value in a payload file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredValue {
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) hash: ContentHash,
    pub(crate) chunks: ChunkRuns,
}

impl StoredValue {
    /// Whether it has this content, as far as anyone can tell without reading it.
    pub(crate) fn is(&self, content: &[u8]) -> bool {
        self.bytes == content.len() as u64 && self.hash == ContentHash::of(content)
    }

    /// Whether a value can have this length: a batch, which is longer than each of its values, may not
    /// be longer than a frame of the log.
    fn has_possible_length(&self) -> bool {
        self.bytes <= MAX_PAYLOAD_BYTES as u64
    }
}

/// The numbers of the chunks that a value consists of, in order. A value that repeats another and adds
/// to it has few runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ChunkRuns(Vec<Range<u32>>);

impl ChunkRuns {
    pub(crate) fn push(&mut self, number: u32) {
        match self.0.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => self.0.push(number..number + 1),
        }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Two varints for each run: its first number, and how many there are.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for run in &self.0 {
            out.put_varint(run.start.into());
            out.put_varint(run.len() as u64);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let mut runs = Vec::new();
        while !fields.is_empty() {
            let start = u32::try_from(fields.varint()?).ok()?;
            let count = u32::try_from(fields.varint()?).ok()?;
            runs.push(start..start.checked_add(count)?);
        }
        Some(Self(runs))
    }
}

#[cfg(test)]
mod tests;
