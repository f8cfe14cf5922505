//! Files of records, as they are imported.

use std::fmt::Debug;
use std::path::Path;

use lumitrace_wire::otlp::Signal;

use super::{expect_damage, write};
use crate::error::OpenError;
use crate::record_file::{FileRecord, RecordFileReader, RecordFileWriter, signal_of};
use crate::{LogEntry, SpanRecord, StoredPoint};

/// Reads a file of records, which is written to `dir`. What can be read says the same after it was
/// exported again. Returns the number of records.
///
/// # Errors
/// It is damaged, or holds something else.
pub fn read_record_file(dir: &Path, bytes: &[u8]) -> Result<u64, OpenError> {
    let path = dir.join("records.parquet");
    write(&path, bytes);
    let read = match signal_of(&path).inspect_err(expect_damage)? {
        Some(Signal::Traces) => read_and_export::<SpanRecord>,
        Some(Signal::Logs) => read_and_export::<LogEntry>,
        Some(Signal::Metrics) => read_and_export::<StoredPoint>,
        None => return Ok(0),
    };
    read(&path).inspect_err(expect_damage)
}

fn read_and_export<R: FileRecord + Debug>(path: &Path) -> Result<u64, OpenError> {
    let records = all::<R>(path)?;
    let again = path.with_extension("again");
    write(&again, &exported(&records));
    let read = all::<R>(&again).expect("it was written");
    // As text: NaN is unlike itself.
    assert_eq!(format!("{read:?}"), format!("{records:?}"));
    Ok(records.len() as u64)
}

fn all<R: FileRecord>(path: &Path) -> Result<Vec<R>, OpenError> {
    let mut reader = RecordFileReader::open(path)?;
    let mut all = Vec::new();
    while let Some(records) = reader.next()? {
        all.extend(records);
    }
    Ok(all)
}

fn exported<R: FileRecord>(records: &[R]) -> Vec<u8> {
    let exported = || {
        let mut writer = RecordFileWriter::new(Vec::new())?;
        records.iter().try_for_each(|record| writer.push(record))?;
        writer.finish()
    };
    let exported: std::io::Result<_> = exported();
    exported.expect("memory can be written to")
}
