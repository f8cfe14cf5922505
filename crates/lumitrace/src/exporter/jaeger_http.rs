//! Jaeger's collector over HTTP.

use std::time::Duration;

use lumitrace_wire::jaeger::encode_batch;

use super::http::{HttpClient, HttpSettings, USER_AGENT, plain_text};
use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// Sends spans in Thrift's binary form with `POST` to a Jaeger collector, port 14268.
///
/// ```no_run
/// use lumitrace::exporter::{HttpSettings, JaegerHttpExporter};
/// let settings = HttpSettings::jaeger("http://localhost:14268/api/traces")?;
/// let _tracing = lumitrace::setup_tracing("my-service")
///     .exporter(JaegerHttpExporter::new(settings))
///     .install();
/// # Ok::<(), lumitrace::exporter::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct JaegerHttpExporter {
    client: HttpClient,
}

impl JaegerHttpExporter {
    /// An exporter with these settings; connects when there is something to send.
    pub fn new(settings: HttpSettings) -> Self {
        Self {
            client: HttpClient::new(settings, USER_AGENT),
        }
    }
}

impl SpanExporter for JaegerHttpExporter {
    fn name(&self) -> String {
        format!("Jaeger exporter to {}", self.client.settings.url)
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let body = encode_batch(batch.resource(), batch.scoped_spans());
        self.client
            .post("application/x-thrift", &body, timeout, plain_text)?;
        Ok(ExportReceipt::default())
    }
}
