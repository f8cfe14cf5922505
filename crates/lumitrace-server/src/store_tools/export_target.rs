//! Where an export goes: a file, a folder of files, or standard output.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use lumitrace_wire::otlp::Signal;

use crate::record_file::{
    Compression, Encoding, Format, Output, Record, RequestEncoding, RowWriter, group,
};

/// A request ends at so many records ...
const REQUEST_RECORDS: usize = 1_000;
/// ... or at about so many bytes in memory.
const REQUEST_BYTES: usize = 4 << 20;
/// Records in each file of a folder.
const FILE_RECORDS: u64 = 1_000_000;

/// Where records go, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    place: Place,
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Stdout,
    File(PathBuf),
    Folder(PathBuf),
}

impl Target {
    /// Reads what `--to` says, completed by `--format` and `--compression`.
    pub(super) fn parse(
        to: &str,
        encoding: Option<Encoding>,
        compression: Option<Compression>,
    ) -> anyhow::Result<Self> {
        let path = Path::new(to);
        let (place, default) = if to == "-" {
            (Place::Stdout, Some(Encoding::OtlpJson))
        } else if to.ends_with('/') || path.is_dir() {
            (Place::Folder(path.to_owned()), Some(Encoding::Parquet))
        } else {
            (Place::File(path.to_owned()), None)
        };
        let named = match place {
            Place::File(_) => Format::of_path(path),
            _ => None,
        };
        let encoding = encoding
            .or(named.map(|format| format.encoding))
            .or(default)
            .with_context(|| {
                format!(
                    "cannot tell from its ending what {to} is to hold: .jsonl, .pb (both also with \
                     .gz or .zst) or .parquet; or say it with --format"
                )
            })?;
        let compression = compression
            .or(named.map(|format| format.compression))
            .unwrap_or(Compression::None);
        ensure!(
            encoding != Encoding::Parquet || compression == Compression::None,
            "Parquet is compressed in itself: leave out --compression, and .gz or .zst"
        );
        let format = Format {
            encoding,
            compression,
        };
        Ok(Self { place, format })
    }

    pub(super) fn is_stdout(&self) -> bool {
        self.place == Place::Stdout
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Stdout => f.write_str("standard output"),
            Place::File(path) | Place::Folder(path) => path.display().fmt(f),
        }
    }
}

/// Writes records of one signal to a [`Target`], in one file after the other.
pub(super) struct ExportWriter<'a> {
    target: &'a Target,
    signal: Signal,
    file: Option<OpenFile>,
    files: u64,
    bytes: u64,
}

/// A file that is being written, under a name of its own until it is whole.
struct OpenFile {
    /// Temporary and final name; `None` for standard output.
    paths: Option<(PathBuf, PathBuf)>,
    content: Content,
    records: u64,
}

enum Content {
    Requests {
        encoding: RequestEncoding,
        output: Box<Output>,
        waiting: Vec<Record>,
        waiting_bytes: usize,
    },
    Parquet(Box<RowWriter>),
}

impl<'a> ExportWriter<'a> {
    pub(super) fn new(target: &'a Target, signal: Signal) -> Self {
        Self {
            target,
            signal,
            file: None,
            files: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, record: Record) -> anyhow::Result<()> {
        let is_full = |file: &OpenFile| file.records >= FILE_RECORDS;
        if matches!(self.target.place, Place::Folder(_)) && self.file.as_ref().is_some_and(is_full)
        {
            self.finish_file()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.files += 1;
                let file = OpenFile::create(self.target, self.signal, self.files)?;
                self.file.insert(file)
            }
        };
        file.push(record)
    }

    fn finish_file(&mut self) -> anyhow::Result<()> {
        if let Some(file) = self.file.take() {
            self.bytes += file.finish()?;
        }
        Ok(())
    }

    /// Ends the last file. Returns how many files there are, and their size in bytes.
    pub(super) fn finish(mut self) -> anyhow::Result<(u64, Option<u64>)> {
        if self.files == 0 {
            // Nothing matched: a file that says so is better than none.
            self.files = 1;
            self.file = Some(OpenFile::create(self.target, self.signal, 1)?);
        }
        self.finish_file()?;
        Ok((self.files, (!self.target.is_stdout()).then_some(self.bytes)))
    }

