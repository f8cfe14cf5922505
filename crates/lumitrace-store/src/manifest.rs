//! Which blocks count: an append-only file of records, the only place that says so.
//!
//! A block exists from the moment its record is synced; blocks that a record replaces or removes
//! cease to exist at the same moment. The bytes are described in `docs/formats/store.md`; [`records`]
//! reads and writes one record.

mod records;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::binary::{Fields, PutFields};
use crate::disk::{Disk, create_anew, remove_if_present, retryable_refusal};
use crate::error::{Corruption, OpenError, io_error};
use crate::failpoint::{Failpoint, reached};
pub(crate) use records::{BlockId, BlockRecord};
use records::{Record, payload_at, record_bytes};

const MAGIC: &[u8; 8] = b"LUMITMAN";
/// Newest version of manifests, and with them of the whole folder, that this release writes and
/// reads.
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 16;
/// The file is rewritten when it is this many times as long as it has to be, unless it is short.
const REWRITE_FACTOR: u64 = 4;

/// What all records together say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// By first sequence number; their ranges do not overlap.
    pub(crate) blocks: Vec<BlockRecord>,
    pub(crate) durable_seq: u64,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            durable_seq: 1,
        }
    }
}

impl Content {
    /// Whether a block of it has spans in common with that of `record`, but would still count: both
    /// would answer for them.
    fn conflicts_with(&self, record: &Record) -> bool {
        let Record::Block(block) = record else {
            return false;
        };
        let conflicts = |other: &BlockRecord| {
            let overlap =
                other.id.first_seq < block.id.end_seq && block.id.first_seq < other.id.end_seq;
            overlap && !block.id.contains(other.id)
        };
        self.blocks.iter().any(conflicts)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Block(block) => {
                self.durable_seq = self.durable_seq.max(block.id.end_seq);
                self.blocks.retain(|other| !block.id.contains(other.id));
                let index = self.blocks.partition_point(|other| other.id < block.id);
                self.blocks.insert(index, block);
            }
            Record::Removed(ids) => self.blocks.retain(|block| !ids.contains(&block.id)),
            Record::DurableSeq(seq) => self.durable_seq = self.durable_seq.max(seq),
        }
    }

    /// The shortest manifest that says the same.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(crc32c::crc32c(&out));
        out.extend(Record::DurableSeq(self.durable_seq).encode());
        for block in &self.blocks {
            out.extend(Record::Block(*block).encode());
        }
        out
    }
}

/// Why a record was not added.
#[derive(Debug)]
pub(crate) enum ManifestFailure {
    /// No space; the manifest is as it was, and it can be tried again.
    NoSpace(io::Error),
    /// What is on the disk is unknown: nothing more may be written.
    Fatal(String),
}

/// The open manifest.
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: File,
    len: u64,
    /// The file is rewritten only when it has at least this many bytes.
    rewrite_min_bytes: u64,
    content: Content,
    torn: bool,
    /// Whether it was begun by a release that does not know all records of this one.
    is_older: bool,
    /// Why nothing more is written, if so: what is on the disk is unknown.
    failure: Option<String>,
}

