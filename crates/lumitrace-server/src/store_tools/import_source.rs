//! What is imported: files, one after the other, as batches of records.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use lumitrace_wire::otlp::Signal;
use parking_lot::Mutex;

use crate::record_file::{
    Batch, Encoding, Format, Input, Record, RequestEncoding, RequestReader, RowReader, decompress,
    group, nouns,
};
use crate::send::delivery::Batches;

/// Problems that are remembered with all their words.
const MAX_PROBLEMS: usize = 100;

/// Records by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub(super) struct RecordCounts {
    spans: u64,
    log_records: u64,
    points: u64,
}

impl RecordCounts {
    pub(super) fn add(&mut self, signal: Signal, count: u64) {
        *match signal {
            Signal::Traces => &mut self.spans,
            Signal::Logs => &mut self.log_records,
            Signal::Metrics => &mut self.points,
        } += count;
    }

    pub(super) fn total(&self) -> u64 {
        self.spans + self.log_records + self.points
    }

    /// Whether there are only spans.
    pub(super) fn are_spans(&self) -> bool {
        self.log_records == 0 && self.points == 0
    }

    /// What they are called: by their own name, if all are of one signal.
    pub(super) fn noun(&self) -> &'static str {
        let signals = [
            (Signal::Traces, self.spans),
            (Signal::Logs, self.log_records),
            (Signal::Metrics, self.points),
        ];
        let mut present = signals.into_iter().filter(|(_, count)| *count > 0);
        match (present.next(), present.next()) {
            (Some((signal, _)), None) => nouns(signal).1,
            _ => "records",
        }
    }
}

/// What happened to files, counted while they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadCounts {
    /// Files that were opened.
    pub(super) files: u64,
    /// Records that were read.
    pub(super) records: RecordCounts,
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
    signal: Option<Signal>,
    read_bytes: Arc<AtomicU64>,
    counts: Arc<Mutex<ReadCounts>>,
}

enum Content {
    Requests(RequestReader),
    Rows {
        reader: Box<RowReader>,
        /// Size of the file, and how much of it was added to what was read.
        bytes: u64,
        counted_bytes: u64,
        read_rows: u64,
    },
}

impl ImportSource {
    /// The files that `named` are, those in folders included. `format` and `signal` are what they are
    /// where that cannot be told.
    ///
    /// # Errors
    /// A file or folder is not there, or a folder holds nothing to import.
    pub(super) fn open(
        named: &[PathBuf],
        format: Option<Encoding>,
        signal: Option<Signal>,
    ) -> anyhow::Result<Self> {
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
            signal,
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
                let reader = RequestReader::new(encoding, self.signal, content);
                Ok(Content::Requests(reader))
            }
            _ if is_stdin(path) => {
                bail!("Parquet cannot be read from a pipe: write it to a file first")
            }
            _ => Ok(Content::Rows {
                reader: Box::new(RowReader::open(path)?),
                bytes: std::fs::metadata(path)?.len(),
                counted_bytes: 0,
                read_rows: 0,
            }),
        }
    }

    /// The next records of the current file, which may be none; `None` at its end.
    fn next_of(&self, path: &Path, content: &mut Content) -> anyhow::Result<Option<Vec<Batch>>> {
        match content {
            Content::Requests(reader) => {
                let Some(request) = reader.next()? else {
                    return Ok(None);
                };
                let mut counts = self.counts.lock();
                match request.content {
                    Ok(decoded) => {
                        if decoded.rejected > 0 {
                            let reason = decoded.rejection.unwrap_or_default();
                            let reason = format!("{} spans left out: {reason}", decoded.rejected);
                            counts.rejected_spans += decoded.rejected;
                            counts.problem(path, &request.place, &reason);
                        }
                        Ok(Some(vec![decoded.batch]))
                    }
                    Err(reason) => {
                        counts.problem(path, &request.place, &reason);
                        Ok(Some(Vec::new()))
                    }
                }
            }
            Content::Rows {
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
                let is_valid = |record: &Record| match record {
                    Record::Span(record) => {
                        record.span.trace_id.is_valid() && record.span.span_id.is_valid()
                    }
                    Record::Log(_) | Record::Point(_) => true,
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
                Ok(Some(group(valid)))
            }
        }
    }
}

impl Batches for ImportSource {
    fn next_batch(&mut self) -> Option<Batch> {
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
                Ok(Some(batches)) => {
                    self.current = Some((path, content));
                    // What is read at once is of one signal.
                    for batch in batches {
                        let records = batch.record_count() as u64;
                        if records > 0 {
                            self.counts.lock().records.add(batch.signal(), records);
                            return Some(batch);
                        }
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

/// The files in a folder whose endings say that they hold records, by name.
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
