//! The browser tests: a live server, fed by both trainers and by unmodified OpenTelemetry SDKs, and
//! driven through Debian's Chromium.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::node::Node;
use crate::server::Server;
use crate::tally::Tally;
use crate::{chromium, process, python, test, ui, workspace};

/// Clients of others, each sending one small trace with the SDK as it is published.
const JAVASCRIPT_CLIENT: &str = "tests/clients/opentelemetry-javascript";
const PYTHON_CLIENT: &str = "tests/clients/opentelemetry-python";

/// Feeds a server with everything and runs Playwright against it.
///
/// # Errors
/// A program could not be built, or a feeder failed.
pub(crate) fn test() -> anyhow::Result<Tally> {
    let browser = chromium::find()?;
    build()?;
    let folder = fresh_folder("browser")?;
    let binary = workspace::binary("debug", "lumitrace");
    let server = Server::start_on_free_ports(&binary, &folder.join("data"))?;
    feed_with_trainers(&server, &folder)?;
    feed_with_opentelemetry(&server)?;

    let node = Node::find()?;
    let mut playwright = in_ui(node.command("npm"), &server, &browser);
    test::count(playwright.args(["exec", "--no", "--", "playwright", "test"]))
}

/// Photographs every page for the README, the run page while a model trains.
///
/// # Errors
/// A program could not be built, or a page could not be photographed.
pub(crate) fn screenshots() -> anyhow::Result<()> {
    let browser = chromium::find()?;
    build()?;
    let folder = fresh_folder("screenshots")?;
    let binary = workspace::binary("debug", "lumitrace");
    let server = Server::start_on_free_ports(&binary, &folder.join("data"))?;
    feed_with_opentelemetry(&server)?;
    let mut trainer = process::command(workspace::binary("debug", "run_training"));
    process::run(small(trainer_in(&mut trainer, &server, &folder)))?;

    let mut trainer = process::command(workspace::binary("debug", "run_training_multitask"));
    trainer.args(["--pairs", "gbpusd", "--epochs", "5", "--batch-size", "32"]);
    let mut training = trainer_in(&mut trainer, &server, &folder).spawn()?;
    let photographed = wait_for_epoch(&server, &mut training, 3).and_then(|()| {
        let node = Node::find()?;
        let mut command = in_ui(node.command("node"), &server, &browser);
        process::run(
            command
                .arg("e2e/screenshots.mjs")
                .arg(workspace::root().join("docs/images")),
        )
    });
    // Its pictures are taken; it may have ended by itself.
    let _ = training.kill();
    let _ = training.wait();
    photographed
}

/// Waits until the newest run has come to an epoch.
fn wait_for_epoch(server: &Server, training: &mut Child, epoch: u64) -> anyhow::Result<()> {
    loop {
        let runs = server.get("/runs?service=sequence-multitask-training")?;
        if runs["runs"][0]["epoch"].as_u64() >= Some(epoch) {
            return Ok(());
        }
        if let Some(status) = training.try_wait().context("cannot wait for the trainer")? {
            bail!("the training ended before epoch {epoch} ({status})");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Builds what the browser looks at, as the Rust tests build it: packages that are named one by one
/// would be compiled a second time, with fewer features.
fn build() -> anyhow::Result<()> {
    ui::build()?;
    process::run(process::cargo().args(test::RUST_TESTS).arg("--no-run"))
}

fn fresh_folder(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = workspace::target().join("xtask").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Makes a command run in the UI's folder, and tells it the server and the browser.
fn in_ui(mut command: Command, server: &Server, browser: &Path) -> Command {
    command
        .current_dir(workspace::root().join("ui"))
        .env("CI", "true")
        .env("LUMITRACE_URL", &server.ui)
        .env("LUMITRACE_OTLP_URL", &server.otlp_http)
        .env(chromium::VARIABLE, browser);
    command
}

fn feed_with_trainers(server: &Server, folder: &Path) -> anyhow::Result<()> {
    let python = python::develop(&python::Options::default())?;
    for program in ["run_training", "run_training_multitask"] {
        let mut trainer = process::command(workspace::binary("debug", program));
        process::run(small(trainer_in(&mut trainer, server, folder)))?;
        let mut trainer = python.python();
        trainer.arg(format!("train/{program}.py"));
        trainer_in(&mut trainer, server, folder);
        trainer.current_dir(workspace::root().join("examples/fx-trainer-python"));
        process::run(small(&mut trainer))?;
    }
    Ok(())
}

/// Where a trainer reads, writes and reports to.
fn trainer_in<'a>(command: &'a mut Command, server: &Server, folder: &Path) -> &'a mut Command {
    command
        .arg("--input-root")
        .arg(folder.join("fx-data"))
        .arg("--checkpoint-path")
        .arg(folder.join("checkpoints-{pair}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http)
}

/// A run of seconds.
fn small(command: &mut Command) -> &mut Command {
    command.args([
        "--pairs",
        "gbpusd",
        "--epochs",
        "2",
        "--batch-size",
        "32",
        "--bars",
        "3000",
    ])
}

fn feed_with_opentelemetry(server: &Server) -> anyhow::Result<()> {
    let python = python::environment()?;
    let mut client = python.python();
    client.arg(format!("{PYTHON_CLIENT}/send.py"));
    process::run(client.env("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http))?;

    let node = Node::find()?;
    let folder = workspace::root().join(JAVASCRIPT_CLIENT);
    node.install_packages(&folder)?;
    let mut client = node.command("node");
    client.arg("send.mjs").current_dir(&folder);
    process::run(client.env("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http))
}
