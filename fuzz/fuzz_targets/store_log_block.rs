//! Any file of log records is read or refused, with and without checksums that fit, beside a sidecar
//! and a payload that are whole.

#![no_main]

use std::panic;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, checksums, read_log_block};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    // Panics of Parquet's reader are damage; see `store_block`.
    panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a folder")
});

/// Index, payload, and number of rows.
type Beside = (&'static [u8], &'static [u8], u64);
const BESIDE: [Beside; 2] = [
    (
        include_bytes!(
            "../../crates/lumitrace-store/tests/golden/logs-v3/logs/blocks/0000000000000001-0000000000000005.idx"
        ),
        &[],
        4,
    ),
    (
        include_bytes!(
            "../../crates/lumitrace-store/tests/golden/logs-v3-payload/logs/blocks/0000000000000001-0000000000000007.idx"
        ),
        include_bytes!(
            "../../crates/lumitrace-store/tests/golden/logs-v3-payload/logs/blocks/0000000000000001-0000000000000007.payload"
        ),
        6,
    ),
];

fuzz_target!(|bytes: &[u8]| {
    let scratch = SCRATCH.path();
    for (index, payload, rows) in BESIDE {
        let files = BlockBytes {
            index,
            data: bytes,
            payload,
        };
        let _ = read_log_block(scratch, &files, rows);
        let mut fitted = index.to_vec();
        checksums::fit_sidecar(&mut fitted, bytes, payload);
        let files = BlockBytes {
            index: &fitted,
            ..files
        };
        let _ = read_log_block(scratch, &files, rows);
    }
});
