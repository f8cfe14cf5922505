//! Where each trace's rows are: a filter that is in memory, and a table that is read page by page.
//!
//! Both know traces by a checksum of their ids. Two traces may share one, so whoever reads rows
//! compares the ids there.

use std::ops::Range;

use lumitrace_model::TraceId;
use parquet::bloom_filter::Sbbf;

use crate::binary::{Fields, PutFields};

/// A page of the table is read and checked as a whole. The last one ends with its entries.
pub(crate) const PAGE_BYTES: usize = 4096;
const CRC_BYTES: usize = 4;
const COUNT_BYTES: usize = 4;
/// Three numbers of 32 bits as varints.
const MAX_ENTRY_BYTES: usize = 15;

/// By what filter and table know a trace.
pub(crate) fn trace_hash(trace_id: TraceId) -> u32 {
    crc32c::crc32c(trace_id.as_bytes())
}

/// Rows of one trace that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TraceRows {
    pub(crate) hash: u32,
    pub(crate) first_row: u32,
    pub(crate) row_count: u32,
}

impl TraceRows {
    fn range(self) -> Range<usize> {
        let first_row = self.first_row as usize;
        first_row..first_row + self.row_count as usize
    }
}

/// Filter, fences and pages of a block's traces, as the sidecar keeps them.
#[derive(Debug, Default)]
pub(crate) struct EncodedTraces {
    pub(crate) filter: Vec<u8>,
    pub(crate) fences: Vec<u8>,
    pub(crate) pages: Vec<u8>,
}

/// Writes filter and table.
pub(crate) fn encode(mut traces: Vec<TraceRows>) -> EncodedTraces {
    traces.sort_unstable();
    let mut encoded = EncodedTraces::default();
    let mut rest = traces.as_slice();
    while let Some(first) = rest.first() {
        encoded.fences.put_u32(first.hash);
        let (page, count) = encode_page(rest);
        encoded.pages.extend_from_slice(&page);
        rest = &rest[count..];
    }
    let mut hashes: Vec<u32> = traces.iter().map(|rows| rows.hash).collect();
    hashes.dedup();
    encoded.filter = encode_filter(&hashes);
    encoded
}

/// As many entries as fit into a page, and how many these are.
fn encode_page(traces: &[TraceRows]) -> (Vec<u8>, usize) {
    let mut entries = Vec::with_capacity(PAGE_BYTES);
    let mut last_hash = 0;
    let mut count = 0;
    for rows in traces {
        if entries.len() > PAGE_BYTES - CRC_BYTES - COUNT_BYTES - MAX_ENTRY_BYTES {
            break;
        }
        entries.put_varint(u64::from(rows.hash - last_hash));
        entries.put_varint(rows.first_row.into());
        entries.put_varint(rows.row_count.into());
        last_hash = rows.hash;
        count += 1;
    }
    let mut page = Vec::with_capacity(PAGE_BYTES);
    page.put_u32(count as u32);
    page.extend_from_slice(&entries);
    if count < traces.len() {
        page.resize(PAGE_BYTES - CRC_BYTES, 0);
    }
    page.put_u32(crc32c::crc32c(&page));
    (page, count)
}

/// The entries of a page; none if it is damaged.
pub(crate) fn decode_page(page: &[u8]) -> Option<Vec<TraceRows>> {
    let mut fields = checked_page(page)?;
    let mut hash = 0_u32;
    let mut entry = || {
        hash = hash.checked_add(fields.varint()?.try_into().ok()?)?;
        Some(TraceRows {
            hash,
            first_row: fields.varint()?.try_into().ok()?,
            row_count: fields.varint()?.try_into().ok()?,
        })
    };
    let count = Fields::new(page).u32()?;
    (0..count).map(|_| entry()).collect()
}

/// Rows that may be those of a trace, out of a page; none if it is damaged.
pub(crate) fn rows_in_page(page: &[u8], hash: u32) -> Option<Vec<Range<usize>>> {
    let entries = decode_page(page)?;
    let found = entries.into_iter().filter(|rows| rows.hash == hash);
    Some(found.map(TraceRows::range).collect())
}

