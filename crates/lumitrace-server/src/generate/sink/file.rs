//! Files of OTLP requests, and standard output.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use lumitrace_model::ResourceSpans;
use lumitrace_wire::otlp::{json, protobuf};

use super::{Answer, Sink};
use crate::generate::destination::{FileCompression, FileDestination, FileEncoding};

pub(super) struct FileSink {
    encoding: FileEncoding,
    /// For messages.
    name: String,
    /// `None` once finished.
    writer: Option<Writer>,
}

enum Writer {
    Plain(Box<dyn Write + Send>),
    Gzip(GzEncoder<Box<dyn Write + Send>>),
    Zstd(zstd::Encoder<'static, Box<dyn Write + Send>>),
}

impl FileSink {
    pub(super) fn create(destination: &FileDestination) -> anyhow::Result<Self> {
        let name = destination.to_string();
        let target: Box<dyn Write + Send> = match &destination.path {
            Some(path) => Box::new(BufWriter::new(
                File::create(path).with_context(|| format!("cannot create {name}"))?,
            )),
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        let writer = match destination.compression {
            FileCompression::None => Writer::Plain(target),
            FileCompression::Gzip => Writer::Gzip(GzEncoder::new(target, Compression::default())),
            FileCompression::Zstd => {
                // The library's default level.
                let encoder = zstd::Encoder::new(target, 0);
                Writer::Zstd(encoder.with_context(|| format!("cannot compress {name}"))?)
            }
        };
        Ok(Self {
            encoding: destination.encoding,
            name,
            writer: Some(writer),
        })
    }
}

impl Sink for FileSink {
    /// A line of JSON, or a message behind its length in four bytes, big-endian: what the file
    /// exporter of OpenTelemetry's Collector writes.
    fn encode(&self, batch: &[ResourceSpans]) -> anyhow::Result<Vec<u8>> {
        match self.encoding {
            FileEncoding::JsonLines => {
                let mut line = json::encode_traces(batch);
                line.push(b'\n');
                Ok(line)
            }
            FileEncoding::Protobuf => {
                let message = protobuf::encode_traces(batch);
                let length = u32::try_from(message.len())
                    .context("a request of 4 GiB; use a smaller --batch-spans")?;
                Ok([&length.to_be_bytes()[..], &message].concat())
            }
        }
    }

    fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let written = match &mut self.writer {
            Some(Writer::Plain(writer)) => writer.write_all(request),
            Some(Writer::Gzip(writer)) => writer.write_all(request),
            Some(Writer::Zstd(writer)) => writer.write_all(request),
            None => Err(std::io::Error::other("it is finished")),
        };
        written.with_context(|| format!("cannot write to {}", self.name))?;
        Ok(Answer::Accepted {
            rejected: 0,
            message: String::new(),
        })
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let finished = match self.writer.take() {
            Some(Writer::Plain(writer)) => Ok(writer),
            Some(Writer::Gzip(writer)) => writer.finish(),
            Some(Writer::Zstd(writer)) => writer.finish(),
            None => return Ok(()),
        };
        finished
            .and_then(|mut target| target.flush())
            .with_context(|| format!("cannot write to {}", self.name))
    }
}
