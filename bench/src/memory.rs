//! Memory of this process.

use anyhow::Context;

/// The most memory that the process ever had resident, in bytes (proc(5), `VmHWM` of `status`).
///
/// # Errors
/// The system does not tell.
pub(crate) fn peak_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("no /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no VmHWM in /proc/self/status")? << 10)
}
