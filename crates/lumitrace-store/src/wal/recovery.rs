//! Reading the log back when a store is opened.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, create_anew};
use crate::error::{Corruption, OpenError, io_error};
use crate::failpoint::{Failpoint, reached};
use crate::origins::Origins;
use crate::signal::Batch;
use crate::wal::frame::{self, BadHeader, FrameFormat, FrameHeader, FrameShape, later_frames};
use crate::wal::segment::{self, BadSegmentHeader, SegmentHeader};
use crate::wal::segments::ClosedSegment;
use crate::wal::writer::LogPosition;

const READ_BUFFER_BYTES: usize = 1 << 20;

/// What recovery found.
#[derive(Debug)]
pub(crate) struct RecoveredLog {
    pub(crate) position: LogPosition,
    pub(crate) segments: Vec<ClosedSegment>,
    /// How many records were handed over.
    pub(crate) replayed_records: u64,
    /// What was cut off at the end, if anything.
    pub(crate) torn_tail: Option<Corruption>,
}

/// Hands every batch in `dir` that blocks do not hold to `apply`, in order and one at a time.
///
/// What is behind the end of the log is cut off, and so is a frame that a crash left half-written
/// there; damage anywhere else is an error, because what it hit had been acknowledged. Of frames that are
/// cut off a copy is kept in `damaged_dir`.
pub(crate) fn recover<B: Batch>(
    disk: &dyn Disk,
    (dir, damaged_dir): (&Path, &Path),
    durable_seq: u64,
    apply: &mut dyn FnMut(Arc<B::Stored>) -> Result<(), OpenError>,
) -> Result<RecoveredLog, OpenError> {
    let paths = segment::list(dir).map_err(io_error("list", dir))?;
    let mut recovered = RecoveredLog {
        position: LogPosition {
            next_segment_id: 1,
            next_seq: durable_seq,
        },
        segments: Vec::new(),
        replayed_records: 0,
        torn_tail: None,
    };
    let mut origins = Origins::default();
    let mut expected_seq = None;
    for (index, (id, path)) in paths.iter().enumerate() {
        recovered.position.next_segment_id = id + 1;
        let is_last = index + 1 == paths.len();
        let place = SegmentPlace {
            disk,
            path,
            damaged_dir,
            is_last,
        };
        let Some(mut reader) = SegmentReader::open(place, B::FRAME_TYPE)? else {
            disk.remove(path).map_err(io_error("remove", path))?;
            reached(Failpoint::HeadlessSegmentRemoved);
            disk.sync_dir(dir).map_err(io_error("sync", dir))?;
            break;
        };
        reader.check_first_seq(expected_seq, durable_seq)?;
        if is_last {
            // A process that was killed may have left it to the operating system. It must not get
            // lost once there are blocks of its records, or a segment after it.
            disk.sync_data(path, reader.file.get_ref())
                .map_err(io_error("sync", path))?;
        }
        while let Some(frame) = reader.next_frame()? {
            if frame.first_seq >= durable_seq {
                let batch = reader.decode::<B>(&frame)?;
                recovered.replayed_records += u64::from(frame.record_count);
                let (first_seq, received) = (frame.first_seq, frame.received_unix_nano);
                apply(batch.into_stored(first_seq, received, &mut origins))?;
            }
        }
        expected_seq = Some(reader.next_seq);
        recovered.torn_tail = reader.torn_tail.take();
        recovered.segments.push(ClosedSegment {
            path: path.clone(),
            len: reader.offset,
            end_seq: reader.next_seq,
        });
    }
    // A log may end before what blocks hold: its segments are removed once they do.
    recovered.position.next_seq = durable_seq.max(expected_seq.unwrap_or(0));
    Ok(recovered)
}

/// What there is of the frame that `rest`, the end of a segment's file, begins with: as much as its header
/// says, or if that is damaged, all but the zeros at the end of the file.
fn unfinished_frame(rest: &[u8], shape: FrameShape) -> &[u8] {
    let bytes = match FrameHeader::decode(rest, shape) {
        Ok(frame) => frame.frame_bytes(),
        Err(_) => rest.len(),
    };
    let bytes = &rest[..bytes.min(rest.len())];
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0);
    &bytes[..bytes.len() - zeros.count()]
}

