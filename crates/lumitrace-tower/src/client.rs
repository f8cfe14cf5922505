//! The middleware for `reqwest`.

use std::error::Error as _;

use http::Extensions;
use lumitrace::{Context, FutureExt, KeyValue, Span, SpanKind, Tracer, propagation};
use reqwest_middleware::reqwest::{Request, Response, Url};
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::semantics::{Side, method, record_status, redacted_query, span_name};

/// Middleware that records for the global provider, also if that is set up later; see [`ClientMiddleware`].
pub fn client_middleware() -> ClientMiddleware {
    ClientMiddleware::new(lumitrace::tracer("reqwest"))
}

/// Records a span for each request that a client sends, and writes its ids into the request's headers; see the
/// [crate](crate).
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use reqwest_middleware::reqwest::Client;
///
/// let client = ClientBuilder::new(Client::new())
///     .with(lumitrace_tower::client_middleware())
///     .build();
/// let request = client.get("http://localhost:16686/healthz"); // .send().await
/// ```
///
/// Middleware sees a request once: one that `reqwest` sends again, to follow a redirection, is part of the
/// same span.
#[derive(Debug, Clone)]
pub struct ClientMiddleware {
    tracer: Tracer,
}

impl ClientMiddleware {
    /// Middleware that records with `tracer`.
    pub fn new(tracer: Tracer) -> Self {
        Self { tracer }
    }
}

#[async_trait::async_trait]
impl Middleware for ClientMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        // Ends when it is dropped: also when nobody waits for the answer any more.
        let span = self
            .tracer
            .span(span_name(request.method(), None))
            .kind(SpanKind::Client)
            .attributes(method(request.method()))
            .attributes(address(request.url()))
            .start();
        let context = Context::of_span(&span);
        propagation::global().inject(&context, request.headers_mut());
        let answered = next.run(request, extensions).in_context(context).await;
        match &answered {
            Ok(response) => record_status(&span, response.status(), Side::Client),
            Err(error) => record_failure(&span, error),
        }
        answered
    }
}

/// Whom the request is for, without what grants access.
fn address(url: &Url) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("url.full", redacted(url.clone()).to_string())];
    let host = url.host_str();
    attributes.extend(host.map(|host| KeyValue::new("server.address", host.to_owned())));
    let port = url.port_or_known_default().map(u32::from);
    attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
    attributes
}

fn redacted(mut url: Url) -> Url {
    // Setting these fails for addresses that cannot have them, and so have none.
    if !url.username().is_empty() {
        let _set = url.set_username("REDACTED");
    }
    if url.password().is_some() {
        let _set = url.set_password(Some("REDACTED"));
    }
    if let Some(query) = url.query().map(redacted_query) {
        url.set_query(Some(&query));
    }
    url
}

/// Records why there is no answer. What `reqwest` itself says begins with the address, secrets included, so
/// it is what is behind that error.
fn record_failure(span: &Span, error: &Error) {
    let type_name = match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        _ => "reqwest_middleware::Error",
    };
    let mut causes = Vec::new();
    let mut cause = match error {
        Error::Reqwest(error) => error.source(),
        Error::Middleware(error) => Some(&**error as &(dyn std::error::Error + 'static)),
    };
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let message = match causes.is_empty() {
        true => "the request could not be sent".to_owned(),
        false => causes.join(": "),
    };
    span.record_exception(type_name, message, causes.join("\ncaused by: "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_passwords_and_what_else_grants_access() {
        for (url, expected) in [
            (
                "http://lumi.example/runs?step=1",
                "http://lumi.example/runs?step=1",
            ),
            (
                "http://ada:pw@lumi.example/",
                "http://REDACTED:REDACTED@lumi.example/",
            ),
            (
                "http://lumi.example/?api_key=k",
                "http://lumi.example/?api_key=REDACTED",
            ),
            ("data:text/plain,x", "data:text/plain,x"),
        ] {
            assert_eq!(redacted(url.parse().unwrap()).as_str(), expected);
        }
    }
}
