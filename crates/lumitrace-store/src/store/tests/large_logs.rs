//! Large bodies and attributes of log records: stored once, read only where they are needed, and put
//! back.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_model::{KeyValue, LogRecord, Value};
use tempfile::TempDir;

use super::large_values::words;
use super::logs::{log, logs, scanned};
use super::{only_file, options};
use crate::block::Block;
use crate::block::BlockWriter;
use crate::block::caches::BlockCaches;
use crate::block::layout::Planner;
use crate::check::check;
use crate::compaction::{CompactionSignal, merge};
use crate::disk::RealDisk;
use crate::logs::columns::LogColumns;
use crate::logs::row::LogRow;
use crate::logs::rows::LogRows;
use crate::manifest::BlockId;
use crate::repair::repair;
use crate::signal::BlockTarget;
use crate::{LogEntry, LogScan, Origin, Store};

fn saying(number: u64, body: impl Into<Value>) -> LogRecord {
    LogRecord {
        body: body.into(),
        ..log(1, number)
    }
}

/// A store with one block of these log records, closed.
fn folder_of(records: Vec<LogRecord>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    store.append_logs(logs(records.into_iter())).wait().unwrap();
    store.flush().unwrap();
    drop(store);
    // The log goes when it is opened again.
    drop(Store::open(options(dir.path())).unwrap());
    dir
}

fn cut(request: LogScan) -> LogScan {
    LogScan {
        large_values: false,
        ..request
    }
}

fn with_text(text: &str) -> LogScan {
    LogScan {
        text: Some(text.to_owned()),
        ..LogScan::default()
    }
}

#[test]
fn prompts_that_grow_from_one_log_record_to_the_next_take_little_more_than_the_last() {
    let mut history = String::new();
    let mut records = Vec::new();
    for turn in 1..=40 {
        history.push_str(&words(turn, 1500));
        let parts = vec![Value::from(history.clone())];
        records.push(match turn % 2 {
            0 => saying(turn, history.clone()),
            _ => LogRecord {
                attributes: vec![KeyValue::new("prompt", history.clone())],
                ..saying(turn, Value::Array(parts))
            },
        });
    }
    let last = zstd::bulk::compress(history.as_bytes(), 3).unwrap().len() as u64;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for half in records.chunks(20) {
        let batch = logs(half.iter().cloned());
        store.append_logs(batch).wait().unwrap();
        store.flush().unwrap();
    }
    let engine = store.logs_engine().unwrap();
    let blocks = engine.snapshot().blocks.clone();
    assert_eq!(
        merge(engine, &blocks, &CompactionSignal::default()),
        Ok(true)
    );
    let stats = store.stats_of(crate::ShelfName::Logs).unwrap();
    let bytes = stats.block_bytes;
    // Chunks of the arrays are others at their beginnings only.
    assert!(bytes < last * 3 / 2, "{bytes} for {last}");
    let mut found: Vec<LogRecord> = scanned(&store, &LogScan::default())
        .iter()
        .map(|entry| entry.log.clone())
        .collect();
    found.reverse();
    assert_eq!(found, records);
}

#[test]
fn a_list_of_log_records_reads_no_large_values() {
    let (large, other) = (words(1, 9000), words(2, 9000));
    let dir = folder_of(vec![
        saying(1, large.clone()),
        LogRecord {
            attributes: vec![KeyValue::new("prompt", other.clone())],
            ..saying(2, "short")
        },
    ]);
    let path = only_file(&dir.path().join("logs/blocks"), "payload");
    let mut bytes = fs::read(&path).unwrap();
    bytes[16..].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&path, bytes).unwrap();
    let store = Store::open(options(dir.path())).unwrap();

    let found = scanned(&store, &cut(LogScan::default()));
    assert_eq!(found[1].log.body, Value::from(large[..1024].to_owned()));
    assert_eq!(
        found[0].log.attributes[0].value,
        Value::from(other[..1024].to_owned())
    );
    // Hash and length decide about attributes, and the beginning of a body if the text is in it.
    let with_prompt = |text: &str| {
        cut(LogScan {
            attributes: vec![("prompt".to_owned(), text.to_owned())],
            ..LogScan::default()
        })
    };
    assert_eq!(scanned(&store, &with_prompt(&other)).len(), 1);
    assert_eq!(scanned(&store, &with_prompt(&other[..1024])).len(), 0);
    assert_eq!(scanned(&store, &cut(with_text(&large[..50]))).len(), 1);

    for request in [LogScan::default(), cut(with_text("nowhere"))] {
        let mut visit = |_| ControlFlow::Continue(());
        let error = store.scan_logs(&request, &mut visit).unwrap().damaged[0].to_string();
        assert!(error.contains(".payload is damaged at byte 16"), "{error}");
    }
}

#[test]
fn a_block_of_small_log_records_has_no_payload_file() {
    let dir = folder_of(vec![saying(1, words(1, 2048))]);
    let names = fs::read_dir(dir.path().join("logs/blocks")).unwrap();
    assert_eq!(names.count(), 2);
}

#[test]
fn a_repair_keeps_log_records_whose_large_values_are_damaged_and_their_beginnings() {
    let dir = folder_of(vec![saying(1, words(1, 9000)), saying(2, "short")]);
    fs::remove_file(only_file(&dir.path().join("logs/blocks"), "payload")).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    let done = repair(dir.path(), false, &mut go_on).unwrap();
    assert_eq!(
        (done.rescued_records, done.losses.len()),
        (2, 1),
        "{done:?}"
    );
    assert!(done.losses[0].reason.contains("the first KiB is left"));
    let store = Store::open(options(dir.path())).unwrap();
    let found = scanned(&store, &LogScan::default());
    assert_eq!(
        found[1].log.body,
        Value::from(words(1, 9000)[..1024].to_owned())
    );
    drop(store);
    assert_eq!(check(dir.path(), &mut go_on).unwrap().damages, []);
}

#[test]
fn a_block_that_was_not_planned_with_large_values_keeps_them_whole_in_its_columns() {
    let entry = |seq: u64, body: String| LogEntry {
        log: saying(seq, body),
        origin: Arc::<Origin>::default(),
        seq,
        received_unix_nano: 0,
    };
    let (small, large) = (entry(1, words(1, 10)), entry(2, words(2, 9000)));
    let dir = tempfile::tempdir().unwrap();
    let mut planner = Planner::default();
    planner.add(&LogRow::from(&small));
    let target = BlockTarget {
        disk: Arc::new(RealDisk),
        dir: dir.path().to_owned(),
        id: BlockId {
            first_seq: 1,
            end_seq: 3,
        },
        row_group_rows: 10,
        compression_level: 1,
        digester: None,
    };
    let mut writer = BlockWriter::<LogColumns>::create(target, planner.finish()).unwrap();
    writer.push_log(&(&small).into()).unwrap();
    writer.push_log(&(&large).into()).unwrap();
    let record = writer.finish().unwrap();
    assert_eq!(record.payload_bytes, 0);
    let block = Block::open(
        Arc::new(RealDisk),
        dir.path().to_owned(),
        record,
        Arc::<BlockCaches>::default().for_block(),
    )
    .unwrap();
    let all = 0..2;
    let mut rows = LogRows::read(&block, std::slice::from_ref(&all)).unwrap();
    let read = rows.next().unwrap().unwrap();
    assert_eq!(read[1].record.log.body, large.log.body);
}
