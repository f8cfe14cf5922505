//! The log, of each kind of records.

use std::path::Path;
use std::sync::Arc;

use super::{UnsyncedDisk, expect_damage, target_in, write};
use crate::error::OpenError;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::signal::{Batch, Memtable, Signal};
use crate::spans::Spans;
use crate::wal::frame::{FoundFrame, Frame, FrameFormat, FrameShape, frame_at};
use crate::wal::recovery::recover;
use crate::wal::segment::{self, SegmentHeader};
use crate::{SpanParts, StoredBatch, StoredLogs, StoredPoints};

/// Reads and replays a log of one segment, which is written to `dir`. Returns the number of spans.
///
/// # Errors
/// It is damaged.
pub fn read_log(dir: &Path, bytes: &[u8]) -> Result<u64, OpenError> {
    replay::<Spans>(dir, bytes, |batch: &StoredBatch| {
        for span in batch.spans() {
            let record = span.record(SpanParts::ALL);
            assert_eq!(record.service_name(), span.origin().service_name());
        }
    })
}

/// Like [`read_log`], of log records.
///
/// # Errors
/// It is damaged.
pub fn read_log_of_logs(dir: &Path, bytes: &[u8]) -> Result<u64, OpenError> {
    replay::<Logs>(dir, bytes, |batch: &StoredLogs| {
        for log in batch.logs() {
            let entry = log.entry();
            let time = log.head().timestamp_unix_nano();
            assert_eq!(entry.log.timestamp_unix_nano(), time);
            assert_eq!(entry.log.severity, log.head().severity);
        }
    })
}

/// Like [`read_log`], of points.
///
/// # Errors
/// It is damaged.
pub fn read_log_of_metrics(dir: &Path, bytes: &[u8]) -> Result<u64, OpenError> {
    replay::<Metrics>(dir, bytes, |batch: &StoredPoints| {
        for point in batch.points() {
            let stored = point.to_stored();
            assert!(point.time_unix_nano() > 0);
            assert_eq!(stored.point.time_unix_nano(), point.time_unix_nano());
        }
    })
}

/// What is replayed goes into a memtable, and can be written out as a block.
fn replay<S: Signal>(
    dir: &Path,
    bytes: &[u8],
    look: impl Fn(&<S::Batch as Batch>::Stored),
) -> Result<u64, OpenError> {
    let header = SegmentHeader::decode(bytes);
    if let Ok(header) = header {
        let encoded = header.encode();
        assert_eq!(Some(encoded.as_slice()), bytes.get(..encoded.len()));
        let frames = bytes.get(encoded.len()..).unwrap_or_default();
        read_frame::<S::Batch>(frames, header.format);
    }
    write(&dir.join(segment::file_name(1)), bytes);
    let durable_seq = header.map_or(1, |header| header.first_seq);
    let memtable = S::Memtable::default();
    let dirs = (dir, &*dir.join("damaged"));
    let mut apply = |batch: Arc<<S::Batch as Batch>::Stored>| {
        look(&batch);
        memtable.insert(&batch, &[]);
        Ok(())
    };
    let recovered = recover::<S::Batch>(&UnsyncedDisk, dirs, durable_seq, &mut apply);
    let recovered = recovered.inspect_err(expect_damage)?;
    if let Some(id) = memtable.block_id() {
        let written = S::write_memtable(&memtable, target_in(&dir.join("block"), id));
        let written = written.expect("what was replayed can be written out");
        assert!(written.rows <= recovered.replayed_records);
    }
    Ok(recovered.replayed_records)
}

/// A frame that can be read is the same bytes once it is written again.
fn read_frame<B: Batch>(bytes: &[u8], format: FrameFormat) {
    let shape = FrameShape {
        frame_type: B::FRAME_TYPE,
        format,
    };
    let FrameFormat::V2 { salt } = format else {
        return;
    };
    let Ok(FoundFrame {
        header, payload, ..
    }) = frame_at(bytes, 0, shape)
    else {
        return;
    };
    let mut again = Vec::new();
    let frame = Frame {
        frame_type: B::FRAME_TYPE,
        synced_before: header.synced_before,
        first_seq: header.first_seq,
        record_count: header.record_count,
        received_unix_nano: header.received_unix_nano,
        payload,
    };
    frame.encode(salt, &mut again);
    assert_eq!(Some(again.as_slice()), bytes.get(..again.len()));
}
