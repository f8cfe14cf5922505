//! Searching: what to look for, and the walk over memtables and blocks.
//!
//! In reading order: `request` is what is asked for, `predicate` whether a span is it,
//! `pruning` what need not be read, `content` what a block is asked for attributes and text; a `cursor` reads one source in windows, `memtable_cursor` or
//! `block_cursor`, which asks a `cut_candidate` what its columns cannot say and is opened by a
//! `late_cursor`, and `walk` merges them.

mod block_cursor;
pub(crate) mod content;
mod cursor;
pub(crate) mod cut_candidate;
mod late_cursor;
mod memtable_cursor;
pub(crate) mod predicate;
pub(crate) mod pruning;
mod request;
pub(crate) mod walk;

pub use predicate::value_matches;
pub use request::{SCAN_WINDOW_NANO, ScanRequest, ScanStats, SpanParts};
