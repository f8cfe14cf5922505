use std::fs;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::frames::FrameTable;
use super::*;
use crate::disk::RealDisk;

fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| rng.alphanumeric() as u8).collect()
}

fn written(path: &Path, values: &[Vec<u8>]) -> (Vec<StoredValue>, Arc<FrameTable>) {
    let mut writer = PayloadWriter::new(Arc::new(RealDisk), path.to_owned(), 1);
    let stored = values.iter().map(|value| writer.add(value).unwrap());
    let stored = stored.collect();
    (stored, Arc::new(writer.finish().unwrap()))
}

fn check(path: &Path, table: &Arc<FrameTable>, stored: &[StoredValue], values: &[Vec<u8>]) {
    let mut reader = PayloadReader::new(path.to_owned(), Arc::clone(table));
    for (stored, value) in stored.iter().zip(values) {
        assert_eq!(reader.value(stored).unwrap(), *value);
        assert!(stored.is(value));
    }
}

#[test]
fn without_values_there_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let (_, table) = written(&path, &[]);
    assert!(table.encode().is_empty() && table.file_bytes() == 0 && !path.exists());
}

#[test]
fn what_repeats_is_written_once_also_where_something_stands_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let history = text(1, 300_000);
    let mut shifted = text(2, 137);
    shifted.extend(&history);
    let values = [history.clone(), shifted, history];
    let (stored, table) = written(&path, &values);
    check(&path, &table, &stored, &values);
    // Random letters and digits do not become less than three quarters.
    assert!(table.file_bytes() < 300_000, "{}", table.file_bytes());
    assert_eq!(stored[0], stored[2]);
    assert_eq!(table.file_bytes(), fs::metadata(&path).unwrap().len());
    assert_eq!(FrameTable::decode(&table.encode()).as_ref(), Some(&*table));
}

#[test]
fn copies_are_the_same_values_and_share_what_the_originals_share() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, to) = (
        dir.path().join("1"),
        dir.path().join("2"),
        dir.path().join("3"),
    );
    let values = [text(1, 700_000), text(2, 5000)];
    let (stored, first) = written(&one, &values);
    let (_, second) = written(&two, &values[..1]);
    let mut writer = PayloadWriter::new(Arc::new(RealDisk), to.clone(), 1);
    let mut copied = Vec::new();
    for (path, table) in [(&one, &first), (&two, &second)] {
        let reader = PayloadReader::new(path.clone(), Arc::clone(table));
        let mut copier = PayloadCopier::new(reader, false);
        let count = if path == &one { 2 } else { 1 };
        for stored in &stored[..count] {
            copied.push(copier.copy(stored, &mut writer).unwrap().unwrap());
        }
    }
    let table = Arc::new(writer.finish().unwrap());
    assert_eq!(copied[0], copied[2]);
    assert_eq!(table.file_bytes(), first.file_bytes());
    check(
        &to,
        &table,
        &copied,
        &[values[0].clone(), values[1].clone(), values[0].clone()],
    );
}

#[test]
fn every_flipped_bit_of_a_frame_is_damage_with_the_file_and_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let (stored, table) = written(&path, &[text(1, 4000)]);
    let bytes = fs::read(&path).unwrap();
    for place in (HEADER_BYTES as usize..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(&path, damaged).unwrap();
        let mut reader = PayloadReader::new(path.clone(), Arc::clone(&table));
        let error = reader.value(&stored[0]).unwrap_err().to_string();
        assert!(error.contains("p is damaged at byte 16"), "{error}");
    }
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut reader = PayloadReader::new(path.clone(), Arc::clone(&table));
    let error = reader.value(&stored[0]).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
    fs::remove_file(&path).unwrap();
    let mut reader = PayloadReader::new(path, table);
    let error = reader.value(&stored[0]).unwrap_err().to_string();
    assert!(error.contains("it is missing"), "{error}");
}

#[test]
fn a_reference_that_says_something_impossible_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let (stored, table) = written(&path, &[text(1, 4000)]);
    let mut reader = PayloadReader::new(path, table);
    let right = &stored[0];
    let runs = |bytes: &[u8]| ChunkRuns::decode(bytes).unwrap();
    for wrong in [
        StoredValue {
            bytes: right.bytes - 1,
            ..right.clone()
        },
        StoredValue {
            bytes: right.bytes + 1,
            ..right.clone()
        },
        StoredValue {
            bytes: u64::MAX,
            ..right.clone()
        },
        StoredValue {
            chunks: runs(&[99, 1]),
            ..right.clone()
        },
        StoredValue {
            chunks: runs(&[0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            ..right.clone()
        },
        StoredValue {
            chunks: ChunkRuns::default(),
            ..right.clone()
        },
    ] {
        assert!(reader.value(&wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(ChunkRuns::decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_come_back_whatever_they_share(
        parts in vec((0..6_u64, 0..40_000_usize), 1..24),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        // Each value is the one before and another part, now and then beginning anew.
        let mut values: Vec<Vec<u8>> = Vec::new();
        for (seed, len) in parts {
            let mut value = values.last().filter(|_| seed > 0).cloned().unwrap_or_default();
            value.extend(text(seed, len));
            values.push(value);
        }
        let (stored, table) = written(&path, &values);
        check(&path, &table, &stored, &values);
        for stored in &stored {
            let again = ChunkRuns::decode(&stored.chunks.encode());
            prop_assert_eq!(again.as_ref(), Some(&stored.chunks));
        }
    }
}
