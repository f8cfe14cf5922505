//! What happens to a store whose files were cut short, changed, or written by a newer release.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use lumitrace_model::KeyValue;

use super::{append, copy_of, only_file, options};
use crate::batch::testing::span;
use crate::wal::frame::Frame;
use crate::wal::survey::survey;
use crate::{
    Damaged, Durability, OpenError, ReadError, RollupRequest, ScanRequest, Store, StoreOptions,
};

/// Reads everything in every way; the number of spans, or the text of the error.
fn read_all(dir: &Path) -> Result<u64, String> {
    let store = Store::open(options(dir)).map_err(|error| {
        assert!(!matches!(error, OpenError::Io { .. }), "{error}");
        error.to_string()
    })?;
    let text = |error: ReadError| error.to_string();
    let expect_whole = |damaged: &Damaged| match damaged.first() {
        None => Ok(()),
        Some(damage) => Err(damage.to_string()),
    };
    let mut by_trace = 0;
    for trace in 1..4 {
        by_trace += store
            .trace(span(trace, 1).trace_id)
            .map_err(|error| error.to_string())?
            .len() as u64;
    }
    let all = ScanRequest::default();
    let stats = store
        .scan(&all, &mut |_| ControlFlow::Continue(()))
        .map_err(text)?;
    expect_whole(&stats.damaged)?;
    assert_eq!(stats.matched_spans, by_trace);
    let rollup = store.span_rollup(&RollupRequest::default()).map_err(text)?;
    expect_whole(&rollup.stats.damaged)?;
    let counts = rollup.rows.iter().map(|row| row.durations.count());
    assert_eq!(counts.sum::<u64>(), by_trace);
    Ok(by_trace)
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1 << (offset % 8);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_torn_at_any_byte_of_its_last_frame_keeps_every_frame_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    append(&store, vec![span(2, 1)]);
    let log_file = only_file(&dir.path().join("log"), "log");
    let whole = store.stats().log_bytes;
    append(&store, vec![span(3, 1)]);
    let len = store.stats().log_bytes;
    drop(store);
    assert_eq!(fs::metadata(&log_file).unwrap().len(), len);
    for cut in whole..len {
        let torn = copy_of(dir.path());
        let log_file = only_file(&torn.path().join("log"), "log");
        fs::File::options()
            .write(true)
            .open(&log_file)
            .unwrap()
            .set_len(cut)
            .unwrap();
        let store = Store::open(options(torn.path())).unwrap();
        let stats = store.stats();
        assert_eq!(stats.replayed_records, 2, "cut at {cut}");
        match stats.torn_tail {
            Some(torn) => assert_eq!((torn.file, torn.offset), (log_file.clone(), whole)),
            None => assert_eq!(cut, whole),
        }
        // What comes next is not spoilt by what was cut off.
        append(&store, vec![span(3, 2)]);
        drop(store);
        assert_eq!(read_all(torn.path()), Ok(3), "cut at {cut}");
    }
}

#[test]
fn a_segment_without_its_header_is_removed_only_at_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    append(&Store::open(options(dir.path())).unwrap(), vec![span(1, 1)]);
    for len in [0, 10, 32] {
        let torn = copy_of(dir.path());
        let next = torn.path().join("log").join("0000000002.log");
        fs::write(&next, vec![0; len]).unwrap();
        assert_eq!(read_all(torn.path()), Ok(1));
        assert!(!next.exists());
    }
    fs::write(dir.path().join("log").join("0000000000.log"), []).unwrap();
    assert!(
        read_all(dir.path())
            .unwrap_err()
            .contains("0000000000.log is damaged at byte 0")
    );
}

#[test]
fn a_flipped_bit_in_the_log_is_named_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    append(&store, vec![span(2, 1)]);
    let log_file = only_file(&dir.path().join("log"), "log");
    let last_group = store.stats().log_bytes as usize;
    append(&store, vec![span(3, 1)]);
    drop(store);
    let len = fs::metadata(&log_file).unwrap().len() as usize;
    for offset in 0..len {
        let damaged = copy_of(dir.path());
        flip(&only_file(&damaged.path().join("log"), "log"), offset);
        let read = read_all(damaged.path());
        if offset < last_group {
            let error = read.unwrap_err();
            assert!(
                error.contains("0000000001.log is damaged at byte "),
                "{offset}: {error}"
            );
        } else {
            // Nothing tells a flipped bit in the last group from a write that was torn.
            assert_eq!(read, Ok(2), "flipped at {offset}");
        }
    }
}

/// A folder whose last segment is in a file that had another segment before, as a kill left it, and
/// where its three frames of the same length end. Its spans are 1 to 13 of trace 1.
fn folder_with_used_file() -> (tempfile::TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        log_segment_bytes: 2_000,
        ..options(dir.path())
    };
    let store = Store::open(options).unwrap();
    for number in 1..11 {
        append(&store, vec![span(1, number); 20]);
    }
    store.flush().unwrap();
    append(&store, vec![span(1, 11)]);
    // The segment before, which is full, is not needed any more.
    store.flush().unwrap();
    for number in 12..14 {
        append(&store, vec![span(1, number)]);
    }
    let killed = copy_of(dir.path());
    (killed, store.stats().log_bytes)
}

