//! Writing a payload file: each chunk once, frame by frame.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;

use super::chunks::chunks;
use super::frames::{FrameChunks, FrameTable};
use super::{ChunkRuns, ContentHash, StoredValue, header};
use crate::disk::{Disk, create_anew};

/// Chunks that are known at one time, in about 24 MiB. Beyond these many, which are 1 GiB of different
/// text, all are forgotten: what is repeated after that is written once more.
pub(super) const MAX_KNOWN_CHUNKS: usize = 512 << 10;

/// Writes the payload file of a block. There is none before the first value.
pub(crate) struct PayloadWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    level: i32,
    file: Option<File>,
    /// The chunks that are not written yet.
    open_frame: FrameChunks,
    table: FrameTable,
    next_chunk: u32,
    known: HashMap<ContentHash, u32>,
}

impl PayloadWriter {
    /// The file at `path`, compressed at this level of zstd.
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, level: i32) -> Self {
        Self {
            disk,
            path,
            level,
            file: None,
            open_frame: FrameChunks::default(),
            table: FrameTable::default(),
            next_chunk: 0,
            known: HashMap::new(),
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: &[u8]) -> io::Result<StoredValue> {
        let mut numbers = ChunkRuns::default();
        for chunk in chunks(value) {
            let hash = ContentHash::of(chunk);
            numbers.push(self.add_chunk(hash, chunk)?);
        }
        Ok(StoredValue {
            bytes: value.len() as u64,
            hash: ContentHash::of(value),
            chunks: numbers,
        })
    }

    /// The number of the chunk with this hash, which is added if it is not known.
    pub(super) fn add_chunk(&mut self, hash: ContentHash, chunk: &[u8]) -> io::Result<u32> {
        if let Some(number) = self.known.get(&hash) {
            return Ok(*number);
        }
        let number = self.next_chunk;
        self.next_chunk = number.checked_add(1).ok_or_else(too_many)?;
        if self.known.len() >= MAX_KNOWN_CHUNKS {
            self.known.clear();
        }
        self.known.insert(hash, number);
        self.open_frame.push(hash, chunk);
        if self.open_frame.is_full() {
            self.write_frame()?;
        }
        Ok(number)
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let bytes = self.open_frame.encode(self.level)?;
        let (len, chunks) = (bytes.len() as u32, self.open_frame.len() as u32);
        let crc = crc32c::crc32c(&bytes);
        self.table.push(len, crc, chunks).ok_or_else(too_many)?;
        self.open_frame.clear();
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = create_anew(&*self.disk, &self.path)?;
                self.disk.write_all(&self.path, &file, &header())?;
                self.file.insert(file)
            }
        };
        self.disk.write_all(&self.path, file, &bytes)
    }

    /// Writes what is left and syncs. Without frames in the table there is no file.
    pub(crate) fn finish(mut self) -> io::Result<FrameTable> {
        if self.open_frame.len() > 0 {
            self.write_frame()?;
        }
        if let Some(file) = &self.file {
            self.disk.sync_data(&self.path, file)?;
        }
        Ok(self.table)
    }
}

fn too_many() -> io::Error {
    io::Error::other("a block cannot have more than 2^32 chunks of large values")
}
