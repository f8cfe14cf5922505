//! The command line.

mod run;

pub(crate) use run::{Signals, start_log};

use crate::config::{Config, FILE_NAME, Layers, Setting, settings};
use crate::generate;
use crate::launch;
use crate::store_tools::{self, Outcome};
use anyhow::Context;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  lumitrace serve                          receive, keep and show traces on this machine
  lumitrace serve --data-dir ~/traces      keep them elsewhere
  lumitrace serve --listen-ui 0.0.0.0:16686   let other machines see the web interface
  lumitrace config show                    print every setting, as it comes out
  lumitrace run -- python train.py         trace a program as it is
  lumitrace generate                       send it traffic to look at
  lumitrace store export --to spans.parquet   take what is kept elsewhere

Point a program at the server:
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318";

const SETTINGS_HELP: &str = "\
Each setting has one key and three names: listen.ui in the configuration file is LUMITRACE_LISTEN_UI \
in the environment and --listen-ui as a flag. Flags win over the environment, which wins over the \
file, which wins over the defaults. The file is the one named by --config or LUMITRACE_CONFIG, or \
lumitrace.yaml in the current folder or in the data folder.";

const DOCTOR_HELP: &str = "\
It checks whether the server's ports answer and who has them otherwise, how fast, what has arrived \
and what was refused, the data folder, the Python package, and the OTEL_ variables of this shell. \
Give it the settings that the server was started with. It exits with 1 where it found a problem.";

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = command().get_matches_from(arguments);
    let outcome = match matches.subcommand() {
        Some(("serve", matches)) => configure(matches).and_then(|config| {
            run::serve(
                &config,
                matches
                    .get_one::<PathBuf>("ready-file")
                    .map(PathBuf::as_path),
            )
        }),
        Some(("config", matches)) => match matches.subcommand() {
            Some(("show", matches)) => configure(matches).and_then(|config| run::show(&config)),
            _ => Ok(()),
        },
        Some(("doctor", matches)) => configure(matches).and_then(|config| {
            let python = matches
                .get_one::<String>("python")
                .map_or("python3", String::as_str);
            run::doctor(&config, python)
        }),
        Some(("generate", matches)) => generate::Arguments::from_arg_matches(matches)
            .context("cannot read the arguments")
            .and_then(|arguments| run::generate(&arguments)),
        Some(("store", matches)) => match matches.subcommand() {
            Some((name, matches)) => {
                let outcome = configure(matches)
                    .and_then(|config| run::store_tool(name, matches, &config.data_dir));
                return exit_code(outcome);
            }
            None => Ok(()),
        },
        Some(("run", matches)) => {
            return launch::run(matches).unwrap_or_else(|error| exit_code(Err(error)));
        }
        Some(("version", _)) => run::version(),
        _ => Ok(()),
    };
    exit_code(outcome.map(|()| Outcome::Done))
}

fn exit_code(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            // Standard error may be closed; there is nowhere left to say so.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("lumitrace: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let show = Command::new("show")
        .about("Print all settings as they come out of defaults, file, environment and flags")
        .after_help(SETTINGS_HELP);
    Command::new("lumitrace")
        .about("Shows people what their models do: receives, keeps and shows traces")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_settings(Command::new("serve"))
                .about("Run the server: OTLP in, web interface and query APIs out")
                .after_help(SETTINGS_HELP)
                .arg(
                    Arg::new("ready-file")
                        .long("ready-file")
                        .value_name("PATH")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help(
                            "Write the addresses to this file, as JSON, once the server is ready",
                        ),
                ),
        )
        .subcommand(
            Command::new("config")
                .about("Look at the settings")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(with_settings(show)),
        )
        .subcommand(
            with_settings(Command::new("doctor"))
                .about("Find out why traces do not show up, and say what to do")
                .after_help(DOCTOR_HELP)
                .arg(
                    Arg::new("python")
                        .long("python")
                        .value_name("PROGRAM")
                        .default_value("python3")
                        .help("Python interpreter to check for the lumitrace package"),
                ),
        )
        .subcommand(generate::command())
        .subcommand(launch::command())
        .subcommand(store_tools::command(with_data_dir))
        .subcommand(Command::new("version").about("Print the version"))
}

/// Gives `command` a flag for every setting.
fn with_settings(command: Command) -> Command {
    settings()
        .iter()
        .fold(command.arg(config_file()), |command, setting| {
            command.arg(flag(setting))
        })
}

/// Gives `command` the flags that say which folder it is about.
fn with_data_dir(command: Command) -> Command {
    let data_dir = settings()
        .into_iter()
        .filter(|setting| setting.key == "data_dir");
    data_dir.fold(command.arg(config_file()), |command, setting| {
        command.arg(flag(&setting))
    })
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .env("LUMITRACE_CONFIG")
        .help_heading("Settings")
        .help("Configuration file in YAML")
}

fn flag(setting: &Setting) -> Arg {
    let help = setting.help.trim_end_matches('.');
    Arg::new(setting.key.clone())
        .long(setting.flag())
        .value_name("VALUE")
        .help_heading("Settings")
        .help(format!("{help} [default: {}]", setting.default_text()))
}

/// Puts the layers of settings together.
fn configure(matches: &ArgMatches) -> anyhow::Result<Config> {
    let flags: Vec<(String, String)> = settings()
        .iter()
        .filter_map(|setting| {
            // Not every subcommand has a flag for every setting.
            let text = matches.try_get_one::<String>(&setting.key).ok()??;
            Some((setting.key.clone(), text.clone()))
        })
        .collect();
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();

    let named = matches.get_one::<PathBuf>("config").cloned();
    let file = match named {
        Some(file) => Some(file),
        None => {
            // Where the data folder is decides where the file may be, so it cannot be the file
            // that says it.
            let mut layers = Layers::default();
            layers.environment(environment.clone())?;
            layers.flags(flags.clone())?;
            let places = [
                PathBuf::from(FILE_NAME),
                layers.config().data_dir.join(FILE_NAME),
            ];
            places.into_iter().find(|file| file.is_file())
        }
    };
    let mut layers = Layers::default();
    if let Some(file) = file {
        layers.file(&file.display().to_string(), &read(&file)?)?;
    }
    layers.environment(environment)?;
    layers.flags(flags)?;
    Ok(layers.config().clone())
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the configuration file {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
