//! Settings of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::digest::SpanDigester;
use crate::retention::{OwnRetention, Retention};
use crate::shelf::ShelfName;

/// The archive takes a few traces now and then: one such part of what memory spans may take.
const ARCHIVE_SHARE: usize = 8;
/// The same for log records.
const LOGS_SHARE: usize = 2;
/// The same for points of metrics.
const METRICS_SHARE: usize = 2;

/// What has happened to a batch when it is acknowledged.
///
/// ```
/// use std::time::Duration;
/// use lumitrace_store::{Durability, StoreOptions};
///
/// let options = StoreOptions {
///     durability: Durability::Interval(Duration::from_secs(1)),
///     ..StoreOptions::new("lumitrace-data")
/// };
/// assert_eq!(Durability::default(), Durability::Fsync);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is on the disk: a power cut loses nothing.
    #[default]
    Fsync,
    /// The operating system has it, and it reaches the disk within this time: killing the process
    /// loses nothing, a power cut loses at most this much.
    Interval(Duration),
    /// The operating system has it and writes it when it likes.
    None,
}

/// Where a store lives and how much it may hold. Start from [`StoreOptions::new`].
///
/// ```
/// use std::time::Duration;
/// use lumitrace_store::{Retention, Store, StoreOptions};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = Store::open(StoreOptions {
///     memtable_bytes: 16 << 20,
///     flush_after: Duration::from_secs(10),
///     retention: Retention {
///         max_age: Some(Duration::from_secs(30 * 86_400)),
///         ..Retention::default()
///     },
///     ..StoreOptions::new(dir)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The folder; created if absent. One process at a time may have it open.
    pub dir: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Size in memory at which spans are written out as a block, in bytes.
    pub memtable_bytes: usize,
    /// Age at which spans are written out as a block even when they are few.
    pub flush_after: Duration,
    /// Most bytes of spans in memory, in memtables that take spans and that are being written out,
    /// before appends are refused. If none, two and a half times `memtable_bytes`; never less than
    /// `memtable_bytes`, because appends would be refused before anything is written out. Log
    /// records and metrics have half of this each for themselves, and the archive an eighth, once
    /// there are any: so that all together take no more than 2 1/8 of it.
    pub memory_limit_bytes: Option<usize>,
    /// Most bytes of payload waiting for the log before appends are refused.
    pub queue_bytes: usize,
    /// Size at which a new log segment is begun, in bytes.
    pub log_segment_bytes: u64,
    /// Size from which a manifest that holds mostly history is written anew, in bytes.
    pub manifest_rewrite_bytes: u64,
    /// Rows of a Parquet row group.
    pub row_group_rows: usize,
    /// Blocks of fewer bytes than this are merged with their neighbours. In a large shelf so are
    /// those that are smaller than 1/64 of it, up to 512 MiB. Zero switches merging off.
    pub compact_below_bytes: u64,
    /// How long records are kept.
    pub retention: Retention,
    /// How long log records are kept, where it is not as `retention` says.
    pub log_retention: OwnRetention,
    /// The same for points of metrics.
    pub metric_retention: OwnRetention,
    /// Most threads on which blocks are opened when the store is; shelves are opened at the same time if
    /// there are more than one.
    pub opening_threads: usize,
    /// Makes a [digest](crate::digest) of each block of spans that is written. If none, blocks are
    /// written without, and what they had is lost when they are merged.
    pub digester: Option<Arc<dyn SpanDigester>>,
    /// Most bytes of spans kept for subscribers that have fallen behind, all of them together. They
    /// miss the oldest batches beyond it. One batch is kept however large it is.
    pub subscriber_bytes: usize,
}

impl StoreOptions {
    /// The defaults, for a store in the folder `dir`.
    ///
    /// ```
    /// use lumitrace_store::{Durability, StoreOptions};
    /// let options = StoreOptions::new("lumitrace-data");
    /// assert_eq!((options.memtable_bytes, options.durability), (64 << 20, Durability::Fsync));
    /// ```
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::default(),
            memtable_bytes: 64 << 20,
            flush_after: Duration::from_secs(60),
            memory_limit_bytes: None,
            queue_bytes: 64 << 20,
            log_segment_bytes: 64 << 20,
            manifest_rewrite_bytes: 256 << 10,
            row_group_rows: 1_048_576,
            compact_below_bytes: 64 << 20,
            retention: Retention::default(),
            log_retention: OwnRetention::default(),
            metric_retention: OwnRetention::default(),
            opening_threads: thread::available_parallelism().map_or(1, usize::from),
            digester: None,
            subscriber_bytes: 32 << 20,
        }
    }

    /// The options of one shelf of the store.
    pub(crate) fn of_shelf(&self, name: ShelfName) -> Self {
        let shelf = self.clone();
        match name {
            ShelfName::Spans => shelf,
            ShelfName::Archive => Self {
                memtable_bytes: self.memtable_bytes / ARCHIVE_SHARE,
                memory_limit_bytes: self.memory_limit_bytes.map(|it| it / ARCHIVE_SHARE),
                retention: Retention::default(),
                ..shelf
            },
            ShelfName::Logs => Self {
                memtable_bytes: self.memtable_bytes / LOGS_SHARE,
                memory_limit_bytes: self.memory_limit_bytes.map(|it| it / LOGS_SHARE),
                queue_bytes: self.queue_bytes / LOGS_SHARE,
                retention: self.log_retention.or(self.retention),
                ..shelf
            },
            ShelfName::Metrics => Self {
                memtable_bytes: self.memtable_bytes / METRICS_SHARE,
                memory_limit_bytes: self.memory_limit_bytes.map(|it| it / METRICS_SHARE),
                queue_bytes: self.queue_bytes / METRICS_SHARE,
                retention: self.metric_retention.or(self.retention),
                ..shelf
            },
        }
    }

    /// Whether a shelf's size counts by itself, and not with that of the others.
    pub(crate) fn has_own_size(&self, name: ShelfName) -> bool {
        let own = match name {
            ShelfName::Spans | ShelfName::Archive => return false,
            ShelfName::Logs => self.log_retention,
            ShelfName::Metrics => self.metric_retention,
        };
        own.max_bytes.is_some()
    }

    /// At how many bytes of spans in memory appends are refused.
    pub(crate) fn memory_limit(&self) -> usize {
        let half = self.memtable_bytes.div_ceil(2);
        let limit = self
            .memory_limit_bytes
            .unwrap_or_else(|| half.saturating_mul(5));
        // With less than a memtable nothing would be written out, with zero nothing taken.
        limit.max(self.memtable_bytes).max(1)
    }
}
