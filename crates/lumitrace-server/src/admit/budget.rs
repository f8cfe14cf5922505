//! Bounds the bytes of requests that are in work at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that all requests together may hold.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Arc<AtomicU64>,
    max_bytes: u64,
}

impl Budget {
    /// A budget of `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            used: Arc::default(),
            max_bytes,
        }
    }

    /// An empty share of the budget, to be grown as bytes arrive; dropping it gives the bytes back.
    pub fn reserve(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// The bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// The share of one request in a [`Budget`].
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Reservation {
    /// Takes `bytes` more; `false`, and nothing taken, where the budget has not that much left.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let max = self.budget.max_bytes;
        let taken = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= max)
            });
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    /// How many bytes more it could ever take: those left while nobody else has a share.
    pub fn room_bytes(&self) -> u64 {
        self.budget.max_bytes.saturating_sub(self.bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_never_overdrawn_and_comes_back_whole() {
        let budget = Budget::new(100);
        let mut first = budget.reserve();
        let mut second = budget.reserve();
        assert!(first.grow(60) && second.grow(40));
        assert!(!second.grow(1), "nothing is left");
        assert_eq!(budget.used_bytes(), 100);
        drop(first);
        assert!(second.grow(60));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
        assert!(!budget.reserve().grow(u64::MAX));
    }
}
