//! A file of OTLP in JSON, a line for each batch (OpenTelemetry specification, "OpenTelemetry Protocol
//! File Exporter").

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// Where spans are written, and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSettings {
    /// The file that is written; older ones lie beside it, with `.1` (the latest of them), `.2` and so
    /// on after the name.
    pub path: PathBuf,
    /// How large it gets before another one begins. A larger batch has a file of its own.
    pub max_file_bytes: u64,
    /// How many files are kept, the one that is written among them.
    pub max_files: usize,
}

impl FileSettings {
    /// Writing to `path`: 5 files of 64 MiB at most.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_file_bytes: 64 << 20,
            max_files: 5,
        }
    }
}

impl Default for FileSettings {
    /// Writing to `traces.jsonl` in the working directory.
    fn default() -> Self {
        Self::new("traces.jsonl")
    }
}

/// Writes spans to a file, where they can be read as soon as their batch is written.
///
/// Lines are whole whoever else writes to the file, a forked child for instance; what was cut off by
/// a full disk or a crash stays a line of its own.
///
/// ```no_run
/// use lumitrace::exporter::{FileExporter, FileSettings};
/// let _tracing = lumitrace::setup_tracing("my-service")
///     .exporter(FileExporter::new(FileSettings::new("traces.jsonl")))
///     .install();
/// ```
#[derive(Debug, Clone)]
pub struct FileExporter {
    settings: FileSettings,
}

impl FileExporter {
    /// An exporter with these settings. The file, and the folders above it, are made when there is
    /// something to write.
    pub fn new(settings: FileSettings) -> Self {
        Self { settings }
    }

    /// Writes one line. The file is opened each time: it may have been moved or deleted meanwhile, and
    /// a handle would be shared with forked children.
    fn append(&self, json: &[u8]) -> io::Result<()> {
        let path = &self.settings.path;
        let size = fs::metadata(path).map_or(0, |facts| facts.len());
        // With the ends of this line and of one that was cut off.
        let more = json.len() as u64 + 2;
        if size > 0 && size + more > self.settings.max_file_bytes {
            rotate(path, self.settings.max_files)?;
        }
        let mut file = open(path)?;
        let mut line = Vec::with_capacity(json.len() + 2);
        if !is_at_line_start(&mut file)? {
            line.push(b'\n');
        }
        line.extend_from_slice(json);
        line.push(b'\n');
        // At once, so that lines of other processes do not come between.
        file.write_all(&line)
    }
}

impl SpanExporter for FileExporter {
    fn name(&self) -> String {
        format!("file exporter to {}", self.settings.path.display())
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        let appended = if batch.is_empty() {
            Ok(())
        } else {
            self.append(batch.otlp_json())
        };
        appended
            .map(|()| ExportReceipt::default())
            .map_err(|error| ExportError::Retryable {
                // Disks are cleared and folders made while a program runs.
                reason: format!("cannot write the file: {error}"),
                retry_after: None,
            })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

fn is_at_line_start(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Makes way for a new file: each one gets the next number, and the last one goes.
fn rotate(path: &Path, max_files: usize) -> io::Result<()> {
    let Some(last) = max_files.checked_sub(1).filter(|last| *last > 0) else {
        return unless_gone(fs::remove_file(path));
    };
    for number in (1..last).rev() {
        // The file that has this number already is replaced.
        unless_gone(fs::rename(
            numbered(path, number),
            numbered(path, number + 1),
        ))?;
    }
    unless_gone(fs::rename(path, numbered(path, 1)))
}

/// That a file is not there is no failure: there are fewer yet, or another process was faster.
fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the files in a folder hold, by their names.
    fn files_in(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn exporter(path: PathBuf, max_file_bytes: u64, max_files: usize) -> FileExporter {
        FileExporter::new(FileSettings {
            path,
            max_file_bytes,
            max_files,
        })
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        files.iter().map(owned).collect()
    }

    #[test]
    fn a_full_file_makes_way_and_the_oldest_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let exporter = exporter(folder.path().join("t"), 8, 3);
        for line in ["1111", "22", "33", "4444", "55555"] {
            exporter.append(line.as_bytes()).unwrap();
        }
        let expected = named(&[("t", "55555\n"), ("t.1", "4444\n"), ("t.2", "22\n33\n")]);
        assert_eq!(files_in(folder.path()), expected);
    }

    #[test]
    fn a_line_larger_than_a_file_may_be_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let exporter = exporter(folder.path().join("t"), 8, 2);
        for line in ["a long line", "1", "another long line"] {
            exporter.append(line.as_bytes()).unwrap();
        }
        let expected = named(&[("t", "another long line\n"), ("t.1", "1\n")]);
        assert_eq!(files_in(folder.path()), expected);
    }

    #[test]
    fn a_single_file_begins_anew_when_it_is_full() {
        for max_files in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let exporter = exporter(folder.path().join("t"), 8, max_files);
            for line in ["1111", "2222"] {
                exporter.append(line.as_bytes()).unwrap();
            }
            assert_eq!(files_in(folder.path()), named(&[("t", "2222\n")]));
        }
    }

    #[test]
    fn what_was_cut_off_stays_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        fs::write(&path, "{\"cut").unwrap();
        let exporter = exporter(path, 1000, 2);
        exporter.append(b"{}").unwrap();
        exporter.append(b"{}").unwrap();
        assert_eq!(files_in(folder.path()), named(&[("t", "{\"cut\n{}\n{}\n")]));
    }

    #[test]
    fn folders_are_made_and_a_file_that_was_deleted_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/7/t");
        let exporter = exporter(path.clone(), 1000, 2);
        exporter.append(b"1").unwrap();
        fs::remove_file(&path).unwrap();
        exporter.append(b"2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    }

    #[test]
    fn many_writers_of_one_file_keep_their_lines_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let exporter = exporter(path.clone(), 1 << 20, 2);
                let line = writer.to_string().repeat(1_000);
                scope
                    .spawn(move || (0..50).for_each(|_| exporter.append(line.as_bytes()).unwrap()));
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let whole = |line: &&str| {
            line.len() == 1_000 && line.bytes().all(|byte| byte == line.as_bytes()[0])
        };
        // Writers that met at the end of the same line may each have begun a new one.
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.iter().filter(|line| whole(line)).count(), 200);
        assert_eq!(lines.len(), 200);
    }
}
