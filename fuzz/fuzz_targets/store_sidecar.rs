//! Any sidecar is read or refused, with and without checksums that fit, beside files of each kind that
//! are whole; and any bytes as each of its sections.

#![no_main]

mod golden;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{BlockBytes, read_sections};

fuzz_target!(|bytes: &[u8]| {
    read_sections(bytes);
    // The version of the sidecar, as far as it says one.
    let version = bytes.get(8);
    let is_of_version = |files: &BlockBytes<'_>| files.index.get(8) == version;
    let blocks = golden::SPANS.iter().chain(&golden::LOGS);
    for block in blocks.chain(&golden::METRICS).filter(|block| is_of_version(&block.files)) {
        block.read(BlockBytes {
            index: bytes,
            ..block.files
        });
    }
});
