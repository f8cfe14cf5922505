//! What is to be done to a folder.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use super::{Loss, Repair, rescue};
use crate::block::writer::block_files;
use crate::check::{BlockFiles, BlockFindings, Watch, block_damages, log_segments};
use crate::error::{Corruption, OpenError, io_error};
use crate::folder::ShelfFolder;
use crate::manifest::{self, BlockId, BlockRecord, ManifestContent};
use crate::signal::{Batch, Signal};
use crate::wal::segment;
use crate::wal::survey::{FoundFrame, survey};

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Blocks that stay as they are.
    pub(super) kept: Vec<BlockRecord>,
    /// Blocks of which some rows are stored anew; the others are lost.
    pub(super) rescued: Vec<RescuedBlock>,
    /// Blocks that are set aside whole.
    pub(super) lost: Vec<BlockId>,
    /// Whether the spans of the log that blocks do not hold are stored as blocks, and the log is set
    /// aside.
    pub(super) replaces_log: bool,
    /// Every span before this sequence number is, was or should be in a block that stays.
    pub(super) durable_seq: u64,
    /// Of the log, if it is replaced.
    log_end_seq: u64,
    log_records: u64,
    log_segments: Vec<PathBuf>,
    /// Why the manifest is made anew.
    pub(super) manifest_rebuilt: Option<String>,
    losses: Vec<Loss>,
    unfinished: Option<Corruption>,
}

/// A damaged block, and the rows of it that can be read.
#[derive(Debug)]
pub(super) struct RescuedBlock {
    pub(super) record: BlockRecord,
    pub(super) rows: Vec<Range<usize>>,
}

/// How much is to be read.
pub(super) fn bytes(folder: &ShelfFolder) -> Result<u64, OpenError> {
    let mut bytes = BlockFiles::list(folder)?.bytes();
    for path in log_segments(folder)? {
        bytes += fs::metadata(&path).map_err(io_error("read", &path))?.len();
    }
    Ok(bytes)
}

impl Plan {
    pub(super) fn make<S: Signal>(
        folder: &ShelfFolder,
        watch: &mut Watch<'_>,
    ) -> Result<Self, OpenError> {
        let files = BlockFiles::list(folder)?;
        let mut plan = Self::default();
        match readable_manifest::<S>(folder, &files)? {
            Ok(manifest) => {
                plan.durable_seq = manifest.durable_seq;
                for record in &manifest.blocks {
                    plan.add_block::<S>(folder, record.id, Some(*record), watch)?;
                }
            }
            Err(reason) => {
                plan.manifest_rebuilt = Some(reason);
                plan.durable_seq = 1;
                plan.find_blocks::<S>(folder, &files, watch)?;
            }
        }
        plan.read_log::<S>(folder, watch)?;
        plan.note_gaps();
        Ok(plan)
    }

    /// Decides about one block. A block that cannot be kept is rescued, or lost.
    fn add_block<S: Signal>(
        &mut self,
        folder: &ShelfFolder,
        id: BlockId,
        record: Option<BlockRecord>,
        watch: &mut Watch<'_>,
    ) -> Result<(), OpenError> {
        if watch.is_stopped() {
            return Ok(());
        }
        let dir = folder.blocks_dir();
        let findings = block_damages::<S>(&dir, id, record, watch)?;
        self.durable_seq = self.durable_seq.max(id.end_seq);
        match findings {
            BlockFindings {
                damages,
                record: Some(record),
                ..
            } if damages.is_empty() => self.kept.push(record),
            BlockFindings {
                damages,
                record: Some(record),
                ..
            } => self.rescue::<S>(folder, record, &damages),
            BlockFindings { damages, .. } => {
                self.lost.push(id);
                self.losses.push(loss_of_block(id, record, damages.first()));
            }
        }
        Ok(())
    }

    fn rescue<S: Signal>(
        &mut self,
        folder: &ShelfFolder,
        record: BlockRecord,
        damages: &[Corruption],
    ) {
        let readable = rescue::readable_rows::<S>(&folder.blocks_dir(), &record);
        let readable_rows: usize = readable.rows.iter().map(ExactSizeIterator::len).sum();
        if readable_rows == 0 {
            self.lost.push(record.id);
            let damage = damages.first();
            self.losses
                .push(loss_of_block(record.id, Some(record), damage));
            return;
        }
        let lost = record.rows - readable_rows as u64;
        if lost > 0 {
            let whole = loss_of_block(record.id, Some(record), damages.first());
            self.losses.push(Loss {
                records: Some(lost),
                first_start_unix_nano: Some(readable.lost_starts.start),
                last_start_unix_nano: Some(readable.lost_starts.end),
                ..whole
            });
        }
        if let Some(damage) = damages.iter().find(|damage| is_in_payload(damage)) {
            let whole = loss_of_block(record.id, Some(record), None);
            self.losses.push(Loss {
                file: Some(damage.file.clone()),
                reason: format!(
                    "{damage}; of the large values that it held there the first KiB is left"
                ),
                records: Some(0),
                ..whole
            });
        }
        self.rescued.push(RescuedBlock {
            record,
            rows: readable.rows,
        });
    }

