//! Locks that survive a panic and a fork.
//!
//! The standard library's, not `parking_lot`'s: those keep their waiting threads in tables of the
//! whole process, and a fork at the wrong moment leaves such a table locked in the child, where
//! nobody will ever unlock it.

use std::sync::{self, MutexGuard, PoisonError};
use std::time::Instant;

/// A mutex without poisoning: what it protects is never left half changed by a panic.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a change of what a [`Mutex`] protects.
#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits for a notification; `Err` with the guard when `until` is reached.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        until: Instant,
    ) -> Result<MutexGuard<'a, T>, MutexGuard<'a, T>> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(guard);
        }
        let waited = self
            .0
            .wait_timeout(guard, left)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(waited.0)
    }
}
