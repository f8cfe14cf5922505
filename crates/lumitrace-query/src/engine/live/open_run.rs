//! A run that was opened, which pages look at while its spans arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lumitrace_store::{Damaged, SpanRecord};
use parking_lot::{Mutex, MutexGuard};

use crate::training::RunId;
use crate::training::fold::RunFold;

/// So many spans wait until someone asks for the run; more are folded in without.
const WAITING_SPANS: usize = 4096;

/// See [the module](self). Clones share it.
#[derive(Clone)]
pub(in crate::engine) struct OpenRun {
    pub(in crate::engine) run_id: RunId,
    /// Damage that was met when it was read: it may lack spans.
    pub(in crate::engine) damaged: Arc<Damaged>,
    shared: Arc<Shared>,
}

struct Shared {
    fold: Mutex<RunFold>,
    /// What arrived since someone last asked: making a page of a long run takes a while, and what
    /// arrives must not wait for that.
    waiting: Mutex<Vec<Arc<SpanRecord>>>,
    revision: AtomicU64,
    used: AtomicU64,
}

impl OpenRun {
    /// A run of which `fold` knows all so far. `now` is the count of changes and questions.
    pub(super) fn new(run_id: RunId, fold: RunFold, damaged: Damaged, now: u64) -> Self {
        let shared = Shared {
            fold: Mutex::new(fold),
            waiting: Mutex::default(),
            revision: AtomicU64::new(now),
            used: AtomicU64::new(now),
        };
        Self {
            run_id,
            damaged: Arc::new(damaged),
            shared: Arc::new(shared),
        }
    }

    /// Grows with every change.
    pub(in crate::engine) fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// All that arrived of the run, and a revision that is not newer than that.
    pub(in crate::engine) fn fold(&self) -> (MutexGuard<'_, RunFold>, u64) {
        let mut fold = self.shared.fold.lock();
        let revision = self.revision();
        self.take_in_waiting(&mut fold);
        (fold, revision)
    }

    /// Takes in a span at once.
    pub(super) fn observe(&self, record: &Arc<SpanRecord>, now: u64) {
        self.shared.fold.lock().observe(record);
        self.shared.revision.store(now, Ordering::Release);
    }

    /// Takes in spans without waiting for a page that is being made.
    pub(super) fn absorb<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Arc<SpanRecord>>,
        now: u64,
    ) {
        let mut waiting = self.shared.waiting.lock();
        waiting.extend(records.into_iter().cloned());
        let is_long = waiting.len() > WAITING_SPANS;
        drop(waiting);
        self.shared.revision.store(now, Ordering::Release);
        if is_long && let Some(mut fold) = self.shared.fold.try_lock() {
            self.take_in_waiting(&mut fold);
        }
    }

    /// How many rows it keeps; `None` while a page of it is being made.
    pub(super) fn row_count(&self) -> Option<usize> {
        Some(self.shared.fold.try_lock()?.row_count())
    }

    /// Notes that it was asked for.
    pub(super) fn touch(&self, now: u64) {
        self.shared.used.store(now, Ordering::Relaxed);
    }

    /// When it was last asked for.
    pub(super) fn last_used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    fn take_in_waiting(&self, fold: &mut RunFold) {
        let waiting = std::mem::take(&mut *self.shared.waiting.lock());
        waiting.iter().for_each(|record| fold.observe(record));
    }
}
