//! Cargo's subcommands that are not part of Rust: the machine's own where they are new enough,
//! otherwise compiled from the registry into the project's cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::{process, workspace};

/// A subcommand, such as `cargo-deny`, and the version that the project is checked with.
pub(crate) struct CargoTool {
    /// The package and its program.
    pub(crate) name: &'static str,
    /// The oldest version that is used, and the one that is obtained.
    pub(crate) version: &'static str,
}

impl CargoTool {
    /// Finds the tool, or obtains it.
    ///
    /// # Errors
    /// It is missing or too old, and could not be compiled.
    pub(crate) fn find(&self) -> anyhow::Result<PathBuf> {
        let machine = PathBuf::from(self.name);
        if self.is_new_enough(process::command(&machine)) {
            return Ok(machine);
        }
        let folder = workspace::cache().join(self.name);
        let obtained = folder.join("bin").join(self.name);
        if !self.is_new_enough(process::command(&obtained)) {
            process::say(&format!(
                "{0} is missing or too old: compiling version {1} into .cache/{0}",
                self.name, self.version
            ));
            process::run(self.install().arg("--root").arg(&folder)).with_context(|| {
                format!(
                    "cannot obtain {}; install version {} or newer on the path",
                    self.name, self.version
                )
            })?;
        }
        Ok(obtained)
    }

    fn is_new_enough(&self, mut program: Command) -> bool {
        let Ok(output) = program.arg("--version").output() else {
            return false;
        };
        parse_version(&String::from_utf8_lossy(&output.stdout)) >= parse_version(self.version)
    }

    /// Compiled for speed of compilation: it runs for seconds. What it is compiled to stays in the
    /// target folder, which clones may share.
    fn install(&self) -> Command {
        let mut install = process::cargo();
        install
            .args(["install", self.name, "--version", self.version])
            .args(["--locked", "--debug", "--quiet", "--target-dir"])
            .arg(workspace::target().join("xtask").join(self.name))
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        install
    }
}

/// The three numbers that end `cargo-deny 0.20.2`.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let number = text.split_whitespace().last()?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_a_program_without_one_is_too_old() {
        assert_eq!(parse_version("cargo-deny 0.20.2\n"), Some((0, 20, 2)));
        assert!(parse_version("cargo-deny 0.9.9") < parse_version("0.20.2"));
        assert!(parse_version("") < parse_version("0.20.2"));
    }
}
