//! Sends seeded traffic to any OTLP/HTTP receiver as fast as it acknowledges, and prints
//! `{"spans", "bytes", "seconds"}`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use lumitrace_bench::traffic;
use lumitrace_wire::otlp::protobuf;

/// Fills an OTLP/HTTP receiver.
#[derive(Parser)]
struct Arguments {
    /// Origin of the receiver.
    #[arg(long, default_value = "http://127.0.0.1:4318")]
    endpoint: String,
    /// How many spans to send.
    #[arg(long, default_value_t = 1_000_000)]
    spans: u64,
    /// Connections that send at once; each waits for its answer before it sends again.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Spans in a request.
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hours, up to now, over which the traces are spread.
    #[arg(long, default_value_t = 24)]
    hours: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Made before the clock starts: only sending is measured.
    let requests = requests(&arguments)?;
    let bytes: usize = requests.iter().map(Vec::len).sum();
    let next = AtomicUsize::new(0);
    let url = format!("{}/v1/traces", arguments.endpoint);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..arguments.connections)
            .map(|_| scope.spawn(|| send(&url, &requests, &next)))
            .collect();
        senders.into_iter().try_for_each(|sender| match sender.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "spans": arguments.spans, "bytes": bytes, "seconds": seconds,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

fn requests(arguments: &Arguments) -> anyhow::Result<Vec<Vec<u8>>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = u64::try_from(now.as_nanos()).context("the clock is after 2554")?;
    let traces = arguments.spans / traffic::SPANS_PER_TRACE;
    let window = arguments.hours * 3_600_000_000_000;
    let first = now - window;
    let start = |number: u64| first + (window / traces.max(1)) * number;
    let per_request = (arguments.batch / traffic::SPANS_PER_TRACE).max(1);
    let requests = (0..traces).step_by(per_request as usize).map(|from| {
        let numbers = from..(from + per_request).min(traces);
        let groups: Vec<_> = numbers
            .flat_map(|number| traffic::trace(arguments.seed, number, start(number)))
            .collect();
        protobuf::encode_traces(&groups)
    });
    Ok(requests.collect())
}

fn send(url: &str, requests: &[Vec<u8>], next: &AtomicUsize) -> anyhow::Result<()> {
    let agent = ureq::agent();
    loop {
        let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else {
            return Ok(());
        };
        let post = agent.post(url).header("Content-Type", "application/x-protobuf");
        post.send(&request[..]).with_context(|| format!("POST {url}"))?.body_mut().read_to_vec()?;
    }
}
