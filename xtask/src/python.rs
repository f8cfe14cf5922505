//! Python: a virtual environment of the project's own, filled from the locked requirements, with
//! the package `lumitrace` built into it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::{process, workspace};

/// Installs packages much faster than pip, and copies from one cache for all clones.
const INSTALLER: &str = "uv==0.13.8";
const LOCK: &str = "python/requirements.lock";

/// Options of `cargo xtask python`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Build the native module optimised, as it is published.
    #[arg(long)]
    pub(crate) release: bool,
}

/// A virtual environment.
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Creates the environment unless it is there.
    ///
    /// # Errors
    /// There is no Python 3.10 or newer, or it cannot make virtual environments.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        let environment = Self {
            folder: folder.to_owned(),
        };
        if process::succeeds(environment.python().args(["-m", "pip", "--version"])) {
            return Ok(environment);
        }
        let python = find_python()?;
        process::run(
            process::command(python)
                .args(["-m", "venv", "--clear"])
                .arg(folder),
        )?;
        Ok(environment)
    }

    /// The environment's interpreter.
    pub(crate) fn python(&self) -> Command {
        self.program("python")
    }

    /// A program installed in the environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = process::command(self.folder.join("bin").join(name));
        command.env("VIRTUAL_ENV", &self.folder);
        command
    }

    /// Installs packages by name with pip.
    ///
    /// # Errors
    /// pip failed.
    pub(crate) fn install(&self, packages: &[&str]) -> anyhow::Result<()> {
        let arguments = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        process::run(self.python().args(arguments).args(packages))
    }

    /// Makes the environment hold exactly what a lock file names.
    ///
    /// # Errors
    /// It cannot be read, or a package cannot be installed.
    pub(crate) fn synchronise(&self, lock: &str) -> anyhow::Result<()> {
        let stamp = self.folder.join("synchronised.lock");
        let wanted = std::fs::read(workspace::root().join(lock))
            .with_context(|| format!("cannot read {lock}"))?;
        if std::fs::read(&stamp).is_ok_and(|present| present == wanted) {
            return Ok(());
        }
        self.install(&[INSTALLER])?;
        process::run(self.program("uv").args([
            "pip",
            "install",
            "--quiet",
            "--requirement",
            lock,
        ]))?;
        std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
    }
}

/// The project's environment, with everything that tests and examples import.
///
/// # Errors
/// It could not be made or filled.
pub(crate) fn environment() -> anyhow::Result<Environment> {
    let environment = Environment::create(&workspace::cache().join("venv"))?;
    environment.synchronise(LOCK)?;
    Ok(environment)
}

/// Builds the package into the project's environment.
///
/// # Errors
/// The build failed.
pub(crate) fn develop(options: &Options) -> anyhow::Result<Environment> {
    let environment = environment()?;
    let mut maturin = environment.program("maturin");
    maturin.args(["develop", "--manifest-path", "python/Cargo.toml", "--uv"]);
    if options.release {
        maturin.arg("--release");
    }
    process::run(&mut maturin)?;
    Ok(environment)
}

fn find_python() -> anyhow::Result<PathBuf> {
    let usable = |python: &str| {
        let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        process::succeeds(process::command(python).args(["-c", check]))
    };
    let known = [
        "python3",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
    ];
    if let Some(python) = known.iter().find(|python| usable(python)) {
        return Ok(PathBuf::from(python));
    }
    process::install_debian_packages(&["python3", "python3-venv"])
        .context("Python 3.10 or newer with venv is needed")?;
    Ok(PathBuf::from("python3"))
}
