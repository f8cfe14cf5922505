//! Any file of points is read or refused, with and without checksums that fit, beside a sidecar that is
//! whole.

#![no_main]

use std::panic;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, checksums, read_metric_block};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    // Panics of Parquet's reader are damage; see `store_block`.
    panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a folder")
});
const INDEX: &[u8] = include_bytes!(
    "../../crates/lumitrace-store/tests/golden/metrics-v3/metrics/blocks/0000000000000001-0000000000000007.idx"
);

fuzz_target!(|bytes: &[u8]| {
    let files = BlockBytes {
        index: INDEX,
        data: bytes,
        payload: &[],
    };
    let _ = read_metric_block(SCRATCH.path(), &files, 6);
    let mut fitted = INDEX.to_vec();
    checksums::fit_sidecar(&mut fitted, bytes, &[]);
    let files = BlockBytes {
        index: &fitted,
        ..files
    };
    let _ = read_metric_block(SCRATCH.path(), &files, 6);
});
