//! `cargo xtask fuzz`: libFuzzer over every decoder.

use anyhow::Context;

use crate::cargo_tool::CargoTool;
use crate::process;

const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

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
        process::run(&mut fuzz(&["run", target, "--", &seconds]))
            .with_context(|| format!("the fuzz target {target} found something"))?;
    }
    Ok(())
}
