//! What both programs do once their flags are read: tracing is set up, and each pair is trained in
//! a trace of its own.

use std::process::ExitCode;

use crate::{
    cli::SharedArguments,
    progress::{self, say, warn},
    run::{RunSettings, run_pair},
    spans, tracing,
};

/// Trains every pair. A pair that fails is reported, and the others go on.
pub fn run(service_name: &str, arguments: &SharedArguments, settings: &RunSettings) -> ExitCode {
    if arguments.quiet {
        progress::silence();
    }
    if let Some(device) = arguments.ignored_device() {
        say(format_args!(
            "this program has been built without {device}, so the CPU is used"
        ));
    }
    // Sends what is left when it is dropped, after the last pair.
    let tracing = tracing::set_up(service_name, &arguments.tracing);
    let tracer = tracing.tracer("fx_trainer");
    let mut exit_code = ExitCode::SUCCESS;
    for pair in &arguments.pairs {
        if let Err(error) = run_pair(&tracer, pair, settings) {
            warn(format_args!(
                "error: {pair}: {:#}",
                spans::unrecorded(error)
            ));
            exit_code = ExitCode::FAILURE;
        }
    }
    exit_code
}
