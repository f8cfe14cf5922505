//! OTLP requests in a file, and back: lines of JSON, or messages of protobuf behind their
//! length in four bytes, big-endian. Both are what the file exporter of OpenTelemetry's Collector
//! writes.

use std::io::{self, BufRead, Read};

use anyhow::Context;
use lumitrace_wire::otlp::Signal;
use lumitrace_wire::{DecodeError, DecodeLimits};

use super::recognise::{has_records, signal_of_json, signal_of_protobuf};
use super::{Batch, Decoded, Encoding};

/// Longest request that is read, in bytes: what the store takes at most.
const MAX_REQUEST_BYTES: u64 = 1 << 30;

/// Files are not sent by strangers to keep a server busy, but a damaged one must not fill memory.
const LIMITS: DecodeLimits = DecodeLimits {
    max_depth: 128,
    max_expansion: 256,
};

/// How a file holds requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestEncoding {
    JsonLines,
    Protobuf,
}

impl RequestEncoding {
    /// `None` for files that hold no requests.
    pub(crate) fn of(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::OtlpJson => Some(Self::JsonLines),
            Encoding::OtlpProtobuf => Some(Self::Protobuf),
            Encoding::Parquet => None,
        }
    }

    /// The bytes of a request in a file.
    ///
    /// # Errors
    /// It is longer than a length can say.
    pub(crate) fn encode(self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::JsonLines => {
                let mut line = batch.encode_json();
                line.push(b'\n');
                Ok(line)
            }
            Self::Protobuf => {
                let message = batch.encode_protobuf();
                let length = u32::try_from(message.len())
                    .context("a request of 4 GiB; put fewer records into one")?;
                Ok([&length.to_be_bytes()[..], &message].concat())
            }
        }
    }
}

/// A request of a file, or why it cannot be read.
pub(crate) struct ReadRequest {
    /// Where it is in the file, such as `line 3`.
    pub(crate) place: String,
    pub(crate) content: Result<Decoded, String>,
}

/// Reads a file request by request. A bad one does not keep those behind it from being read, unless
/// it is damage that hides where the next one begins.
pub(crate) struct RequestReader {
    encoding: RequestEncoding,
    /// What requests in protobuf are of that do not show it.
    signal: Option<Signal>,
    input: Box<dyn BufRead + Send>,
    /// Number of the next request, from 1.
    number: u64,
    is_over: bool,
    buffer: Vec<u8>,
}

impl RequestReader {
    /// Reads requests of any signal. `signal` is what those in protobuf are of that do not show it.
    pub(crate) fn new(
        encoding: RequestEncoding,
        signal: Option<Signal>,
        input: Box<dyn BufRead + Send>,
    ) -> Self {
        Self {
            encoding,
            signal,
            input,
            number: 0,
            is_over: false,
            buffer: Vec::new(),
        }
    }

