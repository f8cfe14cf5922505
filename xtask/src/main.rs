//! Every developer command of Lumitrace, as `cargo xtask <command>`.
//!
//! What a command needs and a bare machine lacks, it obtains: npm packages, a newer Node, a Python
//! environment, Debian's Chromium, cargo-deny. Nothing is installed by hand.
//!
//! Modules in reading order: [`workspace`] (where things are), [`process`] (running programs),
//! [`cargo_tool`], [`node`], [`python`], [`chromium`] (tools that are obtained), [`ui`], [`server`] (the binary
//! under test), [`demo`], [`test`] with [`tally`] and [`browser`], [`bench`], [`fuzz`],
//! [`soak`].

mod bench;
mod browser;
mod cargo_tool;
mod chromium;
mod demo;
mod fuzz;
mod node;
mod process;
mod python;
mod server;
mod soak;
mod tally;
mod test;
mod ui;
mod workspace;

use clap::{Parser, Subcommand};

/// Developer commands of Lumitrace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, train a small real model with tracing on, and serve until Ctrl-C.
    Demo(demo::Options),
    /// Set up what the tests need and run all of them: formatting, lints, Rust, Python,
    /// TypeScript, browser.
    Test(test::Options),
    /// Check formatting and lints of all three languages, and what dependencies come in, without
    /// running tests.
    Lint(test::LintOptions),
    /// Measure ourselves beside the best peers and print each ratio with its bar.
    #[command(subcommand)]
    Bench(bench::Suite),
    /// Fuzz every decoder for a while (needs a nightly compiler).
    Fuzz(fuzz::Options),
    /// Run the reliability tests at full size: simulated power cuts, and kills of a fed server.
    Soak(soak::Options),
    /// Build the web UI into ui/dist, from where the server embeds it.
    Ui,
    /// Build the Python package into the project's own virtual environment.
    Python(python::Options),
    /// Make the screenshots of the README from a live demo.
    Screenshots,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Lint(options) => test::run(&options.parts()),
        Command::Bench(suite) => bench::run(&suite),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Ui => ui::build().map(|_| ()),
        Command::Python(options) => python::develop(&options).map(|_| ()),
        Command::Screenshots => browser::screenshots(),
    }
}
