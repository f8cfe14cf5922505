//! Makes the checksums in changed bytes fit, as far as the bytes still say where they are.

use std::ops::Range;

use crate::binary::PutFields;
use crate::block::file::{CHUNK_BYTES, CHUNK_BYTES_V1};
use crate::block::payload::frames::FrameTable;
use crate::block::trace_table::PAGE_BYTES;
use crate::block::value_filters::FilterDirectory;
use crate::wal::frame::{self, FrameFormat};
use crate::wal::segment;

const CRC_BYTES: usize = 4;

/// The checksums of a manifest's header and records.
pub fn fit_manifest(bytes: &mut [u8]) {
    fit(bytes, 12);
    fit_records(bytes, 16, 8);
}

/// The checksums of a log segment's header and frames.
pub fn fit_log(bytes: &mut [u8]) {
    let salt = number(bytes, 28);
    match (number(bytes, 8), salt) {
        (Some(1), _) => {
            let header_bytes = segment::header_bytes(FrameFormat::V1);
            fit(bytes, header_bytes - CRC_BYTES);
            fit_records(bytes, header_bytes, FrameFormat::V1.header_bytes());
        }
        (Some(_), Some(salt)) => {
            fit(bytes, segment::HEADER_BYTES - CRC_BYTES);
            fit_frames(bytes, salt);
        }
        _ => {}
    }
}

/// Frames of version 2, up to the end of the log.
fn fit_frames(bytes: &mut [u8], salt: u32) {
    let header_bytes = FrameFormat::V2 { salt }.header_bytes();
    let mut offset = segment::HEADER_BYTES;
    while let Some(len) = number(bytes, offset) {
        let payload_at = offset + header_bytes;
        let end = payload_at + len as usize;
        let Some(payload) = bytes.get(payload_at..end) else {
            return;
        };
        if frame::is_end(&bytes[offset..]) {
            return;
        }
        let crc = crc32c::crc32c(payload);
        put(bytes, payload_at - 2 * CRC_BYTES, crc);
        let header = &bytes[offset..payload_at - CRC_BYTES];
        let crc = crc32c::crc32c_append(salt, header);
        put(bytes, payload_at - CRC_BYTES, crc);
        offset = end;
    }
}

/// Records begin with the length of what follows `header_bytes`, and a checksum of that length and
/// of everything after the checksum.
fn fit_records(bytes: &mut [u8], mut offset: usize, header_bytes: usize) {
    while let Some(len) = number(bytes, offset) {
        let end = offset + header_bytes + len as usize;
        let Some(content) = bytes.get(offset + 2 * CRC_BYTES..end) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), content);
        put(bytes, offset + CRC_BYTES, crc);
        offset = end;
    }
}

/// The checksums in a sidecar: those of `data` and `payload`, the other files that belong to it, and
/// those of its own pages, filters, sections and header.
pub fn fit_sidecar(bytes: &mut Vec<u8>, data: &[u8], payload: &[u8]) {
    let Some(layout) = SidecarLayout::of(bytes) else {
        return;
    };
    layout.put_data_checksums(bytes, data);
    if let Some(pages) = layout.content(bytes, layout.traces) {
        for page in bytes[pages].chunks_mut(PAGE_BYTES) {
            fit(page, page.len().saturating_sub(CRC_BYTES));
        }
    }
    if let Some((directory, filters)) = layout.filters {
        layout.fit_filters(bytes, directory, filters);
    }
    if let Some(frames) = layout.payload {
        layout.put_payload_checksums(bytes, frames, payload);
    }
    let checked_in_parts = [
        Some(layout.traces),
        layout.filters.map(|(_, filters)| filters),
    ];
    for section in 0..layout.sections {
        if !checked_in_parts.contains(&Some(section))
            && let Some(content) = layout.content(bytes, section)
        {
            let crc = crc32c::crc32c(&bytes[content]);
            put(bytes, layout.entry(section) + 16, crc);
        }
    }
    fit(bytes, layout.entry(layout.sections));
}

/// Where in a sidecar the entries of its sections are, and which section is which.
#[derive(Clone, Copy)]
struct SidecarLayout {
    chunk_bytes: usize,
    head_bytes: usize,
    sections: usize,
    checksums: usize,
    traces: usize,
    /// Directory and filters.
    filters: Option<(usize, usize)>,
    /// Frames of the payload.
    payload: Option<usize>,
}

