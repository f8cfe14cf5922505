//! A lock that its owner takes without an atomic instruction, as long as nobody else asks for it.
//!
//! Biased locking (Kawachiya, Koseki, Onodera: "Lock reservation", OOPSLA 2002) with an asymmetric
//! barrier: the owner writes that it is inside and then reads whether others may be; the others write
//! that they may be and then read whether the owner is inside. One of the two sees the other, if neither
//! processor delays its write past its read. The owner, which comes by for every span, only keeps the
//! compiler from exchanging the two. The others, who come by seldom, have the kernel run a full barrier on
//! every processor that runs a thread of this process (membarrier(2)).

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use spin::mutex::SpinMutex;
use spin::relax::Yield;

use super::barrier;

/// Guards a value that one thread, its owner, uses far more often than all others.
///
/// Like any lock it must not be taken again by a thread that is inside.
pub(super) struct BiasedLock<T> {
    /// Written by the owner only.
    is_owner_inside: AtomicBool,
    /// Whether others may be inside, so that the owner has to take the lock.
    is_shared: AtomicBool,
    lock: SpinMutex<(), Yield>,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time reaches the value. Threads other than the owner hold `lock` and have seen,
// after the barrier, that the owner is not inside; the owner either holds `lock`, or said that it is inside
// and then saw that nobody else may be.
unsafe impl<T: Send> Sync for BiasedLock<T> {}

impl<T> BiasedLock<T> {
    /// A lock that is its owner's if `is_biased`, which asks for [`barrier::register`] to have succeeded;
    /// otherwise everybody takes it in the ordinary way.
    pub(super) fn new(value: T, is_biased: bool) -> Self {
        Self {
            is_owner_inside: AtomicBool::new(false),
            is_shared: AtomicBool::new(!is_biased),
            lock: SpinMutex::new(()),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock as its owner.
    ///
    /// # Safety
    /// One thread at a time is the owner; what it did happens before the next one takes over.
    #[inline]
    pub(super) unsafe fn with_as_owner<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let inside = Inside::enter(&self.is_owner_inside);
        barrier::light();
        // Acquire: sees what those did who gave the lock back.
        if self.is_shared.load(Ordering::Acquire) {
            drop(inside);
            return self.with_as_one_of_many(work);
        }
        // SAFETY: whoever comes from now on waits until `inside` is dropped.
        work(unsafe { &mut *self.value.get() })
    }

    /// Takes the lock as its owner, while others may be inside.
    #[cold]
    fn with_as_one_of_many<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _locked = self.lock.lock();
        // SAFETY: others are inside only while they hold the lock.
        work(unsafe { &mut *self.value.get() })
    }

    /// Takes the lock as any thread. From then on the owner takes it like everybody else: where spans go
    /// from thread to thread, asking each time would cost more than the bias saves.
    #[cold]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _locked = self.lock.lock();
        self.keep_owner_out();
        // SAFETY: this thread holds the lock, and the owner is outside or waits for the lock.
        work(unsafe { &mut *self.value.get() })
    }

    /// Takes the lock as any thread, and gives it back to its owner.
    pub(super) fn with_briefly<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _locked = self.lock.lock();
        let was_shared = self.keep_owner_out();
        // SAFETY: as in `with`.
        let result = work(unsafe { &mut *self.value.get() });
        self.is_shared.store(was_shared, Ordering::Release);
        result
    }

    /// To be called with the lock held. Returns whether the owner was out anyway.
    fn keep_owner_out(&self) -> bool {
        let was_shared = self.is_shared.swap(true, Ordering::SeqCst);
        if !was_shared {
            barrier::heavy();
            // The owner does a few dozen instructions there, unless it has to wait for a processor.
            while self.is_owner_inside.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        was_shared
    }
}

/// The owner is inside, until this is dropped: also by a panic.
struct Inside<'a>(&'a AtomicBool);

impl<'a> Inside<'a> {
    #[inline]
    fn enter(is_inside: &'a AtomicBool) -> Self {
        is_inside.store(true, Ordering::Relaxed);
        Self(is_inside)
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Two counters that are always equal for whoever holds the lock.
    fn count(counters: &mut (u64, u64)) {
        assert_eq!(counters.0, counters.1);
        counters.0 += 1;
        std::hint::black_box(&counters);
        counters.1 += 1;
    }

    fn count_together(is_biased: bool, as_other: fn(&BiasedLock<(u64, u64)>)) {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 200_000 };
        let lock = Arc::new(BiasedLock::new((0, 0), is_biased));
        let others = [Arc::clone(&lock), Arc::clone(&lock)].map(|lock| {
            std::thread::spawn(move || (0..ROUNDS / 100).for_each(|_| as_other(&lock)))
        });
        // SAFETY: no other thread takes it as its owner.
        (0..ROUNDS).for_each(|_| unsafe { lock.with_as_owner(count) });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.with(|counters| counters.0), ROUNDS + ROUNDS / 50);
    }

    #[test]
    fn nobody_is_inside_together_with_the_owner() {
        let is_biased = barrier::register();
        count_together(is_biased, |lock| lock.with_briefly(count));
        count_together(is_biased, |lock| lock.with(count));
        count_together(false, |lock| lock.with_briefly(count));
    }

    #[test]
    fn a_panic_of_the_owner_leaves_the_lock_open() {
        let lock = BiasedLock::new(0, barrier::register());
        let work = || {
            // SAFETY: there is one thread.
            unsafe { lock.with_as_owner(|_| panic!("the owner's work fails")) }
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        assert!(panicked.is_err());
        lock.with(|value| *value += 1);
    }

    #[test]
    fn the_lock_is_the_owners_again_after_a_brief_visit() {
        let is_biased = barrier::register();
        let lock = BiasedLock::new(0, is_biased);
        lock.with_briefly(|value| *value += 1);
        assert_eq!(lock.is_shared.load(Ordering::Relaxed), !is_biased);
        lock.with(|value| *value += 1);
        assert!(lock.is_shared.load(Ordering::Relaxed));
    }
}
