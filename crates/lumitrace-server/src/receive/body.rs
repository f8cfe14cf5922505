//! Reads a request's body and decompresses it, never beyond the limit and the budget.

use crate::admit::{Refusal, Reservation};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::io::{self, Read};
use std::time::Duration;

/// How much is decompressed at a time: what a bomb may overshoot the limit by.
const COPIED_BELOW_BYTES: usize = 64 << 10;
const CHUNK_BYTES: usize = 64 << 10;
/// How long a refused sender is listened to before it is cut off.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest window of zstd that is accepted, as a power of two: 64 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;

/// A compression of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

impl Encoding {
    /// The compression that a `Content-Encoding` or `grpc-encoding` header names.
    pub(super) fn from_header(value: Option<&http::HeaderValue>) -> Result<Self, Refusal> {
        let Some(value) = value else {
            return Ok(Encoding::Identity);
        };
        let name = String::from_utf8_lossy(value.as_bytes())
            .trim()
            .to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "deflate" | "zlib" => Ok(Encoding::Deflate),
            "zstd" => Ok(Encoding::Zstd),
            _ => Err(Refusal::UnsupportedEncoding(name)),
        }
    }
}

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// Largest body, before and after decompression.
    pub(super) max_bytes: u64,
    /// How long it may take to arrive.
    pub(super) timeout: Duration,
}

/// Reads all of `body` as it was sent.
pub(super) async fn read(
    body: &mut Body,
    limits: BodyLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limits.max_bytes {
        return Err(Refusal::TooLarge {
            limit_bytes: limits.max_bytes,
        });
    }
    tokio::time::timeout(limits.timeout, collect(body, limits.max_bytes, reservation))
        .await
        .unwrap_or(Err(Refusal::TooSlow(limits.timeout)))
}

async fn collect(
    body: &mut Body,
    max_bytes: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BrokenOff(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let total = (first.len() + whole.len() + data.len()) as u64;
        if total > max_bytes {
            return Err(Refusal::TooLarge {
                limit_bytes: max_bytes,
            });
        }
        if !reservation.grow(data.len() as u64) {
            return Err(Refusal::Overloaded);
        }
        // Most requests come in one piece, which is then never copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() {
        of_its_own(first)
    } else {
        whole.freeze()
    })
}

/// A small body is copied: it is kept until it is in a block, and would hold all of the buffer that the
/// connection was read into.
fn of_its_own(body: Bytes) -> Bytes {
    if body.len() < COPIED_BELOW_BYTES {
        return Bytes::copy_from_slice(&body);
    }
    body
}

/// Reads on without keeping anything, so that a refused sender gets to read the answer instead of
/// seeing its connection reset while it still sends.
pub(super) async fn discard(mut body: Body) {
    let drain = async { while let Some(Ok(_)) = body.frame().await {} };
    // Past the time the connection is simply closed.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, drain).await;
}

/// Decompresses `bytes`; stops as soon as the limit or the budget is passed.
pub(super) fn decompress(
    encoding: Encoding,
    bytes: &Bytes,
    max_bytes: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let broken = |name: &'static str| {
        move |error: io::Error| Refusal::Malformed(format!("the body is not valid {name}: {error}"))
    };
    match encoding {
        Encoding::Identity => Ok(bytes.clone()),
        Encoding::Gzip => {
            let reader = MultiGzDecoder::new(bytes.as_ref());
            expand(reader, max_bytes, reservation, broken("gzip"))
        }
        // HTTP means zlib by "deflate", but some senders leave out zlib's frame: its header has
        // compression method 8 and is a multiple of 31.
        Encoding::Deflate => match bytes[..] {
            [a, b, ..] if a & 15 == 8 && u16::from_be_bytes([a, b]).is_multiple_of(31) => expand(
                ZlibDecoder::new(bytes.as_ref()),
                max_bytes,
                reservation,
                broken("deflate"),
            ),
            _ => {
                let reader = DeflateDecoder::new(bytes.as_ref());
                expand(reader, max_bytes, reservation, broken("deflate"))
            }
        },
        Encoding::Zstd => {
            let mut reader = zstd::Decoder::with_buffer(bytes.as_ref()).map_err(broken("zstd"))?;
            reader
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(broken("zstd"))?;
            expand(reader, max_bytes, reservation, broken("zstd"))
        }
    }
}

fn expand(
    mut reader: impl Read,
    max_bytes: u64,
    reservation: &mut Reservation,
    broken: impl Fn(io::Error) -> Refusal,
) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let length = match reader.read(&mut chunk) {
            Ok(0) => return Ok(whole.freeze()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        if (whole.len() + length) as u64 > max_bytes {
            return Err(Refusal::TooLarge {
                limit_bytes: max_bytes,
            });
        }
        if !reservation.grow(length as u64) {
            return Err(Refusal::Overloaded);
        }
        whole.extend_from_slice(&chunk[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Budget;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn compressed(encoding: Encoding, bytes: &[u8]) -> Bytes {
        match encoding {
            Encoding::Identity => bytes.to_vec(),
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
        .into()
    }

    const COMPRESSED: [Encoding; 3] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        for encoding in COMPRESSED {
            let bomb = compressed(encoding, &zeros);
            assert!(bomb.len() < 64 << 10, "{encoding:?}");
            let budget = Budget::new(16 << 20);
            let mut reservation = budget.reserve();
            let refusal = decompress(encoding, &bomb, 1 << 20, &mut reservation).unwrap_err();
            assert_eq!(
                refusal,
                Refusal::TooLarge {
                    limit_bytes: 1 << 20
                }
            );
            assert!(
                budget.used_bytes() <= 1 << 20,
                "not more than the limit was ever held"
            );
        }
    }

    #[test]
    fn decompression_draws_on_the_budget() {
        let bytes = compressed(Encoding::Gzip, &vec![0; 1 << 20]);
        let mut reservation = Budget::new(1 << 19).reserve();
        let refusal = decompress(Encoding::Gzip, &bytes, 1 << 30, &mut reservation).unwrap_err();
        assert_eq!(refusal, Refusal::Overloaded);
    }

    #[test]
    fn deflate_without_zlibs_frame_is_understood_too() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"spans").unwrap();
        let bytes = Bytes::from(encoder.finish().unwrap());
        let mut reservation = Budget::new(1 << 20).reserve();
        let whole = decompress(Encoding::Deflate, &bytes, 1 << 20, &mut reservation).unwrap();
        assert_eq!(whole, "spans");
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_out_the_same(bytes: Vec<u8>) {
            for encoding in COMPRESSED {
                let mut reservation = Budget::new(1 << 20).reserve();
                let packed = compressed(encoding, &bytes);
                let whole = decompress(encoding, &packed, 1 << 20, &mut reservation).unwrap();
                prop_assert_eq!(&whole[..], &bytes[..]);
            }
        }

        #[test]
        fn random_bytes_are_refused_or_expanded_but_never_panic(bytes: Vec<u8>) {
            for encoding in COMPRESSED {
                let mut reservation = Budget::new(1 << 20).reserve();
                let _ = decompress(encoding, &Bytes::from(bytes.clone()), 1 << 16, &mut reservation);
            }
        }

        #[test]
        fn a_truncated_body_is_refused(bytes in proptest::collection::vec(any::<u8>(), 100..2000), cut in 1_usize..40) {
            for encoding in COMPRESSED {
                let packed = compressed(encoding, &bytes);
                let packed = packed.slice(..packed.len() - cut);
                let mut reservation = Budget::new(1 << 20).reserve();
                prop_assert!(decompress(encoding, &packed, 1 << 20, &mut reservation).is_err());
            }
        }
    }
}
