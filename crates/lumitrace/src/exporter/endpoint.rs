//! Which address and protocol an OTLP endpoint means.

use std::fmt;

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1.
    HttpProtobuf,
    /// JSON over HTTP/1.1: for receivers and people that read no protobuf; it costs more.
    HttpJson,
    /// gRPC.
    Grpc,
}

impl fmt::Display for OtlpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OtlpProtocol::HttpProtobuf => "http/protobuf",
            OtlpProtocol::HttpJson => "http/json",
            OtlpProtocol::Grpc => "grpc",
        })
    }
}

/// An OTLP receiver: its protocol and the address that the protocol wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) protocol: OtlpProtocol,
    pub(crate) url: String,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an address.
    #[error(
        "{text:?} is no endpoint: {reason}. Use a URL such as http://localhost:4318, or host:port"
    )]
    NotAnAddress {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address that this build cannot reach.
    #[error("{text:?} needs the feature `{feature}` of the lumitrace crate, which is not built in")]
    FeatureMissing {
        /// What was given.
        text: String,
        /// The Cargo feature.
        feature: &'static str,
    },
}

const TRACES_PATH: &str = "/v1/traces";
const GRPC_PORT: u16 = 4317;

impl Endpoint {
    /// The receiver that `text` means.
    ///
    /// A protocol that is given wins. Otherwise a path that ends in `/v1/traces` means HTTP, port
    /// 4317 gRPC, and everything else HTTP. Over HTTP an address without path gets `/v1/traces`;
    /// with one it is used as it stands. `host:port` without scheme means `http://`.
    ///
    /// ```
    /// use lumitrace::exporter::Endpoint;
    /// assert_eq!(Endpoint::parse("localhost:4318", None)?.url(), "http://localhost:4318/v1/traces");
    /// # Ok::<(), lumitrace::exporter::EndpointError>(())
    /// ```
    ///
    /// # Errors
    /// The text is no address, or needs a feature that is not built in.
    pub fn parse(text: &str, protocol: Option<OtlpProtocol>) -> Result<Self, EndpointError> {
        let (uri, text) = parse_uri(text)?;
        let path = uri.path().trim_end_matches('/');
        let protocol = protocol.unwrap_or_else(|| {
            if !path.ends_with(TRACES_PATH) && uri.port_u16() == Some(GRPC_PORT) {
                OtlpProtocol::Grpc
            } else {
                OtlpProtocol::HttpProtobuf
            }
        });
        if protocol == OtlpProtocol::Grpc && cfg!(not(feature = "grpc")) {
            return Err(EndpointError::FeatureMissing {
                text,
                feature: "grpc",
            });
        }
        check_scheme(&uri, &text)?;
        let url = match protocol {
            OtlpProtocol::Grpc => origin(&uri),
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
                with_path(&uri, text, TRACES_PATH)
            }
        };
        Ok(Self { protocol, url })
    }

    /// The receiver below the base address `text`, as `OTEL_EXPORTER_OTLP_ENDPOINT` gives it: over
    /// HTTP `/v1/traces` is appended to any path, unless it is already there.
    ///
    /// # Errors
    /// As [`parse`](Endpoint::parse).
    pub fn below(text: &str, protocol: Option<OtlpProtocol>) -> Result<Self, EndpointError> {
        let mut endpoint = Self::parse(text, protocol)?;
        let base = endpoint.url.trim_end_matches('/');
        if endpoint.protocol != OtlpProtocol::Grpc && !base.ends_with(TRACES_PATH) {
            endpoint.url = format!("{base}{TRACES_PATH}");
        }
        Ok(endpoint)
    }

    /// Where a receiver on this machine listens by default.
    pub fn local(protocol: OtlpProtocol) -> Self {
        let url = match protocol {
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
                format!("http://localhost:4318{TRACES_PATH}")
            }
            OtlpProtocol::Grpc => format!("http://localhost:{GRPC_PORT}"),
        };
        Self { protocol, url }
    }

    /// How OTLP travels there.
    pub fn protocol(&self) -> OtlpProtocol {
        self.protocol
    }

    /// The URL: complete for HTTP, the origin for gRPC.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The URL that `text` means, a URL or `host:port`: with this path, unless it has one.
pub(super) fn url_with_path(text: &str, path: &str) -> Result<String, EndpointError> {
    let (uri, text) = parse_uri(text)?;
    check_scheme(&uri, &text)?;
    Ok(with_path(&uri, text, path))
}

fn check_scheme(uri: &http::Uri, text: &str) -> Result<(), EndpointError> {
    if uri.scheme_str() == Some("https") && cfg!(not(feature = "tls")) {
        return Err(EndpointError::FeatureMissing {
            text: text.to_owned(),
            feature: "tls",
        });
    }
    Ok(())
}

fn with_path(uri: &http::Uri, text: String, path: &str) -> String {
    match uri.path().trim_end_matches('/') {
        "" => format!("{}{path}", origin(uri)),
        _ => text,
    }
}

