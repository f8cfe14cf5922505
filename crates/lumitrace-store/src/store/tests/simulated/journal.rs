//! A disk that remembers everything that was done to it, fails where it is told to, and says what a
//! power cut at any moment may have left.
//!
//! The model is that of POSIX, which promises little: what was written to a file since it was last
//! synced may be there, or not, or in part, each write for itself; a name that was given or taken
//! since the folder was last synced may be as it was before. The idea of replaying a journal of
//! operations with some left out is that of ALICE (Pillai et al., OSDI 2014).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use parking_lot::Mutex;

use crate::disk::Disk;

/// A file, whatever its name is.
type Inode = usize;

/// A change that a power cut may undo until it was synced.
#[derive(Debug, Clone)]
enum Operation {
    CreateDir(PathBuf),
    Create(PathBuf, Inode),
    /// At an offset, or at the end.
    Write(Inode, Option<u64>, Vec<u8>),
    SetLen(Inode, u64),
    SyncData(Inode),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
}

#[derive(Debug, Default)]
struct State {
    journal: Vec<Operation>,
    /// Files by their present name.
    names: HashMap<PathBuf, Inode>,
    inodes: usize,
    /// Which operation is to fail, counted from now on, and how.
    fault: Option<(usize, ErrorKind)>,
}

/// See [the module](self).
#[derive(Debug, Default)]
pub(super) struct JournalDisk {
    state: Mutex<State>,
}

impl JournalDisk {
    /// How many operations there were so far.
    pub(super) fn len(&self) -> usize {
        self.state.lock().journal.len()
    }

    /// The first `len` operations, a line each, for the message of a failed seed.
    pub(super) fn describe(&self, len: usize) -> String {
        let state = self.state.lock();
        let lines = state.journal[..len].iter().enumerate();
        let line = |(position, operation): (usize, &Operation)| match operation {
            Operation::Write(inode, offset, bytes) => {
                let len = bytes.len();
                format!("{position}: Write({inode}, {offset:?}, {len} bytes)\n")
            }
            operation => format!("{position}: {operation:?}\n"),
        };
        lines.map(line).collect()
    }

    /// How many times a file of this name was replaced.
    pub(super) fn replacements(&self, name: &str) -> usize {
        let state = self.state.lock();
        let named = state
            .journal
            .iter()
            .filter_map(|operation| match operation {
                Operation::Rename(_, to) if to.ends_with(name) => Some(to),
                _ => None,
            });
        let names: Vec<&PathBuf> = named.collect();
        names.len() - names.iter().collect::<HashSet<_>>().len()
    }

