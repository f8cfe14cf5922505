//! How spans are gathered before they are sent.

use std::time::Duration;

/// Settings of the queue and the worker thread. The defaults of the first three are
/// OpenTelemetry's for its batch span processor (`OTEL_BSP_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchSettings {
    /// How long a span waits at most before it is sent. `None`, the default, is 5 seconds, and
    /// 1 second towards a Lumitrace server, whose viewers watch programs while they run.
    pub schedule_delay: Option<Duration>,
    /// Spans sent together; as soon as so many wait they are sent.
    pub max_batch_spans: usize,
    /// Spans that wait at most; further ones are dropped and counted.
    pub max_queue_spans: usize,
    /// Bytes that waiting spans occupy at most, by estimate; further ones are dropped and counted.
    pub max_queue_bytes: usize,
    /// Bytes sent together at most, by estimate, unless a single span is larger: many receivers
    /// take no more than 4 MiB.
    pub max_batch_bytes: usize,
    /// How long an attempt to export may take at most.
    pub export_timeout: Duration,
    /// Age from which an open span is announced to servers that show spans in progress, and the
    /// least time between two announcements of it.
    pub announce_after: Duration,
    /// Time after which an open span is announced again although nothing changed, as a sign of
    /// life.
    pub announce_every: Duration,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            schedule_delay: None,
            max_batch_spans: 512,
            max_queue_spans: 2048,
            max_queue_bytes: 32 << 20,
            max_batch_bytes: 3 << 20,
            export_timeout: Duration::from_secs(30),
            announce_after: Duration::from_secs(2),
            announce_every: Duration::from_secs(10),
        }
    }
}

impl BatchSettings {
    /// The delay in force, towards a server that shows spans in progress or another.
    pub(crate) fn delay(&self, is_watched_live: bool) -> Duration {
        let default = Duration::from_secs(if is_watched_live { 1 } else { 5 });
        self.schedule_delay.unwrap_or(default)
    }
}
