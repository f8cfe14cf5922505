//! What `--to` means.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::record_file::{Encoding, Format};

/// How an OTLP receiver is spoken to, by the names of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// OTLP over gRPC; what port 4317 is for
    #[value(name = "grpc")]
    Grpc,
    /// OTLP over HTTP in protobuf
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// OTLP over HTTP in JSON
    #[value(name = "http/json")]
    HttpJson,
}

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An OTLP receiver.
    Receiver { url: String, protocol: Protocol },
    /// A file, or standard output.
    File(FileDestination),
}

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileDestination {
    /// `None`: standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) format: Format,
}

impl Destination {
    /// Reads an address, a file's name, or `-`.
    ///
    /// # Errors
    /// The scheme is unknown, or the file's ending does not say what is to be in it.
    pub(crate) fn parse(text: &str, protocol: Option<Protocol>) -> anyhow::Result<Self> {
        if text == "-" {
            return Ok(Self::File(FileDestination {
                path: None,
                format: Format::JSON_LINES,
            }));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            anyhow::ensure!(
                protocol.is_none(),
                "--protocol is for a receiver, and {text} is a file"
            );
            return FileDestination::parse(Path::new(text)).map(Self::File);
        };
        anyhow::ensure!(
            matches!(scheme, "http" | "https"),
            "cannot send to {text}: give an address that begins with http:// or https://, a file, \
             or -"
        );
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (rest, ""),
        };
        let protocol = protocol.unwrap_or(if authority.ends_with(":4317") {
            Protocol::Grpc
        } else {
            Protocol::HttpProtobuf
        });
        let path = match (protocol, path) {
            (Protocol::Grpc, _) => "",
            // OTLP specification, "OTLP/HTTP Request".
            (_, "") => "v1/traces",
            (_, path) => path,
        };
        Ok(Self::Receiver {
            url: format!("{scheme}://{authority}/{path}"),
            protocol,
        })
    }
}

impl FileDestination {
    fn parse(path: &Path) -> anyhow::Result<Self> {
        let format = Format::of_path(path).filter(|format| format.encoding != Encoding::Parquet);
        let format = format.with_context(|| {
            format!(
                "cannot tell from its ending what {} is to hold: .jsonl for lines of OTLP/JSON, \
                 .pb for OTLP/protobuf, each also with .gz or .zst behind it; a receiver's address \
                 begins with http://",
                path.display()
            )
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            format,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Receiver { url, .. } => f.write_str(url),
            Destination::File(file) => file.fmt(f),
        }
    }
}

impl fmt::Display for FileDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => f.write_str("standard output"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_standard_one_and_port_4317_is_grpc() {
        for (text, url, protocol) in [
            (
                "http://localhost:4318",
                "http://localhost:4318/v1/traces",
                Protocol::HttpProtobuf,
            ),
            ("http://h:4317/", "http://h:4317/", Protocol::Grpc),
            (
                "https://h/otlp/v1/traces",
                "https://h/otlp/v1/traces",
                Protocol::HttpProtobuf,
            ),
        ] {
            let expected = Destination::Receiver {
                url: url.to_owned(),
                protocol,
            };
            assert_eq!(Destination::parse(text, None).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_neither_an_address_nor_a_known_file_is_refused_with_advice() {
        for text in ["localhost:4318", "spans.parquet"] {
            let error = Destination::parse(text, None).unwrap_err();
            assert!(error.to_string().contains("begins with http://"), "{error}");
        }
        assert!(Destination::parse("ftp://h/", None).is_err());
        assert!(Destination::parse("spans.jsonl", Some(Protocol::Grpc)).is_err());
    }
}