impl SidecarLayout {
    fn of(bytes: &[u8]) -> Option<Self> {
        let layout = match number(bytes, 8)? {
            1 => Self {
                chunk_bytes: CHUNK_BYTES_V1,
                head_bytes: 12,
                sections: 6,
                checksums: 1,
                traces: 3,
                filters: None,
                payload: None,
            },
            2 => Self {
                chunk_bytes: CHUNK_BYTES,
                head_bytes: 16,
                sections: 11,
                checksums: 1,
                traces: 5,
                filters: Some((9, 10)),
                payload: None,
            },
            version => Self {
                chunk_bytes: CHUNK_BYTES,
                head_bytes: 16,
                sections: if version == 3 { 14 } else { 15 },
                checksums: 2,
                traces: 6,
                filters: Some((10, 11)),
                payload: Some(13),
            },
        };
        (bytes.len() >= layout.entry(layout.sections) + CRC_BYTES).then_some(layout)
    }

    /// Where the entry of a section is; after the last one is the checksum of the header.
    fn entry(&self, section: usize) -> usize {
        self.head_bytes + section * 20
    }

    /// Where a section is, if it is inside of the file.
    fn content(&self, bytes: &[u8], section: usize) -> Option<Range<usize>> {
        let entry = self.entry(section);
        let start = usize::try_from(long(bytes, entry)?).ok()?;
        let end = start.checked_add(usize::try_from(long(bytes, entry + 8)?).ok()?)?;
        bytes.get(start..end).map(|_| start..end)
    }

    /// Replaces the checksums of the file of spans; sections behind them move if their number is
    /// another now.
    fn put_data_checksums(&self, bytes: &mut Vec<u8>, data: &[u8]) {
        let Some(old) = self.content(bytes, self.checksums) else {
            return;
        };
        let mut new = Vec::new();
        data.chunks(self.chunk_bytes)
            .for_each(|chunk| new.put_u32(crc32c::crc32c(chunk)));
        let (old_len, new_len) = (old.len() as u64, new.len() as u64);
        for section in (0..self.sections).filter(|it| *it != self.checksums) {
            let entry = self.entry(section);
            let offset = long(bytes, entry).unwrap_or(0);
            if offset >= old.end as u64 {
                let moved = (offset - old_len).saturating_add(new_len);
                bytes[entry..entry + 8].copy_from_slice(&moved.to_le_bytes());
            }
        }
        let len_at = self.entry(self.checksums) + 8;
        bytes[len_at..len_at + 8].copy_from_slice(&new_len.to_le_bytes());
        // A section that begins within the header stays as it is: the header would move.
        if old.start >= self.entry(self.sections) + CRC_BYTES {
            bytes.splice(old, new);
        }
    }

    fn put_payload_checksums(&self, bytes: &mut [u8], section: usize, payload: &[u8]) {
        let Some(place) = self.content(bytes, section) else {
            return;
        };
        let Some(table) = FrameTable::decode(&bytes[place.clone()]) else {
            return;
        };
        let mut fitted = FrameTable::default();
        for frame in table.frames() {
            let start = frame.offset as usize;
            let stored = payload.get(start..start + frame.len as usize);
            let crc = stored.map_or(frame.crc, crc32c::crc32c);
            fitted.push(frame.len, crc, frame.chunks);
        }
        let encoded = fitted.encode();
        if encoded.len() == place.len() {
            bytes[place].copy_from_slice(&encoded);
        }
    }

    fn fit_filters(&self, bytes: &mut [u8], directory: usize, filters: usize) {
        let (Some(place), Some(filters)) =
            (self.content(bytes, directory), self.content(bytes, filters))
        else {
            return;
        };
        let Some(mut decoded) = FilterDirectory::decode(&bytes[place.clone()]) else {
            return;
        };
        for filter in decoded.columns.values_mut().flatten() {
            let range = filter.bytes.start as usize..filter.bytes.end as usize;
            if let Some(filter_bytes) = bytes[filters.clone()].get(range) {
                filter.crc = crc32c::crc32c(filter_bytes);
            }
        }
        let encoded = decoded.encode();
        if encoded.len() == place.len() {
            bytes[place].copy_from_slice(&encoded);
        }
    }
}

/// The checksum of the first `len` bytes, which stands behind them.
fn fit(bytes: &mut [u8], len: usize) {
    if let Some(content) = bytes.get(..len) {
        let crc = crc32c::crc32c(content);
        put(bytes, len, crc);
    }
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    field.try_into().ok().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(8)?)?;
    field.try_into().ok().map(u64::from_le_bytes)
}

fn put(bytes: &mut [u8], offset: usize, number: u32) {
    if let Some(field) = bytes.get_mut(offset..offset + 4) {
        field.copy_from_slice(&number.to_le_bytes());
    }
}
