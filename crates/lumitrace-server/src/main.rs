//! The `lumitrace` program: see the library for all of it.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Blocks are written by other threads than those that take spans in, and what they free the system's
/// allocator keeps: at full speed the program grew without end. This one gives it back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    lumitrace_server::cli::run(std::env::args_os())
}
