//! Where records go: an OTLP receiver or a file.

mod file;
mod otlp_grpc;
mod otlp_http;

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use lumitrace_wire::otlp::Signal;

use super::destination::{Destination, Protocol};
use crate::record_file::Batch;

/// How the receiver is spoken to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// Whether requests are compressed.
    pub(crate) gzip: bool,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Accepted, but for `rejected` spans.
    Accepted {
        rejected: u64,
        /// What the receiver said to that.
        message: String,
    },
    /// Not now: to be sent again, after this time if one was named.
    Busy {
        after: Option<Duration>,
        reason: String,
    },
    /// Refused for good.
    Refused { reason: String },
    /// There was no answer: nobody there, or the connection broke.
    Unreachable { reason: String },
}

/// An encoded batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) signal: Signal,
    pub(crate) bytes: Vec<u8>,
}

/// One connection to a destination.
pub(crate) trait Sink: Send {
    /// The bytes of a request with these records.
    ///
    /// # Errors
    /// They cannot be compressed.
    fn encode(&self, batch: &Batch) -> anyhow::Result<Vec<u8>>;

    /// Sends a request once.
    ///
    /// # Errors
    /// No attempt can succeed, such as on a full disk.
    fn send(&mut self, request: &Request) -> anyhow::Result<Answer>;

    /// Ends what was begun, after the last request.
    ///
    /// # Errors
    /// The end could not be written.
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Opens as many connections as wanted; a file has one.
///
/// # Errors
/// The file cannot be created, or a header or an address is malformed.
pub(crate) fn open(
    destination: &Destination,
    transport: &Transport,
    connections: usize,
) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let connections = 0..connections.max(1);
    match destination {
        Destination::File(file) => Ok(vec![Box::new(file::FileSink::create(file)?)]),
        Destination::Receiver {
            url,
            protocol: Protocol::Grpc,
        } => connections
            .map(|_| {
                let sink = otlp_grpc::GrpcSink::new(url, transport);
                let sink = sink.with_context(|| format!("cannot send to {url}"))?;
                Ok(Box::new(sink) as Box<dyn Sink>)
            })
            .collect(),
        Destination::Receiver { url, protocol } => Ok(connections
            .map(|_| {
                let json = *protocol == Protocol::HttpJson;
                Box::new(otlp_http::HttpSink::new(url, json, transport)) as Box<dyn Sink>
            })
            .collect()),
    }
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    // The fastest level, as SDKs use.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).context("cannot compress")?;
    encoder.finish().context("cannot compress")
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
