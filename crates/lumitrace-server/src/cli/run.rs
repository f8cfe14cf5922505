//! What the subcommands do.

use crate::config::{Config, Log, LogFormat};
use crate::doctor;
use crate::generate;
use crate::serve::{Server, write_ready_file};
use crate::stop::Stop;
use crate::store_tools::{self, Outcome};
use anyhow::Context;
use clap::ArgMatches;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// `lumitrace serve`: runs until Ctrl-C or SIGTERM.
pub(super) fn serve(config: &Config, ready_file: Option<&Path>) -> anyhow::Result<()> {
    start_log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let server = tokio::select! {
            server = Server::start(config) => server?,
            () = signals.next() => return anyhow::Ok(()),
        };
        if let Some(path) = ready_file {
            write_ready_file(path, server.endpoints())?;
        }
        signals.next().await;
        tracing::info!("ending; a second Ctrl-C ends at once");
        tokio::select! {
            () = server.shutdown() => {}
            () = signals.next() => tracing::warn!("ended without waiting"),
        }
        Ok(())
    })?;
    // Whatever still runs is not worth waiting for: all that was acknowledged is in the log.
    runtime.shutdown_background();
    Ok(())
}

/// `lumitrace config show`.
pub(super) fn show(config: &Config) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(config.to_yaml()?.as_bytes())?)
}

/// `lumitrace doctor`.
pub(super) fn doctor(config: &Config, python: &str) -> anyhow::Result<()> {
    if doctor::run(config, python)? {
        return Ok(());
    }
    anyhow::bail!("there are problems, see above")
}

/// `lumitrace generate`: runs until everything is sent, or until Ctrl-C.
pub(super) fn generate(arguments: &generate::Arguments) -> anyhow::Result<()> {
    let (stop, _runtime) = stop_at_interrupt()?;
    let report = generate::run(arguments, &stop)?;
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string(&report)?)
    } else {
        report.to_string()
    };
    // Where the traffic itself goes to standard output, nothing else may.
    if arguments.to == "-" {
        std::io::stderr().write_all(text.as_bytes())?;
    } else {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    anyhow::ensure!(
        report.is_complete(),
        "{} spans were lost and {} rejected: {}",
        report.lost_spans,
        report.rejected_spans,
        report.reason.as_deref().unwrap_or("no reason was given")
    );
    Ok(())
}

/// `lumitrace store`: a task on the folder `dir`.
pub(super) fn store_tool(name: &str, matches: &ArgMatches, dir: &Path) -> anyhow::Result<Outcome> {
    let log = Log {
        level: "warn".to_owned(),
        format: LogFormat::Text,
    };
    start_log(&log)?;
    let (stop, _runtime) = stop_at_interrupt()?;
    store_tools::run(name, matches, dir, &stop)
}

/// A wish to end that the first Ctrl-C makes known; the second one ends at once. It is listened for
/// while the runtime lives.
fn stop_at_interrupt() -> anyhow::Result<(Arc<Stop>, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let stop = Arc::new(Stop::default());
    let wish = Arc::clone(&stop);
    let mut signals = {
        let _in_runtime = runtime.enter();
        Signals::listen()?
    };
    runtime.spawn(async move {
        signals.next().await;
        wish.request();
        signals.next().await;
        // The shell's status for an interrupt.
        std::process::exit(130);
    });
    Ok((stop, runtime))
}

/// `lumitrace version`.
pub(super) fn version() -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "lumitrace {}",
        env!("CARGO_PKG_VERSION")
    )?)
}

/// What ends the program from outside.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next Ctrl-C or SIGTERM.
    pub(crate) async fn next(&mut self) {
        self.next_signal().await;
    }

    /// Waits for the next one, and says which it is.
    pub(crate) async fn next_signal(&mut self) -> rustix::process::Signal {
        tokio::select! {
            _ = self.interrupt.recv() => rustix::process::Signal::INT,
            _ = self.terminate.recv() => rustix::process::Signal::TERM,
        }
    }
}

/// Starts the log on the standard error.
pub(crate) fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level cannot be {:?}", log.level))?;
    // https://no-color.org, and a file or a pipe wants none either.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
