//! `cargo xtask fuzz`: libFuzzer over every decoder.

use std::fs;

use anyhow::Context;

use crate::cargo_tool::CargoTool;
use crate::{process, workspace};

const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// More than any input of libFuzzer's length may make a decoder take.
const MEMORY_LIMIT: &str = "-rss_limit_mb=2048";

/// Files of the store's golden folders with which targets begin: where they are in a folder, and how their
/// names end.
const SEEDS: [(&str, &[&str], &str); 8] = [
    ("store_manifest", &ALL_SHELVES, "MANIFEST"),
    ("store_log", &LOGS, ".log"),
    ("store_sidecar", &BLOCKS, ".idx"),
    ("store_payload", &BLOCKS, ".payload"),
    ("store_block", &["blocks"], ".parquet"),
    ("store_log_block", &["logs/blocks"], ".parquet"),
    ("store_metric_block", &["metrics/blocks"], ".parquet"),
    ("record_file", &["."], ".parquet"),
];
const ALL_SHELVES: [&str; 3] = [".", "logs", "metrics"];
const LOGS: [&str; 3] = ["log", "logs/log", "metrics/log"];
const BLOCKS: [&str; 3] = ["blocks", "logs/blocks", "metrics/blocks"];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this target; all of them by default.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs the fuzz targets, one after the other.
///
/// # Errors
/// There is no nightly compiler, or a target found a bug; libFuzzer prints the input.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let cargo_fuzz = CARGO_FUZZ.find()?;
    let fuzz = |arguments: &[&str]| {
        let mut command = process::command(&cargo_fuzz);
        command
            .arg("fuzz")
            .args(arguments)
            .env("RUSTUP_TOOLCHAIN", "nightly");
        command
    };
    let listed = process::output(&mut fuzz(&["list"]))
        .context("fuzzing needs a nightly compiler: rustup toolchain install nightly")?;
    let seconds = format!("-max_total_time={}", options.seconds);
    let wanted = |target: &&str| options.target.as_deref().is_none_or(|only| only == *target);
    for target in listed.lines().filter(wanted) {
        seed(target).with_context(|| format!("cannot seed the fuzz target {target}"))?;
        process::run(&mut fuzz(&["run", target, "--", &seconds, MEMORY_LIMIT]))
            .with_context(|| format!("the fuzz target {target} found something"))?;
    }
    Ok(())
}

/// Copies what a target begins with into its corpus: without it, a fuzzer would have to guess whole
/// files. What is short, such as what is kept of training runs, it finds by itself.
fn seed(target: &str) -> anyhow::Result<()> {
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let golden = workspace::root().join("crates/lumitrace-store/tests/golden");
    for (_, dirs, ending) in SEEDS.iter().filter(|(seeded, ..)| *seeded == target) {
        for version in fs::read_dir(&golden)? {
            let version = version?;
            for dir in *dirs {
                // Not every version has every folder.
                let Ok(files) = fs::read_dir(version.path().join(dir)) else {
                    continue;
                };
                for file in files {
                    let file = file?;
                    let name = file.file_name();
                    if name.to_string_lossy().ends_with(ending) {
                        let (version, name) = (version.file_name(), name.display());
                        let dir = dir.replace('/', "-");
                        let seed = format!("golden-{}-{dir}-{name}", version.display());
                        fs::copy(file.path(), corpus.join(seed))?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_that_begins_with_files_is_there() {
        let manifest = fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).unwrap();
        for (target, ..) in SEEDS {
            let name = format!("name = \"{target}\"\n");
            assert!(manifest.contains(&name), "{target}");
        }
    }
}
