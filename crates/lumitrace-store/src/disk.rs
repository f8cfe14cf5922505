//! The few operations on files whose failure decides what happens next, behind a trait so that
//! tests can make them fail.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::append::AppendError;

/// Writes and syncs files. [`RealDisk`] asks the operating system; tests put faults in between.
pub(crate) trait Disk: Send + Sync {
    /// Appends `bytes` to `file`, whose path is given so that a fault can choose its victim.
    fn write_all(&self, path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let _ = path;
        file.write_all(bytes)
    }

    /// Brings the content of `file`, and what is needed to read it back, to the disk.
    fn sync_data(&self, path: &Path, file: &File) -> io::Result<()> {
        let _ = path;
        file.sync_data()
    }
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {}

/// Makes a created, renamed or removed entry of the folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Puts a finished temporary file in its place, durably. An earlier file of that name is replaced.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    match to.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The refusal that a failed write stands for, if it can be retried: the disk is full or
/// read-only. Any other failure is final.
pub(crate) fn retryable_refusal(error: &io::Error) -> Option<AppendError> {
    let reason = error.to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some(AppendError::DiskFull { reason })
        }
        ErrorKind::ReadOnlyFilesystem => Some(AppendError::ReadOnly { reason }),
        _ => None,
    }
}
