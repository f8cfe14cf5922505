//! What a search need not read: row groups and pages whose statistics rule them out.

use std::ops::Range;

use lumitrace_model::StatusCode;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use crate::block::schema;
use crate::scan::ScanRequest;

/// The least and the greatest value of a column somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds<'a> {
    Ints(i64, i64),
    /// The greatest may be a prefix, raised so that it is not less than any value.
    Bytes(&'a [u8], &'a [u8]),
}

/// A condition on one column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition<'a> {
    /// Of a column of unsigned numbers: from the first up to the last.
    Numbers(&'static str, u64, u64),
    /// Of a column of signed numbers.
    AtLeast(&'static str, i64),
    Duration(u64, u64),
    Service(&'a str),
    Names(&'a [String]),
    Errors,
}

impl Condition<'_> {
    fn column(self) -> &'static str {
        match self {
            Condition::Numbers(column, ..) | Condition::AtLeast(column, _) => column,
            Condition::Duration(..) => schema::DURATION,
            Condition::Service(_) => schema::SERVICE,
            Condition::Names(_) => schema::NAME,
            Condition::Errors => schema::STATUS_CODE,
        }
    }

    /// Whether a value within `bounds` may fulfil the condition.
    fn may_hold(self, bounds: Bounds<'_>) -> bool {
        let within = |value: &str| match bounds {
            Bounds::Bytes(min, max) => min <= value.as_bytes() && value.as_bytes() <= max,
            Bounds::Ints(..) => true,
        };
        match (self, bounds) {
            // Parquet keeps unsigned numbers in signed ones of the same bits.
            (Condition::Numbers(_, first, last), Bounds::Ints(min, max)) => {
                min as u64 <= last && max as u64 >= first
            }
            (Condition::AtLeast(_, least), Bounds::Ints(_, max)) => max >= least,
            (Condition::Duration(least, most), Bounds::Ints(min, max)) => {
                min.max(0) as u64 <= most && max.max(0) as u64 >= least
            }
            (Condition::Errors, Bounds::Ints(min, max)) => {
                (min..=max).contains(&i64::from(StatusCode::Error.code()))
            }
            (Condition::Service(service), _) => within(service),
            (Condition::Names(names), _) => names.iter().any(|name| within(name)),
            _ => true,
        }
    }
}

/// The conditions of `request` on single columns, and always one on the start.
pub(crate) fn conditions(request: &ScanRequest) -> Vec<Condition<'_>> {
    let mut conditions = vec![Condition::Numbers(
        schema::START,
        request.start_unix_nano,
        request.end_unix_nano,
    )];
    if request.min_duration_nano.is_some() || request.max_duration_nano.is_some() {
        let least = request.min_duration_nano.unwrap_or(0);
        let most = request.max_duration_nano.unwrap_or(u64::MAX);
        conditions.push(Condition::Duration(least, most));
    }
    conditions.extend(request.service.as_deref().map(Condition::Service));
    if !request.names.is_empty() {
        conditions.push(Condition::Names(&request.names));
    }
    if request.only_errors {
        conditions.push(Condition::Errors);
    }
    conditions
}

/// The columns on which `request` has conditions, and always the start.
pub(crate) fn condition_columns(request: &ScanRequest) -> Vec<&'static str> {
    conditions(request)
        .into_iter()
        .map(Condition::column)
        .collect()
}

/// Those of `rows` in row group `group`, counted from its first, that may be what is asked for.
/// Missing statistics rule nothing out.
pub(crate) fn candidate_rows(
    metadata: &ParquetMetaData,
    group: usize,
    rows: Range<usize>,
    conditions: &[Condition<'_>],
) -> Vec<Range<usize>> {
    let whole: Vec<Range<usize>> = std::iter::once(rows.clone()).collect();
    conditions.iter().fold(whole, |candidates, condition| {
        let Some(leaf) = leaf_index(metadata, condition.column()) else {
            return candidates;
        };
        let group_bounds = metadata
            .row_group(group)
            .column(leaf)
            .statistics()
            .and_then(bounds);
        if group_bounds.is_some_and(|bounds| !condition.may_hold(bounds)) {
            return Vec::new();
        }
        match pages(metadata, group, leaf, &rows) {
            Some(pages) => {
                let holding = pages
                    .into_iter()
                    .filter(|(_, bounds)| bounds.is_none_or(|bounds| condition.may_hold(bounds)));
                intersect(&candidates, holding.map(|(rows, _)| rows))
            }
            None => candidates,
        }
    })
}

/// The least and the greatest of the unsigned numbers of a column in `rows` of row group `group`, if
/// known. There may be no such rows, but no others.
pub(crate) fn row_bounds(
    metadata: &ParquetMetaData,
    column: &str,
    group: usize,
    rows: Range<usize>,
) -> Option<(u64, u64)> {
    let leaf = leaf_index(metadata, column)?;
    let mut found: Option<(u64, u64)> = None;
    for (_, bounds) in pages(metadata, group, leaf, &rows)? {
        let Some(Bounds::Ints(min, max)) = bounds else {
            return None;
        };
        let (min, max) = (min as u64, max as u64);
        found = Some(match found {
            Some((first, last)) => (first.min(min), last.max(max)),
            None => (min, max),
        });
    }
    found
}

fn leaf_index(metadata: &ParquetMetaData, column: &str) -> Option<usize> {
    let columns = metadata.file_metadata().schema_descr().columns();
    columns
        .iter()
        .position(|leaf| leaf.path().parts() == [column])
}

fn bounds(statistics: &Statistics) -> Option<Bounds<'_>> {
    match statistics {
        Statistics::Int32(ints) => Some(Bounds::Ints(
            (*ints.min_opt()?).into(),
            (*ints.max_opt()?).into(),
        )),
        Statistics::Int64(ints) => Some(Bounds::Ints(*ints.min_opt()?, *ints.max_opt()?)),
        Statistics::ByteArray(bytes) => Some(Bounds::Bytes(
            bytes.min_opt()?.data(),
            bytes.max_opt()?.data(),
        )),
        _ => None,
    }
}

