//! A file of frames: its header, its name, and the list of segments that can be removed once
//! blocks hold their records.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::binary::{Fields, PutFields};
use crate::disk::{Disk, remove_if_present};

/// Newest version of segments that this release writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: usize = 32;

const MAGIC: &[u8; 8] = b"LUMITLOG";

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: u64,
    /// Sequence number of the first record that the segment may hold.
    pub(crate) first_seq: u64,
}

/// Why bytes are no segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadSegmentHeader {
    Damaged,
    NewerVersion(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u64(self.id);
        out.put_u64(self.first_seq);
        out.put_u32(crc32c::crc32c(&out));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadSegmentHeader> {
        let mut fields = Fields::new(bytes);
        let mut header = || {
            let magic = fields.take(8)?;
            Some((
                magic,
                fields.u32()?,
                fields.u64()?,
                fields.u64()?,
                fields.u32()?,
            ))
        };
        let (magic, version, id, first_seq, crc) = header().ok_or(BadSegmentHeader::Damaged)?;
        if magic != MAGIC || bytes.len() < HEADER_BYTES {
            return Err(BadSegmentHeader::Damaged);
        }
        if crc != crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) {
            return Err(BadSegmentHeader::Damaged);
        }
        if version > VERSION {
            return Err(BadSegmentHeader::NewerVersion(version));
        }
        Ok(Self { id, first_seq })
    }
}

/// The segment that is being written.
#[derive(Debug, Clone)]
pub(crate) struct OpenSegment {
    pub(crate) path: PathBuf,
    /// Shared, because flushing syncs it too.
    pub(crate) file: Arc<File>,
    /// Length of what counts, in bytes.
    pub(crate) len: u64,
}

impl OpenSegment {
    /// Creates the segment durably: a frame written to it later can be found again.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, header: SegmentHeader) -> io::Result<Self> {
        let path = dir.join(file_name(header.id));
        let create = || {
            let file = disk.create_new(&path)?;
            disk.write_all(&path, &file, &header.encode())?;
            disk.sync_data(&path, &file)?;
            disk.sync_dir(dir)?;
            Ok(file)
        };
        match create() {
            Ok(file) => {
                let (file, len) = (Arc::new(file), HEADER_BYTES as u64);
                Ok(Self { path, file, len })
            }
            Err(error) => {
                // Left behind it would only be an empty last segment, which recovery removes.
                let _ = remove_if_present(disk, &path);
                Err(error)
            }
        }
    }
}

/// The path of segment `id` within the log's folder.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:010}.log")
}

/// The segments in `dir` by id, oldest first.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if let Some(id) = stem.filter(|_| is_log).and_then(|stem| stem.parse().ok()) {
            segments.push((id, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// A segment that is no longer written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// Sequence number after the last record in it.
    pub(crate) end_seq: u64,
}

#[derive(Debug, Default)]
struct SegmentSet {
    closed: Vec<ClosedSegment>,
    open: Option<OpenSegment>,
}

/// The log's files: the writer adds to them, the flusher removes what blocks hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segments(Arc<Mutex<SegmentSet>>);

impl Segments {
    pub(crate) fn add_closed(&self, segment: ClosedSegment) {
        self.0.lock().closed.push(segment);
    }

    /// Says what the segment that is being written has come to.
    pub(crate) fn set_open(&self, segment: OpenSegment) {
        self.0.lock().open = Some(segment);
    }

    /// Brings everything written so far to the disk; the segments before the open one were synced
    /// when it was begun. A failure is final: the
    /// kernel may have dropped what it could not write and call the file clean, so that a second
    /// sync would succeed without the data being there.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> Result<(), String> {
        let open = self.0.lock().open.clone();
        open.map_or(Ok(()), |segment| {
            disk.sync_data(&segment.path, &segment.file)
                .map_err(|error| format!("could not sync {}: {error}", segment.path.display()))
        })
    }

    /// Number of segments and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let set = self.0.lock();
        let closed = set.closed.iter().map(|segment| segment.len);
        let lens = closed.chain(set.open.as_ref().map(|segment| segment.len));
        (lens.clone().count() as u64, lens.sum())
    }

    /// Removes the closed segments of which every record is before `durable_seq`.
    pub(crate) fn free(&self, disk: &dyn Disk, durable_seq: u64) {
        let mut set = self.0.lock();
        set.closed.retain(|segment| {
            if segment.end_seq > durable_seq {
                return true;
            }
            match remove_if_present(disk, &segment.path) {
                Ok(()) => false,
                Err(error) => {
                    // Only space is lost; the next flush tries again.
                    let path = segment.path.display();
                    tracing::warn!(%path, %error, "could not remove a log segment");
                    true
                }
            }
        });
    }
}
