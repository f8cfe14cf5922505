//! Searching: what to look for, and the walk over memtable and blocks.

mod request;

pub use request::{SCAN_WINDOW_NANO, ScanRequest, ScanStats, SpanParts};
