//! What `cargo xtask bench` runs: our side and the peers' side of each comparison.
//!
//! **What it is.** Small programs that do one measured thing and print one line of JSON; `xtask`
//! starts them in turn, compares, and writes `docs/benchmarks.md`. They are one binary, because each
//! would link, and optimise as a whole, the same crates.
//!
//! **What it is not.** No part of the product, and nothing that asserts a time.
//!
//! The traffic is that of `lumitrace generate --shape benchmark`
//! ([`lumitrace_server::generate::shape::benchmark`]). Each program is a module; [`statistics`],
//! [`at_rest`] and [`memory`] are what they share.

mod at_rest;
mod entropy;
mod ingest;
mod load;
mod long_trace;
mod lookup;
mod memory;
mod questions;
mod reopen;
mod rows;
mod span;
mod statistics;
mod training_run;

use clap::Parser;

/// One measured thing.
#[derive(Parser)]
enum Program {
    /// What the benchmark's spans cannot be smaller than.
    Entropy,
    /// What taking spans in costs, beside only decoding them.
    Ingest(ingest::Arguments),
    /// Fills a server.
    Load(load::Arguments),
    /// One trace of very many spans over days.
    LongTrace(long_trace::Arguments),
    /// Asks a filled server.
    Lookup(lookup::Arguments),
    /// Our side of the comparison with ClickHouse.
    Questions(questions::Arguments),
    /// Opens a store.
    Reopen(reopen::Arguments),
    /// What ClickHouse's side of the comparison reads.
    Rows(rows::Arguments),
    /// One side of the comparison of SDKs.
    Span(span::Arguments),
    /// The curve of a long training run.
    TrainingRun(training_run::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Program::parse() {
        Program::Entropy => entropy::run(),
        Program::Ingest(arguments) => ingest::run(arguments),
        Program::Load(arguments) => load::run(arguments),
        Program::LongTrace(arguments) => long_trace::run(arguments),
        Program::Lookup(arguments) => lookup::run(arguments),
        Program::Questions(arguments) => questions::run(arguments),
        Program::Reopen(arguments) => reopen::run(arguments),
        Program::Rows(arguments) => rows::run(arguments),
        Program::Span(arguments) => span::run(arguments),
        Program::TrainingRun(arguments) => training_run::run(arguments),
    }
}
