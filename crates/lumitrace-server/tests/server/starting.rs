//! Before the store is open.

use super::harness::{serve, until};
use super::spans::{PROTOBUF, grpc_client, post, protobuf, request, span};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use tonic::Code;
use tonic_types::StatusExt;

/// A server that cannot open its store before it is let: its manifest is a pipe, from which it reads
/// until somebody has written it.
struct HeldServer {
    child: Child,
    /// The manifest, as long as the pipe has its name.
    manifest: PathBuf,
    pipe: PathBuf,
    log: PathBuf,
    /// `host:port` of the web interface.
    ui: String,
}

impl HeldServer {
    async fn start(dir: &Path) -> Self {
        let (data, log) = (dir.join("data"), dir.join("log.txt"));
        let mut first = serve(&data, &log).spawn().unwrap();
        let pipe = data.join("MANIFEST");
        until("the first start to be done", async || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.contains("  data  ").then_some(())
        })
        .await;
        first.kill().unwrap();
        first.wait().unwrap();

        let manifest = dir.join("manifest");
        std::fs::rename(&pipe, &manifest).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let child = serve(&data, &log).spawn().unwrap();
        let ui = until("the ports to be open", async || {
            let log = std::fs::read_to_string(&log).unwrap();
            let (_, rest) = log.split_once("http://")?;
            Some(rest.split_once("/readyz")?.0.to_owned())
        })
        .await;
        Self {
            child,
            manifest,
            pipe,
            log,
            ui,
        }
    }

    /// The port of the name that the log, once it is ready, says after this title.
    fn address(&self, title: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let line = log.lines().find(|line| line.contains(title)).unwrap();
        line.rsplit('/').next().unwrap().to_owned()
    }

    /// Lets it read its manifest, which has its name again by then.
    fn let_go(&self) {
        let manifest = std::fs::read(&self.manifest).unwrap();
        // Waits until the other end is open: after that the name does not matter to the server.
        let mut pipe = File::options().write(true).open(&self.pipe).unwrap();
        std::fs::rename(&self.manifest, &self.pipe).unwrap();
        std::io::Write::write_all(&mut pipe, &manifest).unwrap();
    }
}

impl Drop for HeldServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn status_and_text(client: &reqwest::Client, url: &str) -> (u16, String) {
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_server_that_opens_its_store_lives_but_is_not_ready_and_goes_on_when_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = HeldServer::start(dir.path()).await;
    let origin = format!("http://{}", server.ui);
    // One connection from here on.
    let client = reqwest::Client::new();
    let ask = async |path: &str| status_and_text(&client, &format!("{origin}{path}")).await;

    assert_eq!(ask("/healthz").await, (200, "ok\n".to_owned()));
    let (status, text) = ask("/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("starting"), "{text}");
    let (status, text) = ask("/api/lumitrace/v1/status").await;
    assert_eq!(status, 503);
    let error: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["error"]["code"], "starting");

    let body = || protobuf("web", vec![span(1, 1, None, "early")]);
    let refused = post(&format!("{origin}/v1/traces"), PROTOBUF, body()).await;
    assert_eq!(refused.status, 503);
    assert!(!refused.header("retry-after").is_empty());
    let mut grpc = grpc_client(&server.ui).await;
    let spans = || request("web", vec![span(1, 1, None, "early")]);
    let refused = grpc.export(spans()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_details_retry_info().is_some());

    server.let_go();
    until("the store to be open", async || {
        (ask("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(ask("/api/lumitrace/v1/status").await.0, 200);
    let metrics = ask("/metrics").await.1;
    let counted = "lumitrace_ingest_refused_requests_total{reason=\"starting\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("lumitrace_store_healthy 1"), "{metrics}");
    until("the log to say that it is ready", async || {
        let log = std::fs::read_to_string(&server.log).unwrap();
        log.contains("  data  ").then_some(())
    })
    .await;
    let url = format!("http://{}/v1/traces", server.address("OTLP/HTTP"));
    assert_eq!(post(&url, PROTOBUF, body()).await.status, 200);
}

#[tokio::test]
async fn a_signal_ends_a_server_that_opens_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = HeldServer::start(dir.path()).await;
    let pid = server.child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let status = until("the server to end", async || {
        server.child.try_wait().unwrap()
    })
    .await;
    assert!(status.success(), "{status}");
}
