//! `lumitrace run`: starts a program so that it is traced as it is.
//!
//! The program gets an environment in which Python traces what it can (`environment`, `bootstrap`) and
//! takes the place of this process, so that signals, process id and exit code are its own. With
//! `--serve` a temporary server receives what it sends (`temporary_server`), and shows it after its end.

mod bootstrap;
mod environment;
mod temporary_server;

use clap::{Arg, ArgAction, ArgMatches, Command};
use environment::{Program, Variables};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Examples:
  lumitrace run -- python train.py --epochs 3     trace a training as it is
  lumitrace run -- torchrun --nproc-per-node 4 train.py   all ranks in one trace
  lumitrace run --serve -- python train.py        with a server of its own, for a first look
  lumitrace run --auto torch,logging -- python train.py   only these integrations

Python needs the package lumitrace where the program runs. Integrations wait for what the program \
imports: PyTorch, Lightning, Hugging Face Trainer, logging, structlog, and OpenTelemetry's \
instrumentations of HTTP, database and LLM clients where they are installed. The OTEL_ variables of this \
shell hold; what is missing gets a default.";

/// How long to wait for the receiver to say that it is there.
const LOOK_TIMEOUT: Duration = Duration::from_millis(200);

/// The subcommand.
pub(crate) fn command() -> Command {
    Command::new("run")
        .about("Start a program with tracing on, without a change to its code")
        .after_help(AFTER_HELP)
        .arg(
            Arg::new("serve")
                .long("serve")
                .action(ArgAction::SetTrue)
                .conflicts_with("endpoint")
                .help("Receive its traces in a temporary server, which stays open after its end"),
        )
        .arg(
            Arg::new("endpoint")
                .long("endpoint")
                .value_name("URL")
                .help("Where traces go [default: OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318]"),
        )
        .arg(
            Arg::new("service-name")
                .long("service-name")
                .value_name("NAME")
                .help("Name of the service [default: OTEL_SERVICE_NAME, or the script's name]"),
        )
        .arg(
            Arg::new("auto")
                .long("auto")
                .value_name("NAMES")
                .help("Only these integrations, with commas [default: LUMITRACE_AUTO, or all]"),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(clap::value_parser!(OsString))
                .help("The program and its arguments"),
        )
}

/// Starts the program. Comes back only where it cannot be started, or with `--serve` after its end.
///
/// # Errors
/// The bootstrap folder cannot be written, or the temporary server does not start.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let command: Vec<OsString> = matches
        .get_many::<OsString>("command")
        .map(|parts| parts.cloned().collect())
        .unwrap_or_default();
    let program = Program {
        endpoint: text("endpoint"),
        service_name: text("service-name"),
        integrations: text("auto"),
        bootstrap: bootstrap::folder()?,
        command,
    };
    if matches.get_flag("serve") {
        return temporary_server::run(program);
    }
    let variables = program.variables(|name| std::env::var_os(name));
    say(&where_to_look(&variables));
    let error = prepared(&program, &variables).exec();
    Ok(cannot_start(&program, &error))
}

/// The program with its environment.
fn prepared(program: &Program, variables: &Variables) -> std::process::Command {
    let (name, arguments) = program
        .command
        .split_first()
        .expect("clap requires at least one");
    let mut command = std::process::Command::new(name);
    command.args(arguments).envs(&variables.0);
    command
}

/// Says why the program does not start, with the status by which shells tell the same.
fn cannot_start(program: &Program, error: &std::io::Error) -> ExitCode {
    let name = program.command[0].display();
    say(&format!("cannot start {name}: {error}"));
    match error.kind() {
        ErrorKind::NotFound => ExitCode::from(127),
        _ => ExitCode::from(126),
    }
}

/// What a person wants to know before the program takes over.
fn where_to_look(variables: &Variables) -> String {
    let (endpoint, service) = (variables.endpoint(), variables.service_name());
    let address = endpoint
        .split_once("://")
        .map_or(&*endpoint, |(_, rest)| rest);
    let address = address.split('/').next().unwrap_or_default();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "4318"));
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let answers = !is_here || answers(host, port);
    if !answers {
        format!(
            "tracing {service}, but nobody receives at {endpoint}: start `lumitrace serve`, or run with --serve"
        )
    } else if is_here && matches!(port, "4317" | "4318") {
        format!("tracing {service}; look at http://localhost:16686")
    } else {
        format!("tracing {service} to {endpoint}")
    }
}

fn answers(host: &str, port: &str) -> bool {
    let Ok(port) = port.parse::<u16>() else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses
        .into_iter()
        .any(|address| TcpStream::connect_timeout(&address, LOOK_TIMEOUT).is_ok())
}

/// A line on the standard error, where the program's own output is not disturbed.
fn say(line: &str) {
    // A closed standard error is the program's business.
    let _ = writeln!(std::io::stderr(), "lumitrace: {line}");
}
