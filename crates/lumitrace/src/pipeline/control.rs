//! How the program and the worker thread talk: waking, flushing, stopping.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::lock::{Condvar, Mutex};

/// Why a flush or shut-down did not send everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The time was over before everything was sent. The worker goes on trying.
    #[error("the time was over before all spans were sent")]
    TimedOut,
    /// An exporter could not send; after a flush, its spans are kept and tried again.
    #[error("spans could not be sent; the notices say why")]
    Failed,
}

#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    /// The worker waits for this one, callers of `flush` and `shut_down` for the other.
    for_worker: Condvar,
    for_callers: Condvar,
    /// Whether the worker wants to be woken by a full batch.
    is_sleeping: AtomicBool,
    is_unreachable: AtomicBool,
}

#[derive(Default)]
struct State {
    is_woken: bool,
    flushes_wanted: u64,
    flushes_done: u64,
    has_last_flush_failed: bool,
    shut_down_by: Option<Instant>,
    has_ended: bool,
}

/// What the worker is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Number of the latest flush that somebody waits for.
    pub(crate) flush: Option<u64>,
    /// When to have ended.
    pub(crate) shut_down_by: Option<Instant>,
}

impl Request {
    /// Whether somebody waits.
    pub(crate) fn is_urgent(&self) -> bool {
        self.flush.is_some() || self.shut_down_by.is_some()
    }
}

impl Control {
    /// Wakes the worker, unless it is at work or not interested.
    pub(crate) fn wake_if_sleeping(&self) {
        if self.is_sleeping.load(Ordering::SeqCst) && self.is_sleeping.swap(false, Ordering::SeqCst)
        {
            self.state.lock().is_woken = true;
            self.for_worker.notify_one();
        }
    }

    /// The worker's rest until `until`, until it is asked for something, or, where it passes
    /// `is_batch_full`, until that becomes true.
    pub(crate) fn rest(&self, until: Instant, is_batch_full: Option<&dyn Fn() -> bool>) -> Request {
        self.is_sleeping
            .store(is_batch_full.is_some(), Ordering::SeqCst);
        let mut state = self.state.lock();
        // Looked at after saying so: a batch filled before that woke nobody.
        if !is_batch_full.is_some_and(|is_full| is_full()) {
            while !state.is_woken && !state.request().is_urgent() {
                match self.for_worker.wait_until(state, until) {
                    Ok(guard) => state = guard,
                    Err(guard) => {
                        state = guard;
                        break;
                    }
                }
            }
        }
        self.is_sleeping.store(false, Ordering::SeqCst);
        state.is_woken = false;
        state.request()
    }

    /// The worker has sent everything, or tried to, that waited when `flush` was asked for.
    pub(crate) fn flushed(&self, flush: u64, has_failed: bool) {
        let mut state = self.state.lock();
        state.flushes_done = flush;
        state.has_last_flush_failed = has_failed;
        self.for_callers.notify_all();
    }

    /// The worker has ended.
    pub(crate) fn ended(&self, has_failed: bool) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.has_last_flush_failed = has_failed;
        self.for_callers.notify_all();
    }

    pub(crate) fn flush(&self, deadline: Instant) -> Result<(), FlushError> {
        let mut state = self.state.lock();
        state.flushes_wanted += 1;
        let flush = state.flushes_wanted;
        self.wait_for_worker(state, deadline, |state| {
            state.flushes_done >= flush || state.has_ended
        })
    }

    pub(crate) fn shut_down(&self, deadline: Instant) -> Result<(), FlushError> {
        let mut state = self.state.lock();
        let earlier = state
            .shut_down_by
            .map_or(deadline, |earlier| earlier.min(deadline));
        state.shut_down_by = Some(earlier);
        self.wait_for_worker(state, deadline, |state| state.has_ended)
    }

    /// Wakes the worker, and waits until it is done with what was asked for.
    fn wait_for_worker<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Instant,
        is_done: impl Fn(&State) -> bool,
    ) -> Result<(), FlushError> {
        self.for_worker.notify_one();
        while !is_done(&state) {
            let waited = self.for_callers.wait_until(state, deadline);
            state = waited.map_err(|_| FlushError::TimedOut)?;
        }
        if state.has_last_flush_failed {
            Err(FlushError::Failed)
        } else {
            Ok(())
        }
    }

    pub(crate) fn set_unreachable(&self, is_unreachable: bool) {
        self.is_unreachable.store(is_unreachable, Ordering::Relaxed);
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Relaxed)
    }
}

impl State {
    fn request(&self) -> Request {
        let is_flush_wanted = self.flushes_wanted > self.flushes_done;
        Request {
            flush: is_flush_wanted.then_some(self.flushes_wanted),
            shut_down_by: self.shut_down_by,
        }
    }
}
