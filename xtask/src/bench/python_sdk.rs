//! The Python package beside `opentelemetry-sdk`: programs of `bench/python`, each side in processes
//! of its own, in turn.

use anyhow::Context;
use serde_json::Value;

use super::end_to_end::field;
use super::report::{Bar, Figure};
use super::{Options, Section, empty_folder};
use crate::python::Environment;
use crate::server::Server;
use crate::{process, python, workspace};

const PEER: &str = "opentelemetry-sdk";
/// Batches traced in a round, where nothing but tracing is done.
const SPANS: u32 = 30_000;
const SPANS_QUICK: u32 = 15_000;
/// Trainings of each side, and the epochs of one, each of 80 batches.
const TRAININGS: usize = 5;
const TRAININGS_QUICK: usize = 2;
const EPOCHS: u32 = 20;
/// Spans that wait in a process.
const WAITING_SPANS: u32 = 20_000;

/// Measures those of the sections that are about Python.
pub(super) fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let sections = [Section::PythonSpan, Section::Training, Section::Memory];
    let mut figures = Vec::new();
    if !sections.iter().any(|section| options.includes(*section)) {
        return Ok(figures);
    }
    let programs = Programs::prepare()?;
    if options.includes(Section::PythonSpan) {
        figures.extend(spans(&programs, options)?);
    }
    if options.includes(Section::Training) {
        figures.extend(training(&programs, options)?);
    }
    if options.includes(Section::Memory) {
        figures.extend(memory(&programs, options)?);
    }
    Ok(figures)
}

/// What the programs need: the package, and a server to send to.
struct Programs {
    environment: Environment,
    server: Server,
}

impl Programs {
    fn prepare() -> anyhow::Result<Self> {
        let environment = python::develop(&python::Options { release: true })?;
        let folder = empty_folder("python-data")?;
        let binary = workspace::binary("release", "lumitrace");
        Ok(Self {
            environment,
            server: Server::start_on_free_ports(&binary, &folder)?,
        })
    }

    /// Runs a program for us and for the peer, in turn, and returns what each printed.
    fn rounds(
        &self,
        name: &str,
        amount: u32,
        rounds: usize,
    ) -> anyhow::Result<Vec<(Value, Value)>> {
        let round = |_| {
            let ours = self.run(name, "lumitrace", amount)?;
            Ok((ours, self.run(name, "opentelemetry", amount)?))
        };
        (0..rounds).map(round).collect()
    }

    fn run(&self, name: &str, side: &str, amount: u32) -> anyhow::Result<Value> {
        let mut program = self.environment.python();
        program
            .arg(format!("bench/python/{name}.py"))
            .args([side, &self.server.otlp_http, &amount.to_string()])
            // The trainer, which is no package.
            .env(
                "PYTHONPATH",
                workspace::root().join("examples/fx-trainer-python"),
            );
        let text = process::output(&mut program)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{name} {side} printed no JSON: {text}"))
    }
}

/// The values of both sides under one key, in every round.
fn pairs(rounds: &[(Value, Value)], key: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let pair = |(ours, theirs): &(Value, Value)| Ok((field(ours, key)?, field(theirs, key)?));
    rounds.iter().map(pair).collect()
}

fn spans(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let spans = if options.quick { SPANS_QUICK } else { SPANS };
    let rounds = programs.rounds("batch", spans, options.rounds())?;
    let what = "traced Python batch (context manager, 3 attributes, OTLP/HTTP)";
    let rows = [
        ("process CPU", "cpu_ns", Some(Bar::TimesBetter(10.0))),
        ("calling thread", "calling_thread_ns", None),
    ];
    let figure = |(cost, key, bar)| {
        let pairs = pairs(&rounds, key)?;
        Figure::paired(&format!("{what}, {cost}"), "ns", PEER, &pairs, bar)
    };
    rows.into_iter().map(figure).collect()
}

fn training(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let trainings = if options.quick {
        TRAININGS_QUICK
    } else {
        TRAININGS
    };
    let rounds = programs.rounds("training", EPOCHS, trainings)?;
    let what = "PyTorch training on one thread";
    let rows = [
        (
            "CPU of a batch of 32, not traced",
            "ms",
            "batch_cpu_ms",
            None,
        ),
        (
            "what tracing adds to its CPU, all threads",
            "%",
            "cpu_per_cent",
            Some(Bar::Below(1.0)),
        ),
        (
            "of that, the threads that encode and send",
            "%",
            "other_threads_per_cent",
            None,
        ),
        (
            "what tracing adds to the time of a batch",
            "%",
            "wall_per_cent",
            None,
        ),
    ];
    let figure = |(of, unit, key, bar)| {
        let pairs = pairs(&rounds, key)?;
        Figure::beside(&format!("{what}: {of}"), unit, PEER, &pairs, bar)
    };
    rows.into_iter().map(figure).collect()
}

fn memory(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = programs.rounds("waiting", WAITING_SPANS, options.rounds())?;
    // Bytes a span are kilobytes per thousand.
    let kilobytes = pairs(&rounds, "bytes_per_span")?;
    let what = "resident memory per 1,000 Python spans that wait, 3 attributes";
    let better = Some(Bar::TimesBetter(1.0));
    Ok(vec![
        Figure::beside(what, "kB", PEER, &kilobytes, Some(Bar::Below(1000.0)))?,
        Figure::paired(what, "kB", PEER, &kilobytes, better)?,
    ])
}
