//! What a power cut may leave of work that was going on: some of each kind that an opening settles.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;

use crate::folder::ShelfFolder;
use crate::manifest::BlockId;
use crate::wal::frame::{Frame, FrameFormat};
use crate::wal::segment::{self, SegmentHeader};
use crate::wal::survey::survey;

/// Interrupts everything in a shelf that is closed and whose log is not empty: the writing of its log, or,
/// if that is not torn, the beginning of a segment; writing a block; removing one; and the manifest.
pub(super) fn interrupt(shelf: &ShelfFolder, is_log_torn: bool) {
    if is_log_torn {
        tear_log(shelf);
    } else {
        begin_segment(shelf);
    }
    bring_back_segments(shelf);
    interrupt_blocks(shelf);
    interrupt_manifest(shelf);
}

/// The end of a group that nobody was told of: of two frames the first is torn.
fn tear_log(shelf: &ShelfFolder) {
    let (_, path) = segment::list(&shelf.log_dir()).unwrap().pop().unwrap();
    let frame_type = shelf.name().frame_type();
    let found = survey(&path, frame_type, true, &mut |_| ControlFlow::Continue(())).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(found.used_bytes as usize);
    let FrameFormat::V2 { salt } = SegmentHeader::decode(&bytes).unwrap().format else {
        panic!("{} is not new", path.display());
    };
    bytes.extend([0xff; 20]);
    let second = Frame {
        frame_type,
        synced_before: false,
        first_seq: found.end_seq.unwrap() + 1,
        record_count: 1,
        received_unix_nano: 7,
        payload: b"never answered",
    };
    second.encode(salt, &mut bytes);
    fs::write(path, bytes).unwrap();
}

/// A file that has not got its header.
fn begin_segment(shelf: &ShelfFolder) {
    let (id, _) = segment::list(&shelf.log_dir()).unwrap().pop().unwrap();
    File::create(shelf.log_dir().join(segment::file_name(id + 1))).unwrap();
}

/// A segment that blocks hold, and a file that is too short to become one again.
fn bring_back_segments(shelf: &ShelfFolder) {
    let (first_id, _) = segment::list(&shelf.log_dir()).unwrap().swap_remove(0);
    let id = first_id.saturating_sub(1);
    let header = SegmentHeader {
        id,
        first_seq: 1,
        format: FrameFormat::V2 { salt: 7 },
    };
    let path = shelf.log_dir().join(segment::file_name(id));
    fs::write(path, header.encode()).unwrap();
    fs::write(shelf.log_dir().join("0000000099.spare"), "short").unwrap();
}

fn interrupt_blocks(shelf: &ShelfFolder) {
    // Whose number no block has.
    let id = BlockId {
        first_seq: 0,
        end_seq: 1,
    };
    for name in [format!("{id}.parquet.tmp"), format!("{id}.idx")] {
        fs::write(shelf.blocks_dir().join(name), "unfinished").unwrap();
    }
}

/// A manifest that an older release has begun, so that the next record has it written anew, with an
/// unfinished record at its end and an unfinished one beside it.
fn interrupt_manifest(shelf: &ShelfFolder) {
    let path = shelf.manifest();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes.extend([0xff; 5]);
    fs::write(&path, bytes).unwrap();
    let mut unfinished = File::create(path.with_extension("tmp")).unwrap();
    unfinished.write_all(b"unfinished").unwrap();
}
