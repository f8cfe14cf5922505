//! How long opening a store takes: `reopen fill` leaves a folder as a killed process does, with a
//! full log or with many blocks, and `reopen open`, in a process of its own, opens it and prints
//! `{"seconds", "spans", "blocks"}`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, Subcommand};
use lumitrace_server::generate::shape::benchmark;
use lumitrace_store::{SpanBatch, Store, StoreOptions};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf;

/// Spans in a request.
const BATCH_TRACES: u64 = 50;
/// Traces in each of many small blocks.
const BLOCK_TRACES: u64 = 20;
/// Requests that wait for their answer at once.
const IN_FLIGHT: usize = 16;

/// Fills a folder, or opens it.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Fill a folder and leave it as it is.
    Fill {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
        /// Bytes of requests to leave in the log.
        #[arg(long, default_value_t = 0)]
        log_bytes: usize,
        /// Blocks to leave, none of them merged.
        #[arg(long, default_value_t = 0)]
        blocks: u64,
    },
    /// Open a folder with default settings.
    Open {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::Fill {
            dir,
            log_bytes,
            blocks,
        } => fill(dir, log_bytes, blocks),
        Action::Open { dir } => open(dir),
    }
}

fn fill(dir: PathBuf, log_bytes: usize, blocks: u64) -> anyhow::Result<()> {
    let store = Store::open(StoreOptions {
        // Nothing is written out or merged by itself.
        memtable_bytes: 64 << 30,
        flush_after: Duration::from_secs(86_400),
        compact_below_bytes: 0,
        ..StoreOptions::new(dir)
    })?;
    let mut number = 0;
    for _ in 0..blocks {
        store.append(batch(number, BLOCK_TRACES)?).wait()?;
        number += BLOCK_TRACES;
        store.flush()?;
    }
    let mut written = 0;
    while written < log_bytes {
        let mut waiting = Vec::new();
        for _ in 0..IN_FLIGHT {
            let batch = batch(number, BATCH_TRACES)?;
            number += BATCH_TRACES;
            written += batch.payload_bytes();
            waiting.push(store.append(batch));
        }
        for append in waiting {
            append.wait()?;
        }
    }
    // As a killed process: nothing is closed.
    std::process::exit(0);
}

fn batch(first: u64, traces: u64) -> anyhow::Result<SpanBatch> {
    let start = |number: u64| 1_700_000_000_000_000_000 + number * 1_000_000;
    let groups: Vec<_> = (first..first + traces)
        .flat_map(|number| benchmark::trace(1, number, start(number)))
        .collect();
    let payload = Bytes::from(protobuf::encode_traces(&groups));
    Ok(SpanBatch::from_payload(payload, &DecodeLimits::default())?)
}

fn open(dir: PathBuf) -> anyhow::Result<()> {
    let started = Instant::now();
    let store = Store::open(StoreOptions::new(dir))?;
    let seconds = started.elapsed().as_secs_f64();
    let stats = store.stats();
    let report = serde_json::json!({
        "seconds": seconds, "spans": stats.records, "blocks": stats.blocks,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    // What it would do next is not measured.
    std::process::exit(0);
}
