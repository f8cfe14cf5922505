//! Waiting until a store has come to rest.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lumitrace_store::Store;

/// Waits until compaction has come to rest: nothing has changed for three seconds.
///
/// # Errors
/// It has not after ten minutes.
pub(crate) fn settle(store: &Store) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(600);
    let (mut previous, mut unchanged) = ((0, 0), 0);
    while unchanged < 6 {
        ensure!(
            Instant::now() < deadline,
            "compaction does not come to rest"
        );
        std::thread::sleep(Duration::from_millis(500));
        let stats = store.stats();
        let now = (stats.blocks, stats.block_bytes);
        unchanged = if now == previous { unchanged + 1 } else { 0 };
        previous = now;
    }
    Ok(())
}
