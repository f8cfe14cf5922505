//! When to ask, and when to stop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fork;
use crate::lock::{Condvar, Mutex};

/// The state of the polling thread of one process.
#[derive(Debug)]
pub(super) struct Poller {
    generation: u32,
    is_started: AtomicBool,
    is_stopped: Mutex<bool>,
    stopped: Condvar,
    /// Of a child that was forked from this process: it has no thread yet, and somebody may have held
    /// the lock when it was made.
    successor: OnceLock<Box<Poller>>,
}

impl Poller {
    pub(super) fn new() -> Self {
        Self {
            generation: fork::generation(),
            is_started: AtomicBool::new(false),
            is_stopped: Mutex::new(false),
            stopped: Condvar::default(),
            successor: OnceLock::new(),
        }
    }

    /// This one, or in a forked child the child's own.
    pub(super) fn of_this_process(&self) -> &Self {
        let mut poller = self;
        while poller.generation != fork::generation() {
            poller = poller.successor.get_or_init(|| Box::new(Self::new()));
        }
        poller
    }

    /// Whether nobody has started the thread; who is told so, starts it.
    pub(super) fn is_to_be_started(&self) -> bool {
        !self.is_started.load(Ordering::Relaxed) && !self.is_started.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.is_stopped.lock()
    }

    /// Has the thread end, also one that is started later.
    pub(super) fn stop(&self) {
        *self.is_stopped.lock() = true;
        self.stopped.notify_all();
    }

    /// Waits for `interval`, or until stopped.
    pub(super) fn rest(&self, interval: Duration) {
        // Too far for the clock is for ever, nearly.
        let until = Instant::now().checked_add(interval);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped {
            match self.stopped.wait_until(is_stopped, until) {
                Ok(guard) => is_stopped = guard,
                Err(_time_is_over) => return,
            }
        }
    }
}
