//! `cargo xtask fuzz`: libFuzzer over every decoder.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cargo_tool::CargoTool;
use crate::{process, workspace};

const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// More than any input of libFuzzer's length may make a decoder take.
const MEMORY_LIMIT: &str = "-rss_limit_mb=2048";

/// Files of the store's golden folders with which targets begin.
const SEEDS: [(&str, &str); 8] = [
    ("store_manifest", "MANIFEST"),
    ("store_log", "log/0000000001.log"),
    (
        "store_sidecar",
        "blocks/0000000000000001-0000000000000004.idx",
    ),
    (
        "store_block",
        "blocks/0000000000000001-0000000000000004.parquet",
    ),
    (
        "store_payload",
        "blocks/0000000000000001-0000000000000004.payload",
    ),
    (
        "store_log_block",
        "logs/blocks/0000000000000001-0000000000000005.parquet",
    ),
    (
        "store_log_block",
        "logs/blocks/0000000000000001-0000000000000007.parquet",
    ),
    (
        "store_metric_block",
        "metrics/blocks/0000000000000001-0000000000000007.parquet",
    ),
];

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
/// files.
fn seed(target: &str) -> anyhow::Result<()> {
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let golden = Path::new("crates/lumitrace-store/tests/golden");
    for (_, file) in SEEDS.iter().filter(|(seeded, _)| *seeded == target) {
        for version in fs::read_dir(workspace::root().join(golden))? {
            let version = version?;
            let golden = version.path().join(file);
            // Not every version has every file.
            if golden.exists() {
                let seed = corpus.join(format!("golden-{}", version.file_name().display()));
                fs::copy(golden, seed)?;
            }
        }
    }
    Ok(())
}
