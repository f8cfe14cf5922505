//! A file of frames: its header, its name, and how it is begun, written and cut to size.
//!
//! A file's blocks are written before frames are: with zeros, or as a segment that the file was
//! before. Only so can a frame be synced without a change to the file's metadata, which costs
//! the disk a second flush (see `docs/adr/0012-log-files-are-used-again.md`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::binary::{Fields, PutFields};
use crate::disk::{Disk, remove_if_present};
use crate::failpoint::{Failpoint, reached};
use crate::wal::frame::{END_BYTES, FrameFormat};

/// Newest version of segments that this release reads, and the one it writes.
pub(crate) const VERSION: u32 = 2;
/// Bytes before the first frame in a segment that this release writes; older ones have fewer.
pub(crate) const HEADER_BYTES: usize = header_bytes(FrameFormat::V2 { salt: 0 });

const MAGIC: &[u8; 8] = b"LUMITLOG";
/// Where a segment of version 2 has its salt, and where again.
const SALTS_AT: [usize; 2] = [28, 32];
/// Zeros are written ahead of frames in steps of so many bytes.
const ZEROED_STEP_BYTES: u64 = 1 << 20;

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: u64,
    /// Sequence number of the first record that the segment may hold.
    pub(crate) first_seq: u64,
    pub(crate) format: FrameFormat,
}

/// Why bytes are no segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadSegmentHeader {
    Damaged,
    NewerVersion(u32),
}

/// Bytes before the first frame.
pub(crate) const fn header_bytes(format: FrameFormat) -> usize {
    match format {
        FrameFormat::V1 => 32,
        FrameFormat::V2 { .. } => 40,
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.put_u32(match self.format {
            FrameFormat::V1 => 1,
            FrameFormat::V2 { .. } => 2,
        });
        out.put_u64(self.id);
        out.put_u64(self.first_seq);
        if let FrameFormat::V2 { salt } = self.format {
            // Without it no frame can be read: damage of one leaves the other.
            out.put_u32(salt);
            out.put_u32(salt);
        }
        out.put_u32(crc32c::crc32c(&out));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadSegmentHeader> {
        let mut fields = Fields::new(bytes);
        let mut header = || {
            let (magic, version) = (fields.take(8)?, fields.u32()?);
            let (id, first_seq) = (fields.u64()?, fields.u64()?);
            let format = match version {
                0 => return None,
                1 => FrameFormat::V1,
                _ => {
                    let (salt, again) = (fields.u32()?, fields.u32()?);
                    if version == VERSION && salt != again {
                        return None;
                    }
                    FrameFormat::V2 { salt }
                }
            };
            let header = Self {
                id,
                first_seq,
                format,
            };
            Some((magic, version, header, fields.u32()?))
        };
        let (magic, version, header, crc) = header().ok_or(BadSegmentHeader::Damaged)?;
        let before_crc = bytes.get(..header_bytes(header.format) - 4);
        if magic != MAGIC || before_crc.map(crc32c::crc32c) != Some(crc) {
            return Err(BadSegmentHeader::Damaged);
        }
        if version > VERSION {
            return Err(BadSegmentHeader::NewerVersion(version));
        }
        Ok(header)
    }
}

/// How the frames behind a damaged header may be written.
pub(crate) fn possible_formats(bytes: &[u8]) -> impl Iterator<Item = FrameFormat> + '_ {
    let salts = SALTS_AT
        .into_iter()
        .filter_map(|at| Fields::new(bytes.get(at..)?).u32());
    salts
        .map(|salt| FrameFormat::V2 { salt })
        .chain([FrameFormat::V1])
}

/// The segment that is being written.
#[derive(Debug, Clone)]
pub(crate) struct OpenSegment {
    pub(crate) path: PathBuf,
    /// Shared, because flushing syncs it too.
    pub(crate) file: Arc<File>,
    pub(crate) salt: u32,
    /// Length of what counts, in bytes.
    pub(crate) len: u64,
    /// Length of the file, in bytes: behind what counts are zeros, and perhaps behind them the rest
    /// of a segment that the file was before.
    pub(crate) file_len: u64,
}

impl OpenSegment {
    /// Begins a segment durably: a frame written to it later can be found again. Takes the file at
    /// `spare`, if there is one. The names in `dir` have been synced since it got that name.
    pub(crate) fn begin(
        disk: &dyn Disk,
        dir: &Path,
        spare: Option<&Path>,
        (id, first_seq): (u64, u64),
    ) -> io::Result<Self> {
        let path = dir.join(file_name(id));
        let salt = disk.new_salt()?;
        let header = SegmentHeader {
            id,
            first_seq,
            format: FrameFormat::V2 { salt },
        };
        let begun = match spare {
            Some(spare) => reuse(disk, spare, &path, &header),
            None => create(disk, &path, &header),
        };
        let (file, file_len) = begun
            .and_then(|begun| disk.sync_dir(dir).map(|()| begun))
            .inspect_err(|_| {
                // Left behind it would only be an empty last segment, which recovery removes.
                let _ = remove_if_present(disk, &path);
            })?;
        reached(Failpoint::SegmentBegun);
        Ok(Self {
            path,
            file: Arc::new(file),
            salt,
            len: HEADER_BYTES as u64,
            file_len,
        })
    }

