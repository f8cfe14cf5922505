//! Decompressing pages with contexts of zstd that are kept.
//!
//! To make a context takes longer than to decompress most pages: zstd asks the processor what it can
//! do three times, and on a virtual machine its host answers (`CPUID`; measured: 8 to 16 us each). Parquet's
//! reader makes two for each column of each row group.

use std::io::{self, Read};

use parking_lot::Mutex;
use zstd::bulk::Decompressor;
use zstd::stream::read::Decoder;

/// Contexts that are kept while nobody uses them, of about 160 KiB each.
const MAX_IDLE: usize = 16;

static IDLE: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// The content of a frame of zstd, of at most `max_bytes`. No more memory is taken than the frame says or
/// has.
///
/// # Errors
/// It is no such frame.
pub(crate) fn decompress(frame: &[u8], max_bytes: usize) -> io::Result<Vec<u8>> {
    let said = zstd::zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten();
    let Some(said) = said.and_then(|bytes| usize::try_from(bytes).ok()) else {
        // Ours all say it.
        return decompress_unsized(frame, max_bytes);
    };
    if said > max_bytes {
        return Err(too_large());
    }
    let idle = IDLE.lock().pop();
    let mut decompressor = match idle {
        Some(decompressor) => decompressor,
        None => Decompressor::new()?,
    };
    let content = decompressor.decompress(frame, said);
    let mut idle = IDLE.lock();
    if idle.len() < MAX_IDLE {
        idle.push(decompressor);
    }
    content
}

fn decompress_unsized(frame: &[u8], max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let decoder = Decoder::with_buffer(frame)?;
    decoder
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > max_bytes {
        return Err(too_large());
    }
    Ok(content)
}

fn too_large() -> io::Error {
    let reason = "a page has more bytes than its column says";
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zstd::stream::write::Encoder;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_back_if_they_are_not_too_large_also_those_that_do_not_say_their_size(
            content in prop::collection::vec(0..4_u8, 0..3_000),
            missing in 0..2_usize,
        ) {
            let sized = zstd::bulk::compress(&content, 1).unwrap();
            let mut encoder = Encoder::new(Vec::new(), 1).unwrap();
            encoder.write_all(&content).unwrap();
            let unsized_ = encoder.finish().unwrap();
            let max_bytes = content.len().saturating_sub(missing);
            for frame in [sized, unsized_] {
                let found = decompress(&frame, max_bytes);
                prop_assert_eq!(found.is_ok(), max_bytes == content.len());
                prop_assert!(found.is_err() || found.unwrap() == content);
            }
        }

        #[test]
        fn what_is_no_frame_is_an_error_and_the_next_frame_is_not_harmed(bytes: Vec<u8>) {
            let mut damaged = zstd::bulk::compress(&[7; 500], 1).unwrap();
            damaged.truncate(damaged.len() - 1);
            prop_assert!(decompress(&damaged, 1_000).is_err());
            // Random bytes hardly ever are one.
            let _ = decompress(&bytes, 1_000);
            let frame = zstd::bulk::compress(&bytes, 1).unwrap();
            prop_assert_eq!(decompress(&frame, bytes.len()).unwrap(), bytes);
        }
    }
}
