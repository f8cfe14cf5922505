//! Waiting until a store has come to rest.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lumitrace_store::Store;

/// Waits until compaction has come to rest: for three seconds nothing was merged, and nothing has
/// changed.
///
/// # Errors
/// It has not after half an hour.
pub(crate) fn settle(store: &Store) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(1_800);
    let (mut previous, mut unchanged) = ((0, 0), 0);
    while unchanged < 6 {
        ensure!(
            Instant::now() < deadline,
            "compaction does not come to rest"
        );
        std::thread::sleep(Duration::from_millis(500));
        let stats = store.stats();
        let now = (stats.blocks, stats.block_bytes);
        let is_at_rest = now == previous && !stats.is_merging;
        unchanged = if is_at_rest { unchanged + 1 } else { 0 };
        previous = now;
    }
    Ok(())
}
