//! The store's folder: where its shelves and their files are, and the lock that lets in one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::disk::Disk;
use crate::error::{OpenError, io_error};
use crate::inspect::InUse;
use crate::shelf::ShelfName;

/// Paths in the store's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Creates the folder if it is missing.
    pub(crate) fn create(dir: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The folder of a store that was there before.
    pub(crate) fn existing(dir: &Path) -> Result<Self, OpenError> {
        let folder = Self {
            dir: dir.to_owned(),
        };
        if folder.shelves().next().is_some() {
            return Ok(folder);
        }
        Err(OpenError::NoStore {
            dir: dir.to_owned(),
        })
    }

    /// Where a shelf is, or would be.
    pub(crate) fn shelf(&self, name: ShelfName) -> ShelfFolder {
        ShelfFolder {
            dir: match name {
                ShelfName::Spans => self.dir.clone(),
                ShelfName::Archive | ShelfName::Logs | ShelfName::Metrics => {
                    self.dir.join(name.as_str())
                }
            },
            name,
        }
    }

    /// The shelves that are there.
    pub(crate) fn shelves(&self) -> impl Iterator<Item = ShelfFolder> + '_ {
        let all = ShelfName::ALL.into_iter().map(|name| self.shelf(name));
        all.filter(ShelfFolder::exists)
    }

    /// Where a repair puts what it sets aside.
    pub(crate) fn damaged_dir(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    /// Who has the folder open, if somebody has. Changes nothing.
    pub(crate) fn in_use(&self) -> Result<Option<InUse>, OpenError> {
        match self.lock_shared()? {
            Err(in_use) => Ok(Some(in_use)),
            Ok(_lock) => Ok(None),
        }
    }

    /// Keeps everybody from opening the folder until the lock is dropped, if nobody has opened it
    /// yet. There is no file where it was never opened. Changes nothing.
    pub(crate) fn lock_shared(&self) -> Result<Result<Option<FolderLock>, InUse>, OpenError> {
        let path = self.lock_file();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(None)),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Ok(Some(FolderLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(Err(InUse {
                pid: pid_in(&mut file),
            })),
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        }
    }

    /// Locks the folder for this process until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<FolderLock, OpenError> {
        let path = self.lock_file();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked {
                    dir: self.dir.clone(),
                    pid: pid_in(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        let note_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", process::id())
        };
        // The note only serves the other process's message, and a full disk must not keep a store
        // from being read.
        if let Err(error) = note_pid(&mut file) {
            tracing::warn!(path = %path.display(), %error, "could not note the process id in the lock");
        }
        Ok(FolderLock(file))
    }
}

/// Keeps others from opening a folder until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file alone would leave the lock to a process that is just being started, which
        // has all files for a moment. If it fails, closing still lets go of it soon.
        let _ = self.0.unlock();
    }
}

/// Paths of one shelf.
#[derive(Debug, Clone)]
pub(crate) struct ShelfFolder {
    name: ShelfName,
    dir: PathBuf,
}

impl ShelfFolder {
    /// Creates what is missing of it. With its manifest, which is opened next, the names in it get to
    /// the disk.
    pub(crate) fn create(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        for dir in [&self.dir, &self.log_dir(), &self.blocks_dir()] {
            disk.create_dir(dir).map_err(io_error("create", dir))?;
        }
        // Also if it is there: whoever created it may have had no time to, or may have failed to.
        if let Some(parent) = self.dir.parent()
            && self.name != ShelfName::Spans
        {
            disk.sync_dir(parent).map_err(io_error("sync", parent))?;
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> ShelfName {
        self.name
    }

    pub(crate) fn exists(&self) -> bool {
        self.manifest().is_file() || self.log_dir().is_dir() || self.blocks_dir().is_dir()
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("MANIFEST")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where the end of a log is kept that is cut off though it holds whole frames.
    pub(crate) fn damaged_dir(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    pub(crate) fn blocks_dir(&self) -> PathBuf {
        self.dir.join("blocks")
    }
}

/// The process that the lock names, if it can be read: without it messages are vaguer.
fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_which_process_has_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let lock = folder.lock().unwrap();
        let refused = folder.lock().unwrap_err();
        assert!(
            matches!(&refused, OpenError::Locked { pid: Some(pid), .. } if *pid == process::id()),
            "{refused}"
        );
        drop(lock);
        folder.lock().unwrap();
    }

    #[test]
    fn a_closed_folder_is_free_though_another_process_has_got_the_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let lock = folder.lock().unwrap();
        // What a process that is being started has until it is another program.
        let _inherited = lock.0.try_clone().unwrap();
        drop(lock);
        folder.lock().unwrap();
    }
}
