//! Why a store could not be opened or read.

use std::io;
use std::path::{Path, PathBuf};

use crate::Exhausted;

/// Damage in a file of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {offset}: {reason}", file.display())]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file the damaged part begins.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl Corruption {
    pub(crate) fn new(file: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            offset,
            reason: reason.into(),
        }
    }
}

/// Why [`Store::open`](crate::Store::open) failed.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::{OpenError, Store, StoreOptions};
///
/// # let dir = _dir.path();
/// let second = Store::open(StoreOptions::new(dir));
/// assert!(matches!(second, Err(OpenError::Locked { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder open.
    #[error(
        "{} is in use by {}; stop it, or choose another folder",
        dir.display(), process_text(*.pid)
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The process that has it, if it said so.
        pid: Option<u32>,
    },
    /// There is no store where one is to be looked at.
    #[error("there is no store in {}; name the folder of one, see data_dir", dir.display())]
    NoStore {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder was written by a newer release.
    #[error(
        "{} has format version {found}, this release reads up to {supported}; use a newer release",
        file.display()
    )]
    NewerVersion {
        /// The file that says so.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this release reads.
        supported: u32,
    },
    /// A file is damaged where a crash cannot have done it.
    #[error(
        "{0}; restore it from a copy, or run `lumitrace store repair`, which sets aside what is damaged"
    )]
    Corrupt(#[from] Corruption),
    /// The operating system refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is damaged.
    #[error("{0}; restore it from a copy")]
    Corrupt(#[from] Corruption),
    /// The operating system refused.
    #[error("could not read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It would have cost more than it may.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// For `map_err`: the error of having tried to `action` the file at `path`.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// For `map_err`: the error of having tried to read the file at `path`.
pub(crate) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    move |source| ReadError::Io {
        path: path.to_owned(),
        source,
    }
}

/// For `map_err`: the error of having tried to open the file of a block at `path`, of which the store
/// knows that it must be there.
pub(crate) fn block_file_error(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Corruption::new(path, 0, "it is missing").into(),
        _ => read_error(path)(error),
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(corruption) => Self::Corrupt(corruption),
            ReadError::Io { path, source } => Self::Io {
                action: "read",
                path,
                source,
            },
        }
    }
}

fn process_text(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// Why [`Store::flush`](crate::Store::flush) failed. Nothing is lost: the log still has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not write a block: {reason}; the spans stay in the log")]
pub struct FlushError {
    /// What happened.
    pub reason: String,
}
