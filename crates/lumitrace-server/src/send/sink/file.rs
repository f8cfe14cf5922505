//! Files of OTLP requests, and standard output.

use anyhow::Context;

use super::{Answer, Request, Sink};
use crate::record_file::{Batch, Output, RequestEncoding};
use crate::send::destination::FileDestination;

pub(crate) struct FileSink {
    encoding: RequestEncoding,
    /// For messages.
    name: String,
    /// `None` once finished.
    output: Option<Output>,
}

impl FileSink {
    pub(crate) fn create(destination: &FileDestination) -> anyhow::Result<Self> {
        let name = destination.to_string();
        let encoding = RequestEncoding::of(destination.format.encoding)
            .with_context(|| format!("{name} is to hold Parquet, which is no requests"))?;
        let compression = destination.format.compression;
        let output = match &destination.path {
            Some(path) => Output::create(path, compression),
            None => Output::stdout(compression),
        };
        Ok(Self {
            encoding,
            output: Some(output.with_context(|| format!("cannot create {name}"))?),
            name,
        })
    }
}

impl Sink for FileSink {
    fn encode(&self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        self.encoding.encode(batch)
    }

    fn send(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let output = self.output.as_mut().context("it is finished");
        output
            .and_then(|output| Ok(std::io::Write::write_all(output, &request.bytes)?))
            .with_context(|| format!("cannot write to {}", self.name))?;
        Ok(Answer::Accepted {
            rejected: 0,
            message: String::new(),
        })
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let finished = self.output.take().map_or(Ok(()), Output::finish);
        finished.with_context(|| format!("cannot write to {}", self.name))
    }
}
