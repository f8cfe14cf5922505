//! Reading values of a payload file back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::frames::{Frame, FrameChunks, FrameTable};
use super::{ContentHash, HEADER_BYTES, StoredValue, header};
use crate::error::{Corruption, ReadError, block_file_error, read_error};

/// Frames that are kept, about 4 MiB: values that repeat each other are read one after the other.
const KEPT_FRAMES: usize = 16;

/// Reads a payload file, which is open only as long as this is there.
#[derive(Debug)]
pub(crate) struct PayloadReader {
    path: PathBuf,
    table: Arc<FrameTable>,
    file: Option<File>,
    /// By number of the frame; what was used last is at the end.
    kept: Vec<(usize, FrameChunks)>,
}

impl PayloadReader {
    pub(crate) fn new(path: PathBuf, table: Arc<FrameTable>) -> Self {
        Self {
            path,
            table,
            file: None,
            kept: Vec::new(),
        }
    }

    /// The bytes of a value.
    pub(crate) fn value(&mut self, stored: &StoredValue) -> Result<Vec<u8>, ReadError> {
        if !stored.has_possible_length() {
            return Err(self.malformed("a value is longer than any that is stored"));
        }
        let len = stored.bytes as usize;
        let mut value = Vec::new();
        for number in stored.chunks.numbers() {
            let (_, chunk) = self.chunk(number)?;
            value.extend_from_slice(chunk);
            if value.len() > len {
                break;
            }
        }
        if value.len() != len {
            return Err(self.malformed("a value does not have its length"));
        }
        Ok(value)
    }

    /// A chunk by its number.
    pub(super) fn chunk(&mut self, number: u32) -> Result<(ContentHash, &[u8]), ReadError> {
        let Some((frame, place)) = self.table.find(number) else {
            return Err(self.malformed("a value has a chunk that the file does not have"));
        };
        match self.kept.iter().position(|(kept, _)| *kept == frame) {
            Some(position) => self.kept[position..].rotate_left(1),
            None => {
                let read = self.frame(frame)?;
                if self.kept.len() >= KEPT_FRAMES {
                    self.kept.remove(0);
                }
                self.kept.push((frame, read));
            }
        }
        let chunk = self.kept.last().and_then(|(_, frame)| frame.get(place));
        chunk.ok_or_else(|| self.malformed("a frame does not have all of its chunks"))
    }

    /// A frame by its number.
    pub(crate) fn frame(&mut self, number: usize) -> Result<FrameChunks, ReadError> {
        let Some(Frame {
            offset,
            len,
            crc,
            chunks,
            ..
        }) = self.table.frames().get(number).copied()
        else {
            return Err(self.malformed("a frame is asked for that it does not have"));
        };
        let bytes = self.read(offset, len as usize)?;
        let damage = |reason| Corruption::new(&self.path, offset, reason);
        if crc32c::crc32c(&bytes) != crc {
            return Err(damage("a frame's checksum does not fit").into());
        }
        let decoded = FrameChunks::decode(&bytes, chunks);
        Ok(decoded.ok_or_else(|| damage("a frame does not hold what it should"))?)
    }

    /// Whether the file begins as it should: said only where every byte is verified.
    pub(crate) fn check_header(&mut self) -> Result<(), ReadError> {
        if self.read(0, HEADER_BYTES as usize)? == header() {
            return Ok(());
        }
        Err(self.malformed("no header of a payload file that this release knows"))
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let path = &self.path;
        let cut_short = || ReadError::from(Corruption::new(path, offset, "the file is cut short"));
        let file = match &self.file {
            Some(file) => file,
            None => self
                .file
                .insert(File::open(path).map_err(block_file_error(path))?),
        };
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => cut_short(),
                _ => read_error(path)(error),
            })?;
        Ok(bytes)
    }

    pub(crate) fn malformed(&self, reason: &str) -> ReadError {
        Corruption::new(&self.path, 0, reason).into()
    }
}
