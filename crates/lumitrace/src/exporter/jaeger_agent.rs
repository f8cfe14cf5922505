//! Jaeger's agent over UDP.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use lumitrace_wire::jaeger::{AgentPacket, encode_agent_packets};

use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// Where an agent listens, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JaegerAgentSettings {
    /// The agent's host; `localhost` by default.
    pub host: String,
    /// Its port for the compact form; 6831 by default.
    pub port: u16,
    /// How large a datagram may be: 65,000 bytes by default, which agents take at most. Some systems
    /// send no more than 9,216.
    pub max_packet_bytes: usize,
}

impl JaegerAgentSettings {
    /// An agent at this host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            max_packet_bytes: 65_000,
        }
    }
}

impl Default for JaegerAgentSettings {
    fn default() -> Self {
        Self::new("localhost", 6831)
    }
}

/// Sends spans in Thrift's compact form to a Jaeger agent over UDP.
///
/// A span larger than a datagram is refused and counted. An agent answers nothing: what arrived is
/// not known, only that nobody listens, where the system says so. Then spans wait as for any receiver
/// that is not there; those of the last datagrams before that was known are lost.
///
/// ```no_run
/// use lumitrace::exporter::{JaegerAgentExporter, JaegerAgentSettings};
/// let _tracing = lumitrace::setup_tracing("my-service")
///     .exporter(JaegerAgentExporter::new(JaegerAgentSettings::default()))
///     .install();
/// ```
pub struct JaegerAgentExporter {
    settings: JaegerAgentSettings,
    /// Made at the first export: it belongs to the process that opened it.
    socket: Option<UdpSocket>,
    /// Whether nobody listened, as far as is known.
    is_unheard: bool,
}

/// How long the first datagram to an agent that was not there waits for a sign that it still is not.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(100);

impl JaegerAgentExporter {
    /// An exporter with these settings; looks for the agent when there is something to send.
    pub fn new(settings: JaegerAgentSettings) -> Self {
        Self {
            settings,
            socket: None,
            is_unheard: false,
        }
    }

    fn send_all(
        &mut self,
        packets: &[AgentPacket],
        deadline: Instant,
        losses: &mut Losses,
    ) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(&self.settings)?,
        };
        let socket = self.socket.insert(socket);
        self.is_unheard |= is_refused(socket);
        for (index, packet) in packets.iter().enumerate() {
            let sent = send(socket, &packet.bytes, deadline);
            if sent.is_ok() && index == 0 && self.is_unheard {
                self.is_unheard = is_refused_within(socket, REFUSAL_TIMEOUT);
            } else {
                self.is_unheard = is_refused(socket);
            }
            match sent {
                Ok(()) if !self.is_unheard => {}
                // Nothing has arrived yet, so the whole batch can be sent again.
                Ok(()) if index == 0 => return Err(ErrorKind::ConnectionRefused.into()),
                Ok(()) => losses.add(packet.span_count, NOBODY_LISTENS),
                Err(error) if index == 0 && may_pass(&error) => return Err(error),
                Err(error) => losses.add(packet.span_count, &error.to_string()),
            }
        }
        Ok(())
    }

    fn describe(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::ConnectionRefused => NOBODY_LISTENS.to_owned(),
            _ => error.to_string(),
        }
    }
}

const NOBODY_LISTENS: &str = "nobody listens on that UDP port";

impl Clone for JaegerAgentExporter {
    /// A fresh exporter with the same settings and no socket.
    fn clone(&self) -> Self {
        Self::new(self.settings.clone())
    }
}

impl SpanExporter for JaegerAgentExporter {
    fn name(&self) -> String {
        let JaegerAgentSettings { host, port, .. } = &self.settings;
        format!("Jaeger exporter to UDP {host}:{port}")
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let deadline = Instant::now() + timeout;
        let max_packet_bytes = self.settings.max_packet_bytes;
        let encoded =
            encode_agent_packets(batch.resource(), batch.scoped_spans(), max_packet_bytes);
        let mut losses = Losses::default();
        if encoded.too_large_spans > 0 {
            let reason = format!("larger than a datagram of {max_packet_bytes} bytes");
            losses.add(encoded.too_large_spans, &reason);
        }
        match self.send_all(&encoded.packets, deadline, &mut losses) {
            Ok(()) => Ok(losses.receipt()),
            Err(error) => Err(ExportError::Retryable {
                reason: self.describe(&error),
                retry_after: None,
            }),
        }
    }

    fn shut_down(&mut self) {
        self.socket = None;
    }
}

/// Spans of a batch that are lost, and the first reason.
#[derive(Debug, Default)]
struct Losses {
    spans: u64,
    reason: String,
}

impl Losses {
    fn add(&mut self, spans: u64, reason: &str) {
        self.spans += spans;
        if self.reason.is_empty() {
            reason.clone_into(&mut self.reason);
        }
    }

    fn receipt(self) -> ExportReceipt {
        ExportReceipt {
            refused_spans: self.spans,
            message: self.reason,
            takes_announcements: false,
        }
    }
}

/// A socket that sends to the agent, so that the system tells when nobody listens there.
fn connect(settings: &JaegerAgentSettings) -> io::Result<UdpSocket> {
    let addresses = (&*settings.host, settings.port).to_socket_addrs()?;
    // Agents that listen on `localhost` mean its IPv4 address mostly.
    let address = addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| {
        let problem = format!("{} has no address", settings.host);
        io::Error::new(ErrorKind::NotFound, problem)
    })?;
    let own = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    Ok(socket)
}

fn send(socket: &UdpSocket, packet: &[u8], deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    // The system takes a datagram at once, unless its buffer is full.
    socket.set_write_timeout(Some(left.max(Duration::from_millis(1))))?;
    let sent = match socket.send(packet) {
        // The answer to an earlier datagram: this one was not sent.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(packet),
        sent => sent,
    };
    sent.map(drop)
}

/// Whether the system has been told that nobody listens. On one machine that is known at once.
fn is_refused(socket: &UdpSocket) -> bool {
    let error = socket.take_error().ok().flatten();
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The same, with so much time for the news to come from another machine.
fn is_refused_within(socket: &UdpSocket, timeout: Duration) -> bool {
    if is_refused(socket) {
        return true;
    }
    // Nothing is ever received but the news.
    let received = socket
        .set_read_timeout(Some(timeout))
        .and_then(|()| socket.recv(&mut [0]));
    received.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether the same datagram may be sent later.
fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c22_of_two_addresses_the_older_kind_is_used() {
        let socket = connect(&JaegerAgentSettings::default()).unwrap();
        assert!(socket.peer_addr().unwrap().is_ipv4());
    }

    #[test]
    fn c22_the_first_reason_for_losses_is_told_with_their_number() {
        let mut losses = Losses::default();
        losses.add(2, "too large");
        losses.add(3, "gone");
        let receipt = losses.receipt();
        assert_eq!((receipt.refused_spans, &*receipt.message), (5, "too large"));
    }
}
