//! Runs out of what blocks keep of them, so that the spans of most blocks are not read.

#[cfg(test)]
mod tests;

use std::ops::Range;

use lumitrace_model::TraceId;
use lumitrace_store::{
    Damaged, LookupError, QueryBudget, ReadError, ScanRequest, SpanDigest, SpanParts, Store,
};

use super::scan;
use crate::training::RunId;
use crate::training::block_runs::{BlockRun, BlockRuns};
use crate::training::catalog::RunCatalog;
use crate::training::fold::{ROW_BYTES, RunFold};
use crate::training::step_columns::StepColumns;

/// What a run shows of a span that it shows whole.
pub(super) const SHOWN_PARTS: SpanParts = SpanParts {
    attributes: true,
    events: true,
    links: false,
    large_values: false,
};

/// A block, and what it keeps of runs.
pub(super) struct KeptBlock {
    digest: SpanDigest,
    runs: BlockRuns,
}

impl KeptBlock {
    /// Whether all of its spans were stored with one of these sequence numbers.
    fn is_within(&self, seqs: &Range<u64>) -> bool {
        let own = self.digest.seqs();
        seqs.start <= own.start && own.end <= seqs.end
    }

    fn may_have_trace(&self, trace_id: TraceId) -> Result<bool, ReadError> {
        match self.digest.may_have_trace(trace_id) {
            // Then the block is read, and whoever reads it says what is damaged.
            Err(ReadError::Corrupt(_)) => Ok(true),
            answer => answer,
        }
    }
}

/// The blocks that keep their runs, oldest first.
pub(super) fn kept_blocks(store: &Store) -> Result<Vec<KeptBlock>, ReadError> {
    let kept = |digest: SpanDigest| match BlockRuns::decode(digest.bytes()) {
        Some(runs) => Ok(KeptBlock { digest, runs }),
        None => Err(digest.malformed()),
    };
    store.digests()?.into_iter().map(kept).collect()
}

/// Blocks that need not be read, and for which services.
#[derive(Default)]
pub(super) struct ReadBlocks(Vec<(Range<u64>, Vec<String>)>);

impl ReadBlocks {
    fn add(&mut self, block: &KeptBlock) {
        let services = block.digest.services().to_vec();
        self.0.push((block.digest.seqs(), services));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For [`ScanRequest::except_seqs`] of a request for this service.
    pub(super) fn seqs(&self, service: &str) -> Vec<Range<u64>> {
        let mut seqs: Vec<Range<u64>> = Vec::new();
        let is_of = |services: &[String]| services.iter().any(|it| it == service);
        for (own, _) in self.0.iter().filter(|(_, services)| is_of(services)) {
            match seqs.last_mut() {
                Some(last) if last.end == own.start => last.end = own.end,
                _ => seqs.push(own.clone()),
            }
        }
        seqs
    }
}

/// Takes what blocks with these sequence numbers keep into the catalog.
pub(super) fn merge_blocks(
    blocks: &[KeptBlock],
    seqs: &Range<u64>,
    catalog: &mut RunCatalog,
) -> Result<ReadBlocks, ReadError> {
    let mut read = ReadBlocks::default();
    for block in blocks.iter().filter(|block| block.is_within(seqs)) {
        if catalog.merge(&block.runs, |trace_id| block.may_have_trace(trace_id))? {
            read.add(block);
        }
    }
    Ok(read)
}

/// Looks up the ends of spans that are open as far as digests tell: an end may be in another block than
/// the announcement. Ends start when announcements do, so little is read.
pub(super) fn close_ended(
    store: &Store,
    catalog: &mut RunCatalog,
    damaged: &mut Damaged,
) -> Result<(), LookupError> {
    for start_unix_nano in catalog.open_starts() {
        let request = ScanRequest {
            start_unix_nano,
            end_unix_nano: start_unix_nano,
            parts: SpanParts::NONE,
            ..ScanRequest::default()
        };
        scan(store, &request, damaged, &mut |record| {
            if !record.span.pending {
                catalog.close(record);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// What blocks keep of one run.
pub(super) struct KeptRun<'a> {
    parts: Vec<(&'a KeptBlock, Vec<&'a BlockRun>)>,
}

/// What blocks with these sequence numbers keep of a run, and which of them need not be read for more.
pub(super) fn kept_run<'a>(
    blocks: &'a [KeptBlock],
    seqs: &Range<u64>,
    catalog: &RunCatalog,
    run_id: RunId,
) -> Result<(KeptRun<'a>, ReadBlocks), ReadError> {
    let (mut parts, mut read) = (Vec::new(), ReadBlocks::default());
    for block in blocks.iter().filter(|block| block.is_within(seqs)) {
        let may_have_trace = |trace_id| block.may_have_trace(trace_id);
        if let Some(runs) = catalog.runs_of(run_id, &block.runs, may_have_trace)? {
            read.add(block);
            parts.push((block, runs));
        }
    }
    Ok((KeptRun { parts }, read))
}

impl KeptRun<'_> {
    /// Takes it into the fold of the run, whose digest has counted it. What is damaged is left out.
    pub(super) fn fold_into(
        &self,
        fold: &mut RunFold,
        budget: &QueryBudget,
        damaged: &mut Damaged,
    ) -> Result<(), LookupError> {
        for (block, runs) in self.parts.iter().filter(|(_, runs)| !runs.is_empty()) {
            budget.check()?;
            let before = fold.row_count();
            match fold_block(block, runs, fold) {
                Ok(()) => {}
                Err(ReadError::Corrupt(damage)) => damaged.add(damage),
                Err(error) => return Err(error.into()),
            }
            let rows = fold.row_count().saturating_sub(before);
            budget.look_at(rows as u64)?;
            budget.hold(rows * ROW_BYTES)?;
        }
        Ok(())
    }
}

/// Takes what a block keeps of a run into its fold.
fn fold_block(block: &KeptBlock, runs: &[&BlockRun], fold: &mut RunFold) -> Result<(), ReadError> {
    for record in block.digest.records(&rows_of(runs), SHOWN_PARTS)? {
        fold.observe_counted(&record);
    }
    let numbers = runs.iter().flat_map(|run| &run.step_parts);
    let numbers: Vec<u32> = numbers.copied().collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let mut parts = block.digest.parts()?;
    for number in numbers {
        let columns = StepColumns::decode(&parts.part(number)?);
        let added = columns.and_then(|columns| fold.add_steps(&columns));
        added.ok_or_else(|| block.digest.malformed())?;
    }
    Ok(())
}

/// The rows of spans that are to be read, ascending.
fn rows_of(runs: &[&BlockRun]) -> Vec<u64> {
    let mut rows: Vec<u64> = runs.iter().flat_map(|run| &run.rows).copied().collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}
