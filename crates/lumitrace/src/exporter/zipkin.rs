//! Zipkin's API, version 2.

use std::time::Duration;

use lumitrace_wire::zipkin::encode_spans;

use super::http::{HttpClient, HttpSettings, USER_AGENT, plain_text};
use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// Sends spans in JSON with `POST` to Zipkin, or to whoever speaks its API.
///
/// ```no_run
/// use lumitrace::exporter::{HttpSettings, ZipkinExporter};
/// let settings = HttpSettings::zipkin("http://localhost:9411")?;
/// let _tracing = lumitrace::setup_tracing("my-service")
///     .exporter(ZipkinExporter::new(settings))
///     .install();
/// # Ok::<(), lumitrace::exporter::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct ZipkinExporter {
    client: HttpClient,
}

impl ZipkinExporter {
    /// An exporter with these settings; connects when there is something to send.
    pub fn new(settings: HttpSettings) -> Self {
        Self {
            client: HttpClient::new(settings, USER_AGENT),
        }
    }
}

impl SpanExporter for ZipkinExporter {
    fn name(&self) -> String {
        format!("Zipkin exporter to {}", self.client.settings.url)
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let body = encode_spans(batch.resource(), batch.scoped_spans());
        self.client
            .post("application/json", &body, timeout, plain_text)?;
        Ok(ExportReceipt::default())
    }
}