/// The rows of each page of a column that has some of `rows`, and the bounds of its values if
/// known.
fn pages<'a>(
    metadata: &'a ParquetMetaData,
    group: usize,
    leaf: usize,
    rows: &Range<usize>,
) -> Option<Vec<(Range<usize>, Option<Bounds<'a>>)>> {
    let locations = metadata
        .offset_index()?
        .get(group)?
        .get(leaf)?
        .page_locations();
    let index = metadata.column_index()?.get(group)?.get(leaf)?;
    let group_rows = metadata.row_group(group).num_rows() as usize;
    let first_row = |page: usize| locations.get(page).map(|it| it.first_row_index as usize);
    let page = |page: usize| {
        let start = first_row(page).unwrap_or(group_rows);
        let end = first_row(page + 1).unwrap_or(group_rows);
        (start..end, page_bounds(index, page))
    };
    let holds_some = |it: &(Range<usize>, _)| it.0.start < rows.end && it.0.end > rows.start;
    let before = locations.partition_point(|it| it.first_row_index as usize <= rows.start);
    let from_there = (before.saturating_sub(1)..locations.len()).map(page);
    Some(
        from_there
            .take_while(|it| it.0.start < rows.end)
            .filter(holds_some)
            .collect(),
    )
}

fn page_bounds(index: &ColumnIndexMetaData, page: usize) -> Option<Bounds<'_>> {
    match index {
        ColumnIndexMetaData::INT32(ints) => Some(Bounds::Ints(
            (*ints.min_value(page)?).into(),
            (*ints.max_value(page)?).into(),
        )),
        ColumnIndexMetaData::INT64(ints) => {
            Some(Bounds::Ints(*ints.min_value(page)?, *ints.max_value(page)?))
        }
        ColumnIndexMetaData::BYTE_ARRAY(bytes) => Some(Bounds::Bytes(
            bytes.min_value(page)?,
            bytes.max_value(page)?,
        )),
        _ => None,
    }
}

/// The parts of `left` that lie in `right`; both ascend.
fn intersect(
    left: &[Range<usize>],
    right: impl Iterator<Item = Range<usize>>,
) -> Vec<Range<usize>> {
    let mut both: Vec<Range<usize>> = Vec::new();
    for range in right {
        let first = left.partition_point(|other| other.end <= range.start);
        for other in left[first..]
            .iter()
            .take_while(|other| other.start < range.end)
        {
            let (start, end) = (other.start.max(range.start), other.end.min(range.end));
            match both.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => both.push(start..end),
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersection_keeps_what_is_in_both() {
        let both = intersect(&[0..10, 20..30], [5..8, 8..22, 28..40].into_iter());
        assert_eq!(both, [5..10, 20..22, 28..30]);
    }

    #[test]
    fn a_condition_is_ruled_out_only_by_bounds_that_exclude_it() {
        let late = (u64::MAX - 1) as i64;
        assert!(
            Condition::Numbers(schema::START, u64::MAX - 5, u64::MAX)
                .may_hold(Bounds::Ints(0, late))
        );
        assert!(!Condition::Numbers(schema::START, 0, 5).may_hold(Bounds::Ints(6, late)));
        assert!(Condition::Duration(0, 0).may_hold(Bounds::Ints(-7, -5)));
        assert!(!Condition::Duration(10, 20).may_hold(Bounds::Ints(-7, 9)));
        assert!(!Condition::Errors.may_hold(Bounds::Ints(0, 1)));
        assert!(Condition::Service("b").may_hold(Bounds::Bytes(b"a", b"c")));
        assert!(!Condition::Service("d").may_hold(Bounds::Bytes(b"a", b"c")));
    }
}