impl Manifest {
    /// Reads the manifest at `path`, or begins one if there is none.
    ///
    /// A record that a crash left half-written at the end does not count: nobody had relied on it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        rewrite_min_bytes: u64,
    ) -> Result<Self, OpenError> {
        if !path.try_exists().map_err(io_error("look for", &path))? {
            replace_file(&*disk, &path, &Content::default().encode())
                .map_err(io_error("create", &path))?;
        }
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let version = check_header(&path, &bytes)?;
        let (content, len) = read_records(&path, &bytes)?;
        let file = File::options()
            .append(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        // Whoever wrote the last record may have had no time to. What follows from it, such as removing
        // files, must not outlive it.
        disk.sync_data(&path, &file)
            .map_err(io_error("sync", &path))?;
        // The same goes for its name, and for those beside it.
        if let Some(dir) = path.parent() {
            disk.sync_dir(dir).map_err(io_error("sync", dir))?;
        }
        let torn = len < bytes.len();
        Ok(Self {
            disk,
            path,
            file,
            len: len as u64,
            rewrite_min_bytes,
            content,
            torn,
            is_older: version < VERSION,
            failure: None,
        })
    }

    /// Cuts off what a crash left half-written. Not done on opening: until the rest of the folder
    /// has shown that no record is missing, it might be evidence.
    pub(crate) fn cut_torn_tail(&mut self) -> Result<(), OpenError> {
        if !std::mem::take(&mut self.torn) {
            return Ok(());
        }
        let (path, offset) = (self.path.display(), self.len);
        tracing::warn!(%path, offset, "cut off an unfinished record at the end of the manifest");
        let cut = || {
            self.disk.set_len(&self.path, &self.file, self.len)?;
            reached(Failpoint::RecordCut);
            self.disk.sync_data(&self.path, &self.file)?;
            reached(Failpoint::RecordCutSynced);
            Ok(())
        };
        cut().map_err(io_error("truncate", &self.path))
    }

    /// Removes what a crash left of a rewriting: the manifest itself is whole.
    pub(crate) fn remove_unfinished_rewrite(&self) -> Result<(), OpenError> {
        let temporary = temporary_path(&self.path);
        if !temporary
            .try_exists()
            .map_err(io_error("look for", &temporary))?
        {
            return Ok(());
        }
        remove_if_present(&*self.disk, &temporary).map_err(io_error("remove", &temporary))?;
        reached(Failpoint::UnfinishedManifestRemoved);
        Ok(())
    }

    /// The damage of which `reason` is the evidence: records that should be at the end are not.
    pub(crate) fn missing_records(&self, reason: String) -> Corruption {
        Corruption::new(&self.path, self.len, reason)
    }

    pub(crate) fn blocks(&self) -> &[BlockRecord] {
        &self.content.blocks
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Every span before this sequence number is, or was, in a block.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.content.durable_seq
    }

    /// Makes `block` count from now on, instead of the blocks whose spans it holds, durably.
    pub(crate) fn add_block(&mut self, block: BlockRecord) -> Result<(), ManifestFailure> {
        self.add(Record::Block(block))
    }

    /// Makes these blocks count no more, durably.
    pub(crate) fn remove_blocks(&mut self, ids: Vec<BlockId>) -> Result<(), ManifestFailure> {
        self.add(Record::Removed(ids))
    }

    fn add(&mut self, record: Record) -> Result<(), ManifestFailure> {
        if let Some(reason) = &self.failure {
            return Err(ManifestFailure::Fatal(reason.clone()));
        }
        let added = self.write(record);
        if let Err(ManifestFailure::Fatal(reason)) = &added {
            self.failure = Some(reason.clone());
        }
        added
    }

    fn write(&mut self, record: Record) -> Result<(), ManifestFailure> {
        self.cut_torn_tail()
            .map_err(|error| ManifestFailure::Fatal(error.to_string()))?;
        if self.is_older {
            // So that the older release refuses the folder by its version, not by what is new.
            self.rewrite()?;
        }
        let bytes = record.encode();
        if let Err(error) = self.disk.write_all(&self.path, &self.file, &bytes) {
            return Err(self.undo_write(error));
        }
        match record {
            Record::Removed(_) => reached(Failpoint::RemovalWritten),
            _ => reached(Failpoint::BlockRecordWritten),
        }
        self.disk
            .sync_data(&self.path, &self.file)
            .map_err(|error| self.fatal("sync", &error))?;
        self.len += bytes.len() as u64;
        self.content.apply(record);
        self.rewrite_if_long()
    }

    fn undo_write(&self, error: io::Error) -> ManifestFailure {
        if retryable_refusal(&error).is_none() {
            return self.fatal("write", &error);
        }
        match self.disk.set_len(&self.path, &self.file, self.len) {
            Ok(()) => ManifestFailure::NoSpace(error),
            Err(error) => self.fatal("truncate", &error),
        }
    }

    fn failure(&self, action: &str, error: io::Error) -> ManifestFailure {
        match retryable_refusal(&error) {
            Some(_) => ManifestFailure::NoSpace(error),
            None => self.fatal(action, &error),
        }
    }

    fn fatal(&self, action: &str, error: &io::Error) -> ManifestFailure {
        ManifestFailure::Fatal(format!(
            "could not {action} {}: {error}",
            self.path.display()
        ))
    }

    /// Drops the history of replaced blocks when it outweighs the present.
    fn rewrite_if_long(&mut self) -> Result<(), ManifestFailure> {
        if self.len < self.rewrite_min_bytes
            || self.len < REWRITE_FACTOR * self.content.encode().len() as u64
        {
            return Ok(());
        }
        match self.rewrite() {
            // The old file is still there and whole; the next record tries again.
            Err(ManifestFailure::NoSpace(_)) => Ok(()),
            result => result,
        }
    }

    /// Puts the shortest manifest that says the same in the place of this one.
    fn rewrite(&mut self) -> Result<(), ManifestFailure> {
        let bytes = self.content.encode();
        write_temporary(&*self.disk, &self.path, &bytes).map_err(|error| {
            // Space matters most when there is none.
            let _ = remove_if_present(&*self.disk, &temporary_path(&self.path));
            self.failure("rewrite", error)
        })?;
        // Whatever fails from here on: the file that is open may have lost its name, and what is
        // written to it would be nowhere.
        self.file =
            put_in_place(&*self.disk, &self.path).map_err(|error| self.fatal("replace", &error))?;
        self.len = bytes.len() as u64;
        self.is_older = false;
        Ok(())
    }
}

