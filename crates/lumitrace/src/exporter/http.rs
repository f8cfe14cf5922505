//! Posting to a receiver over HTTP, and what its answer means: what all exporters over HTTP share.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

use flate2::write::GzEncoder;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Agent, Body};

use super::answer::{is_about_size, retry_after};
use super::endpoint::url_with_path;
use super::{Compression, EndpointError, ExportError};

/// Settings of an exporter that posts to one address.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// The whole address.
    pub url: String,
    /// Headers sent along, such as an API key.
    pub headers: Vec<(String, String)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How the body is compressed.
    pub compression: Compression,
}

const ZIPKIN_PATH: &str = "/api/v2/spans";

impl HttpSettings {
    /// Posting to this whole address: within 10 seconds, without compression.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            compression: Compression::None,
        }
    }

    /// Posting to Zipkin: `endpoint` is a URL or `host:port`, and without a path it gets
    /// `/api/v2/spans`.
    ///
    /// ```
    /// use lumitrace::exporter::HttpSettings;
    /// assert_eq!(HttpSettings::zipkin("localhost:9411")?.url, "http://localhost:9411/api/v2/spans");
    /// # Ok::<(), lumitrace::exporter::EndpointError>(())
    /// ```
    ///
    /// # Errors
    /// The text is no address, or needs a feature that is not built in.
    pub fn zipkin(endpoint: &str) -> Result<Self, EndpointError> {
        url_with_path(endpoint, ZIPKIN_PATH).map(Self::new)
    }

    /// Posting to Zipkin on this machine.
    pub(crate) fn local_zipkin() -> Self {
        Self::new(format!("http://localhost:9411{ZIPKIN_PATH}"))
    }

    /// Posting to a Jaeger collector: `endpoint` is a URL or `host:port`, and without a path it gets
    /// `/api/traces`.
    ///
    /// ```
    /// use lumitrace::exporter::HttpSettings;
    /// assert_eq!(HttpSettings::jaeger("localhost:14268")?.url, "http://localhost:14268/api/traces");
    /// # Ok::<(), lumitrace::exporter::EndpointError>(())
    /// ```
    ///
    /// # Errors
    /// The text is no address, or needs a feature that is not built in.
    pub fn jaeger(endpoint: &str) -> Result<Self, EndpointError> {
        url_with_path(endpoint, "/api/traces").map(Self::new)
    }
}

/// Shows the names of headers only: their values are secrets.
impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("url", &self.url)
            .field("headers", &header_names(&self.headers))
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .finish()
    }
}

/// What may be shown of headers.
pub(super) fn header_names(headers: &[(String, String)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| &**name).collect()
}

/// Posts to one address.
pub(super) struct HttpClient {
    pub(super) settings: HttpSettings,
    user_agent: &'static str,
    /// Made at the first request: its connections belong to the process that opened them.
    agent: Option<Agent>,
}

/// An answer that accepts what was sent.
pub(super) struct HttpAnswer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The `User-Agent` of exporters for which the OpenTelemetry specification names none.
pub(super) const USER_AGENT: &str = concat!("Lumitrace/", env!("CARGO_PKG_VERSION"));

/// Larger bodies are sent when the receiver says that it takes them, or says nothing for a second (RFC
/// 9110, section 10.1.1): one that refuses them by their size closes the connection, and its answer
/// would be lost while they are sent. Many receivers take no more than this.
const ASK_ABOVE_BYTES: usize = 4 << 20;

/// Larger answers are cut; those of receivers are a few bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

impl HttpClient {
    /// A client that connects when there is something to send.
    pub(super) fn new(settings: HttpSettings, user_agent: &'static str) -> Self {
        Self {
            settings,
            user_agent,
            agent: None,
        }
    }

