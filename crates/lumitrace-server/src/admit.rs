//! What is taken and what is refused, and how each refusal is said in HTTP and in gRPC.
//!
//! Pure decisions: the one table that maps a [`Refusal`] to statuses is [`Refusal::answer`]
//! (OTLP specification, "OTLP/gRPC Response" and "OTLP/HTTP Response").

mod budget;

pub use budget::{Budget, Reservation};

use http::StatusCode;
use std::time::Duration;
use tonic::Code;

/// When a sender that was refused for now may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// When to come again where a person has to help first, such as to a full disk.
const RETRY_AFTER_REPAIR: Duration = Duration::from_secs(10);

/// Why a request was refused. `Display` is what the sender is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is not what its type says.
    #[error("{0}")]
    Malformed(String),
    /// The body's type is none that is understood here.
    #[error(
        "Content-Type {0:?} is not understood; send application/x-protobuf or application/json"
    )]
    UnsupportedMediaType(String),
    /// The body's compression is none that is understood here.
    #[error("Content-Encoding {0:?} is not understood; send gzip, deflate, zstd or identity")]
    UnsupportedEncoding(String),
    /// An OTLP address asked with something else than POST.
    #[error("the OTLP receiver is up; it takes POST, not {0}")]
    MethodNotAllowed(String),
    /// No receiver at this path.
    #[error("{0}")]
    NotFound(String),
    /// Larger than the limit.
    #[error(
        "the request is larger than {limit_bytes} bytes after decompression; \
         send smaller batches or raise the server's limits.max_request_bytes"
    )]
    TooLarge {
        /// The limit that it broke.
        limit_bytes: u64,
    },
    /// The body did not arrive in time.
    #[error("the request did not arrive within {}; send it again", humantime::format_duration(*.0))]
    TooSlow(Duration),
    /// The sender broke the request off.
    #[error("the request broke off: {0}")]
    BrokenOff(String),
    /// Too many bytes are in work; it will pass.
    #[error(
        "the server has as much in work as it may hold (limits.max_in_flight_bytes); try again"
    )]
    Overloaded,
    /// The store's queue is full; it will pass.
    #[error("the store cannot keep up; try again")]
    StoreBusy,
    /// The store cannot write: a person has to help.
    #[error("{0}")]
    StoreUnavailable(String),
    /// The store is not open yet; it will be.
    #[error("the server is starting: it is still reading what is stored; try again")]
    Starting,
}

/// The names of all reasons, as [`Answer::reason`] gives them.
pub const REASONS: [&str; 12] = [
    "malformed",
    "media_type",
    "encoding",
    "method",
    "not_found",
    "too_large",
    "too_slow",
    "broken_off",
    "overloaded",
    "store_busy",
    "store_unavailable",
    "starting",
];

/// How a refusal is said to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The reason's name in metrics.
    pub reason: &'static str,
    /// The HTTP status.
    pub http: StatusCode,
    /// The gRPC status.
    pub grpc: Code,
    /// When to send the same request again; `None` where that cannot help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The table of refusals. With a `retry_after` HTTP says `Retry-After` and gRPC `RetryInfo`;
    /// without one a client must not send the same request again.
    pub fn answer(&self) -> Answer {
        use {Code as Grpc, StatusCode as Http};
        let soon = Some(RETRY_AFTER);
        let (reason, http, grpc, retry_after) = match self {
            Refusal::Malformed(_) => ("malformed", Http::BAD_REQUEST, Grpc::InvalidArgument, None),
            Refusal::UnsupportedMediaType(_) => (
                "media_type",
                Http::UNSUPPORTED_MEDIA_TYPE,
                Grpc::InvalidArgument,
                None,
            ),
            Refusal::UnsupportedEncoding(_) => (
                "encoding",
                Http::UNSUPPORTED_MEDIA_TYPE,
                Grpc::Unimplemented,
                None,
            ),
            Refusal::MethodNotAllowed(_) => (
                "method",
                Http::METHOD_NOT_ALLOWED,
                Grpc::Unimplemented,
                None,
            ),
            Refusal::NotFound(_) => ("not_found", Http::NOT_FOUND, Grpc::Unimplemented, None),
            Refusal::TooLarge { .. } => (
                "too_large",
                Http::PAYLOAD_TOO_LARGE,
                Grpc::ResourceExhausted,
                None,
            ),
            // 408 is final for an OTLP client, 503 is not.
            Refusal::TooSlow(_) => (
                "too_slow",
                Http::SERVICE_UNAVAILABLE,
                Grpc::Unavailable,
                soon,
            ),
            Refusal::BrokenOff(_) => ("broken_off", Http::BAD_REQUEST, Grpc::Cancelled, None),
            Refusal::Overloaded => (
                "overloaded",
                Http::TOO_MANY_REQUESTS,
                Grpc::Unavailable,
                soon,
            ),
            Refusal::StoreBusy => (
                "store_busy",
                Http::SERVICE_UNAVAILABLE,
                Grpc::Unavailable,
                soon,
            ),
            Refusal::StoreUnavailable(_) => (
                "store_unavailable",
                Http::SERVICE_UNAVAILABLE,
                Grpc::Unavailable,
                Some(RETRY_AFTER_REPAIR),
            ),
            Refusal::Starting => (
                "starting",
                Http::SERVICE_UNAVAILABLE,
                Grpc::Unavailable,
                soon,
            ),
        };
        Answer {
            reason,
            http,
            grpc,
            retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_retries_exactly_what_may_pass() {
        // The client's side of the table: OTLP specification, retryable codes.
        let retried_over_http = |status: StatusCode| matches!(status.as_u16(), 429 | 502..=504);
        let retried_over_grpc = |answer: &Answer| match answer.grpc {
            Code::ResourceExhausted => answer.retry_after.is_some(),
            code => code == Code::Unavailable,
        };
        let for_now = [
            Refusal::Overloaded,
            Refusal::StoreBusy,
            Refusal::StoreUnavailable(String::new()),
            Refusal::TooSlow(Duration::ZERO),
            Refusal::Starting,
        ];
        for refusal in for_now {
            let answer = refusal.answer();
            assert!(
                retried_over_http(answer.http) && retried_over_grpc(&answer),
                "{refusal:?}"
            );
            assert!(answer.retry_after.is_some(), "{refusal:?}");
        }
        let for_good = [
            Refusal::Malformed(String::new()),
            Refusal::UnsupportedMediaType(String::new()),
            Refusal::UnsupportedEncoding(String::new()),
            Refusal::MethodNotAllowed(String::new()),
            Refusal::NotFound(String::new()),
            Refusal::TooLarge { limit_bytes: 1 },
        ];
        for refusal in for_good {
            assert!(REASONS.contains(&refusal.answer().reason), "{refusal:?}");
            let answer = refusal.answer();
            assert!(
                !retried_over_http(answer.http) && !retried_over_grpc(&answer),
                "{refusal:?}"
            );
            assert!(answer.retry_after.is_none(), "{refusal:?}");
        }
    }
}
