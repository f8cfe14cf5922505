//! Running other programs: say what runs, pass its output on, and fail with its name.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::workspace;

/// A command that runs in the repository's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    command
}

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command, its output on the terminal.
///
/// # Errors
/// It could not be started or did not succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    say(&shown(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed.
///
/// # Errors
/// It could not be started or did not succeed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a command can be started and succeeds, without showing what it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Runs a command, passes its output on line by line, and hands each line to `observe`.
///
/// # Errors
/// It could not be started, or its output could not be read. That it failed is in the result.
pub(crate) fn observe(
    command: &mut Command,
    mut observe: impl FnMut(&str),
) -> anyhow::Result<bool> {
    say(&shown(command));
    // One pipe for both: the order of lines is kept, and nobody waits on a full second pipe.
    let (reader, writer) = std::io::pipe().context("cannot open a pipe")?;
    let second = writer.try_clone().context("cannot open a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    // The command keeps the write ends until they are replaced; with them open we never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read the output")?;
        let line = String::from_utf8_lossy(&line);
        say(&line);
        observe(&line);
    }
    Ok(child
        .wait()
        .context("cannot wait for the program")?
        .success())
}

/// Prints a line; a closed pipe is no reason to fail.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("$ {}", words.join(" "))
}

/// Installs Debian packages where that is possible (as root on Debian); otherwise says what to do.
///
/// # Errors
/// Not root, not Debian, or the installation failed.
pub(crate) fn install_debian_packages(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    let apt_get = || {
        let mut command = command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let is_root = output(command("id").arg("-u")).is_ok_and(|id| id == "0");
    if !is_root || !succeeds(apt_get().arg("--version")) {
        bail!("missing system packages; install them with: sudo apt-get install {names}");
    }
    run(apt_get().args(["update", "--quiet"]))?;
    run(apt_get()
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages))
    .with_context(|| format!("cannot install {names}"))
}
