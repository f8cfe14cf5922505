//! What is imported: files, one after the other, as batches of spans.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use lumitrace_model::ResourceSpans;
use lumitrace_store::span_file::SpanFileReader;
use parking_lot::Mutex;

use super::grouping::group;
use crate::send::delivery::{Batches, span_count};
use crate::trace_file::{Encoding, Format, Input, RequestEncoding, RequestReader, decompress};

/// Problems that are remembered with all their words.
const MAX_PROBLEMS: usize = 100;

/// What happened to files, counted while they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadCounts {
    /// Files that were opened.
    pub(super) files: u64,
    /// Spans that were read.
    pub(super) spans: u64,
    /// Spans that were left out because their ids are invalid.
    pub(super) rejected_spans: u64,
    /// Requests, files and parts of files that could not be read, or not fully.
    pub(super) problems: u64,
    /// The first of them, with file and line.
    pub(super) first_problems: Vec<String>,
}

impl ReadCounts {
    fn problem(&mut self, path: &Path, place: &str, reason: &str) {
        self.problems += 1;
        if self.first_problems.len() < MAX_PROBLEMS {
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{place}: ")
            };
            self.first_problems
                .push(format!("{}: {place}{reason}", path.display()));
        }
    }
}

/// Files to come and the one that is being read.
pub(super) struct ImportSource {
    files: VecDeque<PathBuf>,
    current: Option<(PathBuf, Content)>,
    format: Option<Encoding>,
    read_bytes: Arc<AtomicU64>,
    counts: Arc<Mutex<ReadCounts>>,
}

enum Content {
    Requests(RequestReader),
    Spans {
        reader: Box<SpanFileReader>,
        /// Size of the file, and how much of it was added to what was read.
        bytes: u64,
        counted_bytes: u64,
        read_rows: u64,
    },
}

impl ImportSource {
    /// The files that `named` are, those in folders included. `format` is what they are where that
    /// cannot be told.
    ///
    /// # Errors
    /// A file or folder is not there, or a folder holds nothing to import.
    pub(super) fn open(named: &[PathBuf], format: Option<Encoding>) -> anyhow::Result<Self> {
        let mut files = VecDeque::new();
        for path in named {
            if path.is_dir() {
                let found = files_in(path)?;
                anyhow::ensure!(
                    !found.is_empty(),
                    "there is no .jsonl, .pb or .parquet file in {}",
                    path.display()
                );
                files.extend(found);
            } else {
                let is_there = is_stdin(path) || path.exists();
                anyhow::ensure!(is_there, "there is no file {}", path.display());
                files.push_back(path.clone());
            }
        }
        Ok(Self {
            files,
            current: None,
            format,
            read_bytes: Arc::default(),
            counts: Arc::default(),
        })
    }

