//! The records of a manifest, one at a time: what each says, and its bytes.

use std::fmt;

use crate::binary::{Fields, PutFields};

/// Length and checksum before each record.
const RECORD_HEADER_BYTES: usize = 8;
const RECORD_BLOCK: u8 = 1;
const RECORD_REMOVED: u8 = 2;
const RECORD_DURABLE_SEQ: u8 = 3;

/// Names a block by the spans that went into it: those from `first_seq` up to, without,
/// `end_seq`. The same flush or merge, done again after a crash, makes the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId {
    pub(crate) first_seq: u64,
    pub(crate) end_seq: u64,
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.first_seq, self.end_seq)
    }
}

impl BlockId {
    /// The id that `text` prints, if it does.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, end) = text.split_once('-')?;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        let id = Self {
            first_seq: parse(first)?,
            end_seq: parse(end)?,
        };
        (id.to_string() == text).then_some(id)
    }

    /// Whether all numbers of `other` are among those of this block, which takes its place then.
    pub(crate) fn contains(&self, other: Self) -> bool {
        self.first_seq <= other.first_seq && other.end_seq <= self.end_seq
    }
}

/// What the manifest says about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRecord {
    pub(crate) id: BlockId,
    pub(crate) rows: u64,
    pub(crate) first_start_unix_nano: u64,
    pub(crate) last_start_unix_nano: u64,
    pub(crate) first_end_unix_nano: u64,
    pub(crate) last_end_unix_nano: u64,
    pub(crate) data_bytes: u64,
    pub(crate) index_bytes: u64,
    /// Zero if it has no payload file.
    pub(crate) payload_bytes: u64,
}

/// One entry of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// The block counts, instead of the blocks whose spans it holds.
    Block(BlockRecord),
    /// These blocks do not count any more: their spans were kept long enough.
    Removed(Vec<BlockId>),
    /// Every span before this sequence number is, or was, in a block: what a rewritten manifest
    /// must not forget with the blocks that were removed.
    DurableSeq(u64),
}

/// The payload of the record that begins at `offset`, if a whole one does.
pub(super) fn payload_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let mut fields = Fields::new(bytes.get(offset..)?);
    let (len, crc) = (fields.u32()?, fields.u32()?);
    let payload = fields.take(len as usize)?;
    (crc == checksum(len, payload)).then_some(payload)
}

/// Length of the whole record that has this payload.
pub(super) fn record_bytes(payload: &[u8]) -> usize {
    RECORD_HEADER_BYTES + payload.len()
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        match self {
            Record::Block(block) => {
                payload.put_u8(RECORD_BLOCK);
                block.encode(&mut payload);
            }
            Record::Removed(ids) => {
                payload.put_u8(RECORD_REMOVED);
                payload.put_u32(ids.len() as u32);
                for id in ids {
                    payload.put_u64(id.first_seq);
                    payload.put_u64(id.end_seq);
                }
            }
            Record::DurableSeq(seq) => {
                payload.put_u8(RECORD_DURABLE_SEQ);
                payload.put_u64(*seq);
            }
        }
        let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len());
        record.put_u32(payload.len() as u32);
        record.put_u32(checksum(payload.len() as u32, &payload));
        record.extend(payload);
        record
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(payload);
        match fields.u8()? {
            RECORD_BLOCK => BlockRecord::decode(&mut fields).map(Record::Block),
            RECORD_REMOVED => {
                let count = fields.u32()?;
                let mut id = || {
                    Some(BlockId {
                        first_seq: fields.u64()?,
                        end_seq: fields.u64()?,
                    })
                };
                (0..count)
                    .map(|_| id())
                    .collect::<Option<_>>()
                    .map(Record::Removed)
            }
            RECORD_DURABLE_SEQ => fields.u64().filter(is_seq).map(Record::DurableSeq),
            _ => None,
        }
    }
}

impl BlockRecord {
    /// The record of a block of no rows.
    pub(crate) fn empty(id: BlockId) -> Self {
        Self {
            id,
            rows: 0,
            first_start_unix_nano: u64::MAX,
            last_start_unix_nano: 0,
            first_end_unix_nano: u64::MAX,
            last_end_unix_nano: 0,
            data_bytes: 0,
            index_bytes: 0,
            payload_bytes: 0,
        }
    }

    /// Widens the times by those of a row.
    pub(crate) fn include(&mut self, start: u64, end: u64) {
        self.first_start_unix_nano = self.first_start_unix_nano.min(start);
        self.last_start_unix_nano = self.last_start_unix_nano.max(start);
        self.first_end_unix_nano = self.first_end_unix_nano.min(end);
        self.last_end_unix_nano = self.last_end_unix_nano.max(end);
    }

    /// Size of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.data_bytes + self.index_bytes + self.payload_bytes
    }

    fn encode(&self, payload: &mut Vec<u8>) {
        for field in [
            self.id.first_seq,
            self.id.end_seq,
            self.rows,
            self.first_start_unix_nano,
            self.last_start_unix_nano,
            self.first_end_unix_nano,
            self.last_end_unix_nano,
            self.data_bytes,
            self.index_bytes,
        ] {
            payload.put_u64(field);
        }
        if self.payload_bytes > 0 {
            payload.put_u64(self.payload_bytes);
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let record = Self {
            id: BlockId {
                first_seq: fields.u64()?,
                end_seq: fields.u64()?,
            },
            rows: fields.u64()?,
            first_start_unix_nano: fields.u64()?,
            last_start_unix_nano: fields.u64()?,
            first_end_unix_nano: fields.u64()?,
            last_end_unix_nano: fields.u64()?,
            data_bytes: fields.u64()?,
            index_bytes: fields.u64()?,
            payload_bytes: match fields.is_empty() {
                true => 0,
                false => fields.u64()?,
            },
        };
        let BlockId { first_seq, end_seq } = record.id;
        (first_seq < end_seq && is_seq(&end_seq)).then_some(record)
    }
}

/// Whether a sequence number can have been given: there must be numbers left for more spans.
fn is_seq(seq: &u64) -> bool {
    *seq <= i64::MAX as u64
}

fn checksum(len: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), payload)
}
