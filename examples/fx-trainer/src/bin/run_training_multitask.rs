//! Trains one model for all tasks per pair.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use fx_trainer::{cli::MultitaskArguments, program};

const SERVICE_NAME: &str = "sequence-multitask-training";

fn main() -> ExitCode {
    let arguments = MultitaskArguments::parse();
    match arguments.settings() {
        Ok(settings) => program::run(SERVICE_NAME, &arguments.shared, &settings),
        Err(error) => error.with_cmd(&MultitaskArguments::command()).exit(),
    }
}
