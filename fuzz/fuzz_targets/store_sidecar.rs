//! Any sidecar is read or refused, with and without checksums that fit, beside a file of spans that
//! is whole; and any bytes as each of its sections.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, checksums, read_block, read_sections};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
/// Of the block of the newest version; the others have none.
const PAYLOAD: &[u8] = include_bytes!(
    "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.payload"
);
const DATA: [&[u8]; 3] = [
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v1/blocks/0000000000000001-0000000000000004.parquet"
    ),
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v2/blocks/0000000000000001-0000000000000004.parquet"
    ),
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.parquet"
    ),
];

fuzz_target!(|bytes: &[u8]| {
    read_sections(bytes);
    // The version of the sidecar, as far as it says one.
    let (data, payload): (_, &[u8]) = match bytes.get(8) {
        Some(1) => (DATA[0], &[]),
        Some(2) => (DATA[1], &[]),
        _ => (DATA[2], PAYLOAD),
    };
    let files = BlockBytes {
        index: bytes,
        data,
        payload,
    };
    let _ = read_block(SCRATCH.path(), &files, 3);
    let mut fitted = bytes.to_vec();
    checksums::fit_sidecar(&mut fitted, data, payload);
    let files = BlockBytes {
        index: &fitted,
        ..files
    };
    let _ = read_block(SCRATCH.path(), &files, 3);
});
