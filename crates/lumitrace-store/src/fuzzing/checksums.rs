//! Makes the checksums in changed bytes fit, as far as the bytes still say where they are.

use crate::binary::{Fields, PutFields};
use crate::block::file::{CHUNK_BYTES, CHUNK_BYTES_V1};
use crate::block::index_header::{Header, Section};
use crate::block::trace_table::PAGE_BYTES;
use crate::block::value_filters::FilterDirectory;
use crate::log::{frame, segment};

const CRC_BYTES: usize = 4;

/// The checksums of a manifest's header and records.
pub fn fit_manifest(bytes: &mut [u8]) {
    fit(bytes, 0, 12);
    let mut offset = 16;
    while let Some(len) = u32_at(bytes, offset) {
        let payload = offset + 8;
        let Some(content) = bytes.get(payload..payload.saturating_add(len as usize)) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), content);
        put_u32(bytes, offset + 4, crc);
        offset = payload + len as usize;
    }
}

/// The checksums of a segment's header and frames.
pub fn fit_log(bytes: &mut [u8]) {
    fit(bytes, 0, segment::HEADER_BYTES - CRC_BYTES);
    let mut offset = segment::HEADER_BYTES;
    while let Some(len) = u32_at(bytes, offset) {
        let end = offset.saturating_add(frame::HEADER_BYTES + len as usize);
        let Some(content) = bytes.get(offset + 8..end) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), content);
        put_u32(bytes, offset + 4, crc);
        offset = end;
    }
}

/// The checksums in a sidecar: those of `data`, the file of spans that belongs to it, of pages,
/// filters, sections, and of the header.
pub fn fit_sidecar(bytes: &mut Vec<u8>, data: &[u8]) {
    // Where the sections are is known even if the header's own checksum does not fit.
    fit_header(bytes);
    let Ok(header) = Header::decode(bytes) else {
        return;
    };
    let section = |section| {
        let range = header.bytes(section);
        range.start as usize..range.end as usize
    };
    let chunk_bytes = match header.version() {
        1 => CHUNK_BYTES_V1,
        _ => CHUNK_BYTES,
    };
    let mut checksums = Vec::new();
    data.chunks(chunk_bytes)
        .for_each(|chunk| checksums.put_u32(crc32c::crc32c(chunk)));
    if let Some(found) = bytes.get_mut(section(Section::Checksums))
        && found.len() == checksums.len()
    {
        found.copy_from_slice(&checksums);
    }
    if let Some(pages) = bytes.get_mut(section(Section::Traces)) {
        for page in pages.chunks_mut(PAGE_BYTES) {
            fit(page, 0, page.len().saturating_sub(CRC_BYTES));
        }
    }
    fit_filters(
        bytes,
        section(Section::FilterDirectory),
        section(Section::Filters),
    );
    let entries = Header::entries_at(header.version());
    for (entry, part) in entries {
        if !part.is_checked_in_parts()
            && let Some(content) = bytes.get(section(part))
        {
            let crc = crc32c::crc32c(content);
            put_u32(bytes, entry + 16, crc);
        }
    }
    fit_header(bytes);
}