/// The address, and its text with a scheme.
fn parse_uri(text: &str) -> Result<(http::Uri, String), EndpointError> {
    let trimmed = text.trim();
    let not_an_address = |reason: String| EndpointError::NotAnAddress {
        text: text.to_owned(),
        reason,
    };
    let complete = match trimmed.split_once("://") {
        None if trimmed.is_empty() => return Err(not_an_address("it is empty".to_owned())),
        None => format!("http://{trimmed}"),
        // gRPC's own way of saying it, which other SDKs accept.
        Some(("grpc", rest)) => format!("http://{rest}"),
        Some(("http" | "https", _)) => trimmed.to_owned(),
        Some((scheme, _)) => {
            return Err(not_an_address(format!(
                "the scheme {scheme} is not http or https"
            )));
        }
    };
    let uri: http::Uri = complete
        .parse()
        .map_err(|error: http::uri::InvalidUri| not_an_address(error.to_string()))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    match uri.host() {
        None | Some("") => Err(not_an_address("it names no host".to_owned())),
        Some(host) if uri.port_u16().is_none() && !authority.ends_with(host) => Err(
            not_an_address("its port is not a number up to 65535".to_owned()),
        ),
        Some(_) => Ok((uri, complete)),
    }
}

fn origin(uri: &http::Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "grpc")]
    use OtlpProtocol::{Grpc, HttpProtobuf};

    #[cfg(feature = "grpc")]
    #[test]
    fn t6_bare_origins_full_urls_and_host_port_all_reach_the_receiver() {
        for (text, protocol, url) in [
            (
                "http://localhost:4318",
                HttpProtobuf,
                "http://localhost:4318/v1/traces",
            ),
            (
                "http://localhost:4318/",
                HttpProtobuf,
                "http://localhost:4318/v1/traces",
            ),
            (
                "http://localhost:4318/v1/traces",
                HttpProtobuf,
                "http://localhost:4318/v1/traces",
            ),
            (
                "localhost:4318",
                HttpProtobuf,
                "http://localhost:4318/v1/traces",
            ),
            (
                "127.0.0.1:4318/v1/traces",
                HttpProtobuf,
                "http://127.0.0.1:4318/v1/traces",
            ),
            (
                "http://[::1]:4318",
                HttpProtobuf,
                "http://[::1]:4318/v1/traces",
            ),
            ("collector", HttpProtobuf, "http://collector/v1/traces"),
            (
                "http://host:9/own/path",
                HttpProtobuf,
                "http://host:9/own/path",
            ),
            ("http://localhost:4317", Grpc, "http://localhost:4317"),
            ("localhost:4317", Grpc, "http://localhost:4317"),
            (
                "http://host:4317/v1/traces",
                HttpProtobuf,
                "http://host:4317/v1/traces",
            ),
        ] {
            let endpoint = Endpoint {
                protocol,
                url: url.to_owned(),
            };
            assert_eq!(Endpoint::parse(text, None), Ok(endpoint), "{text}");
        }
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_given_protocol_wins_over_the_port() {
        let endpoint = Endpoint::parse("http://host:4317", Some(HttpProtobuf));
        assert_eq!(endpoint.unwrap().url(), "http://host:4317/v1/traces");
        let endpoint = Endpoint::parse("http://host:4318/ignored", Some(Grpc));
        assert_eq!(endpoint.unwrap().url(), "http://host:4318");
    }

    #[test]
    fn s20_json_goes_where_protobuf_goes() {
        let json = |text| Endpoint::parse(text, Some(OtlpProtocol::HttpJson)).unwrap();
        assert_eq!(json("http://host").url(), "http://host/v1/traces");
        assert_eq!(json("host:4317/own").url(), "http://host:4317/own");
        let below = Endpoint::below("http://host/base", Some(OtlpProtocol::HttpJson));
        assert_eq!(below.unwrap().url(), "http://host/base/v1/traces");
        let local = Endpoint::local(OtlpProtocol::HttpJson);
        assert_eq!(local.url(), "http://localhost:4318/v1/traces");
    }

    #[test]
    fn a22_addresses_of_other_receivers_get_their_path_unless_they_have_one() {
        for (text, url) in [
            ("localhost:9411", "http://localhost:9411/api"),
            ("http://host/", "http://host/api"),
            ("http://host/own", "http://host/own"),
            ("http://host/api?format=x", "http://host/api?format=x"),
        ] {
            assert_eq!(url_with_path(text, "/api").as_deref(), Ok(url), "{text}");
        }
        assert!(url_with_path("ftp://host", "/api").is_err());
    }

    #[test]
    fn a_base_address_gets_the_path_appended_once() {
        for (text, url) in [
            ("http://host:9/otlp", "http://host:9/otlp/v1/traces"),
            ("http://host:9/otlp/", "http://host:9/otlp/v1/traces"),
            ("http://host:9/v1/traces", "http://host:9/v1/traces"),
            ("http://host:9", "http://host:9/v1/traces"),
        ] {
            assert_eq!(Endpoint::below(text, None).unwrap().url(), url, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for text in ["", "  ", "ftp://host", "http://", "http://host:port", "a b"] {
            let error = Endpoint::parse(text, None).unwrap_err();
            assert!(
                matches!(error, EndpointError::NotAnAddress { .. }),
                "{text}: {error}"
            );
        }
    }
}
