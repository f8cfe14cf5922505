//! Counting the spans of a block themselves, from no more columns and rows than it takes.

use std::ops::{Range, RangeInclusive};

use arrow::array::{BooleanArray, Int64Array, RecordBatch, UInt8Array, UInt64Array};
use lumitrace_model::StatusCode;

use super::collector::Collector;
use crate::ScanRequest;
use crate::block::Block;
use crate::block::data::BlockData;
use crate::block::rollup_keys::RollupKeyRef;
use crate::block::rows::{column, optional};
use crate::block::schema;
use crate::block::text::TextColumn;
use crate::error::ReadError;
use crate::scan::pruning::{candidate_rows, conditions};

/// What of a span is counted, and whether it is.
const COLUMNS: [&str; 7] = [
    schema::START,
    schema::DURATION,
    schema::SERVICE,
    schema::NAME,
    schema::KIND,
    schema::STATUS_CODE,
    schema::PENDING,
];

/// Adds the spans of `block` that start in `starts`.
pub(super) fn add(
    block: &Block,
    starts: RangeInclusive<u64>,
    collector: &mut Collector<'_>,
) -> Result<(), ReadError> {
    let data = block.open_data()?;
    let rows = rows_of(block, &data, &starts, collector);
    let mut batches = data.batches(&rows, &COLUMNS)?;
    while let Some(batch) = batches.next()? {
        if collector.look_at(batch.num_rows() as u64).is_break() {
            return Ok(());
        }
        add_batch(&batch, &starts, collector)
            .ok_or_else(|| block.malformed("a column is not of its type"))?;
    }
    Ok(())
}

/// The rows that may be asked for, as far as ranges of time and statistics say.
fn rows_of(
    block: &Block,
    data: &BlockData<'_>,
    starts: &RangeInclusive<u64>,
    collector: &Collector<'_>,
) -> Vec<Range<usize>> {
    let request = ScanRequest {
        start_unix_nano: *starts.start(),
        end_unix_nano: *starts.end(),
        service: collector.request().service.clone(),
        names: collector.request().name.iter().cloned().collect(),
        ..ScanRequest::default()
    };
    let conditions = conditions(&request);
    let groups = data.row_group_starts();
    let mut rows = Vec::new();
    for range in block.time_ranges().iter().filter(|it| it.overlaps(starts)) {
        for (group, bounds) in groups.windows(2).enumerate() {
            let (first, end) = (bounds[0], bounds[1]);
            let (from, to) = (range.rows.start.max(first), range.rows.end.min(end));
            if from < to {
                let inside = from - first..to - first;
                let found = candidate_rows(data.metadata(), group, inside, &conditions);
                rows.extend(found.iter().map(|it| first + it.start..first + it.end));
            }
        }
    }
    rows
}

/// `None` if a column is not of its type.
fn add_batch(
    batch: &RecordBatch,
    starts: &RangeInclusive<u64>,
    collector: &mut Collector<'_>,
) -> Option<()> {
    let start: &UInt64Array = column(batch, schema::START)?;
    let duration: &Int64Array = column(batch, schema::DURATION)?;
    let text = |name: &str| TextColumn::new(batch.column_by_name(name)?.as_ref());
    let (service, name) = (text(schema::SERVICE)?, text(schema::NAME)?);
    let kind: &UInt8Array = column(batch, schema::KIND)?;
    let status: &UInt8Array = column(batch, schema::STATUS_CODE)?;
    let pending: Option<&BooleanArray> = optional(batch, schema::PENDING)?;
    for row in 0..batch.num_rows() {
        let is_counted = starts.contains(&start.value(row))
            && !pending.is_some_and(|pending| pending.value(row));
        if is_counted {
            let key = RollupKeyRef {
                service: service.get(row)?,
                name: name.get(row)?,
                kind: kind.value(row),
                failed: status.value(row) == StatusCode::Error.code(),
            };
            collector.add_one(key, start.value(row), duration.value(row));
        }
    }
    Some(())
}
