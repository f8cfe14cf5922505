//! The web UI's build.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use crate::node::Node;
use crate::{process, workspace};

/// What the build reads, below `ui/`.
const SOURCES: [&str; 6] = [
    "src",
    "public",
    "index.html",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
];

/// Builds `ui/dist` unless it is newer than everything it is made of.
///
/// # Errors
/// npm or the build failed.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let folder = workspace::root().join("ui");
    let dist = folder.join("dist");
    let built = modified(&dist.join("index.html"));
    let newest = SOURCES
        .iter()
        .filter_map(|source| newest_below(&folder.join(source)))
        .max();
    if built.is_some() && built >= newest {
        return Ok(dist);
    }
    let node = Node::find()?;
    node.install_packages(&folder)?;
    process::run(
        node.command("npm")
            .args(["run", "build"])
            .current_dir(&folder),
    )
    .context("the web UI does not build")?;
    Ok(dist)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|data| data.modified()).ok()
}

fn newest_below(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return modified(path);
    };
    let below = entries
        .flatten()
        .filter_map(|entry| newest_below(&entry.path()));
    below.chain(modified(path)).max()
}
