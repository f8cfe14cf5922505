//! `cargo xtask test`: set up what the tests need and run everything.

use std::process::Command;
use std::time::Instant;

use anyhow::bail;
use clap::ValueEnum;

use crate::cargo_tool::CargoTool;
use crate::node::Node;
use crate::python::Environment;
use crate::tally::Tally;
use crate::{browser, process, python, ui, workspace};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these parts (repeatable); all but `advisories` by default.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// Options of `cargo xtask lint`.
#[derive(clap::Args)]
pub(crate) struct LintOptions {
    /// Also look for known vulnerabilities of dependencies. Not done otherwise: it fetches a
    /// database from the network, and what that says tomorrow is not what it says today.
    #[arg(long)]
    advisories: bool,
}

impl LintOptions {
    /// The parts that check form rather than behaviour.
    pub(crate) fn parts(&self) -> Options {
        let mut parts = vec![
            Part::Format,
            Part::Dependencies,
            Part::Clippy,
            Part::UiLint,
            Part::PythonLint,
        ];
        if self.advisories {
            parts.push(Part::Advisories);
        }
        Options { parts }
    }
}

/// A part of the tests, in the order in which they run: the quick ones first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Part {
    /// rustfmt.
    Format,
    /// Licences and sources of the Rust dependencies, by the rules of deny.toml.
    Dependencies,
    /// Known vulnerabilities of the Rust dependencies; runs only when named.
    Advisories,
    /// clippy, warnings denied.
    Clippy,
    /// Unit, property, documentation and integration tests of all crates.
    Rust,
    /// Types and lints of the UI.
    UiLint,
    /// Unit tests of the UI.
    Ui,
    /// ruff and mypy.
    PythonLint,
    /// pytest of the package and of the Python example.
    Python,
    /// What Parquet readers of others make of the store's files.
    ParquetReaders,
    /// Real pages in a real browser, against a server fed by real programs.
    Browser,
}

/// Runs the parts and prints `N passed, N failed` at the end.
///
/// # Errors
/// Anything failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let wanted = |part: &Part| match options.parts.as_slice() {
        // A database that changes by the day must not decide whether a change is good.
        [] => *part != Part::Advisories,
        named => named.contains(part),
    };
    let mut total = Tally::default();
    let mut report = Vec::new();
    for part in Part::value_variants().iter().filter(|part| wanted(part)) {
        process::say(&format!("\n=== {part:?}"));
        let started = Instant::now();
        // A part that cannot even run is a failed test; the others still run.
        let tally = part.run().unwrap_or_else(|error| {
            process::say(&format!("{part:?} could not run: {error:#}"));
            Tally {
                passed: 0,
                failed: 1,
            }
        });
        total.add(tally);
        report.push(format!(
            "{:<14} {:>5} passed {:>3} failed {:>6.0} s",
            format!("{part:?}"),
            tally.passed,
            tally.failed,
            started.elapsed().as_secs_f64()
        ));
    }
    process::say(&format!("\n{}\n", report.join("\n")));
    process::say(&format!("{} passed, {} failed", total.passed, total.failed));
    if total.failed > 0 || total.passed == 0 {
        // The line above has said it; the exit code says it to scripts.
        std::process::exit(1);
    }
    Ok(())
}

impl Part {
    fn run(self) -> anyhow::Result<Tally> {
        match self {
            Part::Format => check(process::cargo().args(["fmt", "--all", "--check"])),
            Part::Dependencies => cargo_deny(&["bans", "licenses", "sources"]),
            Part::Advisories => cargo_deny(&["advisories"]),
            Part::Clippy => check(process::cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny",
                "warnings",
            ])),
            Part::Rust => rust(),
            Part::UiLint => {
                let mut tally = check(&mut npm(&["run", "typecheck"])?)?;
                tally.add(check(&mut npm(&["run", "lint"])?)?);
                Ok(tally)
            }
            Part::Ui => count(&mut npm(&["run", "test"])?),
            Part::PythonLint => python_lint(),
            Part::Python => python_tests(),
            Part::ParquetReaders => parquet_readers(),
            Part::Browser => browser::test(),
        }
    }
}

