//! The Python package beside `opentelemetry-sdk`: programs of `bench/python`, each side in processes
//! of its own, in turn.

use anyhow::Context;
use serde_json::Value;

use super::{Options, Section};
use crate::bench::empty_folder;
use crate::bench::end_to_end::field;
use crate::bench::report::{Bar, Figure};
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
/// Spans of the threads that trace beside another one.
const SPANS_BESIDE: u32 = 60_000;

/// Measures those of the sections that are about Python, and hands each one's figures on.
pub(super) fn measure(options: &Options, add: &mut impl FnMut(Vec<Figure>)) -> anyhow::Result<()> {
    type Measure = fn(&Programs, &Options) -> anyhow::Result<Vec<Figure>>;
    let sections: [(Section, Measure); 6] = [
        (Section::PythonSpan, spans),
        (Section::Function, function),
        (Section::Threads, threads),
        (Section::Memory, memory),
        (Section::Training, training),
        (Section::Import, import),
    ];
    let is_wanted = |(section, _): &(Section, Measure)| options.includes(*section);
    let mut wanted = sections.into_iter().filter(is_wanted).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let programs = Programs::prepare()?;
    for (_, measure) in wanted {
        add(measure(&programs, options)?);
    }
    Ok(())
}

/// What the programs need: the package, and a server to send to.
struct Programs {
    environment: Environment,
    server: Server,
}

/// Variables of a program.
type Variables<'a> = &'a [(&'a str, &'a str)];

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
        variables: Variables<'_>,
    ) -> anyhow::Result<Vec<(Value, Value)>> {
        let round = |_| {
            let ours = self.run(name, "lumitrace", amount, variables)?;
            Ok((ours, self.run(name, "opentelemetry", amount, variables)?))
        };
        (0..rounds).map(round).collect()
    }

    fn run(
        &self,
        name: &str,
        side: &str,
        amount: u32,
        variables: Variables<'_>,
    ) -> anyhow::Result<Value> {
        let mut program = self.environment.python();
        program
            .arg(format!("bench/python/{name}.py"))
            .args([side, &self.server.otlp_http, &amount.to_string()])
            .envs(variables.iter().copied())
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
    let rounds = programs.rounds("batch", spans, options.rounds(), &[])?;
    let off = [("OTEL_TRACES_SAMPLER", "always_off")];
    let off = programs.rounds("batch", spans, options.rounds(), &off)?;
    let what = "traced Python batch (context manager, 3 attributes, OTLP/HTTP)";
    let rows = [
        (&rounds, "calling thread", "calling_thread_ns", 15.0),
        (&rounds, "process CPU", "cpu_ns", 30.0),
        (
            &off,
            "calling thread, sampled out",
            "calling_thread_ns",
            10.0,
        ),
    ];
    let figure = |(rounds, cost, key, times): (&Vec<_>, _, _, _)| {
        let bar = Some(Bar::TimesBetter(times));
        Figure::paired(
            &format!("{what}, {cost}"),
            "ns",
            PEER,
            &pairs(rounds, key)?,
            bar,
        )
    };
    rows.into_iter().map(figure).collect()
}

fn function(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let spans = if options.quick { SPANS_QUICK } else { SPANS };
    let rounds = programs.rounds("function", spans, options.rounds(), &[])?;
    let added = pairs(&rounds, "added_ns")?;
    let what = "what a decorator adds to an empty Python function (@trace_function; @start_as_current_span)";
    let bar = Some(Bar::Below(1_500.0));
    Ok(vec![Figure::beside(what, "ns", PEER, &added, bar)?])
}

fn threads(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = programs.rounds("threads", SPANS_BESIDE, options.rounds().min(7), &[])?;
    let slowed = pairs(&rounds, "slowed_ms")?;
    let what = format!(
        "by how much a thread that trains is held up while 3 others trace {SPANS_BESIDE} batches"
    );
    let bar = Some(Bar::TimesBetter(10.0));
    Ok(vec![Figure::paired(&what, "ms", PEER, &slowed, bar)?])
}

fn memory(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = programs.rounds("waiting", WAITING_SPANS, options.rounds(), &[])?;
    let bytes = pairs(&rounds, "bytes_per_span")?;
    let what = "resident memory of a Python span that waits, 4 attributes";
    let bar = Some(Bar::Below(400.0));
    Ok(vec![Figure::beside(what, "B", PEER, &bytes, bar)?])
}

fn training(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let trainings = if options.quick {
        TRAININGS_QUICK
    } else {
        TRAININGS
    };
    let rounds = programs.rounds("training", EPOCHS, trainings, &[])?;
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

fn import(programs: &Programs, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let rounds = programs.rounds("importing", 1, options.rounds(), &[])?;
    let added = pairs(&rounds, "added_ms")?;
    let what = "import of the Python package, over an empty interpreter";
    let bar = Some(Bar::Below(50.0));
    Ok(vec![Figure::beside(what, "ms", PEER, &added, bar)?])
}
