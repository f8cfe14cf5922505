//! Log records in memory: the bytes of their request, and where each of them is in it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_wire::otlp::protobuf::view::LogView;
use lumitrace_wire::otlp::protobuf::{self, LogHead};

use super::batch::{LogBatch, LogEntry};
use crate::origins::Origins;
use crate::places::Records;
use crate::stored::Origin;

/// The log records of one request that was stored. They are read in place: nothing is built of a log
/// record before somebody asks for it.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::LogBatch;
///
/// let mut subscription = store.subscribe_to_logs();
/// # let resource_logs = example::logs();
/// store.append_logs(LogBatch::from_resource_logs(&resource_logs)?).wait()?;
/// let stored = subscription.blocking_recv()?;
/// assert_eq!((stored.len(), stored.seqs()), (1, 1..2));
/// assert_eq!(stored.log(0).origin().service_name(), "trainer");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredLogs {
    payload: Bytes,
    heads: Vec<LogHead>,
    origins: Vec<Arc<Origin>>,
    /// What was built for it of its origins; others are shared with earlier batches.
    origin_bytes: usize,
    first_seq: u64,
    received_unix_nano: u64,
}

impl StoredLogs {
    /// The batch as it is kept once it is logged.
    pub(super) fn new(
        batch: LogBatch,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Self {
        let LogBatch { payload, index } = batch;
        Self {
            origins: origins.all(&index.origins, &payload),
            origin_bytes: origins.take_built_bytes(),
            heads: index.logs,
            payload,
            first_seq,
            received_unix_nano,
        }
    }

    /// How many log records it holds.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Log record number `index`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn log(&self, index: usize) -> LogRef<'_> {
        LogRef {
            batch: self,
            head: &self.heads[index],
            seq: self.first_seq + index as u64,
        }
    }

    /// All log records, in the order of the request.
    pub fn logs(&self) -> impl ExactSizeIterator<Item = LogRef<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|index| self.log(index))
    }

    /// The sequence numbers of its log records.
    pub fn seqs(&self) -> std::ops::Range<u64> {
        self.first_seq..self.first_seq + self.heads.len() as u64
    }

    /// How much memory it takes, in bytes; about.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.payload.len()
            + self.heads.capacity() * size_of::<LogHead>()
            + self.origins.capacity() * size_of::<Arc<Origin>>()
            + self.origin_bytes
    }
}

impl Records for StoredLogs {
    type Record<'a> = LogRef<'a>;

    fn record(&self, index: usize) -> LogRef<'_> {
        self.log(index)
    }
}

/// A log record of a [`StoredLogs`].
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::LogBatch;
///
/// let mut subscription = store.subscribe_to_logs();
/// # let resource_logs = example::logs();
/// store.append_logs(LogBatch::from_resource_logs(&resource_logs)?).wait()?;
/// for log in subscription.blocking_recv()?.logs() {
///     let entry = log.entry(); // one of its own
///     assert_eq!((entry.seq, entry.log.severity), (log.seq(), log.head().severity));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LogRef<'a> {
    batch: &'a StoredLogs,
    head: &'a LogHead,
    seq: u64,
}

impl<'a> LogRef<'a> {
    /// Its times, severity and ids.
    pub fn head(self) -> &'a LogHead {
        self.head
    }

    /// What kind of event it is, or empty.
    pub fn event_name(self) -> &'a str {
        self.head.event_name(&self.batch.payload)
    }

    /// Who said it.
    pub fn origin(self) -> &'a Arc<Origin> {
        &self.batch.origins[self.head.origin as usize]
    }

    /// Its place in the order in which the store received log records.
    pub fn seq(self) -> u64 {
        self.seq
    }

    /// When it was received, in nanoseconds since the Unix epoch.
    pub fn received_unix_nano(self) -> u64 {
        self.batch.received_unix_nano
    }

    /// The rest of it, read in place.
    pub fn view(self) -> LogView<'a> {
        LogView::new(self.message())
    }

    /// The bytes of its message.
    pub(crate) fn message(self) -> &'a [u8] {
        self.head.message(&self.batch.payload)
    }

    /// It as a record of its own.
    pub fn entry(self) -> LogEntry {
        LogEntry {
            // The bytes were checked when the request was indexed.
            log: protobuf::decode_log_record(self.message()).unwrap_or_default(),
            origin: Arc::clone(self.origin()),
            seq: self.seq,
            received_unix_nano: self.batch.received_unix_nano,
        }
    }
}
