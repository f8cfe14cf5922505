//! Ends a run early, also while it waits.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A wish to end that wakes up those who wait.
#[derive(Default)]
pub struct Stop {
    wanted: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks everybody to end.
    pub fn request(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_all();
    }

    /// Whether to end.
    pub fn is_requested(&self) -> bool {
        *self.wanted.lock()
    }

    /// Waits so long, or until asked to end; returns whether to end.
    pub fn wait(&self, time: Duration) -> bool {
        let mut wanted = self.wanted.lock();
        if !*wanted && !time.is_zero() {
            self.changed
                .wait_while_for(&mut wanted, |wanted| !*wanted, time);
        }
        *wanted
    }
}
