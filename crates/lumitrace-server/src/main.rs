//! The `lumitrace` program: see the library for all of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    lumitrace_server::cli::run(std::env::args_os())
}
