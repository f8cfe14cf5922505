//! What is stored in tests that interrupt a store: records of each shelf that have numbers.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use fastrand::Rng;
use lumitrace_model::{KeyValue, LogRecord, Span, SpanId, TraceId, Value};

use super::logs::{FIRST_LOG, log, logs};
use super::metrics::{FIRST_POINT, gauge, select};
use crate::batch::testing::{batch, span};
use crate::block::Block;
use crate::engine::Engine;
use crate::logs::Logs;
use crate::logs::rows::LogRows;
use crate::metrics::Metrics;
use crate::metrics::rows::PointRows;
use crate::signal::{BlockRows, Signal};
use crate::spans::Spans;
use crate::{
    Append, LogEntry, LogScan, MetricSelector, QueryBudget, ScanRequest, ShelfName, SpanParts,
    SpanRecord, Store,
};

/// Traces that spans are of.
pub(super) const TRACES: u8 = 5;

/// Records that have numbers.
pub(super) trait Subject {
    type Signal: Signal;

    /// Where they are stored.
    const SHELF: ShelfName;
    /// Whether some have a large value, so that some blocks have a payload file.
    const HAS_LARGE_VALUES: bool;

    fn append(store: &Store, numbers: Range<u64>) -> Append;

    /// The engine, if its shelf was begun.
    fn engine(store: &Store) -> Option<&Engine<Self::Signal>>;

    /// The numbers of all records that a search finds.
    fn found(store: &Store) -> Vec<u64>;

    fn numbers_in(block: &Block) -> Vec<u64>;

    /// The numbers of some records that were archived just now.
    fn archive(_store: &Store, _rng: &mut Rng) -> Vec<u64> {
        Vec::new()
    }

    /// The numbers of all records that a search by trace finds.
    fn found_by_trace(store: &Store) -> Vec<u64>;
}

impl Subject for Spans {
    type Signal = Self;

    const SHELF: ShelfName = ShelfName::Spans;
    const HAS_LARGE_VALUES: bool = true;

    fn append(store: &Store, numbers: Range<u64>) -> Append {
        let spans = numbers.map(|number| numbered_span(trace_of(number), number));
        store.append(batch(spans.collect()))
    }

    fn engine(store: &Store) -> Option<&Engine<Self>> {
        Some(store.engine())
    }

    fn found(store: &Store) -> Vec<u64> {
        let request = ScanRequest {
            names: vec!["batch_processing".to_owned()],
            ..ScanRequest::default()
        };
        let mut found = Vec::new();
        let mut visit = |record: Arc<SpanRecord>| {
            let number = number_of(record.span.span_id);
            assert_eq!(record.span.attributes, attributes_of(number));
            found.push(number);
            ControlFlow::Continue(())
        };
        store.scan(&request, &mut visit).unwrap();
        found
    }

    fn numbers_in(block: &Block) -> Vec<u64> {
        let data = block.open_data().unwrap();
        let rows = BlockRows::all(block).rows;
        let mut records = data.records(&rows, SpanParts::NONE).unwrap();
        let mut numbers = Vec::new();
        while let Some(batch) = records.next().unwrap() {
            numbers.extend(batch.iter().map(|record| number_of(record.span.span_id)));
        }
        numbers
    }

    fn archive(store: &Store, rng: &mut Rng) -> Vec<u64> {
        let trace_id = span(1 + rng.u8(..TRACES), 1).trace_id;
        let numbers = numbers_of(store, trace_id);
        match store.archive_trace(trace_id, &QueryBudget::unlimited()) {
            Ok(_) => numbers,
            Err(_) => Vec::new(),
        }
    }

    fn found_by_trace(store: &Store) -> Vec<u64> {
        let traces = 1..=TRACES;
        let numbers = traces.flat_map(|trace| numbers_of(store, span(trace, 1).trace_id));
        numbers.collect()
    }
}

impl Subject for Logs {
    type Signal = Self;

    const SHELF: ShelfName = ShelfName::Logs;
    const HAS_LARGE_VALUES: bool = true;

    fn append(store: &Store, numbers: Range<u64>) -> Append {
        store.append_logs(logs(numbers.map(numbered_log)))
    }

