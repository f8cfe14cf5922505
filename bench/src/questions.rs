//! Asks a filled store what the comparison with ClickHouse asks, through the store's public API, in
//! one process. Prints for each question the milliseconds of each round, and a check value that the
//! peer's answer must have, too.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::statistics::asked_traces;
use anyhow::ensure;
use clap::Args;
use lumitrace_server::generate::shape::benchmark;
use lumitrace_store::{
    DurationSketch, RollupRequest, SCAN_WINDOW_NANO, ScanRequest, SpanParts, SpanRecord, Store,
    StoreOptions,
};
use serde_json::{Map, Value, json};

/// Measures questions to a store.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The store's folder; no server may have it open.
    #[arg(long)]
    dir: PathBuf,
    /// How many spans it holds.
    #[arg(long)]
    spans: u64,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The hour that is asked about begins here.
    #[arg(long)]
    hour_unix_nano: u64,
    /// Rounds of each question.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

const NEWEST: usize = 20;
const HOUR_NANO: u64 = 3_600_000_000_000;
const SLOW_NANO: u64 = 75_000_000;

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let store = Store::open(StoreOptions::new(&arguments.dir))?;
    ensure!(
        store.stats().records == arguments.spans,
        "the folder does not hold {} spans",
        arguments.spans
    );
    let everything = ScanRequest {
        parts: SpanParts::NONE,
        ..ScanRequest::default()
    };
    let of_hour = ScanRequest {
        service: Some("service-3".to_owned()),
        start_unix_nano: arguments.hour_unix_nano,
        end_unix_nano: arguments.hour_unix_nano + HOUR_NANO,
        ..everything.clone()
    };
    let slow = ScanRequest {
        min_duration_nano: Some(SLOW_NANO),
        ..everything.clone()
    };
    let with_value = ScanRequest {
        attributes: vec![("attribute.key-5".to_owned(), "value-17".to_owned())],
        ..everything.clone()
    };
    let rounds = arguments.rounds;
    let mut report = Map::new();
    let mut ask = |name: &str, question: &dyn Fn() -> anyhow::Result<u64>| -> anyhow::Result<()> {
        report.insert(name.to_owned(), measure(rounds, question)?);
        Ok(())
    };
    ask("attribute_equals", &|| count(&store, &with_value))?;
    ask("newest_of_service_and_time", &|| newest(&store, &of_hour))?;
    ask("newest_slow", &|| newest(&store, &slow))?;
    ask("errors_by_service", &|| {
        Ok(store
            .services()
            .iter()
            .map(|service| service.error_count)
            .sum())
    })?;
    ask("p95_by_service_and_operation", &|| p95(&store))?;
    let traces = arguments.spans / benchmark::SPANS_PER_TRACE;
    let (mut times, mut spans) = (Vec::new(), 0);
    // The first time around warms up.
    for _ in 0..2 {
        times.clear();
        spans = 0;
        for number in asked_traces(traces) {
            let id = benchmark::trace_id(arguments.seed, number);
            let started = Instant::now();
            spans += store.trace(id)?.len() as u64;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    report.insert(
        "trace_by_id".to_owned(),
        json!({ "ms": times, "check": spans }),
    );
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{}", Value::Object(report));
    }
    Ok(())
}

fn measure(rounds: usize, question: &dyn Fn() -> anyhow::Result<u64>) -> anyhow::Result<Value> {
    let mut check = question()?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        check = question()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(json!({ "ms": times, "check": check }))
}

fn count(store: &Store, request: &ScanRequest) -> anyhow::Result<u64> {
    let mut count = 0;
    store.scan(request, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// The newest spans, by start. A scan goes through time in windows, within which there is no order,
/// so the window in which the last is found is read to its end. The check is the oldest's start.
fn newest(store: &Store, request: &ScanRequest) -> anyhow::Result<u64> {
    let window = |record: &SpanRecord| record.span.start_unix_nano / SCAN_WINDOW_NANO;
    let mut found: Vec<Arc<SpanRecord>> = Vec::new();
    store.scan(request, &mut |record| {
        let is_enough = found.len() >= NEWEST
            && found
                .last()
                .is_some_and(|last| window(last) != window(&record));
        if is_enough {
            return ControlFlow::Break(());
        }
        found.push(record);
        ControlFlow::Continue(())
    })?;
    found.sort_by_key(|record| std::cmp::Reverse(record.span.start_unix_nano));
    found.truncate(NEWEST);
    Ok(found.last().map_or(0, |record| record.span.start_unix_nano))
}

/// The 95th percentile of durations of each operation of each service, from rollups. The check is the
/// number of operations.
fn p95(store: &Store) -> anyhow::Result<u64> {
    let mut durations: HashMap<(Arc<str>, Arc<str>), DurationSketch> = HashMap::new();
    for row in store.span_rollup(&RollupRequest::default())?.rows {
        let of_operation = durations.entry((row.service, row.name)).or_default();
        of_operation.merge(&row.durations);
    }
    for durations in durations.values() {
        std::hint::black_box(durations.quantile_nano(0.95));
    }
    Ok(durations.len() as u64)
}
