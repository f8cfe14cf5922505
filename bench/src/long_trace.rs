//! One trace of very many spans over simulated days: ingested, compacted, and read back as a tree.
//! Prints `{"spans", "ingest_seconds", "read_seconds", "peak_bytes"}`; the peak is the process's.

use std::path::PathBuf;
use std::time::Instant;

use crate::at_rest::settle;
use crate::memory::peak_bytes;
use anyhow::{Context, ensure};
use clap::Args;
use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, TraceId, names,
};
use lumitrace_query::QueryEngine;
use lumitrace_store::{SpanBatch, Store, StoreOptions};

const START_UNIX_NANO: u64 = 1_767_225_600_000_000_000;
const BATCH_SPANS: u64 = 500;
/// Batches of an epoch.
const EPOCH_SPANS: u64 = 1_000;
const TRACE_ID: TraceId = TraceId::from_bytes([7; 16]);

/// Measures a long trace.
#[derive(Args)]
pub(crate) struct Arguments {
    /// An empty folder for the store.
    #[arg(long)]
    dir: PathBuf,
    /// Spans of the trace.
    #[arg(long, default_value_t = 1_000_000)]
    spans: u64,
    /// Days over which they lie.
    #[arg(long, default_value_t = 5)]
    days: u64,
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let store = Store::open(StoreOptions::new(&arguments.dir))?;
    let started = Instant::now();
    let step = arguments.days * 86_400_000_000_000 / arguments.spans.max(1);
    for first in (0..arguments.spans).step_by(BATCH_SPANS as usize) {
        let numbers = first..(first + BATCH_SPANS).min(arguments.spans);
        let spans = numbers.map(|number| span(number, step)).collect();
        store.append(batch(spans)?).wait()?;
    }
    store.flush()?;
    settle(&store)?;
    let ingest_seconds = started.elapsed().as_secs_f64();

    let started = Instant::now();
    // As the server does for a waterfall, with its default limits.
    let engine = QueryEngine::new(store);
    let now_unix_nano = START_UNIX_NANO + arguments.days * 86_400_000_000_000;
    let tree = engine.trace(TRACE_ID, &engine.budget(), now_unix_nano)?;
    let read = tree.context("the trace is gone")?.rows.len();
    let read_seconds = started.elapsed().as_secs_f64();
    ensure!(
        read as u64 == arguments.spans,
        "{read} spans were read of {}",
        arguments.spans
    );
    let report = serde_json::json!({
        "spans": read, "ingest_seconds": ingest_seconds, "read_seconds": read_seconds,
        "peak_bytes": peak_bytes()?,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

/// Span `number`: the run, an epoch of it, or a batch of an epoch.
fn span(number: u64, step_nano: u64) -> Span {
    let id = |number: u64| SpanId::from_bytes((number + 1).to_be_bytes());
    let epoch = number / EPOCH_SPANS;
    let (name, parent) = match number {
        0 => ("training_run", None),
        _ if number.is_multiple_of(EPOCH_SPANS) => (names::TRAINING_EPOCH, Some(id(0))),
        _ => (names::BATCH_PROCESSING, Some(id(epoch * EPOCH_SPANS))),
    };
    let start = START_UNIX_NANO + number * step_nano;
    Span {
        trace_id: TRACE_ID,
        span_id: id(number),
        parent_span_id: parent,
        name: name.into(),
        start_unix_nano: start,
        end_unix_nano: start + step_nano / 2,
        attributes: vec![
            KeyValue::new("epoch", epoch),
            KeyValue::new("batch_index", number % EPOCH_SPANS),
            KeyValue::new("batch_size", 64),
            KeyValue::new("loss", 1.0 / (1.0 + number as f64).sqrt()),
        ],
        ..Span::default()
    }
}

fn batch(spans: Vec<Span>) -> anyhow::Result<SpanBatch> {
    let service = KeyValue::new(names::SERVICE_NAME, "sequence-training");
    Ok(SpanBatch::from_resource_spans(&[ResourceSpans {
        resource: Resource {
            attributes: vec![service],
            ..Resource::default()
        },
        scope_spans: vec![ScopeSpans {
            scope: Scope {
                name: "train".into(),
                ..Scope::default()
            },
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }])?)
}
