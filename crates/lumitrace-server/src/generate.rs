//! `lumitrace generate`: makes realistic traffic and sends it to any OTLP receiver, or to a file.
//!
//! **What it is.** What the benchmarks and people who size a machine use. A trace is a function of
//! shape, seed and number, so that two receivers get the same load.
//!
//! **What it is not.** No part of the server: nothing here runs in `lumitrace serve`.
//!
//! Modules in reading order: [`arguments`] (what is wanted), [`shape`] with [`shape::benchmark`]
//! (what traces look like), `random` and `trace_builder` (what shapes are made with), [`traffic`]
//! (how many traces, when, and in which batches). How they go to a receiver is in [`crate::send`].

pub mod arguments;
mod random;
pub mod shape;
mod trace_builder;
pub mod traffic;

pub use arguments::Arguments;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use clap::{Args, Command};
use parking_lot::Mutex;

use crate::progress::{Progress, Unit};
use crate::send::delivery::Delivery;
use crate::send::destination::Destination;
use crate::send::rate::Rate;
use crate::send::sink::{self, Transport};
use crate::send::tally::{Report, Tally};
use crate::stop::Stop;
use traffic::{Total, Traffic};

/// The subcommand and its help.
pub fn command() -> Command {
    Arguments::augment_args(Command::new("generate"))
        .about(arguments::ABOUT)
        .long_about(arguments::LONG_ABOUT)
        .after_help(arguments::EXAMPLES)
}

/// Generates and sends what `arguments` ask for, until it is done or `stop` asks to end.
///
/// # Errors
/// The arguments contradict each other, nobody is at the receiver's address, or the file cannot be
/// written. That spans were refused or lost is no error but in the report.
pub fn run(arguments: &Arguments, stop: &Stop) -> anyhow::Result<Report> {
    let destination = Destination::parse(&arguments.to, arguments.protocol)?;
    let transport = Transport {
        headers: arguments.headers.clone(),
        gzip: arguments.gzip,
        timeout: arguments.timeout,
    };
    let total = arguments.total();
    let times = arguments.times(SystemTime::now())?;
    let batch_spans = arguments.batch_spans as usize;
    let traffic = Traffic::new(arguments.content(), total, times, batch_spans);
    let sinks = sink::open(&destination, &transport, arguments.connections.into())?;
    let mut progress = Progress::new(
        Unit::Records("spans"),
        match total {
            Total::Spans(spans) => Some(spans),
            Total::Traces(_) | Total::Endless => None,
        },
        arguments.quiet,
    );
    let delivery = Delivery {
        batches: Mutex::new(traffic),
        rate: Mutex::new(Rate::new(arguments.rate as f64)),
        tally: Mutex::default(),
        stop,
        started: Instant::now(),
        patience: arguments.patience,
    };
    let is_over = || {
        let limit = arguments.time_limit;
        limit.is_some_and(|limit| delivery.started.elapsed() >= limit)
    };
    let outcome = delivery.run(sinks, progress.tick(), || {
        if is_over() {
            stop.request();
        }
        let tally = Tally::clone(&delivery.tally.lock());
        progress.show(tally.settled_spans(), &tally.trouble());
    });
    let elapsed = delivery.started.elapsed();
    progress.finish();
    outcome.with_context(|| format!("cannot send to {destination}"))?;
    let traces = delivery.batches.lock().traces();
    let report = delivery.tally.lock().report(traces, elapsed);
    Ok(report)
}
