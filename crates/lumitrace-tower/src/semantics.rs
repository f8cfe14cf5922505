//! What spans say of requests and answers (OpenTelemetry, "Semantic conventions for HTTP spans").

use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header};
use lumitrace::{KeyValue, Span};

pub(crate) const ROUTE: &str = "http.route";
const ERROR_TYPE: &str = "error.type";
const REDACTED: &str = "REDACTED";

/// Query parameters whose values grant access: those that the conventions name, and the usual ones.
const SECRET_PARAMETERS: [&str; 8] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Goog-Signature",
    "sig",
    "access_token",
    "api_key",
    "password",
    "token",
];

/// The name of a request's span; numbers and ids of its path are no part of it.
pub(crate) fn span_name(method: &Method, route: Option<&str>) -> String {
    let method = match is_known(method) {
        true => method.as_str(),
        false => "HTTP",
    };
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// The attributes of a request that a server got.
pub(crate) fn server_request<B>(request: &Request<B>, route: Option<&str>) -> Vec<KeyValue> {
    let (uri, headers) = (request.uri(), request.headers());
    let mut attributes = method(request.method());
    let scheme = uri.scheme().unwrap_or(&Scheme::HTTP);
    attributes.push(KeyValue::new("url.scheme", scheme.to_string()));
    attributes.push(KeyValue::new("url.path", uri.path().to_owned()));
    let query = uri.query().filter(|query| !query.is_empty());
    attributes.extend(query.map(|query| KeyValue::new("url.query", redacted_query(query))));
    attributes.extend(server_address(uri, headers));
    let version = protocol_version(request.version());
    attributes.extend(version.map(|version| KeyValue::new("network.protocol.version", version)));
    let agent = text(headers, header::USER_AGENT);
    attributes.extend(agent.map(|agent| KeyValue::new("user_agent.original", agent.to_owned())));
    attributes.extend(route.map(|route| KeyValue::new(ROUTE, route.to_owned())));
    attributes
}

/// The attributes of a request's method.
pub(crate) fn method(method: &Method) -> Vec<KeyValue> {
    const METHOD: &str = "http.request.method";
    match is_known(method) {
        true => vec![KeyValue::new(METHOD, method.as_str().to_owned())],
        false => vec![
            KeyValue::new(METHOD, "_OTHER"),
            KeyValue::new("http.request.method_original", method.as_str().to_owned()),
        ],
    }
}

/// Whether it is defined by RFC 9110 or RFC 5789: whoever sends a request chooses its method, and must not
/// choose how many names of spans there are.
fn is_known(method: &Method) -> bool {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
        Method::CONNECT,
    ];
    known.contains(method)
}

/// Whom the request was for: in HTTP/2 its address says so, in HTTP/1 a header.
fn server_address(uri: &Uri, headers: &HeaderMap) -> Vec<KeyValue> {
    let host = || text(headers, header::HOST)?.parse::<Authority>().ok();
    let Some(authority) = uri.authority().cloned().or_else(host) else {
        return Vec::new();
    };
    let mut attributes = vec![KeyValue::new("server.address", authority.host().to_owned())];
    let port = authority.port_u16().map(u32::from);
    attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
    attributes
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn protocol_version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

/// The query, but without what grants access.
pub(crate) fn redacted_query(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_secret = SECRET_PARAMETERS
            .iter()
            .any(|secret| secret.eq_ignore_ascii_case(name));
        match is_secret {
            true => format!("{name}={REDACTED}"),
            false => parameter.to_owned(),
        }
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// On which side of the connection a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    #[cfg_attr(
        not(any(test, feature = "reqwest")),
        expect(dead_code, reason = "for clients")
    )]
    Client,
}

/// Whether an answer with this status means that the work of the span failed: a server has done right when
/// it refuses a wrong request.
pub(crate) fn is_failure(status: StatusCode, side: Side) -> bool {
    match side {
        Side::Server => status.is_server_error(),
        Side::Client => status.is_client_error() || status.is_server_error(),
    }
}

/// Records how a request was answered.
pub(crate) fn record_status(span: &Span, status: StatusCode, side: Side) {
    span.set_attribute("http.response.status_code", u32::from(status.as_u16()));
    if is_failure(status, side) {
        span.set_attribute(ERROR_TYPE, status.as_str().to_owned());
        // The status says it: no message repeats it.
        span.set_status(lumitrace::StatusCode::Error, "");
    }
}

#[cfg(test)]
mod tests {
    use lumitrace::Value;

    use super::*;

    fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
        lumitrace::model::value::find(attributes, key)
    }

    #[test]
    fn t18_names_are_made_of_method_and_route_and_unknown_methods_are_one() {
        assert_eq!(
            span_name(&Method::GET, Some("/runs/{id}")),
            "GET /runs/{id}"
        );
        assert_eq!(span_name(&Method::PATCH, None), "PATCH");
        let invented = Method::from_bytes(b"FROBNICATE").unwrap();
        assert_eq!(span_name(&invented, Some("/")), "HTTP /");
        let attributes = method(&invented);
        let method = attribute(&attributes, "http.request.method");
        assert_eq!(method, Some(&Value::from("_OTHER")));
        let original = attribute(&attributes, "http.request.method_original");
        assert_eq!(original, Some(&Value::from("FROBNICATE")));
    }

    #[test]
    fn a_request_is_described_by_its_address_and_headers() {
        let request = Request::builder()
            .uri("/runs/7?step=1&token=abc")
            .header("host", "[::1]:8080")
            .header("user-agent", "curl/8")
            .body(())
            .unwrap();
        let attributes = server_request(&request, None);
        for (key, value) in [
            ("http.request.method", Value::from("GET")),
            ("url.scheme", Value::from("http")),
            ("url.path", Value::from("/runs/7")),
            ("url.query", Value::from("step=1&token=REDACTED")),
            ("server.address", Value::from("[::1]")),
            ("server.port", Value::Int(8080)),
            ("network.protocol.version", Value::from("1.1")),
            ("user_agent.original", Value::from("curl/8")),
        ] {
            assert_eq!(attribute(&attributes, key), Some(&value), "{key}");
        }
        assert_eq!(attribute(&attributes, ROUTE), None);
    }

    #[test]
    fn an_http_2_request_names_its_server_in_its_address() {
        let request = Request::builder()
            .uri("https://lumi.example/")
            .header("host", "not\u{e4} host")
            .body(())
            .unwrap();
        let attributes = server_request(&request, None);
        let address = attribute(&attributes, "server.address");
        assert_eq!(address, Some(&Value::from("lumi.example")));
        assert_eq!(
            attribute(&attributes, "url.scheme"),
            Some(&Value::from("https"))
        );
        assert_eq!(attribute(&attributes, "url.query"), None);
    }

    #[test]
    fn t31_a_refused_request_is_a_failure_of_the_client_and_not_of_the_server() {
        for (status, of_server, of_client) in [
            (101, false, false),
            (200, false, false),
            (302, false, false),
            (404, false, true),
            (499, false, true),
            (500, true, true),
            (503, true, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_failure(status, Side::Server), of_server, "{status}");
            assert_eq!(is_failure(status, Side::Client), of_client, "{status}");
        }
    }

    #[test]
    fn queries_lose_what_grants_access_and_nothing_else() {
        for (query, redacted) in [
            ("a=1&b", "a=1&b"),
            (
                "Sig=abc&signature=x%20y&sigma=1",
                "Sig=REDACTED&signature=REDACTED&sigma=1",
            ),
            ("token", "token=REDACTED"),
            ("&&", "&&"),
        ] {
            assert_eq!(redacted_query(query), redacted);
        }
    }
}