/// What a manifest says.
#[derive(Debug, Clone)]
pub(crate) struct ManifestContent {
    pub(crate) version: u32,
    /// By first sequence number.
    pub(crate) blocks: Vec<BlockRecord>,
    /// Every span before this sequence number is, or was, in a block.
    pub(crate) durable_seq: u64,
    /// Length of the whole records.
    pub(crate) bytes: u64,
    /// Where an unfinished record begins, if the file ends in one.
    pub(crate) torn_at: Option<u64>,
}

/// Reads the manifest at `path` without changing anything. A folder that has none yet is empty.
pub(crate) fn read(path: &Path) -> Result<ManifestContent, OpenError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default().encode(),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let version = check_header(path, &bytes)?;
    let (content, len) = read_records(path, &bytes)?;
    Ok(ManifestContent {
        version,
        blocks: content.blocks,
        durable_seq: content.durable_seq,
        bytes: len as u64,
        torn_at: (len < bytes.len()).then_some(len as u64),
    })
}

/// Puts a manifest at `path` that says this, in the place of the one that may be there.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    blocks: &[BlockRecord],
    durable_seq: u64,
) -> io::Result<()> {
    let mut content = Content::default();
    content.apply(Record::DurableSeq(durable_seq));
    for block in blocks {
        content.apply(Record::Block(*block));
    }
    replace_file(disk, path, &content.encode()).map(|_| ())
}

/// Writes `bytes` to a new file and puts it at `path`, durably and at once.
fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<File> {
    write_temporary(disk, path, bytes)?;
    put_in_place(disk, path)
}

/// Where a manifest is written that is to be put at `path`.
fn temporary_path(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Writes `bytes` durably to the file that is to be put at `path`.
fn write_temporary(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_path(path);
    let file = create_anew(disk, &temporary)?;
    disk.write_all(&temporary, &file, bytes)?;
    disk.sync_data(&temporary, &file)?;
    reached(Failpoint::ManifestWritten);
    Ok(())
}

/// Puts the file that was written for it at `path`, durably, and opens it.
fn put_in_place(disk: &dyn Disk, path: &Path) -> io::Result<File> {
    disk.rename(&temporary_path(path), path)?;
    reached(Failpoint::ManifestRenamed);
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir)?;
    }
    reached(Failpoint::ManifestReplaced);
    File::options().append(true).open(path)
}

/// The version of the manifest.
pub(crate) fn check_header(path: &Path, bytes: &[u8]) -> Result<u32, OpenError> {
    let mut fields = Fields::new(bytes);
    let mut header = || Some((fields.take(8)?, fields.u32()?, fields.u32()?));
    match header() {
        Some((magic, version, crc)) if magic == MAGIC && crc == crc32c::crc32c(&bytes[..12]) => {
            if version > VERSION {
                let (file, found, supported) = (path.to_owned(), version, VERSION);
                return Err(OpenError::NewerVersion {
                    file,
                    found,
                    supported,
                });
            }
            Ok(version)
        }
        _ => Err(Corruption::new(path, 0, "no header of a manifest").into()),
    }
}

/// What the records in `bytes` say, and the length of the whole records.
pub(crate) fn read_records(path: &Path, bytes: &[u8]) -> Result<(Content, usize), OpenError> {
    let mut content = Content::default();
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        let damage = |reason| Err(Corruption::new(path, offset as u64, reason).into());
        let Some(payload) = payload_at(bytes, offset) else {
            // An unfinished write at the end; sectors of it reach the disk in any order. If it is
            // damage of the last record, the store notices, because blocks are then there that no
            // record mentions.
            let is_later = |start| payload_at(bytes, start).is_some_and(|it| !it.is_empty());
            if !(offset + 1..bytes.len()).any(is_later) {
                break;
            }
            return damage("a record's checksum does not fit");
        };
        let end = offset + record_bytes(payload);
        match Record::decode(payload) {
            Some(record) if content.conflicts_with(&record) => {
                return damage("a block holds some, but not all, of the spans of another");
            }
            Some(record) => content.apply(record),
            None => return damage("a record that no release writes"),
        }
        offset = end;
    }
    Ok((content, offset.min(bytes.len())))
}
