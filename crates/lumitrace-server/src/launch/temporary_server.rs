//! A server for one program: it receives what the program sends, shows it after the program's end until
//! somebody ends it, and leaves nothing behind.

use super::environment::Program;
use super::{cannot_start, prepared, say};
use crate::cli::Signals;
use crate::config::{Config, Log, LogFormat};
use crate::serve::Server;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use tokio::process::Child;

/// Runs the program beside a server of its own.
pub(super) fn run(mut program: Program) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new()
        .prefix("lumitrace-run-")
        .tempdir()
        .context("cannot make a folder for the traces")?;
    let mut config = Config {
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    for address in [
        &mut config.listen.otlp_grpc,
        &mut config.listen.otlp_http,
        &mut config.listen.ui,
    ] {
        *address = "127.0.0.1:0".parse().map_err(anyhow::Error::msg)?;
    }
    crate::cli::start_log(&Log {
        // The program has the terminal.
        level: "warn".to_owned(),
        format: LogFormat::Text,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let server = Server::start(&config).await?;
        let ui = format!("http://{}", server.endpoints().ui);
        program.endpoint = Some(format!("http://{}", server.endpoints().otlp_http));
        let variables = program.variables(|name| std::env::var_os(name));
        say(&format!(
            "tracing {}; look at {ui}",
            variables.service_name()
        ));
        let mut command = tokio::process::Command::from(prepared(&program, &variables));
        let code = match command.spawn() {
            Ok(child) => {
                let (status, was_asked_to_end) = wait(child, &mut signals).await?;
                if !was_asked_to_end {
                    say(&format!(
                        "the program has ended ({status}); its traces are at {ui} until Ctrl-C"
                    ));
                    signals.next().await;
                }
                code_of(status)
            }
            Err(error) => cannot_start(&program, &error),
        };
        server.shutdown().await;
        anyhow::Ok(code)
    });
    runtime.shutdown_background();
    code
}

/// Waits for the program, and hands signals on to it. Returns also whether it was asked to end from
/// outside, by SIGTERM.
async fn wait(mut child: Child, signals: &mut Signals) -> anyhow::Result<(ExitStatus, bool)> {
    // Ctrl-C in a terminal reaches the program by itself.
    let interrupt_reaches_it = std::io::stdin().is_terminal();
    let mut was_asked_to_end = false;
    loop {
        tokio::select! {
            status = child.wait() => {
                return Ok((status.context("cannot wait for the program")?, was_asked_to_end));
            }
            signal = signals.next_signal() => {
                was_asked_to_end |= signal == Signal::TERM;
                let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
                if let Some(pid) = pid
                    && !(signal == Signal::INT && interrupt_reaches_it)
                {
                    // It may have ended in this moment.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

/// The exit code by which shells tell how a program ended.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}
