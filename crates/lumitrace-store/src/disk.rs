//! Everything that changes files, behind a trait: so that tests can make it fail, and can replay what
//! a power cut would have left of it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::append::AppendError;

/// Changes files and folders. [`RealDisk`] asks the operating system; tests put faults in between.
///
/// What is written or named is on the disk only after [`sync_data`](Self::sync_data) or
/// [`sync_dir`](Self::sync_dir).
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Creates a folder, and those that it is in, unless they are there.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    /// Creates an empty file.
    fn create_new(&self, path: &Path) -> io::Result<File> {
        File::options().write(true).create_new(true).open(path)
    }

    /// Writes `bytes` behind what was written to `file`, whose path is given so that a fault can
    /// choose its victim.
    fn write_all(&self, path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let _ = path;
        file.write_all(bytes)
    }

    /// Writes `bytes` at `offset` of `file`, over what is there.
    fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _ = path;
        file.write_all_at(bytes, offset)
    }

    /// Cuts `file` off at `len` bytes.
    fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        let _ = path;
        file.set_len(len)
    }

    /// Brings the content of `file`, and what is needed to read it back, to the disk.
    fn sync_data(&self, path: &Path, file: &File) -> io::Result<()> {
        let _ = path;
        file.sync_data()
    }

    /// Gives a file another name in the same folder. An earlier file of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Makes created, renamed and removed entries of the folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// A number for a log segment that no sender can foresee.
    fn new_salt(&self) -> io::Result<u32> {
        Ok(getrandom::u32()?)
    }
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {}

/// Creates an empty file; one that an unfinished attempt has left under that name is removed first.
pub(crate) fn create_anew(disk: &dyn Disk, path: &Path) -> io::Result<File> {
    remove_if_present(disk, path)?;
    disk.create_new(path)
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_present(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
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
