//! Blocks of all versions that are whole, to stand beside a file that is not.

#![allow(dead_code, reason = "each target wants some of them")]

use std::panic;
use std::path::Path;
use std::sync::LazyLock;

use lumitrace_store::OpenError;
use lumitrace_store::fuzzing::{
    BlockBytes, checksums, read_block, read_log_block, read_metric_block,
};
use tempfile::TempDir;

/// Where files are written that readers are asked for.
pub static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    // libFuzzer's hook ends the process at any panic, also at those of Parquet's reader, which the
    // store takes for the damage that they are. Others still end it once they come out of a target.
    panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a folder")
});

/// A block, and what reads one of its kind.
pub struct GoldenBlock {
    pub files: BlockBytes<'static>,
    rows: u64,
    read: fn(&Path, &BlockBytes<'_>, u64) -> Result<u64, OpenError>,
}

impl GoldenBlock {
    /// Reads the block with these files, as they are and with checksums that fit.
    pub fn read(&self, files: BlockBytes<'_>) {
        let _ = (self.read)(SCRATCH.path(), &files, self.rows);
        let mut index = files.index.to_vec();
        checksums::fit_sidecar(&mut index, files.data, files.payload);
        let fitted = BlockBytes {
            index: &index,
            ..files
        };
        let _ = (self.read)(SCRATCH.path(), &fitted, self.rows);
    }
}

/// A file of a golden folder.
macro_rules! golden {
    ($path:expr) => {
        include_bytes!(concat!(
            "../../crates/lumitrace-store/tests/golden/",
            $path
        ))
    };
}

/// The block whose files are called so, with its payload if it has one.
macro_rules! block {
    ($name:expr, $rows:expr, $read:expr) => {
        block!($name, $rows, $read, &[])
    };
    ($name:expr, $rows:expr, $read:expr, with_payload) => {
        block!($name, $rows, $read, golden!(concat!($name, ".payload")))
    };
    ($name:expr, $rows:expr, $read:expr, $payload:expr) => {
        GoldenBlock {
            files: BlockBytes {
                index: golden!(concat!($name, ".idx")),
                data: golden!(concat!($name, ".parquet")),
                payload: $payload,
            },
            rows: $rows,
            read: $read,
        }
    };
}

/// Of spans, of the versions 1 to 4.
pub const SPANS: [GoldenBlock; 4] = [
    block!("v1/blocks/0000000000000001-0000000000000004", 3, read_block),
    block!("v2/blocks/0000000000000001-0000000000000004", 3, read_block),
    block!(
        "v3/blocks/0000000000000001-0000000000000004",
        3,
        read_block,
        with_payload
    ),
    block!(
        "v4-log2/blocks/0000000000000001-0000000000000004",
        3,
        read_block,
        with_payload
    ),
];

/// Of log records.
pub const LOGS: [GoldenBlock; 3] = [
    block!(
        "logs-v3/logs/blocks/0000000000000001-0000000000000005",
        4,
        read_log_block
    ),
    block!(
        "logs-v3-payload/logs/blocks/0000000000000001-0000000000000007",
        6,
        read_log_block,
        with_payload
    ),
    block!(
        "logs-v4/logs/blocks/0000000000000001-0000000000000007",
        6,
        read_log_block,
        with_payload
    ),
];

/// Of points.
pub const METRICS: [GoldenBlock; 2] = [
    block!(
        "metrics-v3/metrics/blocks/0000000000000001-0000000000000007",
        6,
        read_metric_block
    ),
    block!(
        "metrics-v4/metrics/blocks/0000000000000001-0000000000000007",
        6,
        read_metric_block
    ),
];
