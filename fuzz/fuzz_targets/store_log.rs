//! Any log segment is replayed or refused, with and without checksums that fit, as one of spans, of log
//! records and of points; spans read in place are those that decoding makes, and what is replayed can be
//! written out as a block.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::{checksums, read_log, read_log_of_logs, read_log_of_metrics};
use tempfile::TempDir;

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let mut fitted = bytes.to_vec();
    checksums::fit_log(&mut fitted);
    for bytes in [bytes, &fitted] {
        for read in [read_log, read_log_of_logs, read_log_of_metrics] {
            let _ = read(SCRATCH.path(), bytes);
        }
    }
});
