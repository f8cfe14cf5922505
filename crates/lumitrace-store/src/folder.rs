//! The store's folder: where each file is, and the lock that lets in one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::error::{OpenError, io_error};

/// Paths in the store's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Creates what is missing of the folder and its parts.
    pub(crate) fn create(dir: &Path) -> Result<Self, OpenError> {
        let folder = Self {
            dir: dir.to_owned(),
        };
        for dir in [&folder.dir, &folder.log_dir(), &folder.blocks_dir()] {
            fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        }
        Ok(folder)
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("MANIFEST")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn blocks_dir(&self) -> PathBuf {
        self.dir.join("blocks")
    }

    /// Locks the folder for this process until the returned file is closed.
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let path = self.dir.join("LOCK");
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
                let mut text = String::new();
                // Without a readable pid the message is vaguer, but the refusal stands.
                let _ = file.read_to_string(&mut text);
                return Err(OpenError::Locked {
                    dir: self.dir.clone(),
                    pid: text.trim().parse().ok(),
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
        Ok(file)
    }
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
}
