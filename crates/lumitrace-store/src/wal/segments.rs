//! The log's files: which segment is written, which can go once blocks hold their records, and which
//! files are kept to become segments again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, remove_if_present};
use crate::failpoint::{Failpoint, reached};
use crate::wal::segment::{self, OpenSegment};

/// So many files of segments that are not needed any more are kept to become segments again.
const MAX_SPARES: usize = 2;

/// A segment that is no longer written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) path: PathBuf,
    /// Length of the file, which ends with its last frame, in bytes.
    pub(crate) len: u64,
    /// Sequence number after the last record in it.
    pub(crate) end_seq: u64,
}

/// A file that was a segment, and can become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    len: u64,
}

/// How large the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogSize {
    pub(crate) segments: u64,
    /// Of segments, up to their last frames.
    pub(crate) bytes: u64,
    /// Of all files: also what is written ahead, and spares.
    pub(crate) file_bytes: u64,
}

#[derive(Debug, Default)]
struct SegmentSet {
    closed: Vec<ClosedSegment>,
    open: Option<OpenSegment>,
    spares: Vec<Spare>,
}

/// The log's files: the writer adds to them, the flusher lets go of what blocks hold.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    set: Arc<Mutex<SegmentSet>>,
    /// Size of a segment.
    segment_bytes: u64,
}

impl Segments {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self {
            set: Arc::default(),
            segment_bytes,
        }
    }

    pub(crate) fn add_closed(&self, segment: ClosedSegment) {
        self.set.lock().closed.push(segment);
    }

    /// Says what the segment that is being written has come to.
    pub(crate) fn set_open(&self, segment: OpenSegment) {
        self.set.lock().open = Some(segment);
    }

    /// Brings everything written so far to the disk; the segments before the open one were synced
    /// when it was begun. A failure is final: the
    /// kernel may have dropped what it could not write and call the file clean, so that a second
    /// sync would succeed without the data being there.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> Result<(), String> {
        let open = self.set.lock().open.clone();
        open.map_or(Ok(()), |segment| {
            disk.sync_data(&segment.path, &segment.file)
                .map_err(|error| format!("could not sync {}: {error}", segment.path.display()))
        })
    }

    pub(crate) fn size(&self) -> LogSize {
        let set = self.set.lock();
        let mut size = LogSize::default();
        let closed = set.closed.iter().map(|segment| (segment.len, segment.len));
        let open = set.open.as_ref();
        for (bytes, file_bytes) in closed.chain(open.map(|it| (it.len, it.file_len))) {
            size.segments += 1;
            size.bytes += bytes;
            size.file_bytes += file_bytes;
        }
        size.file_bytes += set.spares.iter().map(|spare| spare.len).sum::<u64>();
        size
    }

    /// Lets go of the closed segments of which every record is before `durable_seq`: keeps the files
    /// of some to become segments again, and removes the others.
    pub(crate) fn free(&self, disk: &dyn Disk, durable_seq: u64) {
        let mut set = self.set.lock();
        let SegmentSet { closed, spares, .. } = &mut *set;
        closed.retain(|segment| {
            if segment.end_seq > durable_seq {
                return true;
            }
            match self.let_go(disk, segment, spares) {
                Ok(()) => {
                    reached(Failpoint::SegmentFreed);
                    false
                }
                Err(error) => {
                    // Only space is lost; the next flush tries again.
                    let path = segment.path.display();
                    tracing::warn!(%path, %error, "could not remove a log segment");
                    true
                }
            }
        });
    }

    fn let_go(
        &self,
        disk: &dyn Disk,
        segment: &ClosedSegment,
        spares: &mut Vec<Spare>,
    ) -> io::Result<()> {
        let spare = Spare {
            path: segment.path.with_extension("spare"),
            len: segment.len,
        };
        // Numbers begin anew with an empty log, so that the name may be taken.
        let is_taken = spares.iter().any(|other| other.path == spare.path);
        if is_taken || !self.has_room(spares, spare.len) {
            return remove_if_present(disk, &segment.path);
        }
        disk.rename(&segment.path, &spare.path)?;
        spares.push(spare);
        Ok(())
    }

    /// Whether a file of `len` bytes is to be kept beside these: one that was filled, but not by a
    /// batch that is larger than a segment.
    fn has_room(&self, spares: &[Spare], len: u64) -> bool {
        let useful = self.segment_bytes..=self.segment_bytes.saturating_mul(2);
        spares.len() < MAX_SPARES && useful.contains(&len)
    }

    /// Finds the spare files that an earlier process has left in `dir`, and removes what is too much.
    pub(crate) fn find_spares(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut set = self.set.lock();
        for path in segment::list_spares(dir)? {
            let len = fs::metadata(&path)?.len();
            if self.has_room(&set.spares, len) {
                set.spares.push(Spare { path, len });
            } else {
                disk.remove(&path)?;
                reached(Failpoint::SpareRemoved);
            }
        }
        Ok(())
    }

    /// A file to become a segment, if one is kept.
    pub(crate) fn take_spare(&self) -> Option<Spare> {
        self.set.lock().spares.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn two_files_that_were_filled_are_kept_and_the_others_removed() {
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(100);
        for (id, len) in [(1, 99), (2, 100), (3, 201), (4, 200), (5, 150)] {
            let path = dir.path().join(segment::file_name(id));
            fs::write(&path, vec![0; len as usize]).unwrap();
            segments.add_closed(ClosedSegment {
                path,
                len,
                end_seq: id + 1,
            });
        }
        segments.free(&RealDisk, 5);
        let names = || {
            let files = fs::read_dir(dir.path()).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        let kept = ["0000000002.spare", "0000000004.spare", "0000000005.log"];
        assert_eq!(Vec::from_iter(names()), kept);
        let size = segments.size();
        assert_eq!((size.segments, size.bytes, size.file_bytes), (1, 150, 450));

        // The next process finds them, and does not need more.
        fs::write(dir.path().join("0000000006.spare"), [0; 100]).unwrap();
        let segments = Segments::new(100);
        segments.find_spares(&RealDisk, dir.path()).unwrap();
        assert_eq!(Vec::from_iter(names()), kept);
        assert!(segments.take_spare().is_some() && segments.take_spare().is_some());
        assert_eq!(segments.take_spare(), None);
    }
}