    /// Appends frames. More zeros are written with them when those ahead are used up, but not beyond
    /// the size of a segment.
    pub(crate) fn append(
        &mut self,
        disk: &dyn Disk,
        mut frames: Vec<u8>,
        segment_bytes: u64,
    ) -> io::Result<()> {
        let end = self.len + frames.len() as u64;
        let zeros = zeros_behind(end, self.file_len, segment_bytes);
        frames.resize(frames.len() + zeros as usize, 0);
        disk.write_at(&self.path, &self.file, &frames, self.len)?;
        self.file_len = self.file_len.max(end + zeros);
        self.len = end;
        Ok(())
    }

    /// Cuts off what is behind the frames, so that the file ends where they do.
    pub(crate) fn cut(&mut self, disk: &dyn Disk) -> io::Result<()> {
        disk.set_len(&self.path, &self.file, self.len)?;
        self.file_len = self.len;
        Ok(())
    }
}

fn create(disk: &dyn Disk, path: &Path, header: &SegmentHeader) -> io::Result<(File, u64)> {
    let file = disk.create_new(path)?;
    reached(Failpoint::SegmentCreated);
    disk.write_at(path, &file, &header.encode(), 0)?;
    reached(Failpoint::SegmentHeaderWritten);
    disk.sync_data(path, &file)?;
    Ok((file, HEADER_BYTES as u64))
}

/// Makes a spare file a segment. It gets its name once its header is on the disk.
fn reuse(
    disk: &dyn Disk,
    spare: &Path,
    path: &Path,
    header: &SegmentHeader,
) -> io::Result<(File, u64)> {
    let file = File::options().write(true).open(spare)?;
    let file_len = file.metadata()?.len();
    let mut begin = header.encode();
    begin.resize(HEADER_BYTES + END_BYTES, 0);
    disk.write_at(spare, &file, &begin, 0)?;
    reached(Failpoint::SpareHeaderWritten);
    disk.sync_data(spare, &file)?;
    reached(Failpoint::SpareHeaderSynced);
    disk.rename(spare, path)?;
    reached(Failpoint::SpareRenamed);
    Ok((file, file_len.max(begin.len() as u64)))
}

/// How many zeros to write behind frames that end at `end` in a file of `file_len` bytes.
fn zeros_behind(end: u64, file_len: u64, segment_bytes: u64) -> u64 {
    if end < file_len {
        return (file_len - end).min(END_BYTES as u64);
    }
    let next_step = (end / ZEROED_STEP_BYTES + 1) * ZEROED_STEP_BYTES;
    next_step.min(segment_bytes).saturating_sub(end)
}

/// The path of segment `id` within the log's folder.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:010}.log")
}

/// The segments in `dir` by id, oldest first.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    list_with(dir, "log")
}

/// The files in `dir` that segments can be made of.
pub(crate) fn list_spares(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let spares = list_with(dir, "spare")?;
    Ok(spares.into_iter().map(|(_, path)| path).collect())
}

fn list_with(dir: &Path, extension: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_wanted = path.extension().is_some_and(|it| it == extension);
        if let Some(id) = stem
            .filter(|_| is_wanted)
            .and_then(|stem| stem.parse().ok())
        {
            segments.push((id, path));
        }
    }
    segments.sort();
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_written_ahead_in_steps_and_end_with_the_segment() {
        let step = ZEROED_STEP_BYTES;
        assert_eq!(zeros_behind(100, 40, 64 * step), step - 100);
        assert_eq!(zeros_behind(step, step, 64 * step), step);
        assert_eq!(zeros_behind(100, 40, 600), 500);
        assert_eq!(zeros_behind(700, 40, 600), 0);
    }

    #[test]
    fn frames_are_followed_by_an_end_while_there_is_a_file_behind_them() {
        assert_eq!(zeros_behind(100, 5_000, 600), END_BYTES as u64);
        assert_eq!(zeros_behind(4_990, 5_000, 600), 10);
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_flipped_bit_passes() {
        for format in [FrameFormat::V1, FrameFormat::V2 { salt: 0x0102_0304 }] {
            let header = SegmentHeader {
                id: 3,
                first_seq: 99,
                format,
            };
            let whole = header.encode();
            assert_eq!(whole.len(), header_bytes(format));
            assert_eq!(SegmentHeader::decode(&whole), Ok(header));
            for bit in 0..whole.len() * 8 {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let decoded = SegmentHeader::decode(&bytes);
                assert_eq!(decoded, Err(BadSegmentHeader::Damaged));
            }
        }
    }
}
