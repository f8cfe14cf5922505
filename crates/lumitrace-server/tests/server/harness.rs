//! Starts the binary, finds its ports, and ends it again by its own process id.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// `host:port` of OTLP/gRPC.
    pub(crate) otlp_grpc: String,
    /// `host:port` of OTLP/HTTP.
    pub(crate) otlp_http: String,
    /// `host:port` of the web interface and the query APIs.
    pub(crate) ui: String,
}

/// The binary with these arguments and no setting from this environment.
pub(crate) fn lumitrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumitrace"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    lumitrace(arguments).output().unwrap()
}

/// A server on free ports and the folder `data`, which writes its log to the file `log`.
pub(crate) fn serve(data: &Path, log: &Path) -> Command {
    let mut command = lumitrace(&["serve"]);
    for port in ["--listen-otlp-grpc", "--listen-otlp-http", "--listen-ui"] {
        command.args([port, "127.0.0.1:0"]);
    }
    let stderr = std::fs::File::create(log).unwrap();
    command.arg("--data-dir").arg(data);
    command.stdout(Stdio::null()).stderr(stderr);
    command
}

impl Server {
    /// Starts a server on the data folder `data` below `dir`, and waits until it is ready.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    /// The same, with further arguments.
    pub(crate) async fn start_with(dir: &Path, arguments: &[&str]) -> Self {
        Self::try_start(dir, arguments)
            .await
            .unwrap_or_else(|log| panic!("no start:\n{log}"))
    }

    /// The same; the log where it does not start.
    pub(crate) async fn try_start(dir: &Path, arguments: &[&str]) -> Result<Self, String> {
        let files = tempfile::Builder::new()
            .prefix("start")
            .tempdir_in(dir)
            .unwrap()
            .keep();
        Self::try_start_at(&dir.join("data"), &files, arguments).await
    }

    /// Starts a server on the folder `data`; its ready file and log go to the folder `files`.
    pub(crate) async fn try_start_at(
        data: &Path,
        files: &Path,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let (ready, log) = (files.join("ready.json"), files.join("log.txt"));
        let mut command = serve(data, &log);
        command.arg("--ready-file").arg(&ready).args(arguments);
        let mut child = command.spawn().unwrap();
        let text = || std::fs::read_to_string(&log).unwrap();
        let addresses = until("the server to be ready", async || {
            match std::fs::read(&ready) {
                // The file is written whole or not at all.
                Ok(bytes) => Some(Ok(serde_json::from_slice::<Value>(&bytes).unwrap())),
                Err(_) if child.try_wait().unwrap().is_some() => Some(Err(text())),
                Err(_) => None,
            }
        })
        .await?;
        let address = |port: &str| addresses[port].as_str().unwrap().to_owned();
        assert_eq!(addresses["pid"], child.id());
        Ok(Self {
            otlp_grpc: address("otlp_grpc"),
            otlp_http: address("otlp_http"),
            ui: address("ui"),
            child,
            log,
        })
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks it to end, as Ctrl-C or a supervisor does.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the server to end", async || self.child.try_wait().unwrap()).await
    }

    /// The two ports that take OTLP.
    pub(crate) fn otlp_ports(&self) -> [&str; 2] {
        [&self.otlp_grpc, &self.otlp_http]
    }

    /// The answer to a GET on the web interface's port: its status and JSON.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = reqwest::get(format!("http://{}{path}", self.ui))
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// The value of a metric: the line that begins with `name`, labels included.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        let lines = text
            .as_str()
            .unwrap()
            .lines()
            .filter_map(|line| line.rsplit_once(' '));
        let found = lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.parse::<f64>().unwrap());
        found.sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}

/// Waits until `condition` gives a value.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
