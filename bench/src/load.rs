//! Sends seeded traffic to any OTLP/HTTP receiver as fast as it acknowledges, and prints
//! `{"spans", "bytes", "seconds", "refusals"}`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use lumitrace_server::generate::shape::benchmark;
use lumitrace_wire::otlp::protobuf;

/// Fills an OTLP/HTTP receiver.
#[derive(Args)]
pub(crate) struct Arguments {
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

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Made before the clock starts: only sending is measured.
    let requests = requests(&arguments)?;
    let bytes: usize = requests.iter().map(Vec::len).sum();
    let next = AtomicUsize::new(0);
    let url = format!("{}/v1/traces", arguments.endpoint);
    let started = Instant::now();
    let refusals: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..arguments.connections)
            .map(|_| scope.spawn(|| send(&url, &requests, &next)))
            .collect();
        let joined = senders.into_iter().map(|sender| match sender.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<anyhow::Result<_>>()
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "spans": arguments.spans, "bytes": bytes, "seconds": seconds,
        "refusals": refusals.iter().sum::<u64>(),
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

fn requests(arguments: &Arguments) -> anyhow::Result<Vec<Vec<u8>>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let now = u64::try_from(now.as_nanos()).context("the clock is after 2554")?;
    let traces = arguments.spans / benchmark::SPANS_PER_TRACE;
    let window = arguments.hours * 3_600_000_000_000;
    let first = now - window;
    let start = |number: u64| first + (window / traces.max(1)) * number;
    let per_request = (arguments.batch / benchmark::SPANS_PER_TRACE).max(1);
    let requests = (0..traces).step_by(per_request as usize).map(|from| {
        let numbers = from..(from + per_request).min(traces);
        let groups: Vec<_> = numbers
            .flat_map(|number| benchmark::trace(arguments.seed, number, start(number)))
            .collect();
        protobuf::encode_traces(&groups)
    });
    Ok(requests.collect())
}

fn send(url: &str, requests: &[Vec<u8>], next: &AtomicUsize) -> anyhow::Result<u64> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut refusals = 0;
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        while !post(&agent, url, request)? {
            refusals += 1;
        }
    }
    Ok(refusals)
}

/// Sends a request; a receiver that asks to come again later is waited for, as the protocol says.
/// Returns whether the request was accepted.
fn post(agent: &ureq::Agent, url: &str, request: &[u8]) -> anyhow::Result<bool> {
    let post = agent
        .post(url)
        .header("Content-Type", "application/x-protobuf");
    let mut response = post.send(request).with_context(|| format!("POST {url}"))?;
    response.body_mut().read_to_vec()?;
    let status = response.status().as_u16();
    if status == 429 || status == 503 {
        let seconds = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok());
        let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
        std::thread::sleep(Duration::from_secs(seconds));
        return Ok(false);
    }
    ensure!(status == 200, "POST {url}: {status}");
    Ok(true)
}
