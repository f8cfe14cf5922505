//! What the tests of servers and clients share: a provider that exports into memory, and a real server.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use lumitrace::TracerProvider;
use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A provider that exports into memory, and the memory.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) provider: TracerProvider,
    exporter: InMemoryExporter,
}

impl Recording {
    pub(crate) fn start() -> Self {
        let exporter = InMemoryExporter::default();
        let provider = TracerProvider::builder().exporter(exporter.clone()).build();
        Self { provider, exporter }
    }

    pub(crate) fn tracer(&self) -> lumitrace::Tracer {
        self.provider.tracer("test")
    }

    /// The spans that have ended so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.provider.force_flush(PATIENCE).unwrap();
        let finished = self.exporter.finished_spans().into_iter();
        finished.map(|finished| finished.span).collect()
    }

    /// The span with this name, once it has ended: a server ends it when its client has its answer already.
    pub(crate) async fn ended(&self, name: &str) -> Span {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(span) = self.spans().into_iter().find(|span| span.name == name) {
                return span;
            }
            assert!(tokio::time::Instant::now() < deadline, "no span {name}");
            tokio::task::yield_now().await;
        }
    }
}

/// Serves `router` on a port of its own until the runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Sends a request with these further header lines, and returns the whole answer.
pub(crate) async fn send(address: SocketAddr, request: &str, headers: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let text =
        format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    connection.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
