//! `cargo xtask demo`: from a bare clone to a training run in the browser.

use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::server::{STOP_TIMEOUT, Server};
use crate::{process, python, ui, workspace};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Train the multi-task model instead of the single-task one.
    #[arg(long)]
    multitask: bool,
    /// Train with PyTorch in Python instead of candle in Rust (downloads PyTorch once).
    #[arg(long)]
    python: bool,
    /// How many epochs to train.
    #[arg(long, default_value_t = 5)]
    epochs: u32,
    /// Folder for the traces.
    #[arg(long, default_value = "lumitrace-data")]
    data_dir: PathBuf,
    /// Address of the UI and the query APIs.
    #[arg(long, default_value = "127.0.0.1:16686")]
    ui: String,
    /// Address of the OTLP/HTTP receiver.
    #[arg(long, default_value = "127.0.0.1:4318")]
    otlp_http: String,
    /// Address of the OTLP/gRPC receiver.
    #[arg(long, default_value = "127.0.0.1:4317")]
    otlp_grpc: String,
    /// End when the training has ended, instead of serving until Ctrl-C.
    #[arg(long)]
    exit_after_training: bool,
}

/// Builds, serves, trains, and goes on serving until Ctrl-C.
///
/// # Errors
/// A step failed; the message says which and what to do.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ui::build()?;
    build_programs(options.python)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
        .context("cannot listen for Ctrl-C")?;

    let listen = [
        ("--listen-ui", &options.ui),
        ("--listen-otlp-http", &options.otlp_http),
        ("--listen-otlp-grpc", &options.otlp_grpc),
    ];
    let flags = listen
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).clone()]);
    let mut server = Server::start(
        &workspace::binary("debug", "lumitrace"),
        &workspace::root().join(&options.data_dir),
        &flags.collect::<Vec<_>>(),
    )
    .context(
        "the server did not start; if a port is taken, choose others with --ui, --otlp-http and \
         --otlp-grpc",
    )?;
    let known_runs = run_ids(&server);
    let mut training = train(options, &server)?;
    announce_run(&server, &known_runs, &mut training, &interrupted)?;
    let status = wait_for(&mut training, &mut server, &interrupted)?;
    if options.exit_after_training {
        ensure!(
            status.is_some_and(|status| status.success()),
            "the training did not succeed"
        );
        return Ok(());
    }
    if status.is_some() {
        process::say(&format!("\nServing {} until Ctrl-C.", server.ui));
    }
    while !interrupted.load(Ordering::SeqCst) && server.is_running() {
        std::thread::sleep(Duration::from_millis(100));
    }
    // The terminal told the server, too: a second signal would make it quit at once.
    server.has_ended_within(STOP_TIMEOUT);
    Ok(())
}

fn build_programs(with_python: bool) -> anyhow::Result<()> {
    let mut build = process::cargo();
    build.args(["build", "--package", "lumitrace-server"]);
    if with_python {
        process::run(&mut build)?;
        return python::develop(&python::Options::default()).map(|_| ());
    }
    process::run(build.args(["--package", "fx-trainer"]))
}

fn train(options: &Options, server: &Server) -> anyhow::Result<Child> {
    let program = if options.multitask {
        "run_training_multitask"
    } else {
        "run_training"
    };
    let mut command = if options.python {
        let mut python = python::environment()?.python();
        let folder = workspace::root().join("examples/fx-trainer-python");
        python
            .current_dir(&folder)
            .arg(format!("train/{program}.py"));
        python
    } else {
        process::command(workspace::binary("debug", program))
    };
    let data = workspace::cache().join("fx-data");
    let checkpoints = workspace::cache().join("fx-checkpoints");
    command
        .args(["--pairs", "gbpusd", "--batch-size", "32", "--epochs"])
        .arg(options.epochs.to_string())
        .arg("--input-root")
        .arg(data)
        .arg("--checkpoint-path")
        .arg(checkpoints.join(format!("{program}-{{pair}}")))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &server.otlp_http);
    command.spawn().context("cannot start the trainer")
}

fn run_ids(server: &Server) -> Vec<String> {
    let runs = server.get("/runs").unwrap_or_default();
    let runs = runs["runs"].as_array().cloned().unwrap_or_default();
    runs.iter()
        .filter_map(|run| Some(run["run_id"].as_str()?.to_owned()))
        .collect()
}

/// Waits until the server knows the new run, and prints where to look.
fn announce_run(
    server: &Server,
    known_runs: &[String],
    training: &mut Child,
    interrupted: &AtomicBool,
) -> anyhow::Result<()> {
    while !interrupted.load(Ordering::SeqCst) {
        if let Some(run) = run_ids(server)
            .into_iter()
            .find(|run| !known_runs.contains(run))
        {
            process::say(&format!(
                "\n  The training, live:  {}/runs/{run}\n  All traces:          {}\n",
                server.ui, server.ui
            ));
            return Ok(());
        }
        if training
            .try_wait()
            .context("cannot wait for the trainer")?
            .is_some()
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits for the trainer; returns how it ended, unless the server or the user ended first.
fn wait_for(
    training: &mut Child,
    server: &mut Server,
    interrupted: &AtomicBool,
) -> anyhow::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = training.try_wait().context("cannot wait for the trainer")? {
            process::say(&format!("The training ended ({status})."));
            return Ok(Some(status));
        }
        if interrupted.load(Ordering::SeqCst) || !server.is_running() {
            // Ctrl-C reaches the trainer too, which sends its last spans and ends. A trainer whose
            // server died goes on by design, but nobody would see it.
            if !interrupted.load(Ordering::SeqCst) {
                let _ = training.kill();
            }
            training.wait().context("cannot wait for the trainer")?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
