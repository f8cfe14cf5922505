//! What the index of a block of spans says of them in sum.

use crate::block::Block;
use crate::block::rollup::{BlockRollup, RollupBuilder};
use crate::block::row::Row;
use crate::block::time_ranges::TimeRangesBuilder;
use crate::error::ReadError;

/// What the rows of a block of spans add up to, to be compared with what its index says.
#[derive(Default)]
pub(crate) struct SpanSums {
    time_ranges: TimeRangesBuilder,
    rollup: RollupBuilder,
}

impl SpanSums {
    /// Takes in the next row.
    pub(crate) fn add_row(&mut self, row: &Row<'_>) {
        self.time_ranges.add(row.start_unix_nano);
        self.rollup.add(row);
    }

    /// Compares what was found with what is said, if the block is of a version that says it.
    pub(crate) fn check(self, block: &Block) -> Result<(), ReadError> {
        if block.index().version() < 3 {
            return Ok(());
        }
        if self.time_ranges.finish() != block.time_ranges() {
            return Err(block.malformed("the index says other ranges of time than the rows say"));
        }
        let rows = block.record().rows;
        let rollup = self.rollup.encode();
        let rollup = rollup.map_err(|error| block.malformed(&error.to_string()))?;
        let rollup = BlockRollup::decode(&rollup, rows as usize).flatten();
        if rollup != block.index().rollup(rows)? {
            return Err(
                block.malformed("the rollup says other counts or durations than the rows say")
            );
        }
        Ok(())
    }
}
