//! Asks a filled server for traces and prints latencies in milliseconds, as its clients see them:
//! over HTTP, one question at a time.

use std::time::Instant;

use crate::statistics::{percentile, sorted};
use anyhow::{Context, ensure};
use clap::Args;
use lumitrace_server::generate::shape::benchmark;

/// Measures query latencies.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Origin of the UI and query APIs.
    #[arg(long, default_value = "http://127.0.0.1:16686")]
    ui: String,
    /// How many spans `load` sent with the same seed.
    #[arg(long, default_value_t = 1_000_000)]
    spans: u64,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Trace lookups.
    #[arg(long, default_value_t = 2_000)]
    lookups: usize,
    /// Searches of each kind.
    #[arg(long, default_value_t = 30)]
    searches: usize,
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let agent = ureq::agent();
    let mut rng = fastrand::Rng::with_seed(arguments.seed);
    let traces = arguments.spans / benchmark::SPANS_PER_TRACE;
    let mut present = || benchmark::trace_id(arguments.seed, rng.u64(..traces));
    // Other ones before, so that a warm server is measured.
    for _ in 0..arguments.lookups {
        lookup(&agent, &arguments.ui, &present().to_string(), 200)?;
    }
    let found = times(arguments.lookups, || {
        lookup(&agent, &arguments.ui, &present().to_string(), 200)
    })?;
    let mut absent = 0;
    let missing = times(arguments.lookups / 4, || {
        absent += 1;
        let id = benchmark::trace_id(arguments.seed ^ 0xabce, absent);
        lookup(&agent, &arguments.ui, &id.to_string(), 404)
    })?;
    let search = |question: &'static str| {
        times(arguments.searches, || {
            search(&agent, &arguments.ui, question)
        })
    };
    let report = serde_json::json!({
        "trace_by_id": summary(&found),
        "absent_id": summary(&missing),
        "newest_20_of_service": summary(&search("service=service-3&limit=20")?),
        "attribute_equals": summary(&search("tag=attribute.key-5%3Dvalue-17&limit=20")?),
        "slower_than_75_ms": summary(&search("service=service-3&min_duration=75ms&limit=20")?),
        "errors_of_service": summary(&search("service=service-3&status=error&limit=20")?),
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

fn times(count: usize, mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    let mut milliseconds = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        ask()?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(sorted(milliseconds))
}

fn summary(milliseconds: &[f64]) -> serde_json::Value {
    let p = |quantile| percentile(milliseconds, quantile);
    serde_json::json!({ "p50_ms": p(0.5), "p99_ms": p(0.99), "max_ms": p(1.0) })
}

fn lookup(agent: &ureq::Agent, ui: &str, id: &str, expected: u16) -> anyhow::Result<()> {
    let url = format!("{ui}/api/lumitrace/v1/traces/{id}");
    let request = agent.get(&url).config().http_status_as_error(false).build();
    let mut response = request.call().with_context(|| format!("GET {url}"))?;
    let body = response.body_mut().read_to_string()?;
    ensure!(
        response.status() == expected,
        "GET {url}: {} instead of {expected}",
        response.status()
    );
    if expected == 200 {
        let spans = format!("\"span_count\":{}", benchmark::SPANS_PER_TRACE);
        ensure!(
            body.contains(&spans),
            "GET {url}: not all spans of the trace: {body}"
        );
    }
    Ok(())
}

fn search(agent: &ureq::Agent, ui: &str, question: &str) -> anyhow::Result<()> {
    let url = format!("{ui}/api/lumitrace/v1/traces?{question}");
    let body = agent
        .get(&url)
        .call()
        .with_context(|| format!("GET {url}"))?;
    let body = body.into_body().read_to_string()?;
    ensure!(body.contains("\"trace_id\""), "GET {url}: nothing found");
    Ok(())
}
