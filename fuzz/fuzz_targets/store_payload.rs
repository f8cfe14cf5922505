//! Any file of large values is read or refused, with and without checksums that fit, beside a block
//! that is whole.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, checksums, read_block};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
const INDEX: &[u8] = include_bytes!(
    "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.idx"
);
const DATA: &[u8] = include_bytes!(
    "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.parquet"
);

fuzz_target!(|bytes: &[u8]| {
    let files = BlockBytes {
        index: INDEX,
        data: DATA,
        payload: bytes,
    };
    let _ = read_block(SCRATCH.path(), &files, 3);
    let mut fitted = INDEX.to_vec();
    checksums::fit_sidecar(&mut fitted, DATA, bytes);
    let files = BlockBytes {
        index: &fitted,
        ..files
    };
    let _ = read_block(SCRATCH.path(), &files, 3);
});
