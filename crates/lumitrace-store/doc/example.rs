// What the examples of the documentation begin with: each includes it, out of the reader's sight.

use std::error::Error;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use lumitrace_model::*;
use lumitrace_store::record_file::RecordFileWriter;
use lumitrace_store::{LogBatch, LogEntry, LogScan, MetricBatch, SpanBatch, Store, StoreOptions};
use tempfile::TempDir;

const START: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// The trace of all spans and log records.
pub fn trace_id() -> TraceId {
    TraceId::from_bytes([1; 16])
}

fn span_id(number: u8) -> SpanId {
    SpanId::from_bytes([number; 8])
}

fn resource() -> Resource {
    Resource {
        attributes: vec![KeyValue::new("service.name", "trainer")],
        ..Resource::default()
    }
}

/// An epoch of two seconds, and below it a batch of half a second.
pub fn spans() -> Vec<ResourceSpans> {
    let epoch = Span {
        trace_id: trace_id(),
        span_id: span_id(1),
        name: "training_epoch".into(),
        start_unix_nano: START,
        end_unix_nano: START + 2 * SECOND,
        attributes: vec![KeyValue::new("epoch", 1)],
        ..Span::default()
    };
    let batch = Span {
        trace_id: trace_id(),
        span_id: span_id(2),
        parent_span_id: Some(span_id(1)),
        name: "batch_processing".into(),
        start_unix_nano: START + SECOND,
        end_unix_nano: START + 3 * SECOND / 2,
        attributes: vec![KeyValue::new("loss", 0.25)],
        ..Span::default()
    };
    vec![ResourceSpans {
        resource: resource(),
        scope_spans: vec![ScopeSpans {
            spans: vec![epoch, batch],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }]
}

pub fn batch() -> Result<SpanBatch, Box<dyn Error>> {
    Ok(SpanBatch::from_resource_spans(&spans())?)
}

/// An error that was logged while the batch was trained.
pub fn logs() -> Vec<ResourceLogs> {
    let log = LogRecord {
        time_unix_nano: START + SECOND,
        severity: Severity::ERROR,
        body: Value::from("out of memory"),
        trace_id: Some(trace_id()),
        span_id: Some(span_id(2)),
        ..LogRecord::default()
    };
    vec![ResourceLogs {
        resource: resource(),
        scope_logs: vec![ScopeLogs {
            log_records: vec![log],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    }]
}

/// A gauge, measured twice.
pub fn metrics() -> Vec<ResourceMetrics> {
    let point = |second: u64, value: f64| NumberPoint {
        time_unix_nano: START + second * SECOND,
        value: Some(Number::Double(value)),
        ..NumberPoint::default()
    };
    let points = vec![point(0, 0.5), point(1, 0.75)];
    let metric = Metric {
        name: "gpu.utilization".into(),
        unit: "1".into(),
        data: Some(MetricData::Gauge { points }),
        ..Metric::default()
    };
    vec![ResourceMetrics {
        resource: resource(),
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }]
}

/// A store without anything in it.
pub fn empty() -> Result<(TempDir, Store), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(StoreOptions::new(dir.path()))?;
    Ok((dir, store))
}

/// A store of all of the above.
pub fn filled() -> Result<(TempDir, Store), Box<dyn Error>> {
    let (dir, store) = empty()?;
    store.append(batch()?).wait()?;
    store
        .append_logs(LogBatch::from_resource_logs(&logs())?)
        .wait()?;
    store
        .append_metrics(MetricBatch::from_resource_metrics(&metrics())?)
        .wait()?;
    Ok((dir, store))
}

/// The folder of such a store, which nobody has open.
pub fn folder() -> Result<TempDir, Box<dyn Error>> {
    let (dir, store) = filled()?;
    store.flush()?;
    drop(store);
    Ok(dir)
}

/// Any of its log records.
pub fn log_entry(store: &Store) -> Result<Arc<LogEntry>, Box<dyn Error>> {
    let mut found = None;
    store.scan_logs(&LogScan::default(), &mut |entry| {
        found = Some(entry);
        ControlFlow::Break(())
    })?;
    Ok(found.ok_or("there is none")?)
}

/// Writes the spans to a file.
pub fn export(path: &Path) -> Result<(), Box<dyn Error>> {
    let (_dir, store) = filled()?;
    let mut writer = RecordFileWriter::new(File::create(path)?)?;
    for span in store.trace(trace_id())? {
        writer.push(&*span)?;
    }
    writer.finish()?;
    Ok(())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What an async runtime does.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
