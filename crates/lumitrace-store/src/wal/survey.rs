//! Reading a segment for people: all that is whole, and where it is not. Changes nothing.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Corruption;
use crate::signal::Batch;
use crate::stored::Origins;
use crate::wal::frame::{self, BadHeader, FrameHeader};
use crate::wal::segment::{self, BadSegmentHeader, SegmentHeader};

/// A whole frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundFrame<'a> {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) payload: &'a [u8],
}

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
    pub(crate) len: u64,
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
/// breaks. Frames of another type are none. Only the last segment of a log may end in an unfinished write.
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
    match SegmentHeader::decode(&bytes) {
        Ok(header) => {
            survey.first_seq = Some(header.first_seq);
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
    walk(path, (&bytes, frame_type), is_last, &mut survey, visit);
    Ok(survey)
}

fn walk(
    path: &Path,
    (bytes, frame_type): (&[u8], u8),
    is_last: bool,
    survey: &mut Survey,
    visit: &mut dyn FnMut(&FoundFrame<'_>) -> ControlFlow<()>,
) {
    let mut offset = segment::HEADER_BYTES;
    while offset < bytes.len() {
        let found = match frame_at(bytes, frame_type, offset) {
            Ok(frame) => frame,
            Err(reason) => {
                let damage = Corruption::new(path, offset as u64, reason);
                let later = || later_frames(bytes, frame_type, offset, survey.end_seq);
                if is_last && !later().any(|frame| frame.header.synced_before) {
                    survey.unfinished = Some(damage);
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
        if visit(&found).is_break() {
            return;
        }
    }
}

/// The whole frames that begin behind `offset`, with records from `next_seq` on.
fn later_frames(
    bytes: &[u8],
    frame_type: u8,
    offset: usize,
    next_seq: Option<u64>,
) -> impl Iterator<Item = FoundFrame<'_>> {
    (offset + 1..bytes.len())
        .filter_map(move |start| frame_at(bytes, frame_type, start).ok())
        .filter(move |frame| next_seq.is_none_or(|next| frame.header.first_seq >= next))
}

fn frame_at(bytes: &[u8], frame_type: u8, offset: usize) -> Result<FoundFrame<'_>, &'static str> {
    let bytes = &bytes[offset..];
    let header = FrameHeader::decode(bytes, frame_type).map_err(|bad| match bad {
        BadHeader::Short => "a frame's header is cut short",
        BadHeader::Unknown => "no header of a frame",
    })?;
    let payload = bytes
        .get(frame::HEADER_BYTES..header.frame_bytes())
        .ok_or("a frame is cut short")?;
    if !header.matches(bytes, payload) {
        return Err("a frame's checksum does not fit");
    }
    Ok(FoundFrame {
        offset: offset as u64,
        header,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::frame::Frame;

    /// A segment of three frames of two records each, and where they begin.
    fn segment(synced_before: bool) -> (Vec<u8>, Vec<usize>) {
        let header = SegmentHeader {
            id: 1,
            first_seq: 10,
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
            frame.encode(&mut bytes);
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
        let (mut bytes, _) = segment(false);
        bytes[20] ^= 4;
        let (survey, found) = surveyed(&bytes, true);
        assert_eq!(found, [10, 12, 14]);
        assert_eq!((survey.first_seq, survey.end_seq), (Some(10), Some(16)));
        assert_eq!(survey.damages[0].offset, 0);
    }
}
