//! Blocks of log records and of points.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use lumitrace_model::{KeyValue, Severity, TraceId};

use super::{
    BlockBytes, UnsyncedDisk, add_to, all_of, expect_damage, expect_whole, open_block, read_index,
    target_in,
};
use crate::block::caches::BlockCaches;
use crate::block::columns::Columns;
use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::{PayloadCopier, PayloadReader};
use crate::block::{Block, BlockWriter};
use crate::check;
use crate::engine::Sources;
use crate::error::{LookupError, OpenError, ReadError};
use crate::logs::Logs;
use crate::logs::scan::scan;
use crate::metrics::Metrics;
use crate::metrics::select::select;
use crate::rewrite::{self, Rewritable};
use crate::signal::{BlockRows, Signal};
use crate::{LogEntry, LogScan, MetricSelector, Point, QueryBudget, StoredPoint};

/// Reads a block of `rows` log records in every way; its files are written to `dir`. Returns the number
/// of log records that were read.
///
/// # Errors
/// It is damaged. Not everything is read then.
pub fn read_log_block(dir: &Path, files: &BlockBytes<'_>, rows: u64) -> Result<u64, OpenError> {
    let read = || {
        let block = open_block(dir, files, rows)?;
        let cut = LogScan {
            large_values: false,
            ..LogScan::default()
        };
        all_of([
            read_rows::<Logs>(dir, &block),
            search_logs(&block, &cut).map(drop),
            search_logs(&block, &demanding_log_scan()).map(drop),
        ])?;
        let found = search_logs(&block, &LogScan::default())?;
        let whole = |cut: CutRecord<LogEntry>, payload: &mut PayloadReader| {
            Ok(describe_log(cut.restore(payload)?))
        };
        write_again::<Logs>(dir, &block, whole)?;
        Ok(found)
    };
    read().inspect_err(expect_damage)
}

/// Reads a block of `rows` points in every way; its files are written to `dir`. Returns the number of
/// points that were read.
///
/// # Errors
/// It is damaged. Not everything is read then.
pub fn read_metric_block(dir: &Path, files: &BlockBytes<'_>, rows: u64) -> Result<u64, OpenError> {
    let read = || {
        let block = open_block(dir, files, rows)?;
        all_of([
            read_rows::<Metrics>(dir, &block),
            select_points(&block, &demanding_selector()).map(drop),
        ])?;
        let found = select_points(&block, &MetricSelector::default())?;
        let whole =
            |cut: CutRecord<StoredPoint>, _: &mut PayloadReader| Ok(describe_point(cut.record));
        write_again::<Metrics>(dir, &block, whole)?;
        Ok(found)
    };
    read().inspect_err(expect_damage)
}

/// What is read of a block of any kind but for searches.
fn read_rows<S: Signal + Rewritable>(dir: &Path, block: &Block) -> Result<(), OpenError> {
    let mut go_on = |_| ControlFlow::Continue(());
    let mut watch = check::Watch::new(0, &mut go_on);
    let checked = check::block_damages::<S>(dir, block.id(), Some(*block.record()), &mut watch);
    let all = BlockRows::all(block);
    all_of([
        checked.map(drop),
        read_index(block),
        add_to(block, S::Columns::kind()),
        rewrite::visit_times::<S>(&all, &mut |_, _| {}).map_err(OpenError::from),
    ])
}

fn search_logs(block: &Arc<Block>, request: &LogScan) -> Result<u64, OpenError> {
    let sources = Sources::<Logs>::of_blocks(vec![Arc::clone(block)]);
    let mut found = 0;
    let stats = scan(&sources, request, &mut |entry| {
        // Of large values only what is kept can be asked.
        assert!(!request.large_values || request.matches(&entry));
        found += 1;
        ControlFlow::Continue(())
    })?;
    expect_whole(&stats.damaged)?;
    Ok(found)
}

fn select_points(block: &Arc<Block>, selector: &MetricSelector) -> Result<u64, OpenError> {
    let sources = Sources::<Metrics>::of_blocks(vec![Arc::clone(block)]);
    match select(&sources, selector, &QueryBudget::unlimited()) {
        Ok(selection) => {
            expect_whole(&selection.damaged)?;
            let points = selection.series.iter().flat_map(|series| &series.points);
            assert!(points.clone().all(|point| selector.matches(point)));
            Ok(points.count() as u64)
        }
        Err(LookupError::Read(error)) => Err(error.into()),
        Err(LookupError::Exhausted(error)) => panic!("{error}"),
    }
}

