//! Changed blocks of log records and of points.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::copy_into;
use super::{Change, change, changed, entry, golden, same_changes_each_time};
use crate::OpenError;
use crate::check::check;
use crate::fuzzing::{
    BlockBytes, checksums, read_log_block, read_log_of_logs, read_log_of_metrics, read_metric_block,
};

/// A golden block.
#[derive(Debug, Clone, Copy)]
struct GoldenBlock {
    folder: &'static str,
    file: &'static str,
    has_payload: bool,
    rows: u64,
    read: fn(&Path, &BlockBytes<'_>, u64) -> Result<u64, OpenError>,
}

const BLOCKS: [GoldenBlock; 5] = [
    GoldenBlock {
        folder: "logs-v3",
        file: "logs/blocks/0000000000000001-0000000000000005",
        has_payload: false,
        rows: 4,
        read: read_log_block,
    },
    GoldenBlock {
        folder: "logs-v3-payload",
        file: "logs/blocks/0000000000000001-0000000000000007",
        has_payload: true,
        rows: 6,
        read: read_log_block,
    },
    GoldenBlock {
        folder: "logs-v4",
        file: "logs/blocks/0000000000000001-0000000000000007",
        has_payload: true,
        rows: 6,
        read: read_log_block,
    },
    GoldenBlock {
        folder: "metrics-v4",
        file: "metrics/blocks/0000000000000001-0000000000000007",
        has_payload: false,
        rows: 6,
        read: read_metric_block,
    },
    GoldenBlock {
        folder: "metrics-v3",
        file: "metrics/blocks/0000000000000001-0000000000000007",
        has_payload: false,
        rows: 6,
        read: read_metric_block,
    },
];

/// Reads a log of one segment.
type ReadLog = fn(&Path, &[u8]) -> Result<u64, OpenError>;

/// Golden folders, their logs, how many records these have, and what reads them.
const LOGS: [(&str, &str, u64, ReadLog); 5] = [
    ("logs-v3", "logs/log/0000000001.log", 8, read_log_of_logs),
    (
        "logs-v3-payload",
        "logs/log/0000000001.log",
        12,
        read_log_of_logs,
    ),
    ("logs-v4", "logs/log/0000000001.log", 12, read_log_of_logs),
    (
        "metrics-v3",
        "metrics/log/0000000001.log",
        12,
        read_log_of_metrics,
    ),
    (
        "metrics-v4",
        "metrics/log/0000000001.log",
        12,
        read_log_of_metrics,
    ),
];

/// Which file of a block is changed.
#[derive(Debug, Clone, Copy)]
enum File {
    Index,
    Data,
    Payload,
}

impl GoldenBlock {
    fn file(&self, extension: &str) -> Vec<u8> {
        golden(self.folder, &format!("{}.{extension}", self.file))
    }

    /// Index, rows and payload.
    fn files(&self) -> [Vec<u8>; 3] {
        let payload = match self.has_payload {
            true => self.file("payload"),
            false => Vec::new(),
        };
        [self.file("idx"), self.file("parquet"), payload]
    }

    fn read(&self, dir: &Path, [index, data, payload]: &[Vec<u8>; 3]) -> Result<u64, OpenError> {
        let files = BlockBytes {
            index,
            data,
            payload,
        };
        (self.read)(dir, &files, self.rows)
    }

    /// Reads it with changes of one file, without and with checksums that fit.
    fn read_changed(&self, file: File, changes: &[Change]) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = self.files();
        let file = &mut files[file as usize];
        *file = changed(std::mem::take(file), changes);
        let _ = self.read(dir.path(), &files);
        let [index, data, payload] = &mut files;
        checksums::fit_sidecar(index, data, payload);
        let _ = self.read(dir.path(), &files);
    }
}

fn block_and_changes() -> impl Strategy<Value = (GoldenBlock, Vec<Change>)> {
    (prop::sample::select(&BLOCKS[..]), vec(change(), 1..4))
}

proptest! {
    #![proptest_config(same_changes_each_time())]

    #[test]
    fn a_changed_sidecar_is_read_or_refused((block, changes) in block_and_changes()) {
        block.read_changed(File::Index, &changes);
    }

    #[test]
    fn a_changed_file_of_rows_is_read_or_refused((block, changes) in block_and_changes()) {
        block.read_changed(File::Data, &changes);
    }

    #[test]
    fn a_changed_log_is_replayed_or_refused(
        (folder, file, _, read) in prop::sample::select(&LOGS[..]),
        changes in vec(change(), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = changed(golden(folder, file), &changes);
        let _ = read(dir.path(), &bytes);
        checksums::fit_log(&mut bytes);
        let _ = read(dir.path(), &bytes);
    }

    #[test]
    fn a_changed_payload_is_read_or_refused(changes in vec(change(), 1..4)) {
        let with_payload = BLOCKS.iter().filter(|block| block.has_payload);
        with_payload.for_each(|block| block.read_changed(File::Payload, &changes));
    }
}

#[test]
fn golden_logs_are_replayed_whole_and_their_checksums_fit_already() {
    for (folder, file, records, read) in LOGS {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = golden(folder, file);
        assert_eq!(read(dir.path(), &bytes).unwrap(), records, "{folder}");
        checksums::fit_log(&mut bytes);
        assert_eq!(bytes, golden(folder, file), "{folder}");
    }
}

#[test]
fn golden_blocks_are_read_whole_and_written_again_and_their_checksums_fit_already() {
    for block in &BLOCKS {
        let dir = tempfile::tempdir().unwrap();
        let files = block.files();
        let [mut index, data, payload] = files.clone();
        checksums::fit_sidecar(&mut index, &data, &payload);
        assert_eq!(index, files[0], "{block:?}");
        let rows = block.read(dir.path(), &files).unwrap();
        assert_eq!(rows, block.rows, "{block:?}");
    }
}

#[test]
fn a_trace_table_that_says_to_go_on_beyond_its_file_is_checked_as_far_as_the_file_goes() {
    let (dir, block) = (tempfile::tempdir().unwrap(), &BLOCKS[0]);
    let [mut index, data, payload] = block.files();
    // The length of the section, behind its place.
    index[entry(6) + 8..entry(6) + 16].fill(0x3f);
    checksums::fit_sidecar(&mut index, &data, &payload);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    copy_into(&folder.join(block.folder), dir.path());
    fs::write(dir.path().join(format!("{}.idx", block.file)), &index).unwrap();
    let found = check(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!((1..10).contains(&found.damages.len()), "{found:?}");
}
