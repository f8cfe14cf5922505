//! Anything is read as the steps of a training run, in columns, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_query::fuzzing::read_steps;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_steps(bytes);
});
