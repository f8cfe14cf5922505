//! The browser of the tests: Debian's Chromium.

use std::path::PathBuf;

use anyhow::Context;

use crate::process;

/// Names another browser.
pub(crate) const VARIABLE: &str = "LUMITRACE_CHROMIUM";

const KNOWN: [&str; 3] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

/// Finds a Chromium, or installs Debian's.
///
/// # Errors
/// There is none and it could not be installed.
pub(crate) fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let installed = || KNOWN.iter().map(PathBuf::from).find(|path| path.exists());
    if installed().is_none() {
        process::install_debian_packages(&["chromium"]).context(
            "the browser tests need Chromium; point LUMITRACE_CHROMIUM at one to use another",
        )?;
    }
    installed().context("Chromium was installed, but not where Debian puts it")
}