/// What is missing before a segment that begins with record `first`, if something is. The segment
/// before it, if there is one, ends at `expected`; blocks hold what is before `durable_seq`, if that is
/// known.
///
/// Records are numbered without gaps, so a gap means that a file is missing or cut short. Records may be
/// missing before a segment only if blocks have them: segments are removed then, and a power cut may
/// bring any of them back.
pub(crate) fn gap_before(
    first: u64,
    expected: Option<u64>,
    durable_seq: Option<u64>,
) -> Option<String> {
    // Where nobody knows what blocks hold, they may hold everything.
    let durable_seq = durable_seq.unwrap_or(u64::MAX);
    match expected {
        Some(expected) if first < expected || first > expected.max(durable_seq) => Some(format!(
            "it begins with record {first}, but the segment before it ends at {expected}"
        )),
        None if first > durable_seq => Some(format!(
            "the log begins with record {first}, but blocks hold only those before {durable_seq}: the \
             end of the manifest, or a segment, is missing"
        )),
        _ => None,
    }
}

/// Where a segment is.
#[derive(Clone, Copy)]
struct SegmentPlace<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    damaged_dir: &'a Path,
    is_last: bool,
}

struct SegmentReader<'a> {
    place: SegmentPlace<'a>,
    header: SegmentHeader,
    shape: FrameShape,
    file: BufReader<File>,
    len: u64,
    /// Where the next frame begins.
    offset: u64,
    next_seq: u64,
    payload: Vec<u8>,
    torn_tail: Option<Corruption>,
}

impl<'a> SegmentReader<'a> {
    /// Reads the header. None if the file is the last one, and a crash kept it from getting one.
    fn open(place: SegmentPlace<'a>, frame_type: u8) -> Result<Option<Self>, OpenError> {
        let SegmentPlace { path, is_last, .. } = place;
        let open = || {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            let mut file = BufReader::with_capacity(READ_BUFFER_BYTES, file);
            let mut header = Vec::new();
            Read::by_ref(&mut file)
                .take(segment::HEADER_BYTES as u64)
                .read_to_end(&mut header)?;
            io::Result::Ok((file, len, header))
        };
        let (mut file, len, header) = open().map_err(io_error("read", path))?;
        let header = match SegmentHeader::decode(&header) {
            Ok(header) => header,
            Err(BadSegmentHeader::NewerVersion(found)) => {
                let (file, supported) = (path.to_owned(), segment::VERSION);
                return Err(OpenError::NewerVersion {
                    file,
                    found,
                    supported,
                });
            }
            Err(BadSegmentHeader::Damaged) if is_last && len <= segment::HEADER_BYTES as u64 => {
                return Ok(None);
            }
            Err(BadSegmentHeader::Damaged) => {
                return Err(Corruption::new(path, 0, "no header of a log segment").into());
            }
        };
        let offset = segment::header_bytes(header.format) as u64;
        file.seek(SeekFrom::Start(offset))
            .map_err(io_error("read", path))?;
        Ok(Some(Self {
            place,
            header,
            shape: FrameShape {
                frame_type,
                format: header.format,
            },
            file,
            len,
            offset,
            next_seq: header.first_seq,
            payload: Vec::new(),
            torn_tail: None,
        }))
    }

    fn check_first_seq(&self, expected: Option<u64>, durable_seq: u64) -> Result<(), OpenError> {
        match gap_before(self.next_seq, expected, Some(durable_seq)) {
            Some(reason) => Err(Corruption::new(self.place.path, 0, reason).into()),
            None => Ok(()),
        }
    }

    /// The next whole frame, its payload in `self.payload`; none at the end.
    fn next_frame(&mut self) -> Result<Option<FrameHeader>, OpenError> {
        if self.offset == self.len {
            return Ok(None);
        }
        let frame = match self
            .read_frame()
            .map_err(io_error("read", self.place.path))?
        {
            Ok(frame) => frame,
            Err(reason) => {
                self.end(reason)?;
                return Ok(None);
            }
        };
        if frame.first_seq != self.next_seq {
            let reason = format!(
                "a frame begins with record {}, expected {}",
                frame.first_seq, self.next_seq
            );
            return Err(Corruption::new(self.place.path, self.offset, reason).into());
        }
        let Some(next_seq) = self.next_seq.checked_add(frame.record_count.into()) else {
            let reason = "there are no sequence numbers after those of a frame";
            return Err(Corruption::new(self.place.path, self.offset, reason).into());
        };
        self.offset += frame.frame_bytes() as u64;
        self.next_seq = next_seq;
        Ok(Some(frame))
    }

