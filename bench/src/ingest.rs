//! What it costs to take in OTLP/protobuf bytes: CPU per span until they are durable and
//! searchable, beside only decoding the same bytes with prost into `opentelemetry-proto`'s types.
//! Both run in this process, in turn. Prints one line of JSON, all in nanoseconds of CPU per span.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use lumitrace_server::generate::shape::benchmark;
use lumitrace_store::{SpanBatch, Store, StoreOptions};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};

/// Measures what taking in spans costs.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Spans of one round.
    #[arg(long, default_value_t = 200_000)]
    spans: u64,
    /// Rounds, each with a store of its own.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Spans in a request.
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// Requests that wait for their answer at once.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let requests = requests(&arguments);
    let per_span = |cpu: Duration| cpu.as_nanos() as f64 / arguments.spans as f64;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let prost = per_span(decode_with_prost(&requests)?);
        let (acknowledged, settled) = store(&arguments, &requests)?;
        rounds.push(serde_json::json!({
            "prost": prost,
            "acknowledged": per_span(acknowledged),
            "settled": per_span(settled),
        }));
    }
    let bytes: usize = requests.iter().map(Bytes::len).sum();
    let report = serde_json::json!({
        "spans": arguments.spans,
        "bytes_per_span": bytes as f64 / arguments.spans as f64,
        "rounds": rounds,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

fn requests(arguments: &Arguments) -> Vec<Bytes> {
    let traces = arguments.spans / benchmark::SPANS_PER_TRACE;
    let per_request = (arguments.batch / benchmark::SPANS_PER_TRACE).max(1);
    let start = |number: u64| 1_700_000_000_000_000_000 + number * 1_000_000;
    let request = |from: u64| {
        let numbers = from..(from + per_request).min(traces);
        let groups: Vec<_> = numbers
            .flat_map(|number| benchmark::trace(arguments.seed, number, start(number)))
            .collect();
        protobuf::encode_traces(&groups).into()
    };
    (0..traces)
        .step_by(per_request as usize)
        .map(request)
        .collect()
}

fn decode_with_prost(requests: &[Bytes]) -> anyhow::Result<Duration> {
    let started = process_cpu();
    for request in requests {
        let decoded = ExportTraceServiceRequest::decode(request.clone())?;
        std::hint::black_box(decoded);
    }
    Ok(process_cpu() - started)
}

/// CPU until everything was acknowledged, and until it was all in a block.
fn store(arguments: &Arguments, requests: &[Bytes]) -> anyhow::Result<(Duration, Duration)> {
    let dir = tempfile::tempdir().context("could not make a folder for the store")?;
    let store = Store::open(StoreOptions {
        // Nothing is written out before everything is acknowledged.
        memtable_bytes: 4 << 30,
        ..StoreOptions::new(dir.path())
    })?;
    let started = process_cpu();
    for requests in requests.chunks(arguments.in_flight) {
        let mut waiting = Vec::new();
        for request in requests {
            let batch = SpanBatch::from_payload(request.clone(), &DecodeLimits::default())?;
            waiting.push(store.append(batch));
        }
        for append in waiting {
            append.wait()?;
        }
    }
    let acknowledged = process_cpu() - started;
    store.flush()?;
    Ok((acknowledged, process_cpu() - started))
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