    /// Posts `body`, within `timeout` or the settings' if that is less. `explain` finds the receiver's
    /// words in the body of a refusal.
    pub(super) fn post(
        &mut self,
        content_type: &str,
        body: &[u8],
        timeout: Duration,
        explain: impl FnOnce(&[u8]) -> String,
    ) -> Result<HttpAnswer, ExportError> {
        let timeout = timeout.min(self.settings.timeout);
        let sent = self.request(content_type, body, timeout);
        let (head, mut body) = sent.map_err(|error| transport_error(&error))?.into_parts();
        let answer = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        // The status says what matters; a body that breaks off changes nothing.
        let answer = answer.unwrap_or_default();
        if head.status.is_success() {
            return Ok(HttpAnswer {
                headers: head.headers,
                body: answer,
            });
        }
        let wish = head.headers.get(header::RETRY_AFTER);
        let wish = wish.and_then(|text| retry_after(text.to_str().ok()?, SystemTime::now()));
        Err(refusal(head.status, &explain(&answer), wish))
    }

    fn request(
        &mut self,
        content_type: &str,
        body: &[u8],
        timeout: Duration,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let agent = self.agent.get_or_insert_with(|| new_agent(self.user_agent));
        let mut request = agent
            .post(&self.settings.url)
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header(header::CONTENT_TYPE, content_type);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let compressed;
        let body = match self.settings.compression {
            Compression::None => body,
            Compression::Gzip => {
                request = request.header(header::CONTENT_ENCODING, "gzip");
                compressed = gzip(body)?;
                &compressed
            }
        };
        if body.len() > ASK_ABOVE_BYTES {
            request = request.header(header::EXPECT, "100-continue");
        }
        request.send(body)
    }
}

impl Clone for HttpClient {
    /// A fresh client with the same settings and no connection.
    fn clone(&self) -> Self {
        Self::new(self.settings.clone(), self.user_agent)
    }
}

fn new_agent(user_agent: &'static str) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(user_agent)
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
    let reason = error.to_string();
    match error {
        // What no second attempt can change.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            ExportError::Refused { reason }
        }
        _ => ExportError::Retryable {
            reason,
            retry_after: None,
        },
    }
}

/// The error for a status that accepts nothing (OTLP specification, "Retryable Response Codes"; other
/// receivers mean the same by them).
fn refusal(status: StatusCode, message: &str, retry_after: Option<Duration>) -> ExportError {
    let reason = match message {
        "" => format!("the receiver answered {status}"),
        message => format!("the receiver answered {status}: {message}"),
    };
    match status.as_u16() {
        429 | 502 | 503 | 504 => ExportError::Retryable {
            reason,
            retry_after,
        },
        413 => ExportError::TooLarge { reason },
        400 if is_about_size(message) => ExportError::TooLarge { reason },
        _ => ExportError::Refused { reason },
    }
}

/// The words in an answer of plain text: its first line, unless it is a page.
pub(super) fn plain_text(body: &[u8]) -> String {
    const MAX_CHARS: usize = 200;
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.starts_with('<') {
        return String::new();
    }
    line.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_of_the_specification_are_tried_again_and_large_batches_are_split() {
        let meaning = |code, message| {
            let wish = Some(Duration::from_secs(7));
            match refusal(StatusCode::from_u16(code).unwrap(), message, wish) {
                ExportError::Retryable { retry_after, .. } if retry_after == wish => "later",
                ExportError::Retryable { .. } => "the wish is lost",
                ExportError::TooLarge { .. } => "smaller",
                ExportError::Refused { .. } => "never",
            }
        };
        for (code, message, expected) in [
            (429, "", "later"),
            (502, "", "later"),
            (503, "body too large", "later"),
            (504, "", "later"),
            (413, "", "smaller"),
            (400, "http: request body too large", "smaller"),
            (400, "malformed", "never"),
            (500, "", "never"),
            (404, "", "never"),
            (302, "", "never"),
        ] {
            assert_eq!(meaning(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn a_refusal_repeats_the_receivers_words_but_no_page_and_no_novel() {
        assert_eq!(plain_text(b"no such tenant\r\nstack"), "no such tenant");
        assert_eq!(plain_text(b"<!DOCTYPE html>\n<p>"), "");
        assert_eq!(plain_text("é".repeat(1_000).as_bytes()), "é".repeat(200));
        assert_eq!(plain_text(b""), "");
    }

    #[test]
    fn a23_settings_are_printed_without_the_values_of_headers() {
        let mut settings = HttpSettings::new("http://host/".to_owned());
        settings.headers = vec![("x-honeycomb-team".to_owned(), "secret".to_owned())];
        let printed = format!("{settings:?}");
        assert!(printed.contains("x-honeycomb-team"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
}
