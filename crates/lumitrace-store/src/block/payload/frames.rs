//! Frames of a payload file: chunks that are compressed together, and the table of all of them.

use zstd::bulk;

use super::chunks::MAX_BYTES as MAX_CHUNK_BYTES;
use super::{ContentHash, HEADER_BYTES};
use crate::binary::{Fields, PutFields};
use crate::block::caches::{KeptPart, PartName};

/// A frame ends once its chunks have this many bytes: enough to compress well, and little to read for
/// one chunk.
const FRAME_BYTES: usize = 256 << 10;
/// More bytes of chunks no frame has.
const MAX_FRAME_BYTES: usize = FRAME_BYTES + MAX_CHUNK_BYTES;
/// More bytes no frame takes in the file: chunks that do not become shorter, and what is said of each.
const MAX_STORED_BYTES: u32 = 1 << 20;

/// Where a frame is, and which chunks it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    /// In the file.
    pub(crate) len: u32,
    /// CRC-32C of these bytes.
    pub(crate) crc: u32,
    pub(crate) first_chunk: u32,
    pub(crate) chunks: u32,
}

/// The frames of a payload file, which follow each other without gaps. It is kept in the index of the block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FrameTable {
    frames: Vec<Frame>,
}

impl FrameTable {
    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Length of the file: none is there if no frame is.
    pub(crate) fn file_bytes(&self) -> u64 {
        match self.frames.last() {
            Some(last) => last.offset + u64::from(last.len),
            None => 0,
        }
    }

    /// The number of the frame that has this chunk, and the chunk's place in it.
    pub(super) fn find(&self, chunk: u32) -> Option<(usize, usize)> {
        let after = self
            .frames
            .partition_point(|frame| frame.first_chunk <= chunk);
        let number = after.checked_sub(1)?;
        let place = chunk - self.frames[number].first_chunk;
        (place < self.frames[number].chunks).then_some((number, place as usize))
    }

    /// Adds the next frame; `None` if there are too many chunks, or it is too long.
    pub(crate) fn push(&mut self, len: u32, crc: u32, chunks: u32) -> Option<()> {
        if len > MAX_STORED_BYTES || chunks == 0 {
            return None;
        }
        let last = self.frames.last();
        let offset = last.map_or(HEADER_BYTES, |last| last.offset + u64::from(last.len));
        let first_chunk = last.map_or(0, |last| last.first_chunk + last.chunks);
        first_chunk.checked_add(chunks)?;
        self.frames.push(Frame {
            offset,
            len,
            crc,
            first_chunk,
            chunks,
        });
        Some(())
    }

    /// The section of the index: nothing if there are no frames.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for frame in &self.frames {
            out.put_varint(frame.len.into());
            out.put_varint(frame.chunks.into());
            out.put_u32(frame.crc);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let mut table = Self::default();
        while !fields.is_empty() {
            let len = u32::try_from(fields.varint()?).ok()?;
            let chunks = u32::try_from(fields.varint()?).ok()?;
            table.push(len, fields.u32()?, chunks)?;
        }
        Some(table)
    }
}

impl KeptPart for FrameTable {
    const NAME: PartName = PartName::Frames;

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.frames.as_slice())
    }
}

/// The chunks of a frame, one after the other.
#[derive(Debug, Default)]
pub(crate) struct FrameChunks {
    hashes: Vec<ContentHash>,
    /// Where each ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl FrameChunks {
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FRAME_BYTES
    }

    pub(super) fn push(&mut self, hash: ContentHash, chunk: &[u8]) {
        self.hashes.push(hash);
        self.bytes.extend_from_slice(chunk);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.ends.clear();
        self.bytes.clear();
    }

    pub(crate) fn get(&self, place: usize) -> Option<(ContentHash, &[u8])> {
        let start = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        let chunk = self.bytes.get(start..*self.ends.get(place)?)?;
        Some((*self.hashes.get(place)?, chunk))
    }

    /// The bytes of the frame.
    pub(super) fn encode(&self, level: i32) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut start = 0;
        for (hash, end) in self.hashes.iter().zip(&self.ends) {
            out.extend_from_slice(&hash.0);
            out.put_varint((end - start) as u64);
            start = *end;
        }
        out.extend(bulk::compress(&self.bytes, level)?);
        Ok(out)
    }

    /// Reads the bytes of a frame that has so many chunks; `None` if they are something else.
    pub(crate) fn decode(bytes: &[u8], chunks: u32) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let mut frame = Self::default();
        let mut end = 0;
        for _ in 0..chunks {
            let hash = fields.take(ContentHash::BYTES)?.try_into().ok()?;
            let len = usize::try_from(fields.varint()?).ok()?;
            if len == 0 || len > MAX_FRAME_BYTES - end {
                return None;
            }
            end += len;
            frame.hashes.push(ContentHash(hash));
            frame.ends.push(end);
        }
        frame.bytes = bulk::decompress(fields.rest(), end).ok()?;
        (frame.bytes.len() == end).then_some(frame)
    }
}
