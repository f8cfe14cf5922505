//! Parquet files, whose rows are records of one signal.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use lumitrace_store::record_file::{RecordFileReader, RecordFileWriter, signal_of};
use lumitrace_store::{LogEntry, ReadError, SpanRecord, StoredPoint};
use lumitrace_wire::otlp::Signal;

use super::{Output, Record};

/// Writes rows of one signal.
pub(crate) enum RowWriter {
    Spans(Box<RecordFileWriter<SpanRecord, Output>>),
    Logs(Box<RecordFileWriter<LogEntry, Output>>),
    Points(Box<RecordFileWriter<StoredPoint, Output>>),
}

impl RowWriter {
    pub(crate) fn new(signal: Signal, output: Output) -> io::Result<Self> {
        Ok(match signal {
            Signal::Traces => Self::Spans(Box::new(RecordFileWriter::new(output)?)),
            Signal::Logs => Self::Logs(Box::new(RecordFileWriter::new(output)?)),
            Signal::Metrics => Self::Points(Box::new(RecordFileWriter::new(output)?)),
        })
    }

    /// Appends a record of the file's signal.
    pub(crate) fn push(&mut self, record: &Record) -> anyhow::Result<()> {
        match (self, record) {
            (Self::Spans(writer), Record::Span(record)) => writer.push(record)?,
            (Self::Logs(writer), Record::Log(entry)) => writer.push(entry)?,
            (Self::Points(writer), Record::Point(point)) => writer.push(point)?,
            _ => bail!("a file of rows holds records of one signal"),
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<Output> {
        match self {
            Self::Spans(writer) => writer.finish(),
            Self::Logs(writer) => writer.finish(),
            Self::Points(writer) => writer.finish(),
        }
    }
}

/// Reads rows of whichever signal they are.
pub(crate) enum RowReader {
    Spans(RecordFileReader<SpanRecord>),
    Logs(RecordFileReader<LogEntry>),
    Points(RecordFileReader<StoredPoint>),
}

impl RowReader {
    /// Opens an exported file, or a block with its index beside it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let signal = signal_of(path)?;
        let signal =
            signal.context("its columns are none of those of spans, log records or points")?;
        Ok(match signal {
            Signal::Traces => Self::Spans(RecordFileReader::open(path)?),
            Signal::Logs => Self::Logs(RecordFileReader::open(path)?),
            Signal::Metrics => Self::Points(RecordFileReader::open(path)?),
        })
    }

    /// How many rows the file says it has.
    pub(crate) fn rows(&self) -> u64 {
        match self {
            Self::Spans(reader) => reader.rows(),
            Self::Logs(reader) => reader.rows(),
            Self::Points(reader) => reader.rows(),
        }
    }

    /// The next records; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        fn each<R>(
            records: Option<Vec<R>>,
            record: impl Fn(Arc<R>) -> Record,
        ) -> Option<Vec<Record>> {
            let records = records?.into_iter();
            Some(records.map(Arc::new).map(record).collect())
        }
        Ok(match self {
            Self::Spans(reader) => each(reader.next()?, Record::Span),
            Self::Logs(reader) => each(reader.next()?, Record::Log),
            Self::Points(reader) => each(reader.next()?, Record::Point),
        })
    }
}
