//! Recordings of spans that were sent, for spans that start: memory that the traced threads
//! allocate and the worker frees costs more than all the rest of a span.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::Mutex;
use crate::recording::Recording;

/// As many as usually wait for the worker; kept for as long as the process lives.
const MAX_SPARES: usize = 2048;
/// What a thread takes at a time, so that threads seldom meet at the lock.
const HANDFUL: usize = 64;

thread_local! {
    /// A thread's handful. A forked child goes on with that of the thread that forked.
    static HAND: RefCell<Vec<Arc<Recording>>> = const { RefCell::new(Vec::new()) };
}

/// What the worker of one pipeline has given back.
#[derive(Default)]
pub(crate) struct Spares {
    recordings: Mutex<Vec<Arc<Recording>>>,
    /// Their number, which tells threads without the lock that there are none.
    count: AtomicUsize,
}

impl Spares {
    /// A recording that nobody else refers to, if there is one.
    pub(crate) fn take(&self) -> Option<Arc<Recording>> {
        // A thread that is ending has lost its hand.
        HAND.try_with(|hand| {
            let mut hand = hand.borrow_mut();
            if hand.is_empty() {
                self.refill(&mut hand);
            }
            hand.pop()
        })
        .ok()
        .flatten()
    }

    fn refill(&self, hand: &mut Vec<Arc<Recording>>) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut recordings = self.recordings.lock();
        let rest = recordings.len().saturating_sub(HANDFUL);
        hand.extend(recordings.drain(rest..));
        self.count.store(rest, Ordering::Relaxed);
    }

    /// Takes all of `recordings` over, which nobody else may refer to, and frees what is too many.
    pub(crate) fn give_back(&self, recordings: &mut Vec<Arc<Recording>>) {
        {
            let mut spares = self.recordings.lock();
            let room = MAX_SPARES.saturating_sub(spares.len());
            spares.extend(recordings.drain(..room.min(recordings.len())));
            self.count.store(spares.len(), Ordering::Relaxed);
        }
        recordings.clear();
    }
}
