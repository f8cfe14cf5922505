//! OTLP over HTTP, in protobuf.

use std::io::Write;
use std::time::Duration;

use flate2::write::GzEncoder;
use lumitrace_model::names::PENDING_SPANS_HEADER;
use lumitrace_wire::otlp::response::decode_status_protobuf;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::otlp::{USER_AGENT, failure, receipt};
use super::{Compression, ExportBatch, ExportError, ExportReceipt, OtlpSettings, SpanExporter};

/// Sends spans with `POST` to an OTLP/HTTP receiver.
pub struct OtlpHttpExporter {
    settings: OtlpSettings,
    /// Made at the first request: its connections belong to the process that opened them.
    agent: Option<Agent>,
}

/// Larger answers are cut; OTLP's are a few bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

impl OtlpHttpExporter {
    /// An exporter with these settings; connects when there is something to send.
    pub fn new(settings: OtlpSettings) -> Self {
        Self {
            settings,
            agent: None,
        }
    }

    fn request(&mut self, body: &[u8], timeout: Duration) -> Result<Response<Body>, ureq::Error> {
        let agent = self.agent.get_or_insert_with(new_agent);
        let mut request = agent
            .post(self.settings.endpoint.url())
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        match self.settings.compression {
            Compression::None => request.send(body),
            Compression::Gzip => request
                .header(header::CONTENT_ENCODING, "gzip")
                .send(&gzip(body)?[..]),
        }
    }
}

impl Clone for OtlpHttpExporter {
    /// A fresh exporter with the same settings and no connection.
    fn clone(&self) -> Self {
        Self::new(self.settings.clone())
    }
}

impl SpanExporter for OtlpHttpExporter {
    fn name(&self) -> String {
        format!("OTLP exporter to {}", self.settings.endpoint.url())
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let timeout = timeout.min(self.settings.timeout);
        let mut response = self
            .request(batch.otlp_protobuf(), timeout)
            .map_err(|error| transport_error(&error))?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|text| parse_retry_after(text.to_str().ok()?));
        let announcements = response.headers().get(PENDING_SPANS_HEADER).cloned();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec();
        let body = body.unwrap_or_default();
        if status.is_success() {
            return Ok(receipt(
                &body,
                announcements.as_ref().map(|value| value.as_bytes()),
            ));
        }
        let reason = describe(status, &body);
        Err(failure(reason, is_retryable(status), retry_after))
    }

    fn may_take_announcements(&self) -> bool {
        true
    }
}

fn new_agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(USER_AGENT)
        .build()
        .into()
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    // The fastest level: the spans of one program repeat themselves enough for it.
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn transport_error(error: &ureq::Error) -> ExportError {
    // What no second attempt can change.
    let is_final = matches!(
        error,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_)
    );
    failure(error.to_string(), !is_final, None)
}

/// OTLP specification, "Retryable Response Codes".
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// `Retry-After` in seconds; its other form, a date, is rare and left to the normal delay.
fn parse_retry_after(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

fn describe(status: StatusCode, body: &[u8]) -> String {
    let message = decode_status_protobuf(body)
        .map(|(_, message)| message)
        .unwrap_or_default();
    if message.is_empty() {
        format!("the receiver answered {status}")
    } else {
        format!("the receiver answered {status}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_of_the_specification_are_tried_again() {
        for (code, retryable) in [
            (429, true),
            (502, true),
            (503, true),
            (504, true),
            (500, false),
        ] {
            assert_eq!(
                is_retryable(StatusCode::from_u16(code).unwrap()),
                retryable,
                "{code}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        assert_eq!(parse_retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
