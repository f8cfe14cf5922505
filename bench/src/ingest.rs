//! What it costs to take in OTLP/protobuf bytes: CPU per record until they are durable and
//! searchable, beside only decoding the same bytes with prost into `opentelemetry-proto`'s types.
//! Both run in this process, in turn. Prints one line of JSON, all in nanoseconds of CPU per record.

mod signal;

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use lumitrace_store::{Store, StoreOptions};
use rustix::time::{ClockId, clock_gettime};

use signal::Signal;

/// Measures what taking in records costs.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What is taken in.
    #[arg(long, value_enum, default_value_t = Signal::Spans)]
    signal: Signal,
    /// Records of one round.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Rounds, each with a store of its own.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records in a request.
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
    let signal = arguments.signal;
    let requests = signal.requests(arguments.seed, arguments.records, arguments.batch);
    let per_record = |cpu: Duration| cpu.as_nanos() as f64 / arguments.records as f64;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let started = process_cpu();
        for request in &requests {
            signal.decode_with_prost(request.clone())?;
        }
        let prost = per_record(process_cpu() - started);
        let (acknowledged, settled) = store(&arguments, &requests)?;
        rounds.push(serde_json::json!({
            "prost": prost,
            "acknowledged": per_record(acknowledged),
            "settled": per_record(settled),
        }));
    }
    let bytes: usize = requests.iter().map(Bytes::len).sum();
    let report = serde_json::json!({
        "records": arguments.records,
        "bytes_per_record": bytes as f64 / arguments.records as f64,
        "rounds": rounds,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
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
            waiting.push(arguments.signal.append(&store, request.clone())?);
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
