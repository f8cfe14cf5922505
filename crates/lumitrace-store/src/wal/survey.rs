//! Reading a segment for people: all that is whole, and where it is not. Changes nothing.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Corruption;
use crate::origins::Origins;
use crate::signal::Batch;
pub(crate) use crate::wal::frame::FoundFrame;
use crate::wal::frame::{self, FrameFormat, FrameHeader, FrameShape, frame_at, later_frames};
use crate::wal::segment::{self, BadSegmentHeader, SegmentHeader};

impl FoundFrame<'_> {
    /// The batch in it; none if its payload does not hold what the header says.
    pub(crate) fn batch<B: Batch>(&self) -> Option<B> {
        let batch = B::from_logged(Bytes::copy_from_slice(self.payload)).ok()?;
        (batch.record_count() == self.header.record_count as usize).then_some(batch)
    }

    /// Like [`batch`](Self::batch), as it is kept in memory.
    pub(crate) fn stored<B: Batch>(&self, origins: &mut Origins) -> Option<Arc<B::Stored>> {
        let FrameHeader {
            first_seq,
            received_unix_nano,
            ..
        } = self.header;
        let batch = self.batch::<B>()?;
        Some(batch.into_stored(first_seq, received_unix_nano, origins))
    }
}

/// What a segment's file holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Length of the file, in bytes.
    pub(crate) len: u64,
    /// Length of what counts: up to the last whole frame.
    pub(crate) used_bytes: u64,
    /// What the header says; none if it is damaged.
    pub(crate) first_seq: Option<u64>,
    /// After the last whole frame.
    pub(crate) end_seq: Option<u64>,
    pub(crate) damages: Vec<Corruption>,
    /// Whether no whole frame is behind the last damage.
    pub(crate) ends_damaged: bool,
    /// The end of the last segment, where it looks like a write that a crash interrupted: then
    /// nobody had been told that it was done, and the next opening cuts it off.
    pub(crate) unfinished: Option<Corruption>,
    /// The version of a segment that a newer release wrote, which is not looked into.
    pub(crate) newer_version: Option<u32>,
}

