//! The header of a sidecar: its version, and where its sections are.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::binary::{Fields, PutFields};
use crate::error::{Corruption, OpenError, io_error};

const MAGIC: &[u8] = b"LUMITIDX";
/// Newest version of sidecars, and with them of blocks, that this release writes and reads.
pub(crate) const VERSION: u32 = 4;

/// Magic and version; since version 2 followed by the length of the header.
const V1_HEAD_BYTES: usize = 12;
const HEAD_BYTES: usize = 16;
const ENTRY_BYTES: usize = 20;
const CRC_BYTES: usize = 4;
/// Read at once; no header is longer, whatever its version.
const MAX_HEADER_BYTES: usize = 1024;

/// Parts of a sidecar, in their order in the file. The first ones stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Summary,
    TimeRanges,
    Checksums,
    Keys,
    TraceFilter,
    Fences,
    Traces,
    Resources,
    Scopes,
    Received,
    FilterDirectory,
    Filters,
    Rollup,
    Payload,
    Digest,
}

impl Section {
    /// How many there are.
    pub(crate) const COUNT: usize = 15;
    /// What there was in version 1.
    const V1: [Self; 6] = [
        Self::Summary,
        Self::Checksums,
        Self::Fences,
        Self::Traces,
        Self::Resources,
        Self::Scopes,
    ];
    /// What there was in version 2.
    const V2: [Self; 11] = [
        Self::Summary,
        Self::Checksums,
        Self::Keys,
        Self::TraceFilter,
        Self::Fences,
        Self::Traces,
        Self::Resources,
        Self::Scopes,
        Self::Received,
        Self::FilterDirectory,
        Self::Filters,
    ];
    /// So many there were in version 3: all but the last.
    const V3_COUNT: usize = 14;
    /// All of the newest version.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Summary,
        Self::TimeRanges,
        Self::Checksums,
        Self::Keys,
        Self::TraceFilter,
        Self::Fences,
        Self::Traces,
        Self::Resources,
        Self::Scopes,
        Self::Received,
        Self::FilterDirectory,
        Self::Filters,
        Self::Rollup,
        Self::Payload,
        Self::Digest,
    ];

    /// Whether its parts have checksums of their own, so that one can be read alone.
    fn is_checked_in_parts(self) -> bool {
        matches!(self, Self::Traces | Self::Filters)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    offset: u64,
    len: u64,
    crc: u32,
}

/// Where the sections of a sidecar are.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    version: u32,
    entries: [Entry; Section::COUNT],
}

impl Header {
    /// The header of a sidecar with these sections, of which there must be all.
    pub(crate) fn lay_out(sections: &[(Section, Vec<u8>); Section::COUNT]) -> Self {
        let mut offset = encoded_bytes(HEAD_BYTES, Section::COUNT) as u64;
        let mut entries = [Entry::default(); Section::COUNT];
        for (section, bytes) in sections {
            let checksum = match section.is_checked_in_parts() {
                true => 0,
                false => crc32c::crc32c(bytes),
            };
            entries[*section as usize] = Entry {
                offset,
                len: bytes.len() as u64,
                crc: checksum,
            };
            offset += bytes.len() as u64;
        }
        Self {
            version: VERSION,
            entries,
        }
    }

    /// The bytes of the header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.put_u32(self.version);
        out.put_u32(encoded_bytes(HEAD_BYTES, Section::COUNT) as u32);
        for entry in &self.entries {
            out.put_u64(entry.offset);
            out.put_u64(entry.len);
            out.put_u32(entry.crc);
        }
        out.put_u32(crc32c::crc32c(&out));
        out
    }

    /// Reads the header of the sidecar at `path`.
    pub(crate) fn read(path: &Path, file: &File) -> Result<Self, OpenError> {
        let len = file.metadata().map_err(io_error("read", path))?.len();
        let mut bytes = vec![0; len.min(MAX_HEADER_BYTES as u64) as usize];
        file.read_exact_at(&mut bytes, 0)
            .map_err(io_error("read", path))?;
        match Self::decode(&bytes) {
            Ok(header) => Ok(header),
            Err(HeaderError::Newer(found)) => Err(OpenError::NewerVersion {
                file: path.to_owned(),
                found,
                supported: VERSION,
            }),
            Err(HeaderError::Damaged) => {
                Err(Corruption::new(path, 0, "no header of a block's index").into())
            }
        }
    }

    /// Reads a header that `bytes` begin with.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut fields = Fields::new(bytes);
        let (magic, version) = (fields.take(8), fields.u32());
        let (Some(MAGIC), Some(version @ 1..)) = (magic, version) else {
            return Err(HeaderError::Damaged);
        };
        let sections: &[Section] = match version {
            1 => &Section::V1,
            2 => &Section::V2,
            3 => &Section::ALL[..Section::V3_COUNT],
            _ => &Section::ALL,
        };
        let len = match version {
            1 => encoded_bytes(V1_HEAD_BYTES, Section::V1.len()),
            // Also in later versions: it must be known that it is not a flipped bit.
            _ => fields.u32().unwrap_or(0) as usize,
        };
        let content = len
            .checked_sub(CRC_BYTES)
            .and_then(|end| bytes.get(..end))
            .ok_or(HeaderError::Damaged)?;
        if bytes.get(content.len()..len) != Some(&crc32c::crc32c(content).to_le_bytes()) {
            return Err(HeaderError::Damaged);
        }
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        let mut entries = [Entry::default(); Section::COUNT];
        for section in sections {
            entries[*section as usize] = entry(&mut fields).ok_or(HeaderError::Damaged)?;
        }
        Ok(Self { version, entries })
    }

    /// The version of the sidecar and of its block.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Where in the file a section is; nowhere if this version has none.
    pub(crate) fn bytes(&self, section: Section) -> Range<u64> {
        let Entry { offset, len, .. } = self.entries[section as usize];
        offset..offset.saturating_add(len)
    }

    pub(crate) fn crc(&self, section: Section) -> u32 {
        self.entries[section as usize].crc
    }

    /// Where what stays in memory is.
    pub(crate) fn resident(&self) -> Range<u64> {
        self.bytes(Section::Summary).start..self.bytes(Section::Fences).end
    }
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// A later release wrote it, with this version.
    Newer(u32),
    Damaged,
}

fn encoded_bytes(head_bytes: usize, sections: usize) -> usize {
    head_bytes + sections * ENTRY_BYTES + CRC_BYTES
}

fn entry(fields: &mut Fields<'_>) -> Option<Entry> {
    Some(Entry {
        offset: fields.u64()?,
        len: fields.u64()?,
        crc: fields.u32()?,
    })
}