    /// Decides which of the blocks that are there count, without a manifest that says it: a block
    /// that holds the spans of others replaces them, if it is whole.
    fn find_blocks<S: Signal>(
        &mut self,
        folder: &ShelfFolder,
        files: &BlockFiles,
        watch: &mut Watch<'_>,
    ) -> Result<(), OpenError> {
        let mut ids: Vec<BlockId> = files.ids.iter().copied().collect();
        ids.sort_by_key(|id| std::cmp::Reverse(id.end_seq.saturating_sub(id.first_seq)));
        let mut damaged = Vec::new();
        for id in ids {
            if watch.is_stopped() {
                return Ok(());
            }
            if self.kept.iter().any(|kept| overlap(kept.id, id)) {
                continue;
            }
            let findings = block_damages::<S>(&folder.blocks_dir(), id, None, watch)?;
            match findings.record {
                Some(record) if findings.damages.is_empty() => self.kept.push(record),
                _ => damaged.push((id, findings)),
            }
        }
        for (id, findings) in damaged {
            let is_replaced = self.kept.iter().any(|kept| overlap(kept.id, id));
            match findings.record {
                _ if is_replaced => self.lost.push(id),
                Some(record) => self.rescue::<S>(folder, record, &findings.damages),
                None => {
                    self.lost.push(id);
                    let damage = findings.damages.first();
                    self.losses.push(loss_of_block(id, None, damage));
                }
            }
        }
        let ends = self.kept.iter().map(|record| record.id.end_seq);
        self.durable_seq = ends.fold(self.durable_seq, u64::max);
        Ok(())
    }

    /// Reads the log: whether it can stay, and what is missing in it.
    fn read_log<S: Signal>(
        &mut self,
        folder: &ShelfFolder,
        watch: &mut Watch<'_>,
    ) -> Result<(), OpenError> {
        self.log_segments = log_segments(folder)?;
        let paths = self.log_segments.clone();
        let mut expected: Option<u64> = None;
        let mut records = 0;
        for (index, path) in paths.iter().enumerate() {
            if watch.is_stopped() {
                return Ok(());
            }
            let (durable_seq, is_last) = (self.durable_seq, index + 1 == paths.len());
            let mut gaps = Vec::new();
            let mut visit = |frame: &FoundFrame<'_>| {
                let first = frame.header.first_seq;
                if frame.batch::<S::Batch>().is_none() {
                    return ControlFlow::Continue(());
                }
                if expected.is_none_or(|expected| expected < first) {
                    gaps.push(expected.unwrap_or(durable_seq)..first);
                }
                expected = Some(first + u64::from(frame.header.record_count));
                if first >= durable_seq {
                    records += u64::from(frame.header.record_count);
                }
                ControlFlow::Continue(())
            };
            let found = survey(path, S::Batch::FRAME_TYPE, is_last, &mut visit)
                .map_err(io_error("read", path))?;
            if let Some(version) = found.newer_version {
                return Err(OpenError::NewerVersion {
                    file: path.clone(),
                    found: version,
                    supported: segment::VERSION,
                });
            }
            let damage = found.damages.first();
            gaps.retain(|gap| gap.end > self.durable_seq);
            // Without a manifest nobody knows whether blocks of these spans have expired.
            self.replaces_log |= damage.is_some() || !gaps.is_empty();
            for gap in gaps {
                let first = gap.start.max(self.durable_seq);
                self.losses
                    .push(loss_of_frames(path, first, Some(gap.end), damage));
            }
            if is_last && found.ends_damaged {
                let end = expected.unwrap_or(self.durable_seq);
                self.losses.push(loss_of_frames(path, end, None, damage));
            }
            self.unfinished = found.unfinished;
            watch.advance(found.len);
        }
        self.log_end_seq = expected.unwrap_or(0).max(self.durable_seq);
        self.log_records = records;
        Ok(())
    }

    /// Notes what no block and no log holds, where the manifest does not say why.
    fn note_gaps(&mut self) {
        if self.manifest_rebuilt.is_none() {
            return;
        }
        let kept = self.kept.iter().map(|record| record.id);
        let rescued = self.rescued.iter().map(|block| block.record.id);
        let mut ids: Vec<BlockId> = kept.chain(rescued).chain(self.lost.clone()).collect();
        ids.sort();
        let mut next = 1;
        for id in ids {
            if id.first_seq > next {
                self.losses.push(Loss {
                    file: None,
                    reason: "no block holds them: they are lost, unless they have expired"
                        .to_owned(),
                    records: Some(id.first_seq - next),
                    first_seq: next,
                    end_seq: Some(id.first_seq),
                    first_start_unix_nano: None,
                    last_start_unix_nano: None,
                });
            }
            next = next.max(id.end_seq);
        }
    }

    pub(super) fn is_needed(&self) -> bool {
        self.manifest_rebuilt.is_some()
            || self.replaces_log
            || !self.rescued.is_empty()
            || !self.lost.is_empty()
    }

    /// What the manifest says about the last span afterwards.
    pub(super) fn end_seq(&self) -> u64 {
        if self.replaces_log {
            self.log_end_seq
        } else {
            self.durable_seq
        }
    }

    /// The log's files, if they are set aside.
    pub(super) fn aside_segments(&self) -> &[PathBuf] {
        if self.replaces_log {
            &self.log_segments
        } else {
            &[]
        }
    }

    /// The blocks' files that are set aside, as far as they are there.
    fn aside_blocks(&self, folder: &ShelfFolder) -> Vec<PathBuf> {
        let rescued = self.rescued.iter().map(|block| block.record.id);
        let mut files = present_files(folder, rescued);
        files.extend(self.lost_files(folder));
        files
    }

    /// Those of blocks of which nothing is rescued.
    pub(super) fn lost_files(&self, folder: &ShelfFolder) -> Vec<PathBuf> {
        present_files(folder, self.lost.iter().copied())
    }

    pub(super) fn report(&self, folder: &ShelfFolder) -> Repair {
        let rows = self.rescued.iter().flat_map(|block| &block.rows);
        let rescued_rows: usize = rows.map(ExactSizeIterator::len).sum();
        let log_records = if self.replaces_log {
            self.log_records
        } else {
            0
        };
        let mut set_aside = self.aside_blocks(folder);
        set_aside.extend(self.aside_segments().iter().cloned());
        if self.manifest_rebuilt.is_some() && folder.manifest().exists() {
            set_aside.push(folder.manifest());
        }
        Repair {
            losses: self.losses.clone(),
            set_aside,
            aside_dir: None,
            manifests_rebuilt: self.manifest_rebuilt.clone().into_iter().collect(),
            // What is set aside is not cut off.
            unfinished: match &self.unfinished {
                Some(place) if !self.replaces_log => vec![place.clone()],
                _ => Vec::new(),
            },
            rescued_records: rescued_rows as u64 + log_records,
            finished: Vec::new(),
            stopped: false,
        }
    }
}