/// Has a condition of every kind, for log records like those of the golden folders.
fn demanding_log_scan() -> LogScan {
    LogScan {
        start_unix_nano: 1,
        service: Some("trainer".to_owned()),
        min_severity: Severity::ERROR,
        text: Some("199".to_owned()),
        attributes: demanded_attributes(),
        trace_id: Some(TraceId::from_bytes([1; 16])),
        ..LogScan::default()
    }
}

/// Has a condition of every kind, for points like those of the golden folders.
fn demanding_selector() -> MetricSelector {
    MetricSelector {
        start_unix_nano: 1,
        name: Some("metric.0".to_owned()),
        service: Some("trainer".to_owned()),
        attributes: demanded_attributes(),
        ..MetricSelector::default()
    }
}

fn demanded_attributes() -> Vec<(String, String)> {
    let attribute = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    vec![
        attribute("int", &i64::MIN.to_string()),
        attribute("string", "Größe"),
        attribute("bool", "true"),
    ]
}

/// What can be read says the same after it was written as another block: `describe` says what a record
/// is, with its large values.
fn write_again<S: Signal + Rewritable>(
    dir: &Path,
    block: &Block,
    describe: impl Fn(CutRecord<S::Record>, &mut PayloadReader) -> Result<String, ReadError>,
) -> Result<(), OpenError> {
    let described = |block: &Block| -> Result<Vec<String>, ReadError> {
        let mut payload = block.payload()?;
        let cuts = all_records::<S>(block)?.into_iter();
        cuts.map(|cut| describe(cut, &mut payload)).collect()
    };
    let expected = described(block)?;
    let cuts = all_records::<S>(block)?;
    // A writer takes rows in order alone; that of a changed file may be any.
    if !cuts.is_sorted_by_key(|cut| S::sort_key(&cut.record)) {
        return Ok(());
    }
    let again = dir.join("again");
    let mut planner = Planner::default();
    cuts.iter().for_each(|cut| S::plan(&mut planner, cut));
    let target = target_in(&again, block.id());
    let created = BlockWriter::<S::Columns>::create(target, planner.finish());
    let mut writer = created.expect("the scratch folder can be written to");
    let mut copier = PayloadCopier::new(block.payload()?, false);
    for cut in &cuts {
        S::push_from(&mut writer, cut, &mut copier).expect("its large values were read before");
    }
    let record = writer
        .finish()
        .expect("the scratch folder can be written to");
    let cache = Arc::<BlockCaches>::default().for_block();
    let block = Block::open(Arc::new(UnsyncedDisk), again, record, cache);
    let written = described(&block.expect("it was written"));
    assert_eq!(written.expect("it was written"), expected);
    Ok(())
}

/// All rows as the columns have them.
fn all_records<S: Rewritable>(block: &Block) -> Result<Vec<CutRecord<S::Record>>, ReadError> {
    let mut next = S::read(&BlockRows::all(block))?;
    let mut all = Vec::new();
    while let Some(batch) = next()? {
        all.extend(batch);
    }
    Ok(all)
}

/// All of a log record but when it was received; text, because NaN is unlike itself.
fn describe_log(mut entry: LogEntry) -> String {
    by_key(&mut entry.log.attributes);
    format!("{:?} {:?} {}", entry.log, entry.origin, entry.seq)
}

/// All of a point but when it was received.
fn describe_point(mut stored: StoredPoint) -> String {
    by_key(match &mut stored.point {
        Point::Number(point) => &mut point.attributes,
        Point::Histogram(point) => &mut point.attributes,
        Point::ExponentialHistogram(point) => &mut point.attributes,
        Point::Summary(point) => &mut point.attributes,
    });
    let StoredPoint {
        point,
        metric,
        origin,
        series_hash,
        seq,
        ..
    } = stored;
    format!("{point:?} {metric:?} {origin:?} {series_hash} {seq}")
}

/// Blocks do not keep the order of different keys.
fn by_key(attributes: &mut [KeyValue]) {
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
}