    fn engine(store: &Store) -> Option<&Engine<Self>> {
        store.logs_engine()
    }

    fn found(store: &Store) -> Vec<u64> {
        scanned_logs(store, &LogScan::default())
    }

    fn numbers_in(block: &Block) -> Vec<u64> {
        let mut rows = LogRows::read(block, &BlockRows::all(block).rows).unwrap();
        let mut numbers = Vec::new();
        while let Some(batch) = rows.next().unwrap() {
            numbers.extend(
                batch
                    .iter()
                    .map(|entry| entry.record.log.time_unix_nano - FIRST_LOG),
            );
        }
        numbers
    }

    fn found_by_trace(store: &Store) -> Vec<u64> {
        let of_trace = |trace| LogScan {
            trace_id: Some(span(trace, 1).trace_id),
            ..LogScan::default()
        };
        let traces = 1..=TRACES;
        let numbers = traces.flat_map(|trace| scanned_logs(store, &of_trace(trace)));
        numbers.collect()
    }
}

impl Subject for Metrics {
    type Signal = Self;

    const SHELF: ShelfName = ShelfName::Metrics;
    const HAS_LARGE_VALUES: bool = false;

    fn append(store: &Store, numbers: Range<u64>) -> Append {
        store.append_metrics(gauge("loss", numbers))
    }

    fn engine(store: &Store) -> Option<&Engine<Self>> {
        store.metrics_engine()
    }

    fn found(store: &Store) -> Vec<u64> {
        let series = select(store, &MetricSelector::default());
        let points = series.into_iter().flat_map(|series| series.points);
        let numbers = points.map(|point| point.point.time_unix_nano() - FIRST_POINT);
        numbers.collect()
    }

    fn numbers_in(block: &Block) -> Vec<u64> {
        let mut rows = PointRows::read(block, &BlockRows::all(block).rows).unwrap();
        let mut numbers = Vec::new();
        while let Some(batch) = rows.next().unwrap() {
            let times = batch.iter().map(|point| point.point.time_unix_nano());
            numbers.extend(times.map(|time| time - FIRST_POINT));
        }
        numbers
    }

    /// Points have no traces.
    fn found_by_trace(store: &Store) -> Vec<u64> {
        Self::found(store)
    }
}

/// The numbers of the log records that `request` asks for.
fn scanned_logs(store: &Store, request: &LogScan) -> Vec<u64> {
    let mut found = Vec::new();
    let mut visit = |entry: Arc<LogEntry>| {
        let number = entry.log.time_unix_nano - FIRST_LOG;
        assert_eq!(entry.log, numbered_log(number));
        found.push(number);
        ControlFlow::Continue(())
    };
    store.scan_logs(request, &mut visit).unwrap();
    found
}

pub(super) fn numbered_span(trace: u8, number: u64) -> Span {
    Span {
        attributes: attributes_of(number),
        ..span(trace, number + 1)
    }
}

pub(super) fn numbered_log(number: u64) -> LogRecord {
    let log = log(trace_of(number), number);
    let body = large_value(number).map_or_else(|| log.body.clone(), Value::from);
    LogRecord { body, ..log }
}

fn attributes_of(number: u64) -> Vec<KeyValue> {
    let prompt = large_value(number).map(|text| KeyValue::new("prompt", text));
    prompt.into_iter().collect()
}

/// Some records have one.
fn large_value(number: u64) -> Option<String> {
    let is_large = number.is_multiple_of(3);
    is_large.then(|| "again ".repeat(350 + (number % 100) as usize))
}

/// The numbers of a trace's spans.
fn numbers_of(store: &Store, trace_id: TraceId) -> Vec<u64> {
    let spans = store.trace(trace_id).unwrap();
    let numbers = spans.iter().map(|record| number_of(record.span.span_id));
    numbers.collect()
}

pub(super) fn trace_of(number: u64) -> u8 {
    1 + (number % u64::from(TRACES)) as u8
}

/// The number of a span in the ledger. Ids begin at one.
pub(super) fn number_of(span_id: SpanId) -> u64 {
    u64::from_be_bytes(span_id.to_bytes()) - 1
}
