//! One batch in the log.

use crate::binary::{Fields, PutFields};

/// Bytes before a frame's payload.
pub(crate) const HEADER_BYTES: usize = 30;

/// Largest payload that a frame may have, in bytes.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Everything before this frame had been synced when it was written. Damage before such a frame is
/// therefore no torn write.
const FLAG_SYNCED_BEFORE: u8 = 1;

/// What precedes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) synced_before: bool,
    /// Sequence number of the payload's first record.
    pub(crate) first_seq: u64,
    pub(crate) record_count: u32,
    pub(crate) received_unix_nano: u64,
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
    /// Appends the frame's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut fields = Vec::with_capacity(HEADER_BYTES - 8);
        fields.put_u8(self.frame_type);
        fields.put_u8(if self.synced_before {
            FLAG_SYNCED_BEFORE
        } else {
            0
        });
        fields.put_u64(self.first_seq);
        fields.put_u32(self.record_count);
        fields.put_u64(self.received_unix_nano);
        let len = self.payload.len() as u32;
        out.put_u32(len);
        out.put_u32(checksum(len, &fields, self.payload));
        out.extend_from_slice(&fields);
        out.extend_from_slice(self.payload);
    }
}

impl FrameHeader {
    /// Reads the header of a frame of this type.
    pub(crate) fn decode(bytes: &[u8], frame_type: u8) -> Result<Self, BadHeader> {
        let mut fields = Fields::new(bytes);
        let mut header = || {
            let len = fields.u32()?;
            let crc = fields.u32()?;
            let (kind, flags, first_seq) = (fields.u8()?, fields.u8()?, fields.u64()?);
            Some((
                len,
                crc,
                kind,
                flags,
                first_seq,
                fields.u32()?,
                fields.u64()?,
            ))
        };
        let (len, crc, kind, flags, first_seq, record_count, received_unix_nano) =
            header().ok_or(BadHeader::Short)?;
        let payload_bytes = len as usize;
        if kind != frame_type
            || flags & !FLAG_SYNCED_BEFORE != 0
            || payload_bytes > MAX_PAYLOAD_BYTES
        {
            return Err(BadHeader::Unknown);
        }
        let synced_before = flags & FLAG_SYNCED_BEFORE != 0;
        Ok(Self {
            payload_bytes,
            synced_before,
            first_seq,
            record_count,
            received_unix_nano,
            crc,
        })
    }

    /// Whether the checksum in the header fits `header_bytes`, from which it was decoded, and
    /// `payload`.
    pub(crate) fn matches(&self, header_bytes: &[u8], payload: &[u8]) -> bool {
        let fields = header_bytes.get(8..HEADER_BYTES).unwrap_or_default();
        self.crc == checksum(self.payload_bytes as u32, fields, payload)
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }
}

fn checksum(len: u32, fields: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&len.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, fields), payload)
}