fn present_files(folder: &ShelfFolder, ids: impl Iterator<Item = BlockId>) -> Vec<PathBuf> {
    let dir = folder.blocks_dir();
    let files = ids.flat_map(|id| block_files(&dir, id));
    files.filter(|path| path.exists()).collect()
}

/// The manifest, or why it cannot be relied on.
fn readable_manifest<S: Signal>(
    folder: &ShelfFolder,
    files: &BlockFiles,
) -> Result<Result<ManifestContent, String>, OpenError> {
    let path = folder.manifest();
    if !path.exists() && !files.ids.is_empty() {
        return Ok(Err("it is missing".to_owned()));
    }
    let manifest = match manifest::read(&path) {
        Ok(manifest) => manifest,
        Err(OpenError::Corrupt(damage)) => return Ok(Err(damage.to_string())),
        Err(error) => return Err(error),
    };
    let log_end = log_end::<S>(folder)?.max(manifest.durable_seq);
    let is_named = |id: BlockId| manifest.blocks.iter().any(|block| block.id == id);
    let beyond = files
        .whole_ids()
        .find(|id| !is_named(*id) && id.end_seq > log_end);
    if let Some(id) = beyond {
        return Ok(Err(format!(
            "its end is missing: it does not name block {id}"
        )));
    }
    Ok(Ok(manifest))
}

/// The sequence number after the last span in the log.
fn log_end<S: Signal>(folder: &ShelfFolder) -> Result<u64, OpenError> {
    let mut end = 0;
    for path in log_segments(folder)? {
        let mut visit = |_: &FoundFrame<'_>| ControlFlow::Continue(());
        let found = survey(&path, S::Batch::FRAME_TYPE, true, &mut visit)
            .map_err(io_error("read", &path))?;
        end = end.max(found.end_seq.unwrap_or(0));
    }
    Ok(end)
}

/// Whether it is in a file of large values, of which the columns have the first part.
fn is_in_payload(damage: &Corruption) -> bool {
    damage.file.extension().is_some_and(|it| it == "payload")
}

fn overlap(one: BlockId, other: BlockId) -> bool {
    one.first_seq < other.end_seq && other.first_seq < one.end_seq
}

fn loss_of_block(id: BlockId, record: Option<BlockRecord>, damage: Option<&Corruption>) -> Loss {
    Loss {
        file: damage.map(|damage| damage.file.clone()),
        reason: damage.map_or_else(|| "it is damaged".to_owned(), ToString::to_string),
        records: record.map(|record| record.rows),
        first_seq: id.first_seq,
        end_seq: Some(id.end_seq),
        first_start_unix_nano: record.map(|record| record.first_start_unix_nano),
        last_start_unix_nano: record.map(|record| record.last_start_unix_nano),
    }
}

fn loss_of_frames(
    path: &Path,
    first_seq: u64,
    end_seq: Option<u64>,
    damage: Option<&Corruption>,
) -> Loss {
    Loss {
        file: Some(path.to_owned()),
        reason: damage.map_or_else(
            || "a segment before it is missing".to_owned(),
            ToString::to_string,
        ),
        records: end_seq.map(|end| end - first_seq),
        first_seq,
        end_seq,
        first_start_unix_nano: None,
        last_start_unix_nano: None,
    }
}
