//! Durable storage of spans, log records and metrics in one folder: nothing acknowledged is lost, everything is searchable
//! at once.
//!
//! **What it is.** Shelves in a folder. Each has a write-ahead log with group commit, a memtable,
//! Parquet blocks with an index beside each, and a manifest that says which blocks count. Threads
//! of its own, a blocking API.
//!
//! **What it is not.** No query language, no trace trees, no network, no async runtime.
//!
//! The way of the data, and the modules in reading order:
//!
//! 1. [`options`]: where the folder is and what durable means.
//! 2. [`batch`]: what is stored; [`append`]: how a batch is handed over and answered; [`stored`]: a
//!    batch in memory, whose spans are read in place, and `origins`: what they come from.
//! 3. `wal`: batches wait, are written in groups, and are read back after a crash; `ingest` is the
//!    thread that does it, which knows a request that comes again (`retries`).
//! 4. `memtable`: the newest spans, searchable where they lie (`places`); `identity`: which records are
//!    the same span.
//! 5. `flush`: memtables become `block`s, which count once the `manifest` says so; `compaction`
//!    merges them; a [`digest`] is kept of each for whoever opens the store, and [`retention`] lets go of the oldest. [`subscription`]: those who follow live are told.
//! 6. `trace`: a trace by its id; [`scan`]: what a search asks for, and how it walks memtables and
//!    blocks; [`rollup`]: how many spans there are and how long they took, in [`duration_sketch`]es;
//!    [`query_budget`]: what any of it may cost.
//! 7. `recovery`: from a folder to an `engine`, which the threads share, by `replay` of the log;
//!    [`shelf`]: the engine with its threads. `signal` is what the engine asks of what it stores,
//!    `rewrite` how rows of blocks become one block, `spans` the answer of spans, [`logs`] and [`metrics`] those of log
//!    records and of points, with all that is theirs alone.
//! 8. [`store`]: the handle to all shelves; `archive` copies traces from one to another; [`stats`]
//!    and `summary`: what it tells about itself and its content.
//! 9. For people who run it: [`inspect`] says what a folder holds, [`check`] what of it is
//!    damaged, and [`repair`] puts it aside; [`compact`] merges
//!    blocks into few; [`record_file`] is what is exported
//!    and imported; `found_block` reads blocks that no manifest names.
//!
//! Beneath them are [`error`], `damage` (what readers leave out for it), `folder`, `disk`, `parallel`,
//! `failpoint` and `binary`. Every byte on disk is described in `docs/formats`.
//!
//! ```
//! use lumitrace_store::{SpanBatch, Store, StoreOptions};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("lumitrace-data");
//! let store = Store::open(StoreOptions::new(dir))?;
//! let batch = SpanBatch::from_resource_spans(&[/* spans, by resource and scope */])?;
//! store.append(batch).wait()?; // durable and searchable from here on
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod append;
mod archive;
pub mod batch;
mod binary;
mod block;
pub mod check;
pub mod compact;
mod compaction;
mod damage;
pub mod digest;
mod disk;
pub mod duration_sketch;
mod engine;
pub mod error;
mod failpoint;
mod flush;
mod folder;
mod found_block;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod ingest;
pub mod inspect;
pub mod logs;
mod manifest;
mod memtable;
pub mod metrics;
pub mod options;
mod origins;
mod parallel;
mod places;
pub mod query_budget;
pub mod record_file;
mod recovery;
pub mod repair;
mod replay;
pub mod retention;
mod retries;
mod rewrite;
pub mod rollup;
pub mod scan;
pub mod shelf;
mod signal;
mod spans;
pub mod stats;
pub mod store;
pub mod stored;
pub mod subscription;
mod summary;
mod trace;
mod wal;

pub use append::{Append, AppendError, AppendReceipt};
pub use archive::{ArchiveError, Archived};
pub use batch::{SpanBatch, SpanRecord};
pub use block::digest::DigestParts;
pub use damage::Damaged;
pub use digest::{BlockDigester, DigestPartsReader, SpanDigest, SpanDigester};
pub use duration_sketch::DurationSketch;
pub use error::{Corruption, FlushError, LookupError, OpenError, ReadError};
pub use logs::{LogBatch, LogEntry, LogRef, LogScan, LogScanStats, StoredLogs};
pub use metrics::{
    MetricBatch, MetricInfo, MetricSelection, MetricSelector, MetricSeries, MetricSummary, Point,
    PointRef, StoredPoint, StoredPoints,
};
pub use options::{Durability, StoreOptions};
pub use query_budget::{Exhausted, QueryBudget, QueryLimits, QueryMemory};
pub use retention::{OwnRetention, Retention};
pub use rollup::{RollupRequest, RollupRow, RollupStats, SpanRollup};
pub use scan::{SCAN_WINDOW_NANO, ScanRequest, ScanStats, SpanParts, value_matches};
pub use shelf::ShelfName;
pub use stats::{OperationSummary, RefusedAppends, ServiceSummary, ShelfStats};
pub use store::Store;
pub use stored::{Origin, SpanRef, StoredBatch};
pub use subscription::Subscription;
pub use trace::TraceSpans;
