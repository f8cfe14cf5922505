//! One batch in the log.

use crate::binary::{Fields, PutFields};

/// Largest payload that a frame may have, in bytes.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Everything before this frame had been synced when it was written. Damage before such a frame is
/// therefore no torn write.
const FLAG_SYNCED_BEFORE: u8 = 1;

/// How the frames of a segment are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameFormat {
    /// Of segments of version 1, which are only read: one checksum of header and payload.
    V1,
    /// Of segments of version 2: a checksum of the payload, and one of the header that only frames
    /// of the segment with this salt have. So neither what a sender has put into a payload nor what
    /// is left of a segment that was in the file before can be taken for a frame; and what is no
    /// frame is told from its header, whatever length that claims.
    V2 {
        /// Of the segment.
        salt: u32,
    },
}

impl FrameFormat {
    /// Bytes before a frame's payload.
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Self::V1 => 30,
            Self::V2 { .. } => 34,
        }
    }
}

/// Which frames count in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameShape {
    /// What their payloads are.
    pub(crate) frame_type: u8,
    pub(crate) format: FrameFormat,
}

/// Zeros of this length, or fewer up to the end of the file, where a frame would begin: there are no
/// more frames. In a file that had another segment before they keep its rest apart.
pub(crate) const END_BYTES: usize = FrameFormat::V2 { salt: 0 }.header_bytes();

/// Whether the frames of a segment end here, where `bytes` are the rest of its file.
pub(crate) fn is_end(bytes: &[u8]) -> bool {
    bytes.iter().take(END_BYTES).all(|byte| *byte == 0)
}

/// What precedes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) synced_before: bool,
    /// Sequence number of the payload's first record.
    pub(crate) first_seq: u64,
    pub(crate) record_count: u32,
    pub(crate) received_unix_nano: u64,
    header_bytes: usize,
    /// Of everything before the payload that its checksum covers too.
    crc_before: u32,
    crc: u32,
}

/// Why bytes are no frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// They end too early.
    Short,
    /// They say what no frame says: a newer release's, or damaged.
    Unknown,
}

impl BadHeader {
    /// In words, for the message that names the place.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Short => "a frame's header is cut short",
            Self::Unknown => "no header of a frame",
        }
    }
}

/// A frame to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// What the payload is.
    pub(crate) frame_type: u8,
    pub(crate) synced_before: bool,
    pub(crate) first_seq: u64,
    pub(crate) record_count: u32,
    pub(crate) received_unix_nano: u64,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    /// Appends the frame's bytes to `out`, for a segment of version 2 with this salt.
    pub(crate) fn encode(&self, salt: u32, out: &mut Vec<u8>) {
        let begin = out.len();
        out.put_u32(self.payload.len() as u32);
        out.put_u8(self.frame_type);
        out.put_u8(if self.synced_before {
            FLAG_SYNCED_BEFORE
        } else {
            0
        });
        out.put_u64(self.first_seq);
        out.put_u32(self.record_count);
        out.put_u64(self.received_unix_nano);
        out.put_u32(crc32c::crc32c(self.payload));
        out.put_u32(crc32c::crc32c_append(salt, &out[begin..]));
        out.extend_from_slice(self.payload);
    }
}

/// The fields that frames of all versions have.
struct CommonFields {
    kind: u8,
    flags: u8,
    first_seq: u64,
    record_count: u32,
    received_unix_nano: u64,
}

impl CommonFields {
    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            kind: fields.u8()?,
            flags: fields.u8()?,
            first_seq: fields.u64()?,
            record_count: fields.u32()?,
            received_unix_nano: fields.u64()?,
        })
    }
}