/// Hands every whole frame of the segment at `path` to `visit`, also those behind damage, until it
/// breaks. Frames of another type are none. Only the last segment of a log may end in an unfinished
/// write.
pub(crate) fn survey(
    path: &Path,
    frame_type: u8,
    is_last: bool,
    visit: &mut dyn FnMut(&FoundFrame<'_>) -> ControlFlow<()>,
) -> io::Result<Survey> {
    let bytes = fs::read(path)?;
    let mut survey = Survey {
        len: bytes.len() as u64,
        ..Survey::default()
    };
    let mut header = None;
    match SegmentHeader::decode(&bytes) {
        Ok(found) => {
            header = Some(found);
            survey.first_seq = Some(found.first_seq);
            survey.end_seq = survey.first_seq;
        }
        Err(BadSegmentHeader::NewerVersion(version)) => {
            survey.newer_version = Some(version);
            return Ok(survey);
        }
        Err(BadSegmentHeader::Damaged) => {
            let damage = Corruption::new(path, 0, "no header of a log segment");
            if is_last && bytes.len() <= segment::HEADER_BYTES {
                survey.unfinished = Some(damage);
                return Ok(survey);
            }
            survey.damages.push(damage);
        }
    }
    let format = match header {
        Some(header) => Some(header.format),
        None => format_of_frames(&bytes, frame_type),
    };
    let shape = format.map(|format| FrameShape { frame_type, format });
    match shape {
        Some(shape) => walk(path, (&bytes, shape), is_last, &mut survey, visit),
        None => survey.ends_damaged = true,
    }
    Ok(survey)
}

/// How the frames behind a damaged header are written, if any can be found.
fn format_of_frames(bytes: &[u8], frame_type: u8) -> Option<FrameFormat> {
    let has_frames = |format| {
        let shape = FrameShape { frame_type, format };
        later_frames(bytes, 0, None, shape).next().is_some()
    };
    segment::possible_formats(bytes).find(|format| has_frames(*format))
}

fn walk(
    path: &Path,
    (bytes, shape): (&[u8], FrameShape),
    is_last: bool,
    survey: &mut Survey,
    visit: &mut dyn FnMut(&FoundFrame<'_>) -> ControlFlow<()>,
) {
    let mut offset = segment::header_bytes(shape.format);
    survey.used_bytes = offset as u64;
    while offset < bytes.len() {
        let found = match frame_at(bytes, offset, shape) {
            Ok(frame) => frame,
            Err(reason) => {
                let damage = Corruption::new(path, offset as u64, reason);
                let later = || later_frames(bytes, offset, survey.end_seq, shape);
                if is_last && !later().any(|frame| frame.header.synced_before) {
                    survey.unfinished = (!frame::is_end(&bytes[offset..])).then_some(damage);
                    return;
                }
                survey.damages.push(damage);
                match later().next() {
                    Some(frame) => frame,
                    None => {
                        survey.ends_damaged = true;
                        return;
                    }
                }
            }
        };
        let first_seq = found.header.first_seq;
        // Behind damage the numbers go on later, which is no damage of its own.
        let follows = survey.end_seq.is_none_or(|end| end == first_seq);
        if !follows && found.offset == offset as u64 {
            let reason = format!(
                "a frame begins with record {first_seq}, expected {}",
                survey.end_seq.unwrap_or_default()
            );
            survey
                .damages
                .push(Corruption::new(path, found.offset, reason));
        }
        survey.first_seq.get_or_insert(first_seq);
        survey.end_seq = Some(first_seq + u64::from(found.header.record_count));
        offset = found.offset as usize + found.header.frame_bytes();
        survey.used_bytes = offset as u64;
        if visit(&found).is_break() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::frame::Frame;

    const SALT: u32 = 77;

    /// A segment of three frames of two records each, and where they begin.
    fn segment(synced_before: bool) -> (Vec<u8>, Vec<usize>) {
        let header = SegmentHeader {
            id: 1,
            first_seq: 10,
            format: FrameFormat::V2 { salt: SALT },
        };
        let mut bytes = header.encode();
        let mut offsets = Vec::new();
        for first_seq in [10, 12, 14] {
            offsets.push(bytes.len());
            let frame = Frame {
                frame_type: 1,
                synced_before,
                first_seq,
                record_count: 2,
                received_unix_nano: 7,
                payload: b"payload",
            };
            frame.encode(SALT, &mut bytes);
        }
        (bytes, offsets)
    }

    fn surveyed(bytes: &[u8], is_last: bool) -> (Survey, Vec<u64>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0000000001.log");
        fs::write(&path, bytes).unwrap();
        let mut found = Vec::new();
        let survey = survey(&path, 1, is_last, &mut |frame| {
            found.push(frame.header.first_seq);
            ControlFlow::Continue(())
        });
        (survey.unwrap(), found)
    }

    #[test]
    fn frames_behind_damage_are_found_and_the_damage_is_named() {
        let (mut bytes, offsets) = segment(true);
        bytes[offsets[1] + 35] ^= 1;
        for is_last in [false, true] {
            let (survey, found) = surveyed(&bytes, is_last);
            assert_eq!(found, [10, 14]);
            assert_eq!(survey.end_seq, Some(16));
            let damaged: Vec<_> = survey.damages.iter().map(|it| it.offset).collect();
            assert_eq!(damaged, [offsets[1] as u64]);
        }
    }

    #[test]
    fn only_the_end_of_the_last_segment_may_be_an_unfinished_write() {
        let (bytes, offsets) = segment(true);
        let cut = &bytes[..bytes.len() - 1];
        let (survey, found) = surveyed(cut, true);
        assert_eq!(found, [10, 12]);
        assert!(survey.damages.is_empty());
        assert_eq!(survey.unfinished.unwrap().offset, offsets[2] as u64);
        let (survey, _) = surveyed(cut, false);
        assert_eq!(survey.damages.len(), 1);
    }

    #[test]
    fn a_damaged_header_does_not_hide_the_frames() {
        // The version, the sequence number, either copy of the salt.
        for damaged in [8, 20, 28, 32] {
            let (mut bytes, _) = segment(false);
            bytes[damaged] ^= 4;
            let (survey, found) = surveyed(&bytes, true);
            assert_eq!(found, [10, 12, 14], "{damaged}");
            assert_eq!((survey.first_seq, survey.end_seq), (Some(10), Some(16)));
            assert_eq!(survey.damages[0].offset, 0);
        }
    }

    #[test]
    fn what_is_behind_the_end_of_the_last_segment_is_neither_damage_nor_unfinished() {
        let (whole, _) = segment(true);
        let (earlier_life, _) = segment(true);
        for rest in [
            vec![0; 4],
            vec![0; 500],
            [vec![0; 34], earlier_life].concat(),
        ] {
            let bytes = [whole.clone(), rest].concat();
            let (survey, found) = surveyed(&bytes, true);
            assert_eq!(found, [10, 12, 14]);
            assert_eq!((survey.damages.len(), survey.unfinished), (0, None));
            assert_eq!(survey.used_bytes, whole.len() as u64);
            let (survey, _) = surveyed(&bytes, false);
            assert_eq!(
                survey.damages.len(),
                1,
                "only the last segment is not cut to size"
            );
        }
    }

    #[test]
    fn zeros_before_a_later_group_are_damage() {
        let (mut bytes, offsets) = segment(true);
        bytes[offsets[1]..offsets[2]].fill(0);
        let (survey, found) = surveyed(&bytes, true);
        assert_eq!(found, [10, 14]);
        assert_eq!(survey.damages[0].offset, offsets[1] as u64);
    }
}
