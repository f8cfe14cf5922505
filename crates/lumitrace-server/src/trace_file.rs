//! Files of traces: what is in them, how they are written and read.
//!
//! Modules in reading order: `format` (which kinds there are, and by which endings), `output` and
//! `input` (bytes, with compression), `requests` (spans as OTLP requests, and back).

mod format;
mod input;
mod output;
mod requests;

pub(crate) use format::{Compression, Encoding, Format};
pub(crate) use input::{Input, decompress};
pub(crate) use output::Output;
pub(crate) use requests::{RequestEncoding, RequestReader};
