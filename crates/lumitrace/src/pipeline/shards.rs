//! Data that threads add to at a high rate: each thread has a lock that it shares with few others.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::Mutex;

/// More than the cores of a usual machine's busy threads; a power of two.
const SHARDS: usize = 16;

/// One `T` per group of threads.
pub(crate) struct Shards<T> {
    shards: [Shard<T>; SHARDS],
}

/// On cache lines of its own (two, as processors fetch them in pairs): a lock next to another
/// thread's is slowed down by it.
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard(Mutex::default())),
        }
    }
}

impl<T> Shards<T> {
    /// The shard of the calling thread.
    pub(crate) fn own(&self) -> &Mutex<T> {
        &self.shards[thread_number() % SHARDS].0
    }

    /// All shards.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mutex<T>> {
        self.shards.iter().map(|shard| &shard.0)
    }
}

fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        })
    })
}
