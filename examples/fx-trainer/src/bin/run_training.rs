//! Trains a model of one task per pair.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use fx_trainer::{cli::SingleArguments, program};

const SERVICE_NAME: &str = "sequence-training";

fn main() -> ExitCode {
    let arguments = SingleArguments::parse();
    match arguments.settings() {
        Ok(settings) => program::run(SERVICE_NAME, &arguments.shared, &settings),
        Err(error) => error.with_cmd(&SingleArguments::command()).exit(),
    }
}
