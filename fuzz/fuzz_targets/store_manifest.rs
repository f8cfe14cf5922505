//! Any manifest is read or refused, with and without checksums that fit, and what is read survives
//! being written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{checksums, read_manifest};

fuzz_target!(|bytes: &[u8]| {
    let _ = read_manifest(bytes);
    let mut fitted = bytes.to_vec();
    checksums::fit_manifest(&mut fitted);
    let _ = read_manifest(&fitted);
});
