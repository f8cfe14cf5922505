//! What the fuzz targets ask of the readers of the store's files, of a few hundred changes of whole
//! files.

mod logs_and_metrics;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::OpenError;
use crate::fuzzing::{
    BlockBytes, checksums, read_block, read_log, read_manifest, read_record_file, read_sections,
};

const VERSIONS: [&str; 5] = ["v1", "v2", "v3", "v3-log2", "v4-log2"];
const RECORD_FILES: [&str; 3] = ["spans.parquet", "logs.parquet", "points.parquet"];
/// How many rows the blocks of the golden folders have.
const ROWS: u64 = 3;

fn golden(version: &str, file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path: PathBuf = folder.join(version).join(file);
    fs::read(&path).unwrap()
}

/// Index, spans and payload of a golden block.
fn block(version: &str) -> [Vec<u8>; 3] {
    let file = |extension| format!("blocks/0000000000000001-0000000000000004.{extension}");
    let payload = match version {
        "v1" | "v2" => Vec::new(),
        _ => golden(version, &file("payload")),
    };
    [
        golden(version, &file("idx")),
        golden(version, &file("parquet")),
        payload,
    ]
}

fn read(dir: &Path, index: &[u8], data: &[u8], payload: &[u8]) -> Result<u64, OpenError> {
    read_rows(dir, [index, data, payload], ROWS)
}

fn read_rows(dir: &Path, files: [&[u8]; 3], rows: u64) -> Result<u64, OpenError> {
    let [index, data, payload] = files;
    let files = BlockBytes {
        index,
        data,
        payload,
    };
    read_block(dir, &files, rows)
}

