//! Damage that readers meet: what is damaged is left out of an answer, which says so, and the rest is
//! served. See `docs/adr/0015-damaged-blocks-are-left-out.md`.

use std::collections::BTreeMap;
use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Corruption, LookupError, ReadError};
use crate::manifest::BlockRecord;
use crate::stats::count;

/// Most damaged places that one answer names.
const MAX_PLACES: usize = 64;

/// Damaged places because of which something is missing in an answer: each once, the first 64.
///
/// ```
/// use lumitrace_store::{Corruption, Damaged};
///
/// let mut damaged = Damaged::default();
/// let place = Corruption { file: "a.parquet".into(), offset: 4096, reason: "flipped".to_owned() };
/// damaged.add(place.clone());
/// damaged.add(place);
/// assert_eq!(damaged.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damaged(Vec<Corruption>);

impl Damaged {
    /// Adds a place, unless it is there or too many are.
    pub fn add(&mut self, damage: Corruption) {
        let is_same =
            |known: &Corruption| known.file == damage.file && known.offset == damage.offset;
        if self.0.len() < MAX_PLACES && !self.0.iter().any(is_same) {
            self.0.push(damage);
        }
    }

    /// Adds the places of another part of the answer.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|damage| self.add(damage));
    }
}

impl Deref for Damaged {
    type Target = [Corruption];

    fn deref(&self) -> &[Corruption] {
        &self.0
    }
}

/// A block that counts, but cannot be opened: its files stay as they are until they are repaired.
#[derive(Debug, Clone)]
pub(crate) struct DamagedBlock {
    pub(crate) record: BlockRecord,
    pub(crate) damage: Corruption,
}

impl DamagedBlock {
    /// Whether something of it may start in `starts`, as far as the manifest says.
    pub(crate) fn overlaps(&self, starts: &RangeInclusive<u64>) -> bool {
        self.record.first_start_unix_nano <= *starts.end()
            && self.record.last_start_unix_nano >= *starts.start()
    }
}

/// What the readers of a shelf have met since it was opened.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    damaged_reads: AtomicU64,
    /// The first damage of each file.
    met: Mutex<BTreeMap<PathBuf, Corruption>>,
}

impl DamageLog {
    /// Notes in `damaged` what is left out of an answer because it could not be read.
    ///
    /// # Errors
    /// It was not for damage, but the operating system refused.
    pub(crate) fn leave_out(
        &self,
        error: ReadError,
        damaged: &mut Damaged,
    ) -> Result<(), ReadError> {
        match error {
            ReadError::Corrupt(damage) => {
                self.note(&damage);
                damaged.add(damage);
                Ok(())
            }
            error @ ReadError::Io { .. } => Err(error),
        }
    }

    /// Like [`leave_out`](Self::leave_out), for a question with a budget, of which any lack is an
    /// error too.
    pub(crate) fn leave_out_of_lookup(
        &self,
        error: LookupError,
        damaged: &mut Damaged,
    ) -> Result<(), LookupError> {
        match error {
            LookupError::Read(error) => Ok(self.leave_out(error, damaged)?),
            error @ LookupError::Exhausted(_) => Err(error),
        }
    }

    /// Notes in `damaged` that a block is left out that cannot be opened.
    pub(crate) fn leave_out_block(&self, block: &DamagedBlock, damaged: &mut Damaged) {
        self.note(&block.damage);
        damaged.add(block.damage.clone());
    }

    fn note(&self, damage: &Corruption) {
        count(&self.damaged_reads, 1);
        self.tell(damage, "left out of an answer what cannot be read");
    }

    /// Says once for each file what was done about its damage.
    pub(crate) fn tell(&self, damage: &Corruption, done: &'static str) {
        let mut met = self.met.lock();
        if !met.contains_key(&damage.file) {
            tracing::error!(%damage, "{done}; see `lumitrace store check`");
            met.insert(damage.file.clone(), damage.clone());
        }
    }

    /// How often something was left out of an answer.
    pub(crate) fn damaged_reads(&self) -> u64 {
        self.damaged_reads.load(Ordering::Relaxed)
    }

    /// The first damage of each file.
    pub(crate) fn met(&self) -> Vec<Corruption> {
        self.met.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_answer_names_each_place_once_and_not_without_end() {
        let mut damaged = Damaged::default();
        for _ in 0..2 {
            for offset in 0..100 {
                damaged.add(Corruption::new(Path::new("a"), offset, "flipped"));
            }
        }
        assert_eq!(damaged.len(), MAX_PLACES);
        let mut all = Damaged::default();
        all.add(damaged[0].clone());
        all.extend(damaged.clone());
        assert_eq!(all, damaged);
    }
}
