//! Files of records that an earlier release exported stay readable.
//!
//! They were made of the newest golden folders: `cargo test -p lumitrace-store --test golden_records --
//! --ignored` makes those that are missing.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumitrace_model::KeyValue;
use lumitrace_store::record_file::{RecordFileReader, RecordFileWriter};
use lumitrace_store::{
    LogEntry, LogScan, MetricSelector, Point, ScanRequest, SpanRecord, Store, StoreOptions,
    StoredPoint,
};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn store(version: &str) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    copy_into(&golden(version), dir.path());
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    (dir, store)
}

fn stored_spans() -> Vec<Arc<SpanRecord>> {
    let (_dir, store) = store("v4-log2");
    let mut found = Vec::new();
    let mut visit = |record| {
        found.push(record);
        ControlFlow::Continue(())
    };
    store.scan(&ScanRequest::default(), &mut visit).unwrap();
    found
}

fn stored_logs() -> Vec<Arc<LogEntry>> {
    let (_dir, store) = store("logs-v4");
    let mut found = Vec::new();
    let mut visit = |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    };
    store.scan_logs(&LogScan::default(), &mut visit).unwrap();
    found
}

fn stored_points() -> Vec<Arc<StoredPoint>> {
    let (_dir, store) = store("metrics-v4");
    let mut found = Vec::new();
    let mut visit = |point| {
        found.push(point);
        ControlFlow::Continue(())
    };
    let all = MetricSelector::default();
    store.scan_points(&all, &mut visit).unwrap();
    found
}

/// Files do not keep the order of different keys.
fn by_key(mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    attributes
}

// As text, because NaN is unlike itself; without sequence numbers and times of receipt, which files do
// not say or keep.

fn span_text(record: &SpanRecord) -> String {
    let mut span = record.span.clone();
    span.attributes = by_key(span.attributes);
    let urls = (&record.resource_schema_url, &record.scope_schema_url);
    format!("{span:?} {:?} {:?} {urls:?}", record.resource, record.scope)
}

fn log_text(entry: &LogEntry) -> String {
    let mut log = entry.log.clone();
    log.attributes = by_key(log.attributes);
    format!("{log:?} {:?}", entry.origin)
}

fn point_text(stored: &StoredPoint) -> String {
    let mut point = stored.point.clone();
    let attributes = match &mut point {
        Point::Number(point) => &mut point.attributes,
        Point::Histogram(point) => &mut point.attributes,
        Point::ExponentialHistogram(point) => &mut point.attributes,
        Point::Summary(point) => &mut point.attributes,
    };
    *attributes = by_key(std::mem::take(attributes));
    format!("{point:?} {:?} {:?}", stored.metric, stored.origin)
}

/// Defines a test that reads a file, and one that writes it.
macro_rules! golden_file {
    ($reads:ident, $writes:ident, $file:expr, $record:ty, $stored:expr, $text:expr) => {
        #[test]
        fn $reads() {
            let mut reader = RecordFileReader::<$record>::open(&golden($file)).unwrap();
            let mut found: Vec<String> = Vec::new();
            while let Some(records) = reader.next().unwrap() {
                found.extend(records.iter().map($text));
            }
            let stored = $stored();
            let mut expected: Vec<String> = stored.iter().map(|it| $text(it)).collect();
            found.sort();
            expected.sort();
            assert!(!found.is_empty());
            assert_eq!(found, expected);
        }

        #[test]
        #[ignore = "writes the golden file of the newest release, once"]
        fn $writes() {
            let path = golden($file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // One that is there never changes.
            let Ok(file) = File::create_new(&path) else {
                return;
            };
            let mut writer = RecordFileWriter::<$record, _>::new(file).unwrap();
            $stored()
                .iter()
                .for_each(|record| writer.push(record).unwrap());
            writer.finish().unwrap();
        }
    };
}

golden_file!(
    spans_that_were_exported_are_read_whole,
    write_the_golden_file_of_spans,
    "records/spans.parquet",
    SpanRecord,
    stored_spans,
    span_text
);
golden_file!(
    logs_that_were_exported_are_read_whole,
    write_the_golden_file_of_logs,
    "records/logs.parquet",
    LogEntry,
    stored_logs,
    log_text
);
golden_file!(
    points_that_were_exported_are_read_whole,
    write_the_golden_file_of_points,
    "records/points.parquet",
    StoredPoint,
    stored_points,
    point_text
);
