//! Where values are cut into chunks: by their content, so that what is repeated is cut alike wherever
//! in a value it stands.

use fastcdc::v2020::FastCDC;

/// Length of a chunk: at least, about, and at most. Shorter ones find more of what repeats, and cost 18
/// bytes each (`docs/adr/0011`).
const MIN_BYTES: usize = 512;
const AVERAGE_BYTES: usize = 2 << 10;
pub(crate) const MAX_BYTES: usize = 16 << 10;

/// Cuts a value into chunks of at most [`MAX_BYTES`]. Readers do not rely on where.
pub(crate) fn chunks(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cuts = FastCDC::new(value, MIN_BYTES, AVERAGE_BYTES, MAX_BYTES);
    cuts.map(|chunk| &value[chunk.offset..chunk.offset + chunk.length])
}
