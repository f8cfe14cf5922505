//! What is stored of logs: a batch as it comes in, and a log record with all that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{LogRecord, ResourceLogs};
use lumitrace_wire::otlp::protobuf::{self, LogsIndex};
use lumitrace_wire::{DecodeError, DecodeLimits};

use super::stored::StoredLogs;
use crate::batch::{attributes_bytes, value_bytes};
use crate::origins::Origins;
use crate::signal;
use crate::stored::Origin;

/// The log records of one request, as the bytes in which the log and the memtable keep them.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use lumitrace_store::LogBatch;
///
/// # let resource_logs = example::logs();
/// let batch = LogBatch::from_resource_logs(&resource_logs)?;
/// assert_eq!(batch.record_count(), 1);
/// assert!(batch.memory_bytes() > batch.payload_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogBatch {
    pub(super) payload: Bytes,
    pub(super) index: LogsIndex,
}

impl LogBatch {
    /// The batch of a request that came as an OTLP `ExportLogsServiceRequest` in protobuf. Checks
    /// all of it, and builds nothing.
    ///
    /// ```
    /// use lumitrace_store::LogBatch;
    /// let batch = LogBatch::from_payload(Default::default(), &Default::default())?;
    /// assert_eq!(batch.record_count(), 0);
    /// # Ok::<(), lumitrace_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// See [`protobuf::index_logs`].
    pub fn from_payload(payload: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let limits = DecodeLimits {
            // What cannot be read back must not be logged.
            max_depth: limits.max_depth.min(DecodeLimits::own_data().max_depth),
            ..*limits
        };
        let index = protobuf::index_logs(&payload, &limits)?;
        Ok(Self { payload, index })
    }

    /// The batch of log records that came in another form; encodes them.
    ///
    /// ```
    /// use lumitrace_model::{LogRecord, ResourceLogs, ScopeLogs, Value};
    /// use lumitrace_store::LogBatch;
    ///
    /// let log = LogRecord { body: Value::from("out of memory"), ..Default::default() };
    /// let scope_logs = vec![ScopeLogs { log_records: vec![log], ..Default::default() }];
    /// let batch = LogBatch::from_resource_logs(&[ResourceLogs { scope_logs, ..Default::default() }])?;
    /// assert_eq!(batch.record_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// They take 4 GiB or more, or nest deeper than anything that is read back.
    pub fn from_resource_logs(resource_logs: &[ResourceLogs]) -> Result<Self, DecodeError> {
        let payload = Bytes::from(protobuf::encode_logs(resource_logs));
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    /// How many log records it holds.
    pub fn record_count(&self) -> usize {
        self.index.logs.len()
    }

    /// Size of the request, in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.payload.len() + self.index.memory_bytes()
    }
}

/// A stored log record with everything that it was sent with.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::LogScan;
///
/// store.scan_logs(&LogScan::default(), &mut |entry| {
///     assert_eq!((entry.service_name(), entry.seq), ("trainer", 1));
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// The log record.
    pub log: LogRecord,
    /// Who said it; shared among the log records of a request.
    pub origin: Arc<Origin>,
    /// Its place in the order in which the store received log records; unique within the store.
    pub seq: u64,
    /// When it was received, in nanoseconds since the Unix epoch.
    pub received_unix_nano: u64,
}

impl LogEntry {
    /// The name of the service that said it.
    pub fn service_name(&self) -> &str {
        self.origin.service_name()
    }

    /// How much memory it takes by itself, without what it shares with others, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        memory_bytes(&self.log)
    }
}

/// About how much memory a log record takes, its allocations' own overhead included, in bytes.
fn memory_bytes(log: &LogRecord) -> usize {
    const OVERHEAD: usize = 96;
    OVERHEAD
        + size_of::<LogEntry>()
        + log.severity_text.len()
        + log.event_name.len()
        + value_bytes(&log.body)
        + attributes_bytes(&log.attributes)
}

impl signal::Batch for LogBatch {
    type Stored = StoredLogs;

    const FRAME_TYPE: u8 = 2;

    fn from_logged(payload: Bytes) -> Result<Self, DecodeError> {
        // What was accepted once is read back whatever the limits were then.
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn record_count(&self) -> usize {
        Self::record_count(self)
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn into_stored(
        self,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Arc<StoredLogs> {
        Arc::new(StoredLogs::new(
            self,
            first_seq,
            received_unix_nano,
            origins,
        ))
    }
}