#[test]
fn frames_of_the_segment_that_a_file_was_before_are_not_read_again() {
    let (dir, used) = folder_with_used_file();
    let log_file = only_file(&dir.path().join("log"), "log");
    assert!(fs::metadata(&log_file).unwrap().len() > used + 100);
    let store = Store::open(options(dir.path())).unwrap();
    let stats = store.stats();
    assert_eq!((stats.replayed_records, stats.torn_tail), (2, None));
    assert_eq!(stats.log_bytes, used);
    assert_eq!(fs::metadata(&log_file).unwrap().len(), used);
    drop(store);
    assert_eq!(read_all(dir.path()), Ok(13));
}

#[test]
fn damage_in_a_file_that_is_used_again_is_told_from_its_rest() {
    let (dir, used) = folder_with_used_file();
    let name = |dir: &Path| only_file(&dir.join("log"), "log");
    let len = fs::metadata(name(dir.path())).unwrap().len();
    for offset in (0..len as usize).step_by(7) {
        let damaged = copy_of(dir.path());
        flip(&name(damaged.path()), offset);
        let read = read_all(damaged.path());
        let last_frame = used - (used - 40) / 3;
        if (offset as u64) < last_frame {
            let error = read.unwrap_err();
            assert!(error.contains(" is damaged at byte "), "{offset}: {error}");
        } else {
            let spans = if (offset as u64) < used { 12 } else { 13 };
            assert_eq!(read, Ok(spans), "flipped at {offset}");
        }
    }
}

#[test]
fn a_frame_in_a_payload_does_not_make_a_torn_write_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    let whole = store.stats().log_bytes as usize;
    // What a sender can know: the layout, and the numbers that come next.
    let mut fake = Vec::new();
    let frame = Frame {
        frame_type: 1,
        synced_before: true,
        first_seq: 3,
        record_count: 1,
        received_unix_nano: 7,
        payload: b"x",
    };
    frame.encode(0, &mut fake);
    let mut holder = span(1, 2);
    holder.attributes.push(KeyValue::new("frame", fake));
    append(&store, vec![holder]);
    drop(store);
    flip(&only_file(&dir.path().join("log"), "log"), whole + 20);
    let store = Store::open(options(dir.path())).unwrap();
    assert!(store.stats().torn_tail.is_some());
    drop(store);
    assert_eq!(read_all(dir.path()), Ok(1));
}

#[test]
fn a_lost_log_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    for trace in 1..4 {
        append(
            &Store::open(options(dir.path())).unwrap(),
            vec![span(trace, 1)],
        );
    }
    for (lost, ending) in [
        ("0000000001.log", "is missing"),
        ("0000000002.log", "ends at 2"),
    ] {
        let damaged = copy_of(dir.path());
        fs::remove_file(damaged.path().join("log").join(lost)).unwrap();
        let error = read_all(damaged.path()).unwrap_err();
        assert!(error.contains(ending), "{error}");
    }
}

/// A folder with a block and, if asked for, a log that no longer has its spans.
fn folder_with_block(log_freed: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let spans = (1..4).flat_map(|trace| (1..40).map(move |number| span(trace, number)));
    append(&store, spans.collect());
    store.flush().unwrap();
    drop(store);
    if log_freed {
        // Segments that blocks hold are removed when the store is opened.
        drop(Store::open(options(dir.path())).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("log")).unwrap().count(), 0);
    }
    dir
}

#[test]
fn a_flipped_bit_in_a_block_or_its_index_is_named_with_the_file() {
    let dir = folder_with_block(true);
    for (extension, step) in [("parquet", 37), ("idx", 11)] {
        let len = fs::metadata(only_file(&dir.path().join("blocks"), extension))
            .unwrap()
            .len();
        for offset in (0..len as usize).step_by(step) {
            let damaged = copy_of(dir.path());
            let file = only_file(&damaged.path().join("blocks"), extension);
            flip(&file, offset);
            let error = read_all(damaged.path()).unwrap_err();
            let expected = format!("{} is damaged at byte ", file.display());
            assert!(error.contains(&expected), "{offset}: {error}");
        }
    }
}

#[test]
fn a_block_that_is_cut_short_or_missing_is_noticed_on_opening() {
    let dir = folder_with_block(true);
    for extension in ["parquet", "idx"] {
        let damaged = copy_of(dir.path());
        let file = only_file(&damaged.path().join("blocks"), extension);
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(100)
            .unwrap();
        let damage = || {
            let store = Store::open(options(damaged.path())).unwrap();
            store.stats().damages[0].to_string()
        };
        assert!(damage().contains("damaged at byte 100"), "{}", damage());
        fs::remove_file(&file).unwrap();
        assert!(damage().contains("it is missing"), "{}", damage());
    }
}

