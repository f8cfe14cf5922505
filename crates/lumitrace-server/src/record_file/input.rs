//! Where bytes of a file come from, through its compression.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

const BUFFER_BYTES: usize = 256 << 10;

/// A file or standard input, as it is; counts what was read of it.
pub(crate) struct Input {
    reader: Box<dyn Read + Send>,
    read_bytes: Arc<AtomicU64>,
}

impl Input {
    /// Opens a file. What is read of it is added to `read_bytes`.
    pub(crate) fn open(path: &Path, read_bytes: Arc<AtomicU64>) -> io::Result<Self> {
        let reader = Box::new(File::open(path)?);
        Ok(Self { reader, read_bytes })
    }

    pub(crate) fn stdin(read_bytes: Arc<AtomicU64>) -> Self {
        let reader = Box::new(io::stdin());
        Self { reader, read_bytes }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What `input` holds once decompressed, by what it begins with: gzip, zstd, or neither.
pub(crate) fn decompress(input: Input) -> io::Result<Box<dyn BufRead + Send>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    // A pipe may give less at first than these, so that its compression is not seen: pipes are
    // filled by the page.
    let head = input.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        // Files that were appended to have several members.
        let decoder = MultiGzDecoder::new(input);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::Decoder::with_buffer(input)?;
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else {
        Box::new(input)
    })
}
