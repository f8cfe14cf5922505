//! Any log segment is replayed or refused, with and without checksums that fit, and its spans read
//! in place are those that decoding makes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{checksums, read_log};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let _ = read_log(SCRATCH.path(), bytes);
    let mut fitted = bytes.to_vec();
    checksums::fit_log(&mut fitted);
    let _ = read_log(SCRATCH.path(), &fitted);
});