impl FrameHeader {
    /// Reads the header of a frame of this shape.
    pub(crate) fn decode(bytes: &[u8], shape: FrameShape) -> Result<Self, BadHeader> {
        let FrameShape { frame_type, format } = shape;
        let header_bytes = format.header_bytes();
        let bytes = bytes.get(..header_bytes).ok_or(BadHeader::Short)?;
        let mut fields = Fields::new(bytes);
        let mut header = || {
            let len = fields.u32()?;
            Some(match format {
                FrameFormat::V1 => {
                    let crc = fields.u32()?;
                    let before = crc32c::crc32c(&len.to_le_bytes());
                    let before = crc32c::crc32c_append(before, &bytes[8..]);
                    (len, CommonFields::take(&mut fields)?, before, crc)
                }
                FrameFormat::V2 { .. } => (len, CommonFields::take(&mut fields)?, 0, fields.u32()?),
            })
        };
        let (len, common, crc_before, crc) = header().ok_or(BadHeader::Short)?;
        let payload_bytes = len as usize;
        if common.kind != frame_type
            || common.flags & !FLAG_SYNCED_BEFORE != 0
            || payload_bytes > MAX_PAYLOAD_BYTES
        {
            return Err(BadHeader::Unknown);
        }
        if let FrameFormat::V2 { salt } = format
            && fields.u32() != Some(crc32c::crc32c_append(salt, &bytes[..header_bytes - 4]))
        {
            return Err(BadHeader::Unknown);
        }
        Ok(Self {
            payload_bytes,
            synced_before: common.flags & FLAG_SYNCED_BEFORE != 0,
            first_seq: common.first_seq,
            record_count: common.record_count,
            received_unix_nano: common.received_unix_nano,
            header_bytes,
            crc_before,
            crc,
        })
    }

    /// Whether the checksum in the header fits `payload`.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        self.crc == crc32c::crc32c_append(self.crc_before, payload)
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.header_bytes + self.payload_bytes
    }
}

/// A whole frame in the bytes of its segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundFrame<'a> {
    /// Where it begins.
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) payload: &'a [u8],
}

/// The frame that begins at `offset`, or why none does.
pub(crate) fn frame_at(
    bytes: &[u8],
    offset: usize,
    shape: FrameShape,
) -> Result<FoundFrame<'_>, &'static str> {
    let bytes = bytes.get(offset..).unwrap_or_default();
    let header = FrameHeader::decode(bytes, shape).map_err(BadHeader::reason)?;
    let payload = bytes
        .get(header.header_bytes..header.frame_bytes())
        .ok_or("a frame is cut short")?;
    if !header.matches(payload) {
        return Err("a frame's checksum does not fit");
    }
    Ok(FoundFrame {
        offset: offset as u64,
        header,
        payload,
    })
}

/// The whole frames that begin behind `offset`, with records from `next_seq` on.
pub(crate) fn later_frames(
    bytes: &[u8],
    offset: usize,
    next_seq: Option<u64>,
    shape: FrameShape,
) -> impl Iterator<Item = FoundFrame<'_>> {
    (offset + 1..bytes.len())
        .filter_map(move |start| frame_at(bytes, start, shape).ok())
        .filter(move |frame| next_seq.is_none_or(|next| frame.header.first_seq >= next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 0x5eed_cafe;

    fn shape(salt: u32) -> FrameShape {
        let format = FrameFormat::V2 { salt };
        FrameShape {
            frame_type: 1,
            format,
        }
    }

    fn frame(payload: &[u8]) -> Frame<'_> {
        Frame {
            frame_type: 1,
            synced_before: true,
            first_seq: 7,
            record_count: 2,
            received_unix_nano: 9,
            payload,
        }
    }

    fn encoded(payload: &[u8], salt: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(payload).encode(salt, &mut bytes);
        bytes
    }

    #[test]
    fn frames_count_only_where_the_salt_is_theirs() {
        let bytes = encoded(b"payload", SALT);
        let found = |salt| frame_at(&bytes, 0, shape(salt));
        assert_eq!(found(SALT).unwrap().payload, b"payload");
        // A checksum changes with whatever it begins with.
        for other in (0..32).map(|bit| SALT ^ 1 << bit).chain([0]) {
            assert!(found(other).is_err());
        }
    }

    #[test]
    fn a_frame_that_a_sender_has_put_into_a_payload_is_none() {
        let fakes = [encoded(b"fake", 0), encoded(b"fake", SALT ^ 1)].concat();
        let bytes = encoded(&fakes, SALT);
        assert_eq!(later_frames(&bytes, 0, None, shape(SALT)).count(), 0);
    }

    #[test]
    fn any_flipped_bit_of_a_frame_is_noticed() {
        let whole = encoded(b"payload", SALT);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(frame_at(&bytes, 0, shape(SALT)).is_err());
        }
    }
}