    /// Removes the file that is not whole.
    pub(super) fn abandon(self) {
        if let Some(OpenFile {
            paths: Some((temporary, _)),
            ..
        }) = self.file
        {
            // It is in nobody's way.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl OpenFile {
    /// File number `number` of the target.
    fn create(target: &Target, signal: Signal, number: u64) -> anyhow::Result<Self> {
        let Format {
            encoding,
            compression,
        } = target.format;
        let path = match &target.place {
            Place::Stdout => None,
            Place::File(path) => Some(path.clone()),
            Place::Folder(dir) => {
                fs::create_dir_all(dir)
                    .with_context(|| format!("cannot create the folder {}", dir.display()))?;
                let (ending, compressed) = (encoding.ending(), compression.ending());
                let name = match signal {
                    Signal::Traces => "spans",
                    Signal::Logs => "logs",
                    Signal::Metrics => "metrics",
                };
                Some(dir.join(format!("{name}-{number:05}.{ending}{compressed}")))
            }
        };
        let paths = path.map(|path| {
            let mut temporary = path.clone().into_os_string();
            temporary.push(".part");
            (PathBuf::from(temporary), path)
        });
        let output = match &paths {
            Some((temporary, _)) => Output::create(temporary, compression)
                .with_context(|| format!("cannot create {}", temporary.display()))?,
            None => Output::stdout(compression).context("cannot write to standard output")?,
        };
        let content = match RequestEncoding::of(encoding) {
            Some(encoding) => Content::Requests {
                encoding,
                output: Box::new(output),
                waiting: Vec::new(),
                waiting_bytes: 0,
            },
            None => Content::Parquet(Box::new(RowWriter::new(signal, output)?)),
        };
        Ok(Self {
            paths,
            content,
            records: 0,
        })
    }

    fn push(&mut self, record: Record) -> anyhow::Result<()> {
        self.records += 1;
        match &mut self.content {
            Content::Parquet(writer) => writer.push(&record),
            Content::Requests {
                waiting,
                waiting_bytes,
                ..
            } => {
                *waiting_bytes += record.memory_bytes();
                waiting.push(record);
                if waiting.len() >= REQUEST_RECORDS || *waiting_bytes >= REQUEST_BYTES {
                    self.content.write_waiting()?;
                }
                Ok(())
            }
        }
    }

    /// Gives it its name. Returns its size in bytes.
    fn finish(mut self) -> anyhow::Result<u64> {
        self.content.write_waiting()?;
        let output = match self.content {
            Content::Requests { output, .. } => *output,
            Content::Parquet(writer) => writer.finish()?,
        };
        output.finish()?;
        let Some((temporary, path)) = self.paths else {
            return Ok(0);
        };
        fs::rename(&temporary, &path)
            .with_context(|| format!("cannot rename {}", temporary.display()))?;
        Ok(fs::metadata(&path)?.len())
    }
}

impl Content {
    fn write_waiting(&mut self) -> anyhow::Result<()> {
        if let Self::Requests {
            encoding,
            output,
            waiting,
            waiting_bytes,
        } = self
            && !waiting.is_empty()
        {
            *waiting_bytes = 0;
            for batch in group(waiting.drain(..)) {
                std::io::Write::write_all(output, &encoding.encode(&batch)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_and_flags_say_what_is_written() {
        let parse = |to: &str| Target::parse(to, None, None).unwrap();
        assert_eq!(parse("-").format, Format::JSON_LINES);
        let zipped = parse("a/b.pb.zst");
        assert_eq!(zipped.format.compression, Compression::Zstd);
        let folder = parse("exports/");
        assert_eq!(folder.format.encoding, Encoding::Parquet);
        let forced = Target::parse("spans.bin", Some(Encoding::OtlpProtobuf), None).unwrap();
        assert_eq!(forced.format.encoding, Encoding::OtlpProtobuf);
    }

    #[test]
    fn what_cannot_be_is_refused_with_advice() {
        let error = Target::parse("spans", None, None).unwrap_err();
        assert!(error.to_string().contains("--format"), "{error}");
        let error = Target::parse("spans.parquet.gz", None, None).unwrap_err();
        assert!(error.to_string().contains("in itself"), "{error}");
    }
}
