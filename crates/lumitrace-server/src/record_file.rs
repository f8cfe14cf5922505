//! Files of spans, log records and metrics: what is in them, how they are written and read.
//!
//! Modules in reading order: `format` (which kinds there are, and by which endings), `output` and
//! `input` (bytes, with compression), `batch` (what a request holds), `requests` (OTLP requests in
//! files, and back; `recognise` tells of which signal one is), `record` (single ones as a store has
//! them) and `rows` (those as Parquet).

mod batch;
mod format;
mod input;
mod output;
mod recognise;
mod record;
mod requests;
mod rows;

pub(crate) use batch::{Batch, Decoded, nouns};
pub(crate) use format::{Compression, Encoding, Format};
pub(crate) use input::{Input, decompress};
pub(crate) use output::Output;
pub(crate) use record::{Record, group};
pub(crate) use requests::{RequestEncoding, RequestReader};
pub(crate) use rows::{RowReader, RowWriter};
