//! Where bytes of a file go, through its compression.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::write::GzEncoder;

use super::Compression;

type Target = Box<dyn Write + Send>;

/// A file or standard output, behind a compression.
pub(crate) enum Output {
    Plain(Target),
    Gzip(GzEncoder<Target>),
    Zstd(zstd::Encoder<'static, Target>),
}

impl Output {
    /// A new file; an earlier one of that name is replaced.
    pub(crate) fn create(path: &Path, compression: Compression) -> io::Result<Self> {
        Self::new(Box::new(BufWriter::new(File::create(path)?)), compression)
    }

    pub(crate) fn stdout(compression: Compression) -> io::Result<Self> {
        Self::new(Box::new(BufWriter::new(io::stdout())), compression)
    }

    fn new(target: Target, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(target),
            Compression::Gzip => Self::Gzip(GzEncoder::new(target, flate2::Compression::default())),
            // The library's default level.
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(target, 0)?),
        })
    }

    /// Ends the compression, and writes what is still held.
    pub(crate) fn finish(self) -> io::Result<()> {
        let mut target = match self {
            Self::Plain(target) => target,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        target.flush()
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(target) => target,
            Self::Gzip(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}
