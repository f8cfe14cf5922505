//! What both OTLP exporters are set up with, and how they read answers.

use std::time::Duration;

use lumitrace_wire::otlp::response::decode_export_protobuf;

use super::{Endpoint, ExportError, ExportReceipt, OtlpProtocol};

/// Settings of an OTLP exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpSettings {
    /// The receiver.
    pub endpoint: Endpoint,
    /// Headers sent along, such as an API key.
    pub headers: Vec<(String, String)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How the body is compressed.
    pub compression: Compression,
}

/// How the body of a request is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all: cheapest for the program, and right for a receiver on the same machine.
    #[default]
    None,
    /// Gzip.
    Gzip,
}

impl OtlpSettings {
    /// The defaults of OpenTelemetry for this receiver: 10 seconds, no compression.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            compression: Compression::None,
        }
    }
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self::new(Endpoint::local(OtlpProtocol::HttpProtobuf))
    }
}

/// OTLP exporter specification, "User Agent": which exporter sends.
pub(super) const USER_AGENT: &str =
    concat!("OTel-OTLP-Exporter-Lumitrace/", env!("CARGO_PKG_VERSION"));

/// The receipt in the body and headers of a positive answer. A body that is not OTLP's counts as
/// empty: the spans were accepted.
pub(super) fn receipt(body: &[u8], announcements_header: Option<&[u8]>) -> ExportReceipt {
    let partial = decode_export_protobuf(body)
        .ok()
        .flatten()
        .unwrap_or_default();
    ExportReceipt {
        refused_spans: partial.rejected,
        message: partial.error_message,
        takes_announcements: announcements_header == Some(b"1"),
    }
}

/// The error for spans that did not arrive. `retry_after` is how long the receiver asks to wait.
pub(super) fn failure(
    reason: String,
    is_retryable: bool,
    retry_after: Option<Duration>,
) -> ExportError {
    if is_retryable {
        ExportError::Retryable {
            reason,
            retry_after,
        }
    } else {
        ExportError::Refused { reason }
    }
}