/// The rows of a trace, out of a page of version 1, whose entries have whole ids.
pub(crate) fn rows_in_page_v1(page: &[u8], trace_id: TraceId) -> Option<Vec<Range<usize>>> {
    let mut fields = checked_page(page)?;
    let count = Fields::new(page).u32()?;
    let mut found = Vec::new();
    for _ in 0..count {
        let id = fields.take(16)?;
        let (first_row, row_count) = (fields.u32()? as usize, fields.u32()? as usize);
        if id == trace_id.as_bytes() {
            found.push(first_row..first_row + row_count);
        }
    }
    Some(found)
}

/// What follows the count in a page whose checksum fits.
fn checked_page(page: &[u8]) -> Option<Fields<'_>> {
    let (body, crc) = page.split_at_checked(page.len().checked_sub(CRC_BYTES)?)?;
    if crc != crc32c::crc32c(body).to_le_bytes() {
        return None;
    }
    Some(Fields::new(body.get(COUNT_BYTES..)?))
}

/// A filter of hashes: a split-block Bloom filter as Parquet defines it, with about ten bits for
/// each, which takes about one in a hundred others for one of them.
pub(crate) fn encode_filter(hashes: &[u32]) -> Vec<u8> {
    const BITS: usize = 10;
    const BLOCK_BITS: usize = 256;
    let blocks = (hashes.len() * BITS).div_ceil(BLOCK_BITS).max(1);
    let mut filter = Sbbf::new(&vec![0; blocks * BLOCK_BITS / 8]);
    for hash in hashes {
        filter.insert(hash.to_le_bytes().as_slice());
    }
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = filter.write_bitset(&mut out);
    out
}

/// Reads what [`encode_filter`] wrote; `None` if it cannot be that.
pub(crate) fn decode_filter(bytes: &[u8]) -> Option<Sbbf> {
    let is_filter = !bytes.is_empty() && bytes.len().is_multiple_of(32);
    is_filter.then(|| Sbbf::new(bytes))
}

/// Whether a filter may hold a hash.
pub(crate) fn filter_may_hold(filter: &Sbbf, hash: u32) -> bool {
    filter.check(hash.to_le_bytes().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(count: u32) -> Vec<TraceRows> {
        let rows = |number: u32| TraceRows {
            hash: crc32c::crc32c(&number.to_le_bytes()),
            first_row: number * 10,
            row_count: 10,
        };
        (0..count).map(rows).collect()
    }

    #[test]
    fn every_trace_is_in_the_page_that_the_fences_name() {
        let all = traces(5_000);
        let encoded = encode(all.clone());
        let pages: Vec<_> = encoded.pages.chunks(PAGE_BYTES).collect();
        assert_eq!(encoded.fences.len() / 4, pages.len());
        let found = pages.iter().flat_map(|page| decode_page(page).unwrap());
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(found.collect::<Vec<_>>(), sorted);
        assert!(encoded.pages.len() / all.len() <= 8, "bytes for each trace");
    }

    #[test]
    fn a_flipped_bit_in_a_page_is_noticed_and_no_bytes_make_it_panic() {
        let encoded = encode(traces(100));
        for bit in (0..encoded.pages.len() * 8).step_by(13) {
            let mut page = encoded.pages.clone();
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_page(&page), None, "{bit}");
        }
        let mut page = vec![0xff; PAGE_BYTES - 4];
        page.put_u32(crc32c::crc32c(&page));
        assert_eq!(decode_page(&page), None);
        assert_eq!(rows_in_page_v1(&page, TraceId::from_bytes([1; 16])), None);
        assert_eq!(decode_page(&[]), None);
    }

    #[test]
    fn the_filter_knows_its_own_and_about_one_in_a_hundred_others() {
        let own: Vec<u32> = traces(20_000).iter().map(|rows| rows.hash).collect();
        let filter = decode_filter(&encode_filter(&own)).unwrap();
        assert!(own.iter().all(|hash| filter_may_hold(&filter, *hash)));
        let others = (20_000..60_000_u32).map(|number| crc32c::crc32c(&number.to_le_bytes()));
        let taken = others
            .filter(|hash| filter_may_hold(&filter, *hash))
            .count();
        assert!(taken < 800, "{taken} of 40,000");
    }
}
