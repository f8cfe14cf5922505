//! Any file of spans is read or refused, with and without checksums that fit, beside a sidecar that
//! is whole.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{checksums, read_block};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
const INDEXES: [&[u8]; 2] = [
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v1/blocks/0000000000000001-0000000000000004.idx"
    ),
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v2/blocks/0000000000000001-0000000000000004.idx"
    ),
];

fuzz_target!(|bytes: &[u8]| {
    for index in INDEXES {
        let _ = read_block(SCRATCH.path(), index, bytes, 3);
        let mut fitted = index.to_vec();
        checksums::fit_sidecar(&mut fitted, bytes);
        let _ = read_block(SCRATCH.path(), &fitted, bytes, 3);
    }
});
