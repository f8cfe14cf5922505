//! A training run of very many steps: how long its curve takes to draw after a start.
//!
//! `fill` stores the run, a span for each step with its loss, and within each step what a trainer traces
//! besides. `draw` opens the folder as a server does and asks for the list of runs, then for the
//! curve of the loss, and prints `{"steps", "spans", "list_seconds", "curve_seconds", "again_seconds",
//! "points", "peak_bytes"}`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::at_rest::settle;
use crate::memory::peak_bytes;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lumitrace_model::{
    KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, TraceId, names,
};
use lumitrace_query::training::{RunDigester, RunQuery};
use lumitrace_query::{EngineOptions, QueryEngine};
use lumitrace_store::{AppendError, SpanBatch, Store, StoreOptions};

const START_UNIX_NANO: u64 = 1_767_225_600_000_000_000;
const STEP_NANO: u64 = 400_000_000;
const TRACE_ID: TraceId = TraceId::from_bytes([7; 16]);
const STEPS_PER_BATCH: u64 = 100;
const STEPS_PER_EPOCH: u64 = 10_000;
/// Points that a chart asks for.
const POINTS: usize = 2_000;

/// Measures how long the curve of a long run takes.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Stores the run.
    Fill {
        /// An empty folder for the store.
        #[arg(long)]
        dir: PathBuf,
        /// Steps of the run.
        #[arg(long, default_value_t = 1_000_000)]
        steps: u64,
        /// Spans within each step.
        #[arg(long, default_value_t = 2)]
        parts: u64,
    },
    /// Draws the curve.
    Draw {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
        /// Steps of the run.
        #[arg(long, default_value_t = 1_000_000)]
        steps: u64,
    },
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Fill { dir, steps, parts } => fill(&dir, steps, parts),
        Command::Draw { dir, steps } => draw(&dir, steps),
    }
}

/// As the server opens it.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        digester: Some(Arc::new(RunDigester::default())),
        ..StoreOptions::new(dir)
    }
}

fn fill(dir: &Path, steps: u64, parts: u64) -> anyhow::Result<()> {
    let store = Store::open(options(dir))?;
    let mut ids = fastrand::Rng::with_seed(1);
    let mut random_id = move || SpanId::from_bytes(ids.u64(1..).to_be_bytes());
    let root = random_id();
    let mut epoch = root;
    for first in (0..steps).step_by(STEPS_PER_BATCH as usize) {
        let mut spans = Vec::new();
        for step in first..(first + STEPS_PER_BATCH).min(steps) {
            let start = START_UNIX_NANO + step * STEP_NANO;
            if step.is_multiple_of(STEPS_PER_EPOCH) {
                epoch = random_id();
                let end = start + STEPS_PER_EPOCH * STEP_NANO;
                let mut span = span(epoch, Some(root), names::TRAINING_EPOCH, (start, end));
                span.attributes = vec![KeyValue::new("epoch", 1 + step / STEPS_PER_EPOCH)];
                spans.push(span);
            }
            let id = random_id();
            let times = (start, start + STEP_NANO - 1);
            let mut of_step = span(id, Some(epoch), names::BATCH_PROCESSING, times);
            let noise = 1.0 + 0.1 * (step as f64 * 12.9898).sin();
            of_step.attributes = vec![
                KeyValue::new("batch_index", step % STEPS_PER_EPOCH),
                KeyValue::new("batch_size", 64),
                KeyValue::new("loss", noise / (1.0 + step as f64).sqrt()),
                KeyValue::new("learning_rate", 1e-3 / (1.0 + step as f64)),
            ];
            spans.push(of_step);
            for part in 0..parts {
                let (name, start) = match part % 2 {
                    0 => ("forward", start),
                    _ => ("backward", start + STEP_NANO / 2),
                };
                let times = (start, start + STEP_NANO / 2 - 1);
                spans.push(span(random_id(), Some(id), name, times));
            }
        }
        append(&store, &spans)?;
    }
    let end = START_UNIX_NANO + steps * STEP_NANO;
    let root = span(root, None, "training_run", (START_UNIX_NANO, end));
    append(&store, &[root])?;
    store.flush()?;
    settle(&store)?;
    Ok(())
}

fn span(id: SpanId, parent: Option<SpanId>, name: &'static str, times: (u64, u64)) -> Span {
    Span {
        trace_id: TRACE_ID,
        span_id: id,
        parent_span_id: parent,
        name: name.into(),
        start_unix_nano: times.0,
        end_unix_nano: times.1,
        ..Span::default()
    }
}

/// Stores spans, and waits while the store is behind its disk.
fn append(store: &Store, spans: &[Span]) -> anyhow::Result<()> {
    loop {
        match store.append(batch(spans.to_vec())?).wait() {
            Err(AppendError::Full { .. }) => std::thread::sleep(Duration::from_millis(20)),
            answer => return answer.map(drop).map_err(Into::into),
        }
    }
}

fn batch(spans: Vec<Span>) -> anyhow::Result<SpanBatch> {
    let attributes = vec![
        KeyValue::new(names::SERVICE_NAME, "sequence-training"),
        KeyValue::new(names::HOST_NAME, "trainer-1"),
        KeyValue::new(names::PROCESS_PID, 4711),
    ];
    let scope = Scope {
        name: "train".into(),
        ..Scope::default()
    };
    Ok(SpanBatch::from_resource_spans(&[ResourceSpans {
        resource: Resource {
            attributes,
            ..Resource::default()
        },
        scope_spans: vec![ScopeSpans {
            scope,
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }])?)
}

fn draw(dir: &Path, steps: u64) -> anyhow::Result<()> {
    let store = Store::open(options(dir))?;
    let spans = store.stats().records;
    let now_unix_nano = START_UNIX_NANO + (steps + 1) * STEP_NANO;
    let engine = QueryEngine::with_options(store, EngineOptions::default());
    let started = Instant::now();
    let budget = engine.budget();
    let runs = engine
        .runs(&RunQuery::default(), &budget, now_unix_nano)?
        .answer;
    let list_seconds = started.elapsed().as_secs_f64();
    let run = runs.first().context("the run is not in the list")?;
    ensure!(
        runs.len() == 1 && run.batch_count == steps,
        "{} runs, of {} batches",
        runs.len(),
        run.batch_count
    );
    let curve = || -> anyhow::Result<(usize, f64)> {
        let started = Instant::now();
        let series =
            engine.run_series(run.run_id, &["loss".to_owned()], POINTS, &engine.budget())?;
        let series = series.context("the run is gone")?.answer;
        let loss = series.first().context("it has no loss")?;
        let values: u64 = loss.points.iter().map(|point| point.count).sum();
        ensure!(values == steps, "the curve has {values} values");
        Ok((loss.points.len(), started.elapsed().as_secs_f64()))
    };
    let (points, curve_seconds) = curve()?;
    let (_, again_seconds) = curve()?;
    let report = serde_json::json!({
        "steps": steps, "spans": spans, "list_seconds": list_seconds,
        "curve_seconds": curve_seconds, "again_seconds": again_seconds,
        "points": points, "peak_bytes": peak_bytes()?,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}