#[test]
fn a_flipped_bit_in_the_manifest_loses_no_span_unnoticed() {
    for log_freed in [true, false] {
        let dir = folder_with_block(log_freed);
        let len = fs::metadata(dir.path().join("MANIFEST")).unwrap().len();
        for offset in 0..len as usize {
            let damaged = copy_of(dir.path());
            flip(&damaged.path().join("MANIFEST"), offset);
            match read_all(damaged.path()) {
                Ok(spans) => assert_eq!((spans, log_freed), (117, false), "{offset}"),
                Err(error) => assert!(error.contains("MANIFEST is damaged at byte"), "{error}"),
            }
        }
    }
}

#[test]
fn a_manifest_torn_at_any_byte_of_its_last_record_falls_back_on_the_log() {
    let dir = folder_with_block(false);
    let len = fs::metadata(dir.path().join("MANIFEST")).unwrap().len();
    for cut in 16..len {
        let torn = copy_of(dir.path());
        let manifest = fs::File::options()
            .write(true)
            .open(torn.path().join("MANIFEST"))
            .unwrap();
        manifest.set_len(cut).unwrap();
        assert_eq!(read_all(torn.path()), Ok(117), "cut at {cut}");
        let store = Store::open(options(torn.path())).unwrap();
        store.flush().unwrap();
        drop(store);
        assert_eq!(read_all(torn.path()), Ok(117), "cut at {cut}, flushed");
    }
}

#[test]
fn files_of_a_newer_release_are_refused_by_name_and_version() {
    let dir = folder_with_block(false);
    // Where the version is, and the end of what the checksum after it covers.
    for (file, version_at, crc_at) in [
        (dir.path().join("MANIFEST"), 8, 12),
        (only_file(&dir.path().join("log"), "log"), 8, 36),
        (only_file(&dir.path().join("blocks"), "idx"), 8, 316),
    ] {
        let newer = copy_of(dir.path());
        let file = newer.path().join(file.strip_prefix(dir.path()).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        bytes[version_at] = 99;
        let crc = crc32c::crc32c(&bytes[..crc_at]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        let error = Store::open(options(newer.path())).unwrap_err();
        assert!(
            matches!(error, OpenError::NewerVersion { found: 99, .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains(file.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(options(dir.path())).unwrap();
    let refused = Store::open(options(dir.path())).unwrap_err();
    let pid = std::process::id();
    assert!(
        refused.to_string().contains(&format!("process {pid}")),
        "{refused}"
    );
}

#[test]
fn where_syncs_are_put_off_what_is_cut_off_behind_a_flipped_bit_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        durability: Durability::None,
        ..options(dir.path())
    });
    let store = store.unwrap();
    let mut begins = Vec::new();
    for number in 1..5 {
        begins.push(store.stats().log_bytes as usize);
        append(&store, vec![span(1, number)]);
    }
    drop(store);
    let log_file = only_file(&dir.path().join("log"), "log");
    flip(&log_file, begins[1] + 40);
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!(store.stats().records, 1);
    let kept = only_file(&dir.path().join("damaged"), "log");
    let torn = store.stats().torn_tail.unwrap();
    assert!(torn.reason.contains("2 whole frames"), "{torn}");
    assert!(torn.reason.contains(kept.to_str().unwrap()), "{torn}");
    let mut found = Vec::new();
    let survey = survey(&kept, 1, false, &mut |frame| {
        found.push(frame.header.first_seq);
        ControlFlow::Continue(())
    });
    assert_eq!(found, [3, 4]);
    assert_eq!(survey.unwrap().first_seq, Some(2));
}

#[test]
fn an_unfinished_write_that_is_cut_off_is_kept_aside_for_it_may_have_been_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, vec![span(1, 1)]);
    let begin = store.stats().log_bytes as usize;
    append(&store, vec![span(1, 2)]);
    let end = store.stats().log_bytes as usize;
    drop(store);
    let log_file = only_file(&dir.path().join("log"), "log");
    let written = fs::read(&log_file).unwrap()[begin..end].to_vec();
    flip(&log_file, end - 2);
    let store = Store::open(options(dir.path())).unwrap();
    assert_eq!(store.stats().records, 1);
    let kept = only_file(&dir.path().join("damaged"), "log");
    let torn = store.stats().torn_tail.unwrap();
    assert!(torn.reason.contains(kept.to_str().unwrap()), "{torn}");
    let kept = fs::read(kept).unwrap();
    let frame = &kept[kept.len() - written.len()..];
    let flipped = frame
        .iter()
        .zip(&written)
        .filter(|(kept, written)| kept != written);
    assert_eq!(flipped.count(), 1);
}
