//! Anything is read as what a block keeps of its training runs, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_query::fuzzing::read_block_runs;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_block_runs(bytes);
});
