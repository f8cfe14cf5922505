//! What the words of a receiver's answer mean, where its code alone does not say enough.

use std::time::{Duration, SystemTime};

/// Whether a refusal is about the size of a request, so that smaller ones may be accepted. Receivers
/// have no code for that which means nothing else: gRPC's of Go, Python and Java answer
/// `RESOURCE_EXHAUSTED`, tonic's `OUT_OF_RANGE`, OpenTelemetry's Collector over HTTP 400.
pub(super) fn is_about_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "too large",
        "larger than",
        "exceeds maximum size",
        "exceeds the maximum",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// How long `Retry-After` asks to wait, in either of its forms (RFC 9110, section 10.2.3): seconds, or
/// the date to wait for.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that is over asks for nothing.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_large_requests_are_told_from_others() {
        for message in [
            "grpc: received message larger than max (6117815 vs. 4194304)",
            "grpc: received message after decompression larger than max 4194304",
            "SERVER: Received message larger than max (6117815 vs. 4194304)",
            "gRPC message exceeds maximum size 4194304: 6117815",
            "Received message exceeds the maximum configured message size.",
            "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
            "http: request body too large",
            "the request is larger than 67108864 bytes after decompression; send smaller batches",
        ] {
            assert!(is_about_size(message), "{message}");
        }
        for message in [
            "",
            "quota exceeded",
            "data refused due to high memory usage",
        ] {
            assert!(!is_about_size(message), "{message}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_567_640);
        for (text, expected) in [
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", Some(40)),
            // The two older forms of a date, which receivers must accept.
            ("Wednesday, 21-Oct-26 07:28:00 GMT", Some(40)),
            ("Wed Oct 21 07:28:00 2026", Some(40)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
            ("-7", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), expected, "{text:?}");
        }
    }
}