    /// Whether a file of the log in `dir` was synced by one of these operations. When one is, so is what
    /// was written to the log before.
    pub(super) fn has_synced_log(&self, dir: &Path, operations: Range<usize>) -> bool {
        let state = self.state.lock();
        let mut inodes: HashMap<&Path, Inode> = HashMap::new();
        let is_segment = |path: &Path| {
            path.parent() == Some(dir) && path.extension().is_some_and(|it| it == "log")
        };
        let journal = state.journal.iter().enumerate();
        for (position, operation) in journal.take(operations.end) {
            match operation {
                Operation::Create(path, inode) => {
                    inodes.insert(path, *inode);
                }
                Operation::Rename(from, to) => {
                    let inode = inodes.remove(from.as_path()).unwrap();
                    inodes.insert(to, inode);
                }
                Operation::SyncData(synced) if position >= operations.start => {
                    let mut names = inodes.iter().filter(|(_, inode)| *inode == synced);
                    if names.any(|(path, _)| is_segment(path)) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// Makes the operation after `after` more fail like this, once.
    pub(super) fn fail(&self, after: usize, kind: ErrorKind) {
        self.state.lock().fault = Some((after, kind));
    }

    /// Forgets a fault that has not struck.
    pub(super) fn heal(&self) {
        self.state.lock().fault = None;
    }

    /// Writes to `target` what may be left of `source` after the first `len` operations and a power
    /// cut, as `rng` decides.
    pub(super) fn cut(&self, len: usize, source: &Path, target: &Path, rng: &mut Rng) {
        let journal = self.state.lock().journal[..len].to_vec();
        let files = files_after(&journal, rng);
        for (path, content) in files {
            let path = target.join(path.strip_prefix(source).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

impl State {
    /// The error with which the operation that comes now fails, if it does.
    fn strike(&mut self) -> Option<ErrorKind> {
        match self.fault {
            Some((0, kind)) => {
                self.fault = None;
                Some(kind)
            }
            Some((after, kind)) => {
                self.fault = Some((after - 1, kind));
                None
            }
            None => None,
        }
    }

    fn inode(&self, path: &Path) -> Inode {
        self.names[path]
    }

    /// A write, at an offset or at the end. One that fails may have got somewhere.
    fn write(
        &mut self,
        path: &Path,
        bytes: &[u8],
        offset: Option<u64>,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let inode = self.inode(path);
        let (written, result) = match self.strike() {
            Some(kind) => (&bytes[..bytes.len() / 2], Err(kind.into())),
            None => (bytes, Ok(())),
        };
        write(written)?;
        self.journal
            .push(Operation::Write(inode, offset, written.to_vec()));
        result
    }
}

impl Disk for JournalDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if dir.exists() {
            return Ok(());
        }
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        fs::create_dir(dir)?;
        state.journal.push(Operation::CreateDir(dir.to_owned()));
        Ok(())
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        let mut state = self.state.lock();
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        let file = File::options().write(true).create_new(true).open(path)?;
        let inode = state.inodes;
        state.inodes += 1;
        state.names.insert(path.to_owned(), inode);
        state
            .journal
            .push(Operation::Create(path.to_owned(), inode));
        Ok(file)
    }

    fn write_all(&self, path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let write = |bytes: &[u8]| file.write_all(bytes);
        self.state.lock().write(path, bytes, None, write)
    }

    fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let write = |bytes: &[u8]| file.write_all_at(bytes, offset);
        self.state.lock().write(path, bytes, Some(offset), write)
    }

    /// The same for the same seed.
    fn new_salt(&self) -> io::Result<u32> {
        Ok(self.state.lock().journal.len() as u32 + 1)
    }

    fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.inode(path);
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        file.set_len(len)?;
        state.journal.push(Operation::SetLen(inode, len));
        Ok(())
    }

    fn sync_data(&self, path: &Path, _file: &File) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.inode(path);
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        state.journal.push(Operation::SyncData(inode));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        fs::rename(from, to)?;
        let inode = state.names.remove(from).unwrap();
        state.names.insert(to.to_owned(), inode);
        state
            .journal
            .push(Operation::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        // Looked for first: what is not there is no operation.
        fs::metadata(path)?;
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        fs::remove_file(path)?;
        state.names.remove(path);
        state.journal.push(Operation::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(kind) = state.strike() {
            return Err(kind.into());
        }
        state.journal.push(Operation::SyncDir(dir.to_owned()));
        Ok(())
    }
}

/// Which files there may be after a power cut that follows `journal`, with what content.
fn files_after(journal: &[Operation], rng: &mut Rng) -> BTreeMap<PathBuf, Vec<u8>> {
    let contents = contents_after(journal, rng);
    let names = names_after(journal, rng);
    let content = |inode: &Inode| contents.get(inode).cloned().unwrap_or_default();
    names
        .iter()
        .map(|(path, inode)| (path.clone(), content(inode)))
        .collect()
}

/// What the files hold: everything up to their last sync, and of the rest what `rng` leaves.
fn contents_after(journal: &[Operation], rng: &mut Rng) -> HashMap<Inode, Vec<u8>> {
    let mut synced_at: HashMap<Inode, usize> = HashMap::new();
    for (position, operation) in journal.iter().enumerate() {
        if let Operation::SyncData(inode) = operation {
            synced_at.insert(*inode, position);
        }
    }
    // The end of a file as its program knew it, and the content that reached the disk.
    let mut files: HashMap<Inode, (usize, Vec<u8>)> = HashMap::new();
    for (position, operation) in journal.iter().enumerate() {
        let is_synced = |inode| synced_at.get(inode).is_some_and(|at| *at > position);
        match operation {
            Operation::Write(inode, offset, bytes) => {
                let (end, content) = files.entry(*inode).or_default();
                let at = offset.map_or(*end, |offset| offset as usize);
                *end = (*end).max(at + bytes.len());
                let kept = match rng.u8(..4) {
                    _ if is_synced(inode) => 0..bytes.len(),
                    0 => 0..0,
                    1 => {
                        // Sectors reach the disk in any order.
                        let first = rng.usize(..=bytes.len()) * rng.usize(..2);
                        first..rng.usize(first..=bytes.len())
                    }
                    _ => 0..bytes.len(),
                };
                if !kept.is_empty() {
                    content.resize(content.len().max(at + kept.end), 0);
                    content[at + kept.start..at + kept.end].copy_from_slice(&bytes[kept]);
                }
            }
            Operation::SetLen(inode, len) => {
                let (end, content) = files.entry(*inode).or_default();
                *end = *len as usize;
                if is_synced(inode) || rng.bool() {
                    content.truncate(*len as usize);
                }
            }
            _ => {}
        }
    }
    files
        .into_iter()
        .map(|(inode, (_, content))| (inode, content))
        .collect()
}

/// The names of files: all that were synced, and of the later ones what `rng` leaves.
fn names_after(journal: &[Operation], rng: &mut Rng) -> BTreeMap<PathBuf, Inode> {
    let synced_at = |dir: &Path| {
        let is_sync =
            |operation: &Operation| matches!(operation, Operation::SyncDir(it) if it == dir);
        journal.iter().rposition(is_sync)
    };
    // Ordered file systems keep the first so many changes, others any of them.
    let is_ordered = rng.bool();
    let mut has_lost = false;
    let mut present: HashMap<PathBuf, Inode> = HashMap::new();
    let mut on_disk: BTreeMap<PathBuf, Inode> = BTreeMap::new();
    let mut lost_dirs: Vec<&Path> = Vec::new();
    for (position, operation) in journal.iter().enumerate() {
        let mut reaches_disk = |path: &Path| {
            let dir = path.parent().unwrap();
            if synced_at(dir).is_some_and(|at| at > position) {
                return true;
            }
            has_lost |= rng.u8(..3) == 0;
            !has_lost && is_ordered || !is_ordered && rng.bool()
        };
        match operation {
            Operation::CreateDir(dir) if !reaches_disk(dir) => lost_dirs.push(dir),
            Operation::Create(path, inode) => {
                present.insert(path.clone(), *inode);
                if reaches_disk(path) {
                    on_disk.insert(path.clone(), *inode);
                }
            }
            Operation::Rename(from, to) => {
                let inode = present.remove(from).unwrap();
                present.insert(to.clone(), inode);
                if reaches_disk(to) {
                    on_disk.remove(from);
                    on_disk.insert(to.clone(), inode);
                }
            }
            Operation::Remove(path) => {
                present.remove(path);
                if reaches_disk(path) {
                    on_disk.remove(path);
                }
            }
            _ => {}
        }
    }
    // Without its folder nothing finds a file.
    on_disk.retain(|path, _| !lost_dirs.iter().any(|dir| path.starts_with(dir)));
    on_disk
}
