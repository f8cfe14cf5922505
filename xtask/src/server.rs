//! A server started for a demo, a test or a benchmark, and stopped by its own process id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{chromium, process};

/// How long a server may take to say that it is ready; opening a large store is part of it.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to end after SIGTERM before it is killed.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Origin of the UI and the query APIs, such as `http://127.0.0.1:16686`.
    pub(crate) ui: String,
    /// Origin of the OTLP/HTTP receiver.
    pub(crate) otlp_http: String,
    /// Origin of the OTLP/gRPC receiver.
    pub(crate) otlp_grpc: String,
}

impl Server {
    /// Starts `binary serve` on a data folder and waits until it accepts data.
    ///
    /// # Errors
    /// It could not be started, or ended before it was ready; its own message is on the terminal.
    pub(crate) fn start(binary: &Path, data_dir: &Path, extra: &[String]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        let ready_file = ready_file();
        // A file of an earlier run would be taken for this one's.
        let _ = std::fs::remove_file(&ready_file);
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        command.arg("--ready-file").arg(&ready_file).args(extra);
        // Ours, and no setting of the server, which refuses names that it does not know.
        command.env_remove(chromium::VARIABLE);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the server")?;
        let mut server = Self {
            child,
            ui: String::new(),
            otlp_http: String::new(),
            otlp_grpc: String::new(),
        };
        let ready = server.wait_until_ready(&ready_file)?;
        let _ = std::fs::remove_file(&ready_file);
        let origin = |key: &str| -> anyhow::Result<String> {
            let address = ready[key]
                .as_str()
                .with_context(|| format!("no {key} in {ready}"))?;
            Ok(format!("http://{address}"))
        };
        (server.ui, server.otlp_http) = (origin("ui")?, origin("otlp_http")?);
        server.otlp_grpc = origin("otlp_grpc")?;
        Ok(server)
    }

    /// Starts a server on free ports of the loopback interface.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn start_on_free_ports(binary: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let free = ["--listen-ui", "--listen-otlp-http", "--listen-otlp-grpc"]
            .into_iter()
            .flat_map(|flag| [flag.to_owned(), "127.0.0.1:0".to_owned()]);
        Self::start(binary, data_dir, &free.collect::<Vec<_>>())
    }

    fn wait_until_ready(&mut self, ready_file: &Path) -> anyhow::Result<Value> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            // Written whole or not at all.
            if let Ok(text) = std::fs::read(ready_file) {
                return serde_json::from_slice(&text).context("the ready file is not JSON");
            }
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot wait for the server")?
            {
                bail!("the server ended before it was ready ({status}); its reason is above");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!(
            "the server was not ready within {} s",
            START_TIMEOUT.as_secs()
        )
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for a server that was told to end, as Ctrl-C in a terminal tells every program.
    pub(crate) fn has_ended_within(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// A JSON answer of the UI's API.
    ///
    /// # Errors
    /// No connection, an error status, or no JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/lumitrace/v1{path}", self.ui);
        let mut response = ureq::get(&url)
            .call()
            .with_context(|| format!("GET {url}"))?;
        response
            .body_mut()
            .read_json()
            .with_context(|| format!("GET {url}: not JSON"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        let asked = process::succeeds(Command::new("kill").arg(self.child.id().to_string()));
        if asked && self.has_ended_within(STOP_TIMEOUT) {
            return;
        }
        // Nothing is left to do for a process that does not want to end but to end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready_file() -> PathBuf {
    std::env::temp_dir().join(format!("lumitrace-ready-{}.json", std::process::id()))
}
