//! `cargo xtask bench sdk`: what tracing costs the program that is traced, in Rust and in Python, beside
//! the libraries that people use for it.

mod python;
mod rust;

use super::report::Figure;
use crate::process;

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The parts to measure; all if none is named.
    sections: Vec<Section>,
    /// Few rounds: under five minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Write the figures to docs/benchmarks.md; of some parts only, their rows.
    #[arg(long)]
    write: bool,
}

/// A part of the suite.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq)]
enum Section {
    /// What a span costs in Rust.
    RustSpan,
    /// What a span costs in Python, and one that is sampled out.
    PythonSpan,
    /// What a decorated function costs in Python.
    Function,
    /// How much a thread is held up by others that trace, in Python.
    Threads,
    /// What spans occupy in Python while they wait.
    Memory,
    /// What tracing adds to a real training in PyTorch.
    Training,
    /// What importing the Python package takes.
    Import,
}

impl Options {
    fn includes(&self, section: Section) -> bool {
        self.sections.is_empty() || self.sections.contains(&section)
    }

    /// Rounds of each pair.
    fn rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }

    /// Whether all parts are measured.
    pub(super) fn is_whole(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether figures may go to the page.
    pub(super) fn writes(&self) -> bool {
        self.write
    }
}

/// Measures the sections that are asked for, each figure printed as it comes.
pub(super) fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |measured: Vec<Figure>| {
        for figure in &measured {
            process::say(&figure.to_row());
        }
        figures.extend(measured);
    };
    if options.includes(Section::RustSpan) {
        add(rust::measure(options.rounds())?);
    }
    python::measure(options, &mut add)?;
    Ok(figures)
}
