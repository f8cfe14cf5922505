//! OTLP over HTTP.

use std::borrow::Cow;
use std::time::Duration;

use lumitrace_wire::otlp::Signal;
use lumitrace_wire::otlp::response::{decode_export_protobuf, decode_status_protobuf};
use ureq::Agent;
use ureq::http::{Response, header};

use super::{Answer, Request, Sink, Transport, gzip};
use crate::record_file::Batch;

/// Larger answers are cut; OTLP's are a few bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

pub(super) struct HttpSink {
    agent: Agent,
    url: String,
    json: bool,
    transport: Transport,
}

impl HttpSink {
    pub(super) fn new(url: &str, json: bool, transport: &Transport) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(transport.timeout))
            .user_agent(concat!("lumitrace-generate/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().into(),
            url: url.to_owned(),
            json,
            transport: transport.clone(),
        }
    }
}

impl Sink for HttpSink {
    fn encode(&self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        let bytes = if self.json {
            batch.encode_json()
        } else {
            batch.encode_protobuf()
        };
        if self.transport.gzip {
            gzip(&bytes)
        } else {
            Ok(bytes)
        }
    }

    fn send(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let content_type = if self.json {
            "application/json"
        } else {
            "application/x-protobuf"
        };
        let url = url_of(&self.url, request.signal);
        let mut post = self
            .agent
            .post(url.as_ref())
            .header(header::CONTENT_TYPE, content_type);
        if self.transport.gzip {
            post = post.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &self.transport.headers {
            post = post.header(name, value);
        }
        let mut response = match post.send(&request.bytes[..]) {
            Ok(response) => response,
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                return Err(error.into());
            }
            Err(error) => {
                return Ok(Answer::Unreachable {
                    reason: error.to_string(),
                });
            }
        };
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec();
        Ok(judge(&response, &body.unwrap_or_default(), self.json))
    }
}

/// The address for a signal, given that for spans: OTLP specification, "OTLP/HTTP Request". An address
/// with another path is taken for all.
fn url_of(url: &str, signal: Signal) -> Cow<'_, str> {
    let Some(base) = url.strip_suffix("v1/traces") else {
        return Cow::Borrowed(url);
    };
    match signal {
        Signal::Traces => Cow::Borrowed(url),
        Signal::Logs => Cow::Owned(format!("{base}v1/logs")),
        Signal::Metrics => Cow::Owned(format!("{base}v1/metrics")),
    }
}

/// OTLP specification, "Retryable Response Codes" and "Partial Success".
fn judge<T>(response: &Response<T>, body: &[u8], json: bool) -> Answer {
    let status = response.status();
    if status.is_success() {
        let (rejected, message) = partial_success(body, json);
        return Answer::Accepted { rejected, message };
    }
    let said = match decode_status_protobuf(body) {
        Ok((_, message)) if !json && !message.is_empty() => message,
        _ => String::from_utf8_lossy(body).chars().take(300).collect(),
    };
    let reason = format!("the receiver answered {status}: {said}");
    if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Answer::Busy {
            after: after.map(Duration::from_secs),
            reason,
        };
    }
    Answer::Refused { reason }
}

fn partial_success(body: &[u8], json: bool) -> (u64, String) {
    if !json {
        let partial = decode_export_protobuf(body).ok().flatten();
        return partial.map_or_else(Default::default, |partial| {
            (partial.rejected, partial.error_message)
        });
    }
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let rejected = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"]
        .into_iter()
        .map(|name| &partial[name])
        .find(|value| !value.is_null())
        .unwrap_or(&serde_json::Value::Null);
    // 64-bit integers are texts in OTLP/JSON, and numbers of lenient receivers.
    let rejected = rejected
        .as_str()
        .and_then(|text| text.parse().ok())
        .or_else(|| rejected.as_u64());
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    (rejected.unwrap_or_default(), message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &[u8], json: bool) -> Answer {
        let mut response = Response::builder().status(status);
        if let Some(seconds) = retry_after {
            response = response.header("Retry-After", seconds);
        }
        judge(&response.body(()).unwrap(), body, json)
    }

    #[test]
    fn each_signal_goes_to_its_own_address() {
        let url = |signal| url_of("http://h:4318/v1/traces", signal).into_owned();
        assert_eq!(url(Signal::Traces), "http://h:4318/v1/traces");
        assert_eq!(url(Signal::Logs), "http://h:4318/v1/logs");
        assert_eq!(url(Signal::Metrics), "http://h:4318/v1/metrics");
        assert_eq!(url_of("http://h/otlp", Signal::Logs), "http://h/otlp");
    }

    #[test]
    fn a_busy_receiver_is_obeyed_and_a_refusal_is_final() {
        for status in [429, 503] {
            let Answer::Busy { after, .. } = answer(status, Some("7"), b"", false) else {
                panic!("{status} may pass");
            };
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        assert!(matches!(
            answer(400, None, b"no", false),
            Answer::Refused { reason } if reason.ends_with(": no")
        ));
    }

    #[test]
    fn spans_that_were_rejected_are_counted_in_both_encodings() {
        use lumitrace_wire::otlp::Signal;
        use lumitrace_wire::otlp::response::{
            PartialSuccess, encode_export_json, encode_export_protobuf,
        };
        let partial = PartialSuccess {
            rejected: 3,
            error_message: "bad ids".to_owned(),
        };
        let expected = Answer::Accepted {
            rejected: 3,
            message: "bad ids".to_owned(),
        };
        let body = encode_export_protobuf(Some(&partial));
        assert_eq!(answer(200, None, &body, false), expected);
        let body = encode_export_json(Signal::Traces, Some(&partial));
        assert_eq!(answer(200, None, &body, true), expected);
    }
}
