//! Any file of points is read or refused, with and without checksums that fit, beside a sidecar and a payload
//! that are whole.

#![no_main]

mod golden;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::BlockBytes;

fuzz_target!(|bytes: &[u8]| {
    for block in &golden::METRICS {
        block.read(BlockBytes {
            data: bytes,
            ..block.files
        });
    }
});
