//! Reading all of a sidecar, to find what is damaged in it.

use std::ops::Range;

use super::{Fences, Index};
use crate::block::index_header::Section;
use crate::block::rollup::BlockRollup;
use crate::block::trace_table::{self, PAGE_BYTES};
use crate::block::value_filters::FilterDirectory;
use crate::error::{Corruption, ReadError};

impl Index {
    /// All that is damaged, section by section, in the sidecar of a block of `rows` spans. Those that stay in memory were checked when the
    /// sidecar was opened.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn damages(&self, file_bytes: u64, rows: u64) -> Result<Vec<Corruption>, ReadError> {
        let mut damages = Vec::new();
        self.check_extent(file_bytes, &mut damages);
        note(self.tables().map(|_| ()), &mut damages)?;
        for page in self.pages(file_bytes) {
            note(self.check_page(page), &mut damages)?;
        }
        if self.header.version() > 1 {
            self.check_filters(&mut damages)?;
        }
        note(self.check_rollup(rows), &mut damages)?;
        note(self.digest().map(|_| ()), &mut damages)?;
        Ok(damages)
    }

    /// The sections lie side by side up to the end of the file.
    fn check_extent(&self, file_bytes: u64, damages: &mut Vec<Corruption>) {
        let sections = Section::ALL.map(|section| self.header.bytes(section));
        let mut end = None;
        for section in sections.iter().filter(|section| !section.is_empty()) {
            if end.is_some_and(|end| end != section.start) {
                let reason = "a section does not begin where the one before it ends";
                damages.push(Corruption::new(&self.path, section.start, reason));
            }
            end = Some(section.end);
        }
        if let Some(end) = end.filter(|end| *end != file_bytes) {
            let reason = format!("its sections end at {end}, it has {file_bytes} bytes");
            damages.push(Corruption::new(&self.path, end.min(file_bytes), reason));
        }
    }

    /// The pages of the trace table, as far as the file goes: a header may say any length.
    fn pages(&self, file_bytes: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let table = self.header.bytes(Section::Traces);
        let end = table.end.min(file_bytes);
        let starts = (table.start..end).step_by(PAGE_BYTES);
        starts.map(move |start| start..end.min(start + PAGE_BYTES as u64))
    }

    fn check_page(&self, page: Range<u64>) -> Result<(), ReadError> {
        let number = (page.start - self.header.bytes(Section::Traces).start) / PAGE_BYTES as u64;
        let start = page.start;
        let bytes = self.read(page)?;
        let is_whole = match &self.fences {
            Fences::Hashes(hashes) => trace_table::decode_page(&bytes).is_some_and(|entries| {
                entries.first().map(|rows| rows.hash) == hashes.get(number as usize).copied()
            }),
            Fences::Ids(ids) => ids.get(number as usize).is_some_and(|id| {
                trace_table::rows_in_page_v1(&bytes, *id).is_some_and(|rows| !rows.is_empty())
            }),
        };
        if is_whole {
            return Ok(());
        }
        Err(Corruption::new(&self.path, start, "a page of the trace table is damaged").into())
    }

    fn check_rollup(&self, rows: u64) -> Result<(), ReadError> {
        let rollup = self.rollup(rows)?;
        for step in rollup.iter().flat_map(BlockRollup::steps) {
            step.each_entry(|_, _| {})
                .ok_or_else(|| self.malformed(Section::Rollup))?;
        }
        Ok(())
    }

    fn check_filters(&self, damages: &mut Vec<Corruption>) -> Result<(), ReadError> {
        let directory = self.section(Section::FilterDirectory).and_then(|bytes| {
            FilterDirectory::decode(&bytes)
                .ok_or_else(|| self.malformed(Section::FilterDirectory).into())
        });
        let directory = match directory {
            Ok(directory) => directory,
            Err(error) => return note(Err(error), damages),
        };
        let places = directory.columns.values().flatten();
        for place in places.filter(|place| !place.bytes.is_empty()) {
            note(self.read_filter(place).map(|_| ()), damages)?;
        }
        Ok(())
    }
}

/// Damage is noted, any other failure is an error.
fn note(result: Result<(), ReadError>, damages: &mut Vec<Corruption>) -> Result<(), ReadError> {
    match result {
        Err(ReadError::Corrupt(damage)) => damages.push(damage),
        other => return other,
    }
    Ok(())
}