    fn read_frame(&mut self) -> io::Result<Result<FrameHeader, &'static str>> {
        let header_bytes = self.shape.format.header_bytes();
        let mut header = Vec::with_capacity(header_bytes);
        Read::by_ref(&mut self.file)
            .take(header_bytes as u64)
            .read_to_end(&mut header)?;
        let frame = match FrameHeader::decode(&header, self.shape).map_err(BadHeader::reason) {
            Ok(frame) => frame,
            Err(reason) => return Ok(Err(reason)),
        };
        // Allocates no more than the file holds, whatever a damaged length says, and no more than the
        // payload takes, because the memtable keeps it.
        let payload_len = frame.payload_bytes as u64;
        let rest = self.len.saturating_sub(self.offset);
        self.payload = Vec::with_capacity(payload_len.min(rest) as usize);
        Read::by_ref(&mut self.file)
            .take(payload_len)
            .read_to_end(&mut self.payload)?;
        if self.payload.len() < frame.payload_bytes {
            return Ok(Err("a frame is cut short"));
        }
        if !frame.matches(&self.payload) {
            return Ok(Err("a frame's checksum does not fit"));
        }
        Ok(Ok(frame))
    }

    /// Cuts the log off here, where no frame begins, if it ends here or a crash during the last write
    /// explains the damage.
    fn end(&mut self, reason: &str) -> Result<(), OpenError> {
        let SegmentPlace { disk, path, .. } = self.place;
        let mut damage = Corruption::new(path, self.offset, reason);
        if !self.place.is_last {
            return Err(damage.into());
        }
        let file = self.file.get_mut();
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_end(&mut rest))
            .map_err(io_error("read", path))?;
        let mut whole_frames = 0;
        for frame in later_frames(&rest, 0, Some(self.next_seq), self.shape) {
            // A later group was written when everything before it had been synced, so that before it
            // there cannot be a torn write.
            if frame.header.synced_before {
                return Err(damage.into());
            }
            whole_frames += 1;
        }
        if whole_frames > 0 || !frame::is_end(&rest) {
            // Nobody can tell whether a crash tore this or a disk damaged what had been acknowledged.
            let kept = match whole_frames {
                0 => unfinished_frame(&rest, self.shape),
                _ => &rest,
            };
            let copy = self.keep_aside(kept)?;
            let behind = match whole_frames {
                0 => "it is".to_owned(),
                frames => format!("it and {frames} whole frames behind it are"),
            };
            let behind = format!("; {behind} kept in {}", copy.display());
            damage.reason.push_str(&behind);
        }
        if !frame::is_end(&rest) {
            tracing::warn!(
                path = %path.display(), offset = self.offset, bytes = rest.len(), reason = damage.reason,
                "cut off an unfinished write at the end of the log"
            );
            self.torn_tail = Some(damage);
        }
        let cut = || {
            let file = File::options().write(true).open(path)?;
            disk.set_len(path, &file, self.offset)?;
            reached(Failpoint::TailCut);
            disk.sync_data(path, &file)?;
            reached(Failpoint::TailCutSynced);
            Ok(())
        };
        cut().map_err(io_error("truncate", path))
    }

    /// Writes `rest`, the end of this segment, as a segment of its own to the folder of what is damaged.
    /// Done again after a crash it makes the same file.
    fn keep_aside(&self, rest: &[u8]) -> Result<PathBuf, OpenError> {
        let SegmentPlace {
            disk,
            path,
            damaged_dir: dir,
            ..
        } = self.place;
        let header = SegmentHeader {
            first_seq: self.next_seq,
            ..self.header
        };
        let salt = match header.format {
            FrameFormat::V1 => 0,
            FrameFormat::V2 { salt } => salt,
        };
        let name = format!("{:010}-{salt:08x}-{}.log", header.id, self.offset);
        let copy = dir.join(name);
        let keep = || {
            disk.create_dir(dir)?;
            let file = create_anew(disk, &copy)?;
            disk.write_all(&copy, &file, &[&header.encode(), rest].concat())?;
            reached(Failpoint::TailCopied);
            disk.sync_data(&copy, &file)?;
            disk.sync_dir(dir)?;
            dir.parent()
                .map_or(Ok(()), |parent| disk.sync_dir(parent))?;
            reached(Failpoint::TailKeptAside);
            Ok(())
        };
        keep().map_err(io_error("keep the end of a log segment in", dir))?;
        tracing::warn!(segment = %path.display(), copy = %copy.display(), "kept the end of a log segment");
        Ok(copy)
    }

    fn decode<B: Batch>(&mut self, frame: &FrameHeader) -> Result<B, OpenError> {
        let offset = self.offset - frame.frame_bytes() as u64;
        let damage = |reason| OpenError::from(Corruption::new(self.place.path, offset, reason));
        let payload = std::mem::take(&mut self.payload).into();
        let batch = B::from_logged(payload)
            .map_err(|error| damage(format!("a frame's payload cannot be decoded: {error}")))?;
        if batch.record_count() != frame.record_count as usize {
            let (found, expected) = (batch.record_count(), frame.record_count);
            return Err(damage(format!(
                "a frame holds {found} records, its header says {expected}"
            )));
        }
        Ok(batch)
    }
}
