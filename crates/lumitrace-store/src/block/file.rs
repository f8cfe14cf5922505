//! Files written and read with a checksum for every few KiB, so that a flipped bit is noticed
//! wherever it is, before Parquet makes anything of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::in_memory;
use crate::disk::{Disk, create_anew};
use crate::error::{Corruption, ReadError, block_file_error, read_error};

/// How many bytes have one checksum: to read any of them all are read.
pub(crate) const CHUNK_BYTES: usize = 4 << 10;
/// The same in files of version 1.
pub(crate) const CHUNK_BYTES_V1: usize = 16 << 10;
/// Written at once; a multiple of [`CHUNK_BYTES`].
const BUFFER_BYTES: usize = 64 * CHUNK_BYTES;
/// Read at once by those who read from some position on.
const SEQUENTIAL_BYTES: u64 = 16 << 10;

/// Writes a file and computes its chunks' checksums (CRC-32C).
pub(crate) struct ChecksummedWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    checksums: Vec<u32>,
    len: u64,
}

impl ChecksummedWriter {
    pub(crate) fn create(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        let file = create_anew(&*disk, &path)?;
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self {
            disk,
            path,
            file,
            buffer,
            checksums: Vec::new(),
            len: 0,
        })
    }

    /// Writes what is buffered and syncs. Returns the checksums and the length in bytes.
    pub(crate) fn finish(mut self) -> io::Result<(Vec<u32>, u64)> {
        self.write_buffer()?;
        self.disk.sync_data(&self.path, &self.file)?;
        Ok((self.checksums, self.len))
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.checksums
            .extend(self.buffer.chunks(CHUNK_BYTES).map(crc32c::crc32c));
        self.disk.write_all(&self.path, &self.file, &self.buffer)?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for ChecksummedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BUFFER_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Only `finish` may write a chunk that is not full.
        Ok(())
    }
}

/// A file that was written by [`ChecksummedWriter`], for any number of readers. It is open only
/// while something reads it: a search may span more blocks than a process may have open files.
#[derive(Debug, Clone)]
pub(crate) struct ChecksummedFile(Arc<Inner>);

/// The checksums of a file's chunks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checksums {
    pub(crate) chunk_bytes: usize,
    pub(crate) chunks: Arc<[u32]>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    len: u64,
    checksums: Checksums,
    /// Opened by the first read.
    file: OnceLock<File>,
    /// The first failure. Parquet's and Arrow's errors turn it into text on its way up.
    failure: Mutex<Option<ReadError>>,
}

impl ChecksummedFile {
    pub(crate) fn new(path: PathBuf, len: u64, checksums: Checksums) -> Self {
        Self(Arc::new(Inner {
            path,
            len,
            checksums,
            file: OnceLock::new(),
            failure: Mutex::new(None),
        }))
    }

    fn open(&self) -> io::Result<&File> {
        let inner = &self.0;
        if let Some(file) = inner.file.get() {
            return Ok(file);
        }
        let file = File::open(&inner.path)?;
        Ok(inner.file.get_or_init(|| file))
    }

    /// What an error of a reader of this file stands for: the failure to read it, if there was
    /// one, and otherwise content that makes no sense.
    fn error(&self, error: impl std::fmt::Display) -> ReadError {
        let failure = self.0.failure.lock().take();
        failure.unwrap_or_else(|| Corruption::new(&self.0.path, 0, error.to_string()).into())
    }

    /// What Parquet's reader makes of the file.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        parse: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, ReadError> {
        parsed(parse).map_err(|reason| self.error(reason))
    }

    /// Bytes whose checksums fit. Unlike [`get_bytes`](ChunkReader::get_bytes), which Parquet's reader
    /// calls, it can be called by several threads, each of which is to know its own failure.
    pub(crate) fn read(&self, start: u64, len: usize) -> Result<Bytes, ReadError> {
        self.read_after(start, len, || ())
    }

    /// Like [`read`](Self::read), after `before_waiting` if the bytes have to come from the disk.
    pub(crate) fn read_after(
        &self,
        start: u64,
        len: usize,
        before_waiting: impl FnOnce(),
    ) -> Result<Bytes, ReadError> {
        let inner = &self.0;
        let end = start.saturating_add(len as u64);
        if end > inner.len {
            let reason = format!("bytes up to {end} are asked for, it has {}", inner.len);
            return Err(Corruption::new(&inner.path, start, reason).into());
        }
        let chunk_bytes = inner.checksums.chunk_bytes;
        let chunk = chunk_bytes as u64;
        let first_chunk = start / chunk;
        let aligned_start = first_chunk * chunk;
        let aligned_end = end.div_ceil(chunk).saturating_mul(chunk).min(inner.len);
        let mut bytes = vec![0; (aligned_end - aligned_start) as usize];
        let file = self.open().map_err(block_file_error(&inner.path))?;
        let read = in_memory::read_in_memory(file, &mut bytes, aligned_start);
        if read < bytes.len() {
            before_waiting();
            file.read_exact_at(&mut bytes[read..], aligned_start + read as u64)
                .map_err(|error| {
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        return Corruption::new(&inner.path, start, "the file is cut short").into();
                    }
                    read_error(&inner.path)(error)
                })?;
        }
        for (index, chunk_bytes) in (first_chunk..).zip(bytes.chunks(chunk_bytes)) {
            if inner.checksums.chunks.get(index as usize) != Some(&crc32c::crc32c(chunk_bytes)) {
                let reason = "a chunk's checksum does not fit";
                return Err(Corruption::new(&inner.path, index * chunk, reason).into());
            }
        }
        let skip = (start - aligned_start) as usize;
        Ok(Bytes::from(bytes).slice(skip..skip + len))
    }

    /// Tells the system that these bytes are about to be read. That is only advice: who reads them is
    /// told of what is wrong with the file.
    pub(crate) fn will_need(&self, start: u64, len: usize) {
        let told = self
            .open()
            .and_then(|file| in_memory::will_need(file, start, len));
        if let Err(error) = told {
            tracing::debug!(path = %self.0.path.display(), %error, "cannot read ahead");
        }
    }
}

/// What Parquet's reader makes of a file, or why nothing. It panics at some files that are none,
/// though their checksums fit; that, too, is damage, and must not end the thread that reads.
pub(crate) fn parsed<T, E: std::fmt::Display>(
    parse: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    // What a panic leaves half-done is only used again to be dropped.
    match panic::catch_unwind(AssertUnwindSafe(parse)) {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(_) => Err("its content is none of Parquet".to_owned()),
    }
}

impl Length for ChecksummedFile {
    fn len(&self) -> u64 {
        self.0.len
    }
}

impl ChunkReader for ChecksummedFile {
    type T = SequentialReader;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(SequentialReader {
            file: self.clone(),
            position: start,
            buffer: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read(start, length).map_err(|failure| {
            let error = ParquetError::General(failure.to_string());
            self.0.failure.lock().get_or_insert(failure);
            error
        })
    }
}

/// Reads a [`ChecksummedFile`] from some position on.
pub(crate) struct SequentialReader {
    file: ChecksummedFile,
    position: u64,
    buffer: Bytes,
}

impl Read for SequentialReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            let len = (self.file.len() - self.position.min(self.file.len())).min(SEQUENTIAL_BYTES);
            self.buffer = self.file.get_bytes(self.position, len as usize)?;
            self.position += len;
        }
        let taken = self.buffer.split_to(out.len().min(self.buffer.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
