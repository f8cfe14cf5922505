//! What the store tells about itself and its content.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lumitrace_model::SpanKind;
use parking_lot::Mutex;

use crate::append::AppendError;
use crate::error::Corruption;

/// A service of which spans are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSummary {
    /// Its name.
    pub name: String,
    /// How many spans of it are stored.
    pub span_count: u64,
    /// How many of them failed.
    pub error_count: u64,
    /// When its earliest span started, in nanoseconds since the Unix epoch.
    pub first_start_unix_nano: u64,
    /// When its latest span started, in nanoseconds since the Unix epoch.
    pub last_start_unix_nano: u64,
}

/// An operation of a service: the spans of one name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationSummary {
    /// The spans' name.
    pub name: String,
    /// The spans' kind.
    pub kind: SpanKind,
    /// How many of them are stored.
    pub span_count: u64,
    /// How many of them failed.
    pub error_count: u64,
    /// When the earliest started, in nanoseconds since the Unix epoch.
    pub first_start_unix_nano: u64,
    /// When the latest started, in nanoseconds since the Unix epoch.
    pub last_start_unix_nano: u64,
}

/// Appends that were refused since the store was opened, by reason, in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusedAppends {
    /// Too much was waiting.
    pub full: u64,
    /// No space on the disk.
    pub disk_full: u64,
    /// Read-only file system.
    pub read_only: u64,
    /// Batch larger than a frame.
    pub too_large: u64,
    /// The store had failed or was closed.
    pub failed: u64,
}

/// A shelf of the store in numbers. Counters begin at zero when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShelfStats {
    /// Records stored, in memory and in blocks.
    pub records: u64,
    /// Blocks, without those that cannot be opened.
    pub blocks: u64,
    /// Size of all blocks with their indexes, in bytes.
    pub block_bytes: u64,
    /// Blocks that cannot be opened. They are left out of every answer, and their files stay as they are.
    pub damaged_blocks: u64,
    /// How often something was left out of an answer because it could not be read.
    pub damaged_reads: u64,
    /// Damage that was met since the store was opened: the first of each file.
    pub damages: Vec<Corruption>,
    /// Size of what is in the log, in bytes. Its files may be larger: they are written ahead, and
    /// some are kept to be used again.
    pub log_bytes: u64,
    /// Log segments.
    pub log_segments: u64,
    /// Size of all its files, in bytes.
    pub disk_bytes: u64,
    /// Records in memory that no block holds yet.
    pub memtable_records: u64,
    /// Their size in memory, in bytes.
    pub memtable_bytes: u64,
    /// Payload bytes waiting for the log.
    pub queue_bytes: u64,
    /// Batches acknowledged.
    pub appended_batches: u64,
    /// Records acknowledged.
    pub appended_records: u64,
    /// Batches refused, by reason.
    pub refused: RefusedAppends,
    /// Why the latest refused batch was refused, if the disk was full or read-only and no batch has
    /// been stored since.
    pub refusing: Option<String>,
    /// Batches that had been stored before, and were acknowledged as they had been.
    pub repeated_batches: u64,
    /// Times the log was synced.
    pub syncs: u64,
    /// Time spent in them.
    pub sync_time: Duration,
    /// The longest of them.
    pub sync_time_max: Duration,
    /// Memtables written out as blocks.
    pub flushes: u64,
    /// Attempts to write a block that failed and are retried.
    pub flush_failures: u64,
    /// Merges of blocks.
    pub compactions: u64,
    /// Whether blocks are being merged.
    pub is_merging: bool,
    /// Merges that failed. They are tried again later, unless a block is damaged.
    pub compaction_failures: u64,
    /// Blocks removed because they were kept long enough.
    pub expired_blocks: u64,
    /// Records in them.
    pub expired_records: u64,
    /// Records replayed from the log when the store was opened.
    pub replayed_records: u64,
    /// The unfinished write at the end of the log that was cut off when the store was opened: a
    /// crash in the middle of a write that nobody had been told was done.
    pub torn_tail: Option<Corruption>,
    /// Why the store accepts nothing more, if so.
    pub failure: Option<String>,
    /// Why blocks cannot be written at the moment, if so; it is tried again.
    pub flush_problem: Option<String>,
}

/// Counts what happens, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    appended_batches: AtomicU64,
    appended_records: AtomicU64,
    refused_full: AtomicU64,
    refused_disk_full: AtomicU64,
    refused_read_only: AtomicU64,
    refused_too_large: AtomicU64,
    refused_failed: AtomicU64,
    refusing: Mutex<Option<String>>,
    pub(crate) repeated_batches: AtomicU64,
    syncs: AtomicU64,
    sync_nano: AtomicU64,
    sync_max_nano: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) flush_failures: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) is_merging: AtomicBool,
    pub(crate) compaction_failures: AtomicU64,
    pub(crate) expired_blocks: AtomicU64,
    pub(crate) expired_records: AtomicU64,
}

/// Adds to a counter. The counts order nothing, so no ordering is asked for.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn count_sync(&self, took: Duration) {
        let nano = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        count(&self.syncs, 1);
        count(&self.sync_nano, nano);
        self.sync_max_nano.fetch_max(nano, Ordering::Relaxed);
    }

    pub(crate) fn count_append(&self, records: u64) {
        count(&self.appended_batches, 1);
        count(&self.appended_records, records);
        *self.refusing.lock() = None;
    }

    pub(crate) fn count_refusal(&self, error: &AppendError) {
        let counter = match error {
            AppendError::Full { .. } => &self.refused_full,
            AppendError::DiskFull { .. } => &self.refused_disk_full,
            AppendError::ReadOnly { .. } => &self.refused_read_only,
            AppendError::TooLarge { .. } => &self.refused_too_large,
            AppendError::Failed { .. } => &self.refused_failed,
        };
        count(counter, 1);
        if matches!(
            error,
            AppendError::DiskFull { .. } | AppendError::ReadOnly { .. }
        ) {
            *self.refusing.lock() = Some(error.to_string());
        }
    }

    /// The counters' part of the store's statistics.
    pub(crate) fn snapshot(&self) -> ShelfStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShelfStats {
            appended_batches: get(&self.appended_batches),
            appended_records: get(&self.appended_records),
            refused: RefusedAppends {
                full: get(&self.refused_full),
                disk_full: get(&self.refused_disk_full),
                read_only: get(&self.refused_read_only),
                too_large: get(&self.refused_too_large),
                failed: get(&self.refused_failed),
            },
            refusing: self.refusing.lock().clone(),
            repeated_batches: get(&self.repeated_batches),
            syncs: get(&self.syncs),
            sync_time: Duration::from_nanos(get(&self.sync_nano)),
            sync_time_max: Duration::from_nanos(get(&self.sync_max_nano)),
            flushes: get(&self.flushes),
            flush_failures: get(&self.flush_failures),
            compactions: get(&self.compactions),
            is_merging: self.is_merging.load(Ordering::Relaxed),
            compaction_failures: get(&self.compaction_failures),
            expired_blocks: get(&self.expired_blocks),
            expired_records: get(&self.expired_records),
            ..ShelfStats::default()
        }
    }
}
