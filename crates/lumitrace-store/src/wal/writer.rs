//! Writing groups of batches to the log, and what a failure to do so means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::append::AppendError;
use crate::disk::{Disk, remove_if_present, retryable_refusal};
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::options::Durability;
use crate::signal::{Batch, Signal};
use crate::stats::Counters;
use crate::wal::frame::Frame;
use crate::wal::queue::WaitingBatch;
use crate::wal::segment::OpenSegment;
use crate::wal::segments::{ClosedSegment, Segments};

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum LogFailure {
    /// Nothing of it is in the log; the next group may succeed.
    Refused(AppendError),
    /// What is on the disk is unknown: nothing more may be acknowledged.
    Fatal(String),
}

/// Where the log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) next_segment_id: u64,
    pub(crate) next_seq: u64,
}

/// The end of the log.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    durability: Durability,
    segment_bytes: u64,
    /// None until there is something to write, so that a store can be opened and read while its
    /// disk is full.
    open: Option<OpenSegment>,
    position: LogPosition,
    segments: Segments,
    counters: Arc<Counters>,
    unsynced_since: Option<Instant>,
}

impl LogWriter {
    pub(crate) fn new<S: Signal>(position: LogPosition, engine: &Engine<S>) -> Self {
        Self {
            disk: Arc::clone(&engine.disk),
            dir: engine.folder.log_dir(),
            durability: engine.options.durability,
            segment_bytes: engine.options.log_segment_bytes,
            open: None,
            position,
            segments: engine.segments.clone(),
            counters: Arc::clone(&engine.counters),
            unsynced_since: None,
        }
    }

    /// Writes the batches as one group, and syncs it as the durability asks. Returns the sequence
    /// number of the group's first record.
    pub(crate) fn write_group<B: Batch>(
        &mut self,
        group: &[WaitingBatch<B>],
    ) -> Result<u64, LogFailure> {
        let mut segment = self.segment_with_room()?;
        let first_seq = self.position.next_seq;
        let all_synced = self.unsynced_since.is_none();
        let (frames, end_seq) = encode_group(group, segment.salt, first_seq, all_synced);
        reached(Failpoint::GroupEncoded);
        if let Err(error) = segment.append(&*self.disk, frames, self.segment_bytes) {
            let failure = undo_write(&*self.disk, &mut segment, &error);
            self.segments.set_open(segment.clone());
            self.open = Some(segment);
            return Err(failure);
        }
        reached(Failpoint::GroupWritten);
        self.segments.set_open(segment.clone());
        self.open = Some(segment);
        self.position.next_seq = end_seq;
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.sync_due_in() == Some(Duration::ZERO) {
            self.sync()?;
            reached(Failpoint::GroupSynced);
        }
        Ok(first_seq)
    }

    /// How long until what was written must be synced; none if nothing has to be.
    pub(crate) fn sync_due_in(&self) -> Option<Duration> {
        let unsynced_since = self.unsynced_since?;
        match self.durability {
            Durability::Fsync => Some(Duration::ZERO),
            Durability::Interval(interval) => {
                Some(interval.saturating_sub(unsynced_since.elapsed()))
            }
            Durability::None => None,
        }
    }

    /// Brings everything written to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), LogFailure> {
        if self.unsynced_since.is_none() {
            return Ok(());
        }
        let start = Instant::now();
        let synced = self.segments.sync(&*self.disk);
        self.counters.count_sync(start.elapsed());
        synced.map_err(LogFailure::Fatal)?;
        self.unsynced_since = None;
        Ok(())
    }

    /// The open segment, or a new one if there is none with room.
    fn segment_with_room(&mut self) -> Result<OpenSegment, LogFailure> {
        if let Some(segment) = self
            .open
            .take_if(|segment| segment.len < self.segment_bytes)
        {
            return Ok(segment);
        }
        // Also in the modes that sync rarely: recovery trusts all segments but the last.
        self.sync()?;
        self.cut()?;
        reached(Failpoint::SegmentCut);
        let begun = self.begin_segment();
        let begun =
            begun.map_err(|error| log_failure("begin a log segment in", &self.dir, &error))?;
        self.position.next_segment_id += 1;
        if let Some(full) = self.open.take() {
            self.segments.add_closed(ClosedSegment {
                path: full.path,
                len: full.len,
                end_seq: self.position.next_seq,
            });
        }
        self.segments.set_open(begun.clone());
        Ok(begun)
    }

    fn begin_segment(&self) -> std::io::Result<OpenSegment> {
        let spare = self.segments.take_spare();
        if spare.is_some() {
            // What is in it may be overwritten once it cannot get its old name back.
            self.disk.sync_dir(&self.dir)?;
            reached(Failpoint::SpareNamed);
        }
        let spare = spare.as_ref().map(|spare| spare.path.as_path());
        let position = (self.position.next_segment_id, self.position.next_seq);
        OpenSegment::begin(&*self.disk, &self.dir, spare, position).inspect_err(|_| {
            // Nobody knows any more what is in it.
            if let Some(spare) = spare {
                let _ = remove_if_present(&*self.disk, spare);
            }
        })
    }

    /// Makes the end of the open segment's file that of its frames, durably.
    fn cut(&mut self) -> Result<(), LogFailure> {
        let Some(segment) = self.open.as_mut().filter(|it| it.file_len > it.len) else {
            return Ok(());
        };
        segment
            .cut(&*self.disk)
            .map_err(|error| log_failure("truncate", &segment.path, &error))?;
        self.segments.set_open(segment.clone());
        self.segments.sync(&*self.disk).map_err(LogFailure::Fatal)
    }

    /// Brings everything to the disk, and leaves a file that ends with its last frame.
    pub(crate) fn close(&mut self) -> Result<(), LogFailure> {
        self.sync()?;
        self.cut()
    }
}

/// What it means that the log could not do something.
fn log_failure(action: &str, path: &Path, error: &std::io::Error) -> LogFailure {
    retryable_refusal(error).map_or_else(
        || LogFailure::Fatal(format!("could not {action} {}: {error}", path.display())),
        LogFailure::Refused,
    )
}

/// The frames of a group, and the sequence number after its last record.
fn encode_group<B: Batch>(
    group: &[WaitingBatch<B>],
    salt: u32,
    first_seq: u64,
    all_synced: bool,
) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let mut next_seq = first_seq;
    for (index, waiting) in group.iter().enumerate() {
        let batch = &waiting.batch;
        let frame = Frame {
            frame_type: B::FRAME_TYPE,
            synced_before: all_synced && index == 0,
            first_seq: next_seq,
            record_count: batch.record_count() as u32,
            received_unix_nano: waiting.received_unix_nano,
            payload: batch.payload(),
        };
        frame.encode(salt, &mut bytes);
        next_seq += batch.record_count() as u64;
    }
    (bytes, next_seq)
}

/// Cuts off what a failed write left behind, so that the log ends with a whole frame again.
fn undo_write(disk: &dyn Disk, segment: &mut OpenSegment, error: &std::io::Error) -> LogFailure {
    if let Err(undo_error) = segment.cut(disk) {
        let path = segment.path.display();
        return LogFailure::Fatal(format!(
            "could not write to {path}: {error}; nor cut off what was written: {undo_error}"
        ));
    }
    log_failure("write to", &segment.path, error)
}
