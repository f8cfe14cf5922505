//! Durable storage of spans in one folder: nothing acknowledged is lost, everything is searchable
//! at once.
//!
//! **What it is.** A write-ahead log with group commit, a memtable, Parquet blocks with an index
//! beside each, and a manifest that says which blocks count. Threads of its own, a blocking API.
//!
//! **What it is not.** No query language, no trace trees, no network, no async runtime.
//!
//! The way of the data, and the modules in reading order:
//!
//! 1. [`options`]: where the folder is and what durable means.
//! 2. [`batch`]: what is stored; [`append`]: how a batch is handed over and answered.
//! 3. [`scan`]: what a search asks for, and how it walks memtable and blocks.
//! 4. [`store`]: the handle that ties it together; [`stats`]: what it tells about itself.
//!
//! ```no_run
//! use lumitrace_store::{SpanBatch, Store, StoreOptions};
//!
//! let store = Store::open(StoreOptions::new("lumitrace-data"))?;
//! let batch = SpanBatch::from_resource_spans(vec![/* spans, by resource and scope */]);
//! store.append(batch).wait()?; // durable and searchable from here on
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod append;
pub mod batch;
pub mod error;
pub mod options;
pub mod scan;
pub mod stats;
pub mod store;

pub use append::{Append, AppendError, AppendReceipt};
pub use batch::{SpanBatch, SpanRecord};
pub use error::{Corruption, FlushError, OpenError, ReadError};
pub use options::{Durability, StoreOptions};
pub use scan::{SCAN_WINDOW_NANO, ScanRequest, ScanStats, SpanParts};
pub use stats::{OperationSummary, RefusedAppends, ServiceSummary, StoreStats};
pub use store::Store;
