//! OTLP over HTTP, in protobuf or JSON.

use std::time::Duration;

use lumitrace_model::names::PENDING_SPANS_HEADER;
use lumitrace_wire::otlp::Signal;
use lumitrace_wire::otlp::response::{
    decode_export_json, decode_export_protobuf, decode_status_json, decode_status_protobuf,
};

use super::http::{HttpAnswer, HttpClient, HttpSettings};
use super::otlp::{USER_AGENT, receipt};
use super::{ExportBatch, ExportError, ExportReceipt, OtlpProtocol, OtlpSettings, SpanExporter};

/// Sends spans with `POST` to an OTLP/HTTP receiver, in protobuf, or in JSON where the endpoint's
/// protocol is [`OtlpProtocol::HttpJson`].
#[derive(Clone)]
pub struct OtlpHttpExporter {
    encoding: Encoding,
    client: HttpClient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl OtlpHttpExporter {
    /// An exporter with these settings; connects when there is something to send.
    pub fn new(settings: OtlpSettings) -> Self {
        let encoding = match settings.endpoint.protocol() {
            OtlpProtocol::HttpJson => Encoding::Json,
            OtlpProtocol::HttpProtobuf | OtlpProtocol::Grpc => Encoding::Protobuf,
        };
        let settings = HttpSettings {
            url: settings.endpoint.url().to_owned(),
            headers: settings.headers,
            timeout: settings.timeout,
            compression: settings.compression,
        };
        Self {
            encoding,
            client: HttpClient::new(settings, USER_AGENT),
        }
    }
}

impl SpanExporter for OtlpHttpExporter {
    fn name(&self) -> String {
        format!("OTLP exporter to {}", self.client.settings.url)
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let encoding = self.encoding;
        let (content_type, body) = match encoding {
            Encoding::Protobuf => ("application/x-protobuf", batch.otlp_protobuf()),
            Encoding::Json => ("application/json", batch.otlp_json()),
        };
        let explain = |body: &[u8]| encoding.explain(body);
        let answer = self.client.post(content_type, body, timeout, explain)?;
        Ok(encoding.receipt(&answer))
    }

    fn may_take_announcements(&self) -> bool {
        true
    }
}

impl Encoding {
    /// The message of the `google.rpc.Status` that refuses a request.
    fn explain(self, body: &[u8]) -> String {
        let status = match self {
            Encoding::Protobuf => decode_status_protobuf(body),
            Encoding::Json => decode_status_json(body),
        };
        status.map(|(_, message)| message).unwrap_or_default()
    }

    fn receipt(self, answer: &HttpAnswer) -> ExportReceipt {
        let partial = match self {
            Encoding::Protobuf => decode_export_protobuf(&answer.body),
            Encoding::Json => decode_export_json(Signal::Traces, &answer.body),
        };
        let announcements = answer.headers.get(PENDING_SPANS_HEADER);
        receipt(partial, announcements.map(|value| value.as_bytes()))
    }
}
