//! Any file of large values is read or refused, with and without checksums that fit, beside a block
//! that is whole.

#![no_main]

mod golden;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::BlockBytes;

fuzz_target!(|bytes: &[u8]| {
    let blocks = golden::SPANS.iter().chain(&golden::LOGS);
    for block in blocks.filter(|block| !block.files.payload.is_empty()) {
        block.read(BlockBytes {
            payload: bytes,
            ..block.files
        });
    }
});