    /// Size of all files in bytes, unless one is standard input.
    pub(super) fn total_bytes(&self) -> Option<u64> {
        let size = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            metadata.is_file().then_some(metadata.len())
        };
        self.files.iter().map(size).sum()
    }

    /// How much of them was read, in bytes.
    pub(super) fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read_bytes)
    }

    pub(super) fn counts(&self) -> Arc<Mutex<ReadCounts>> {
        Arc::clone(&self.counts)
    }

    fn open_file(&self, path: &Path) -> anyhow::Result<Content> {
        let input = || {
            let read_bytes = Arc::clone(&self.read_bytes);
            match is_stdin(path) {
                true => Ok(Input::stdin(read_bytes)),
                false => Input::open(path, read_bytes),
            }
        };
        let named = self
            .format
            .or(Format::of_path(path).map(|format| format.encoding));
        let (encoding, content) = match named {
            Some(Encoding::Parquet) => (Encoding::Parquet, None),
            Some(encoding) => (encoding, Some(decompress(input()?)?)),
            None => {
                let mut content = decompress(input()?)?;
                (recognise(content.as_mut())?, Some(content))
            }
        };
        match (RequestEncoding::of(encoding), content) {
            (Some(encoding), Some(content)) => {
                Ok(Content::Requests(RequestReader::new(encoding, content)))
            }
            _ if is_stdin(path) => {
                bail!("Parquet cannot be read from a pipe: write it to a file first")
            }
            _ => Ok(Content::Spans {
                reader: Box::new(SpanFileReader::open(path)?),
                bytes: std::fs::metadata(path)?.len(),
                counted_bytes: 0,
                read_rows: 0,
            }),
        }
    }

    /// The next spans of the current file; `None` at its end.
    fn next_of(
        &self,
        path: &Path,
        content: &mut Content,
    ) -> anyhow::Result<Option<Vec<ResourceSpans>>> {
        match content {
            Content::Requests(reader) => {
                let Some(request) = reader.next()? else {
                    return Ok(None);
                };
                let mut counts = self.counts.lock();
                match request.content {
                    Ok(decoded) => {
                        if decoded.rejected_spans > 0 {
                            let reason = decoded.rejection.unwrap_or_default();
                            let reason =
                                format!("{} spans left out: {reason}", decoded.rejected_spans);
                            counts.rejected_spans += decoded.rejected_spans;
                            counts.problem(path, &request.place, &reason);
                        }
                        Ok(Some(decoded.resource_spans))
                    }
                    Err(reason) => {
                        counts.problem(path, &request.place, &reason);
                        Ok(Some(Vec::new()))
                    }
                }
            }
            Content::Spans {
                reader,
                bytes,
                counted_bytes,
                read_rows,
            } => {
                let Some(records) = reader.next()? else {
                    return Ok(None);
                };
                *read_rows += records.len() as u64;
                let share = *read_rows as f64 / (reader.rows() as f64).max(1.0);
                let read = (*bytes as f64 * share.min(1.0)) as u64;
                self.read_bytes
                    .fetch_add(read - *counted_bytes, Ordering::Relaxed);
                *counted_bytes = read;
                let first_row = *read_rows - records.len() as u64;
                let is_valid = |record: &lumitrace_store::SpanRecord| {
                    record.span.trace_id.is_valid() && record.span.span_id.is_valid()
                };
                let (valid, invalid): (Vec<_>, Vec<_>) = records.into_iter().partition(is_valid);
                if !invalid.is_empty() {
                    let rejected = invalid.len() as u64;
                    let mut counts = self.counts.lock();
                    counts.rejected_spans += rejected;
                    let place = format!("rows from {first_row} on");
                    let reason = format!("{rejected} spans left out: they have no valid ids");
                    counts.problem(path, &place, &reason);
                }
                Ok(Some(group(valid.into_iter().map(Arc::new))))
            }
        }
    }
}

impl Batches for ImportSource {
    fn next_batch(&mut self) -> Option<Vec<ResourceSpans>> {
        loop {
            let (path, mut content) = match self.current.take() {
                Some(current) => current,
                None => {
                    let path = self.files.pop_front()?;
                    match self.open_file(&path) {
                        Ok(content) => {
                            self.counts.lock().files += 1;
                            (path, content)
                        }
                        Err(error) => {
                            self.counts.lock().problem(&path, "", &format!("{error:#}"));
                            continue;
                        }
                    }
                }
            };
            match self.next_of(&path, &mut content) {
                Ok(Some(batch)) => {
                    self.current = Some((path, content));
                    let spans = span_count(&batch) as u64;
                    if spans > 0 {
                        self.counts.lock().spans += spans;
                        return Some(batch);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    let reason = format!("nothing behind here can be read: {error:#}");
                    self.counts.lock().problem(&path, "", &reason);
                }
            }
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The files in a folder whose endings say that they hold spans, by name.
fn files_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() && Format::of_path(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What a file is whose name does not say it, by its first bytes.
fn recognise(content: &mut dyn BufRead) -> anyhow::Result<Encoding> {
    let head = content.fill_buf()?;
    Ok(match head.trim_ascii_start() {
        [] => Encoding::OtlpJson,
        [b'{', ..] => Encoding::OtlpJson,
        [b'P', b'A', b'R', b'1', ..] => Encoding::Parquet,
        // The first byte of the length of a message below 16 MiB.
        _ if head.first() == Some(&0) => Encoding::OtlpProtobuf,
        _ => bail!(
            "it is neither lines of OTLP/JSON, nor OTLP in protobuf behind lengths, nor Parquet; if it is, say which with --format"
        ),
    })
}
