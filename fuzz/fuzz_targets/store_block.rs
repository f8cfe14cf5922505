//! Any file of spans is read or refused, with and without checksums that fit, beside a sidecar that
//! is whole.

#![no_main]

use std::panic;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, checksums, read_block};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    // libFuzzer's hook ends the process at any panic, also at those of Parquet's reader, which the
    // store takes for the damage that they are. Others still end it once they come out here.
    panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a folder")
});
/// Of the block of the newest version; the others have none.
const PAYLOAD: &[u8] = include_bytes!(
    "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.payload"
);
const INDEXES: [&[u8]; 3] = [
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v1/blocks/0000000000000001-0000000000000004.idx"
    ),
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v2/blocks/0000000000000001-0000000000000004.idx"
    ),
    include_bytes!(
        "../../crates/lumitrace-store/tests/golden/v3/blocks/0000000000000001-0000000000000004.idx"
    ),
];

fuzz_target!(|bytes: &[u8]| {
    let scratch = SCRATCH.path();
    for (index, payload) in INDEXES.into_iter().zip([&[], &[], PAYLOAD]) {
        let files = BlockBytes {
            index,
            data: bytes,
            payload,
        };
        let _ = read_block(scratch, &files, 3);
        let mut fitted = index.to_vec();
        checksums::fit_sidecar(&mut fitted, bytes, payload);
        let files = BlockBytes {
            index: &fitted,
            ..files
        };
        let _ = read_block(scratch, &files, 3);
    }
});
