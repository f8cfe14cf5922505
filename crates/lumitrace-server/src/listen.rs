//! Opens ports and serves the connections that come in, HTTP/1.1 and HTTP/2 alike.

mod port_owner;

use crate::config::Address;
use crate::metrics::Metrics;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// What every HTTP/2 client begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause before looking again at a preface that came in part.
const PREFACE_PAUSE: Duration = Duration::from_millis(20);
/// How often a silent HTTP/2 client is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Pause after a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One of the server's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its name in metrics, and below `listen.` in the settings.
    pub name: &'static str,
    /// What it serves, for people.
    pub title: &'static str,
}

/// OTLP/gRPC.
pub const OTLP_GRPC: Port = Port {
    name: "otlp_grpc",
    title: "OTLP/gRPC",
};
/// OTLP/HTTP.
pub const OTLP_HTTP: Port = Port {
    name: "otlp_http",
    title: "OTLP/HTTP",
};
/// Web interface and query APIs.
pub const UI: Port = Port {
    name: "ui",
    title: "the web interface",
};

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error(
        "cannot listen on {address} for {title}: the port is taken{}. Stop that program, or choose \
         another port with --listen-{flag} HOST:PORT, LUMITRACE_LISTEN_{env} or listen.{name} in \
         the configuration file (port 0 takes any free one)",
        owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default(),
        title = port.title, name = port.name, flag = port.name.replace('_', "-"),
        env = port.name.to_uppercase()
    )]
    Taken {
        /// What the port is for.
        port: Port,
        /// Where it should have been.
        address: Address,
        /// The program that has it, where that can be found out.
        owner: Option<String>,
    },
    /// The address is not this machine's, or the port is privileged.
    #[error("cannot listen on {address} for {}: {source} (listen.{})", port.title, port.name)]
    Other {
        /// What the port is for.
        port: Port,
        /// Where it should have been.
        address: Address,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The program that listens on TCP `port`, for people, where that can be found out.
pub(crate) fn owner_of(port: u16) -> Option<String> {
    port_owner::find(port).map(|owner| owner.to_string())
}

/// Opens `port` at `address`.
///
/// # Errors
/// See [`BindError`].
pub async fn bind(port: Port, address: &Address) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind((address.host.as_str(), address.port)).await;
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let owner = owner_of(address.port);
            BindError::Taken {
                port,
                address: address.clone(),
                owner,
            }
        }
        _ => BindError::Other {
            port,
            address: address.clone(),
            source,
        },
    })
}

/// The connections of all ports.
pub struct Connections {
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

impl Connections {
    /// Connections that are accepted until `closing` is cancelled.
    pub fn new(metrics: Arc<Metrics>, closing: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            metrics,
            closing,
        }
    }

    /// Serves `router` to everyone who connects to `listener`, on tasks of its own.
    pub fn serve(&self, port: Port, listener: TcpListener, router: Router) {
        let (tasks, metrics) = (self.tasks.clone(), Arc::clone(&self.metrics));
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = closing.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => {
                        let metrics = Arc::clone(&metrics);
                        let connection = serve_connection(stream, router.clone(), closing.clone());
                        tasks.spawn(async move {
                            let _open = metrics.connection(port.name);
                            if let Err(error) = connection.await {
                                metrics.connection_error(port.name);
                                tracing::debug!(port = port.name, %error, "connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(port = port.name, %error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    /// Waits until every request under way is answered, at most for `timeout`; tells whether it
    /// was enough.
    pub async fn drain(self, timeout: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(timeout, self.tasks.wait())
            .await
            .is_ok()
    }
}

/// Waits until the client has sent enough to tell HTTP/1.1 from HTTP/2.
///
/// hyper's own timeouts begin only after that: without this a client that connects and says
/// nothing would hold its file descriptor for ever.
async fn protocol_begun(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    let begin = async {
        let mut bytes = [0; HTTP2_PREFACE.len()];
        loop {
            let length = stream.peek(&mut bytes).await?;
            let is_open = length > 0 && length < HTTP2_PREFACE.len();
            if !(is_open && HTTP2_PREFACE.starts_with(&bytes[..length])) {
                return Ok(());
            }
            // Peeking again returns at once, with the same bytes. Hardly any client sends the
            // preface in parts.
            tokio::time::sleep(PREFACE_PAUSE).await;
        }
    };
    tokio::time::timeout(timeout, begin)
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Serves one connection. Once `closing` is cancelled it answers what is under way, and ends.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
    closing: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Answers are small and someone waits for each.
    stream.set_nodelay(true)?;
    tokio::select! {
        begun = protocol_begun(&stream, HEADER_TIMEOUT) => begun?,
        () = closing.cancelled() => return Ok(()),
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn begun(parts: &[&[u8]], timeout: Duration) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, _) = listener.accept().await?;
        let send = async {
            for part in parts {
                client.write_all(part).await?;
            }
            // Stays open, as a client does that has nothing to say.
            Ok(client)
        };
        let (begun, client) = tokio::join!(protocol_begun(&stream, timeout), send);
        client.and(begun)
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up() {
        let short = Duration::from_millis(30);
        let silent: [&[&[u8]]; 3] = [&[], &[b"P"], &[&HTTP2_PREFACE[..20]]];
        for parts in silent {
            let error = begun(parts, short).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn either_protocol_begins_a_connection() {
        let long = Duration::from_secs(20);
        let requests: [&[&[u8]]; 4] = [
            &[b"GET / HTTP/1.1\r\n"],
            &[b"PO"],
            &[HTTP2_PREFACE],
            &[&HTTP2_PREFACE[..5], &HTTP2_PREFACE[5..]],
        ];
        for parts in requests {
            begun(parts, long).await.unwrap();
        }
    }
}