/// A change of a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    /// A field of four or eight bytes becomes another number.
    Number(usize, u64, usize),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        // Positions are those of a file of any length; most of what can break is in the first KiB.
        let len = bytes.len();
        let position = |position: usize| position.checked_rem(len).unwrap_or(0);
        match self {
            Self::Flip(at, bit) => {
                if let Some(byte) = bytes.get_mut(position(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Number(at, number, width) => {
                let at = position(*at);
                let number = number.to_le_bytes();
                if let Some(field) = bytes.get_mut(at..at + width) {
                    field.copy_from_slice(&number[..*width]);
                }
            }
            Self::Cut(at) => bytes.truncate(position(*at)),
            Self::Remove(at, count) => {
                let at = position(*at);
                bytes.drain(at..(at + count).min(len));
            }
            Self::Insert(at, inserted) => {
                let at = position(*at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Repeat(at, count) => {
                let at = position(*at);
                let repeated = bytes[at..(at + count).min(len)].to_vec();
                bytes.splice(at..at, repeated);
            }
        }
    }
}

fn position() -> impl Strategy<Value = usize> {
    prop_oneof![0..256_usize, 0..16_384_usize]
}

fn number() -> impl Strategy<Value = u64> {
    const EDGES: [u64; 10] = [
        0,
        1,
        2,
        3,
        4,
        u64::MAX,
        u64::MAX - 1,
        1 << 31,
        1 << 32,
        1 << 63,
    ];
    prop_oneof![
        prop::sample::select(&EDGES[..]),
        0..20_000_u64,
        any::<u64>()
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (position(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (position(), number(), prop::sample::select(&[1, 4, 8][..]))
            .prop_map(|(at, number, width)| Change::Number(at, number, width)),
        1 => position().prop_map(Change::Cut),
        1 => (position(), 1..64_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (position(), vec(any::<u8>(), 1..64)).prop_map(|(at, it)| Change::Insert(at, it)),
        1 => (position(), 1..64_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

/// Changes of a file, and which version it has.
fn changes() -> impl Strategy<Value = (Vec<Change>, &'static str)> {
    (vec(change(), 1..4), prop::sample::select(&VERSIONS[..]))
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    changes.iter().for_each(|change| change.apply(&mut bytes));
    bytes
}

/// The same changes in every run, so that a run says the same of the same code. Looking for new changes is
/// what the fuzz targets are for.
fn same_changes_each_time() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(same_changes_each_time())]

    #[test]
    fn random_bytes_are_no_file_of_ours_and_never_panic(bytes in vec(any::<u8>(), 0..512)) {
        let dir = tempfile::tempdir().unwrap();
        prop_assert!(read_manifest(&bytes).is_err());
        read_sections(&bytes);
        prop_assert!(read_log(dir.path(), &bytes).is_err() || bytes.len() <= 40);
        prop_assert!(read(dir.path(), &bytes, &bytes, &bytes).is_err());
    }

    #[test]
    fn a_changed_manifest_is_read_or_refused((changes, version) in changes()) {
        let mut bytes = changed(golden(version, "MANIFEST"), &changes);
        let _ = read_manifest(&bytes);
        checksums::fit_manifest(&mut bytes);
        let _ = read_manifest(&bytes);
    }

    #[test]
    fn a_changed_log_is_replayed_or_refused((changes, version) in changes()) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = changed(golden(version, "log/0000000001.log"), &changes);
        let _ = read_log(dir.path(), &bytes);
        checksums::fit_log(&mut bytes);
        let _ = read_log(dir.path(), &bytes);
    }

    #[test]
    fn a_changed_sidecar_is_read_or_refused((changes, version) in changes()) {
        let dir = tempfile::tempdir().unwrap();
        let [index, data, payload] = block(version);
        let mut index = changed(index, &changes);
        let _ = read(dir.path(), &index, &data, &payload);
        checksums::fit_sidecar(&mut index, &data, &payload);
        let _ = read(dir.path(), &index, &data, &payload);
    }

    #[test]
    fn a_changed_file_of_spans_is_read_or_refused((changes, version) in changes()) {
        let dir = tempfile::tempdir().unwrap();
        let [mut index, data, payload] = block(version);
        let data = changed(data, &changes);
        let _ = read(dir.path(), &index, &data, &payload);
        checksums::fit_sidecar(&mut index, &data, &payload);
        let _ = read(dir.path(), &index, &data, &payload);
    }

    #[test]
    fn a_changed_file_of_records_is_imported_or_refused(
        changes in vec(change(), 1..4),
        name in prop::sample::select(&RECORD_FILES[..]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let _ = read_record_file(dir.path(), &changed(golden("records", name), &changes));
    }

    #[test]
    fn a_changed_payload_is_read_or_refused(changes in vec(change(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let [mut index, data, payload] = block("v4-log2");
        let payload = changed(payload, &changes);
        let _ = read(dir.path(), &index, &data, &payload);
        checksums::fit_sidecar(&mut index, &data, &payload);
        let _ = read(dir.path(), &index, &data, &payload);
    }
}

/// The error of reading the golden block of version 2 with a section of its sidecar, or its data,
/// changed, and checksums that fit.
fn damaged_block(change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let [mut index, mut data, payload] = block("v2");
    change(&mut index, &mut data);
    checksums::fit_sidecar(&mut index, &data, &payload);
    let read = read(dir.path(), &index, &data, &payload);
    read.unwrap_err().to_string()
}

/// Where the entry of a section of a sidecar is, since version 2.
fn entry(section: usize) -> usize {
    16 + section * 20
}

#[test]
fn a_section_before_those_that_stay_in_memory_is_damage() {
    let error = damaged_block(|index, _| index[entry(2)..entry(2) + 8].fill(0));
    assert!(error.contains(".idx is damaged at byte 0"), "{error}");
}

#[test]
fn rows_of_a_trace_that_the_block_does_not_have_are_damage() {
    let error = damaged_block(|index, _| {
        let traces = index[entry(5)..entry(5) + 8].try_into().unwrap();
        // After the count the first entry: its checksum takes five bytes, its first row one.
        let row = u64::from_le_bytes(traces) as usize + 4 + 5;
        index[row] = 100;
    });
    assert!(error.contains("are not rows of the block"), "{error}");
}

#[test]
fn a_panic_of_the_parquet_reader_is_damage_of_the_file() {
    let error = damaged_block(|_, data| data[55] = 0x94);
    assert!(error.contains(".parquet is damaged at byte 0"), "{error}");
}

#[test]
fn a_block_with_other_rows_than_the_manifest_says_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    for version in VERSIONS {
        let [index, data, payload] = block(version);
        for rows in [0, 1, 4, u64::MAX >> 1] {
            let error = read_rows(dir.path(), [&index, &data, &payload], rows).unwrap_err();
            assert!(error.to_string().contains("rows"), "{version}: {error}");
        }
    }
}

#[test]
fn ranges_of_time_without_the_rows_of_the_block_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let [mut index, data, payload] = block("v3");
    // The second section begins with the number of ranges.
    let offset = index[entry(1)..entry(1) + 8].try_into().unwrap();
    index[u64::from_le_bytes(offset) as usize] = 0;
    checksums::fit_sidecar(&mut index, &data, &payload);
    let error = read(dir.path(), &index, &data, &payload).unwrap_err();
    assert!(error.to_string().contains("ranges of time"), "{error}");
}

#[test]
fn a_frame_after_which_no_span_could_be_numbered_is_damage() {
    // Where frames begin, and where the first has its first sequence number.
    for (version, frames_at, first_seq_at) in [("v2", 32, 42), ("v3-log2", 40, 46)] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = golden(version, "log/0000000001.log");
        // Also that of the segment.
        log[20..28].fill(0xff);
        log[first_seq_at..first_seq_at + 8].fill(0xff);
        checksums::fit_log(&mut log);
        let error = read_log(dir.path(), &log).unwrap_err().to_string();
        let expected = format!("0000000001.log is damaged at byte {frames_at}");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_manifest_that_leaves_no_number_for_another_span_is_damaged() {
    let mut manifest = golden("v2", "MANIFEST");
    // After the header, a record's header and its kind: the durable sequence number.
    manifest[25..33].fill(0xff);
    checksums::fit_manifest(&mut manifest);
    let error = read_manifest(&manifest).unwrap_err().to_string();
    assert!(error.contains("MANIFEST is damaged at byte 16"), "{error}");
}

#[test]
fn a_block_inside_of_another_that_counts_is_damage_of_the_manifest() {
    let mut manifest = golden("v1", "MANIFEST");
    // After the header the only record; its range ends at 4, that of its repetition at 3.
    let mut inside = manifest[16..].to_vec();
    inside[17] = 3;
    let offset = manifest.len();
    manifest.extend(inside);
    checksums::fit_manifest(&mut manifest);
    let error = read_manifest(&manifest).unwrap_err().to_string();
    let expected = format!("MANIFEST is damaged at byte {offset}");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn golden_files_are_read_whole_and_their_checksums_fit_already() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = golden(version, "MANIFEST");
        read_manifest(&manifest).unwrap();
        checksums::fit_manifest(&mut manifest);
        assert_eq!(manifest, golden(version, "MANIFEST"));
        let mut log = golden(version, "log/0000000001.log");
        assert_eq!(read_log(dir.path(), &log).unwrap(), 6);
        checksums::fit_log(&mut log);
        assert_eq!(log, golden(version, "log/0000000001.log"));
        let [index, data, payload] = block(version);
        let mut fitted = index.clone();
        checksums::fit_sidecar(&mut fitted, &data, &payload);
        assert_eq!(fitted, index, "{version}");
        let spans = read(dir.path(), &index, &data, &payload).unwrap();
        assert_eq!(spans, ROWS, "{version}");
    }
}

#[test]
fn golden_files_of_records_are_read_whole_and_exported_again() {
    for name in RECORD_FILES {
        let dir = tempfile::tempdir().unwrap();
        let records = read_record_file(dir.path(), &golden("records", name)).unwrap();
        assert!(records > 3, "{name}: {records}");
    }
}
