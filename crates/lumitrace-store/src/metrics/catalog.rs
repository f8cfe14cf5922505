//! Which metrics there are, and what each of them is.

use std::collections::BTreeMap;
use std::sync::Arc;

use lumitrace_model::MetricKind;

use super::Metrics;
use super::batch::MetricInfo;
use super::columns;
use super::row::kind_of;
use super::rows::MetricColumns;
use super::select::candidates;
use crate::block::{Block, schema};
use crate::engine::Sources;
use crate::scan::pruning::Condition;
use crate::summary::Summaries;
use crate::{Damaged, LookupError, QueryBudget};

/// A metric of which points are stored: those of one name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSummary {
    /// Its name.
    pub name: String,
    /// What its points are.
    pub kind: MetricKind,
    /// The services that measure it, by name.
    pub services: Vec<String>,
    /// How many points of it are stored.
    pub point_count: u64,
    /// The time of its latest point, in nanoseconds since the Unix epoch.
    pub last_unix_nano: u64,
}

/// The metrics of which points are stored, by name and kind. Reads nothing from disk.
pub(crate) fn list(sources: &Sources<Metrics>) -> Vec<MetricSummary> {
    let mut total = Summaries::default();
    for memtable in &sources.memtables() {
        memtable.add_summaries_to(&mut total);
    }
    for block in &sources.blocks {
        total.merge(block.summaries());
    }
    let mut metrics: BTreeMap<(String, MetricKind), MetricSummary> = BTreeMap::new();
    for service in total.services() {
        for (name, code, tally) in total.operation_tallies(&service.name) {
            let Some(kind) = kind_of(code) else {
                continue;
            };
            let empty = || MetricSummary {
                name: name.to_owned(),
                kind,
                services: Vec::new(),
                point_count: 0,
                last_unix_nano: 0,
            };
            let metric = metrics.entry((name.to_owned(), kind)).or_insert_with(empty);
            metric.services.push(service.name.clone());
            metric.point_count += tally.spans;
            metric.last_unix_nano = metric.last_unix_nano.max(tally.last_start_unix_nano);
        }
    }
    metrics.into_values().collect()
}

/// What the metric of this name and kind is, as one of its newest points says; none if there are no
/// points of it. What is damaged is noted in `damaged`.
pub(crate) fn info(
    sources: &Sources<Metrics>,
    name: &str,
    kind: MetricKind,
    budget: &QueryBudget,
    damaged: &mut Damaged,
) -> Result<Option<Arc<MetricInfo>>, LookupError> {
    let memtables = sources.memtables();
    let in_memory = memtables.iter().find_map(|it| it.info(name, kind));
    if in_memory.is_some() {
        return Ok(in_memory);
    }
    for block in sources.blocks.iter().rev() {
        match info_in(block, name, kind, budget) {
            Ok(Some(info)) => return Ok(Some(Arc::new(info))),
            Ok(None) => {}
            Err(error) => sources.damage_log.leave_out_of_lookup(error, damaged)?,
        }
    }
    let blocks = sources.damaged.iter();
    blocks.for_each(|block| sources.damage_log.leave_out_block(block, damaged));
    Ok(None)
}

/// Of a block no more is read than a few columns of the metric's first rows.
fn info_in(
    block: &Block,
    name: &str,
    kind: MetricKind,
    budget: &QueryBudget,
) -> Result<Option<MetricInfo>, LookupError> {
    let names = [name.to_owned()];
    if !block
        .summaries()
        .may_hold(None, &names, false, 0..=u64::MAX)
    {
        return Ok(None);
    }
    let data = block.open_data()?;
    let rows = candidates(&data, &[Condition::Names(&names)]);
    let wanted = [
        schema::NAME,
        schema::KIND,
        columns::UNIT,
        columns::DESCRIPTION,
        columns::METADATA,
        columns::TEMPORALITY,
        columns::IS_MONOTONIC,
    ];
    let mut batches = data.batches(&rows, &wanted)?;
    while let Some(batch) = batches.next()? {
        budget.look_at(batch.num_rows() as u64)?;
        let malformed = || block.malformed("its columns are not those of metrics");
        let metrics = MetricColumns::new(&batch).ok_or_else(malformed)?;
        if let Some(row) = metrics.first_of(name, kind) {
            return Ok(Some(metrics.get(row).ok_or_else(malformed)?));
        }
    }
    Ok(None)
}