const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Each has a lock file of its own.
const CARGO_WORKSPACES: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

fn cargo_deny(rules: &[&str]) -> anyhow::Result<Tally> {
    let cargo_deny = CARGO_DENY.find()?;
    let mut tally = Tally::default();
    for manifest in CARGO_WORKSPACES {
        let mut command = process::command(&cargo_deny);
        command.args(["--manifest-path", manifest, "--config", "deny.toml"]);
        tally.add(check(command.arg("check").args(rules))?);
    }
    Ok(tally)
}

/// The cargo command of the Rust tests, which also builds every binary. The Python module's tests
/// are pytest's: it needs an interpreter to be loaded into.
pub(crate) const RUST_TESTS: [&str; 4] = ["test", "--workspace", "--exclude", "lumitrace-python"];

/// The SDK built without its feature `record`, which everything else turns on.
const WITHOUT_RECORD: [&str; 6] = [
    "test",
    "--package",
    "lumitrace",
    "--no-default-features",
    "--test",
    "without_record",
];

fn rust() -> anyhow::Result<Tally> {
    // The server embeds the UI, and its tests look at it.
    ui::build()?;
    let mut tally = count(process::cargo().args(RUST_TESTS).arg("--no-fail-fast"))?;
    tally.add(count(process::cargo().args(WITHOUT_RECORD))?);
    Ok(tally)
}

fn npm(arguments: &[&str]) -> anyhow::Result<Command> {
    let node = Node::find()?;
    let folder = workspace::root().join("ui");
    node.install_packages(&folder)?;
    let mut command = node.command("npm");
    command
        .args(arguments)
        .current_dir(folder)
        .env("CI", "true");
    Ok(command)
}

/// Tests that read the store's files with other Parquet readers.
const READERS_FOLDER: &str = "crates/lumitrace-store/tests/readers";
/// Folders with Python, each with its own settings in `pyproject.toml`.
const PYTHON_FOLDERS: [&str; 4] = [
    "python",
    "examples/fx-trainer-python",
    "bench/python",
    READERS_FOLDER,
];
/// Those of them that have tests.
const PYTHON_TEST_FOLDERS: [&str; 2] = ["python", "examples/fx-trainer-python"];

fn python_lint() -> anyhow::Result<Tally> {
    let environment = python::develop(&python::Options::default())?;
    let mut tally = Tally::default();
    for folder in PYTHON_FOLDERS {
        for arguments in [
            &["ruff", "check"][..],
            &["ruff", "format", "--check"],
            &["mypy"],
        ] {
            tally.add(check(&mut in_folder(&environment, folder, arguments))?);
        }
    }
    Ok(tally)
}

fn python_tests() -> anyhow::Result<Tally> {
    let environment = python::develop(&python::Options::default())?;
    let mut tally = Tally::default();
    for folder in PYTHON_TEST_FOLDERS {
        let mut pytest = in_folder(&environment, folder, &["pytest", "--color=no"]);
        tally.add(count(&mut pytest)?);
    }
    Ok(tally)
}

/// The readers are large, and nobody but these tests needs them: they have an environment of their own.
fn parquet_readers() -> anyhow::Result<Tally> {
    let environment = Environment::create(&workspace::cache().join("readers"))?;
    environment.synchronise(&format!("{READERS_FOLDER}/requirements.lock"))?;
    count(&mut in_folder(
        &environment,
        READERS_FOLDER,
        &["pytest", "--color=no"],
    ))
}

fn in_folder(environment: &Environment, folder: &str, arguments: &[&str]) -> Command {
    let mut command = environment.python();
    command
        .arg("-m")
        .args(arguments)
        .current_dir(workspace::root().join(folder));
    command
}

/// A command that holds or does not.
fn check(command: &mut Command) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    tally.check(process::observe(command, |_| {})?);
    Ok(tally)
}

/// A test runner, whose closing lines are counted.
pub(crate) fn count(command: &mut Command) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = process::observe(command, |line| tally.read(line))?;
    if tally == Tally::default() {
        bail!("it reported no tests");
    }
    if !succeeded && tally.failed == 0 {
        // A crash, or a failure outside any test.
        tally.failed = 1;
    }
    Ok(tally)
}
