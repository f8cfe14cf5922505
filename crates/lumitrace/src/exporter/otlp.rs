//! What both OTLP exporters are set up with, and how they read answers.

use std::fmt;
use std::time::Duration;

use lumitrace_wire::DecodeError;
use lumitrace_wire::otlp::response::PartialSuccess;

use super::http::header_names;
use super::{Endpoint, ExportReceipt, OtlpProtocol};

/// Settings of an OTLP exporter.
#[derive(Clone, PartialEq, Eq)]
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

/// Shows the names of headers only: their values are secrets.
impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSettings")
            .field("endpoint", &self.endpoint)
            .field("headers", &header_names(&self.headers))
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .finish()
    }
}

/// The receipt for a positive answer, by its body and a header. A body that is not OTLP's counts as
/// empty: the spans were accepted.
pub(super) fn receipt(
    body: Result<Option<PartialSuccess>, DecodeError>,
    announcements_header: Option<&[u8]>,
) -> ExportReceipt {
    let partial = body.ok().flatten().unwrap_or_default();
    ExportReceipt {
        refused_spans: partial.rejected,
        message: partial.error_message,
        takes_announcements: announcements_header == Some(b"1"),
    }
}
