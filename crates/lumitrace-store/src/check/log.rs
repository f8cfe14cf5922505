//! Verifying the log: every frame, and that the segments follow each other.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{Check, Watch};
use crate::error::{Corruption, OpenError, io_error};
use crate::folder::ShelfFolder;
use crate::signal::{Batch, Signal};
use crate::wal::recovery::gap_before;
use crate::wal::segment;
use crate::wal::survey::{FoundFrame, survey};

/// The segments, oldest first.
pub(crate) fn segments(folder: &ShelfFolder) -> Result<Vec<PathBuf>, OpenError> {
    let dir = folder.log_dir();
    match segment::list(&dir) {
        Ok(segments) => Ok(segments.into_iter().map(|(_, path)| path).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("list", &dir)(error)),
    }
}

/// Size of the log.
pub(super) fn bytes(folder: &ShelfFolder) -> Result<u64, OpenError> {
    let mut bytes = 0;
    for path in segments(folder)? {
        bytes += fs::metadata(&path).map_err(io_error("read", &path))?.len();
    }
    Ok(bytes)
}

/// Verifies the log; blocks hold what is before `durable_seq`, if that is known. Returns the
/// sequence number after its last record.
pub(super) fn check<S: Signal>(
    folder: &ShelfFolder,
    durable_seq: Option<u64>,
    check: &mut Check,
    watch: &mut Watch<'_>,
) -> Result<Option<u64>, OpenError> {
    let paths = segments(folder)?;
    let mut expected_seq: Option<u64> = None;
    for (index, path) in paths.iter().enumerate() {
        if watch.is_stopped() {
            break;
        }
        let is_last = index + 1 == paths.len();
        let mut undecodable = Vec::new();
        let mut visit = |frame: &FoundFrame<'_>| {
            match frame.batch::<S::Batch>() {
                Some(batch) => check.log_records += batch.record_count() as u64,
                None => undecodable.push(Corruption::new(
                    path,
                    frame.offset,
                    "a frame's payload does not hold what its header says",
                )),
            }
            ControlFlow::Continue(())
        };
        let found = survey(path, S::Batch::FRAME_TYPE, is_last, &mut visit)
            .map_err(io_error("read", path))?;
        if let Some(version) = found.newer_version {
            return Err(OpenError::NewerVersion {
                file: path.clone(),
                found: version,
                supported: segment::VERSION,
            });
        }
        check.log_segments += 1;
        let gap = found
            .first_seq
            .and_then(|first| gap_before(first, expected_seq, durable_seq));
        let gap = gap.map(|reason| Corruption::new(path, 0, reason));
        check.damages.extend(gap);
        check.damages.extend(found.damages);
        check.damages.extend(undecodable);
        check.unfinished.extend(found.unfinished);
        expected_seq = found.end_seq.or(expected_seq);
        watch.advance(found.len);
    }
    Ok(expected_seq)
}