    /// The next request; `None` after the last.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next(&mut self) -> io::Result<Option<ReadRequest>> {
        while !self.is_over {
            self.number += 1;
            self.buffer.clear();
            let request = match self.encoding {
                RequestEncoding::JsonLines => self.next_line()?,
                RequestEncoding::Protobuf => self.next_message()?,
            };
            if request.is_some() {
                return Ok(request);
            }
        }
        Ok(None)
    }

    /// `None` for an empty line, and at the end.
    fn next_line(&mut self) -> io::Result<Option<ReadRequest>> {
        let place = format!("line {}", self.number);
        let read = (&mut self.input)
            .take(MAX_REQUEST_BYTES)
            .read_until(b'\n', &mut self.buffer)?;
        self.is_over = read == 0;
        if read as u64 == MAX_REQUEST_BYTES && self.buffer.last() != Some(&b'\n') {
            self.skip_line()?;
            let content = Err(format!("it is longer than {MAX_REQUEST_BYTES} bytes"));
            return Ok(Some(ReadRequest { place, content }));
        }
        if self.buffer.trim_ascii().is_empty() {
            return Ok(None);
        }
        let signal = signal_of_json(&self.buffer);
        let content = Decoded::from_json(signal, &self.buffer, &LIMITS);
        let content = content.map_err(|error| said(&error));
        Ok(Some(ReadRequest { place, content }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        self.buffer = Vec::new();
        loop {
            let available = self.input.fill_buf()?;
            let end = available.iter().position(|byte| *byte == b'\n');
            let (used, is_done) = match end {
                Some(end) => (end + 1, true),
                None => (available.len(), available.is_empty()),
            };
            self.input.consume(used);
            if is_done {
                return Ok(());
            }
        }
    }

    fn next_message(&mut self) -> io::Result<Option<ReadRequest>> {
        let place = format!("message {}", self.number);
        (&mut self.input).take(4).read_to_end(&mut self.buffer)?;
        if self.buffer.is_empty() {
            self.is_over = true;
            return Ok(None);
        }
        let length = <[u8; 4]>::try_from(&self.buffer[..]).map(u32::from_be_bytes);
        let damage = |reason: String| {
            let content = Err(reason);
            Ok(Some(ReadRequest {
                place: place.clone(),
                content,
            }))
        };
        let length = match length {
            Ok(length) if u64::from(length) <= MAX_REQUEST_BYTES => u64::from(length),
            _ => {
                self.is_over = true;
                return damage(
                    "no length of a message; nothing behind it in this file can be read".to_owned(),
                );
            }
        };
        self.buffer.clear();
        (&mut self.input)
            .take(length)
            .read_to_end(&mut self.buffer)?;
        if (self.buffer.len() as u64) < length {
            self.is_over = true;
            return damage("the file ends in the middle of it".to_owned());
        }
        let content = self.decode_message();
        Ok(Some(ReadRequest { place, content }))
    }

    fn decode_message(&self) -> Result<Decoded, String> {
        let message = &self.buffer;
        let signal = match signal_of_protobuf(message).or(self.signal) {
            Some(signal) => signal,
            None if has_records(message) => {
                let reason = "it does not show whether it holds spans, log records or metrics; say \
                              it with --signal";
                return Err(reason.to_owned());
            }
            // Nothing, or something malformed.
            None => Signal::Traces,
        };
        Decoded::from_protobuf(signal, message, &LIMITS).map_err(|error| said(&error))
    }
}

fn said(error: &DecodeError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_model::{
        LogRecord, ResourceLogs, ResourceSpans, ScopeLogs, ScopeSpans, Span, SpanId, TraceId,
    };

    fn request(number: u8) -> Batch {
        let span = Span {
            trace_id: TraceId::from_bytes([number; 16]),
            span_id: SpanId::from_bytes([number; 8]),
            ..Span::default()
        };
        Batch::Spans(vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }])
    }

    /// The place of each request and whether it can be read.
    fn read(encoding: RequestEncoding, bytes: Vec<u8>) -> Vec<(String, bool)> {
        let mut reader = RequestReader::new(encoding, None, Box::new(io::Cursor::new(bytes)));
        let next = || reader.next().unwrap();
        std::iter::from_fn(next)
            .map(|request| (request.place, request.content.is_ok()))
            .collect()
    }

    fn places(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        let owned = expected
            .iter()
            .map(|(place, good)| ((*place).to_owned(), *good));
        owned.collect()
    }

    #[test]
    fn bad_lines_are_named_and_the_others_read() {
        let line = |number| RequestEncoding::JsonLines.encode(&request(number)).unwrap();
        let mut bytes = line(1);
        bytes.extend(b"{\"resourceSpans\":7}\n\nnot json\n");
        bytes.extend(line(2).trim_ascii_end());
        assert_eq!(
            read(RequestEncoding::JsonLines, bytes),
            places(&[
                ("line 1", true),
                ("line 2", false),
                ("line 4", false),
                ("line 5", true)
            ])
        );
    }

    #[test]
    fn a_message_of_any_signal_is_asked_about() {
        let batch = Batch::Logs(vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default()],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }]);
        let bytes = RequestEncoding::Protobuf.encode(&batch).unwrap();
        let read = |signal| {
            let input = Box::new(io::Cursor::new(bytes.clone()));
            let mut reader = RequestReader::new(RequestEncoding::Protobuf, signal, input);
            reader.next().unwrap().unwrap().content
        };
        assert!(read(None).unwrap_err().contains("--signal"));
        assert_eq!(read(Some(Signal::Logs)).unwrap().batch, batch);
    }

    #[test]
    fn bad_messages_are_named_and_the_others_read() {
        let message = |number| RequestEncoding::Protobuf.encode(&request(number)).unwrap();
        let mut bytes = message(1);
        bytes.extend([0, 0, 0, 2, 0xff, 0xff]);
        bytes.extend(message(2));
        let whole = bytes.len();
        bytes.extend(message(3));
        bytes.pop();
        let expected = [
            ("message 1", true),
            ("message 2", false),
            ("message 3", true),
            ("message 4", false),
        ];
        let all = read(RequestEncoding::Protobuf, bytes.clone());
        assert_eq!(all, places(&expected));
        bytes.truncate(whole);
        assert_eq!(
            read(RequestEncoding::Protobuf, bytes.clone()),
            places(&expected[..3])
        );
        bytes.extend(b"{\"re");
        assert_eq!(read(RequestEncoding::Protobuf, bytes), places(&expected));
    }
}
