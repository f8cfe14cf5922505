//! Any file of records is imported or refused, and what is imported says the same once it is exported.

#![no_main]

mod golden;

use golden::SCRATCH;
use libfuzzer_sys::fuzz_target;
use lumitrace_store::fuzzing::read_record_file;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_record_file(SCRATCH.path(), bytes);
});
