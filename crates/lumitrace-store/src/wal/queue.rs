//! Where batches wait for the log, bounded in bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::append::{Answer, AppendError};
use crate::signal::Batch;
use crate::stats::Counters;

/// A batch on its way into the log.
#[derive(Debug)]
pub(crate) struct WaitingBatch<B> {
    pub(crate) batch: B,
    pub(crate) received_unix_nano: u64,
    pub(crate) answer: Answer,
}

impl<B> WaitingBatch<B> {
    /// Tells the sender that nothing of the batch was stored.
    pub(crate) fn refuse(self, counters: &Counters, error: &AppendError) {
        counters.count_refusal(error);
        // The sender may have stopped waiting.
        let _ = self.answer.send(Err(error.clone()));
    }
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(crate) enum NotQueued {
    Full,
    Closed,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum NextGroup<B> {
    /// Write these batches together.
    Write(Vec<WaitingBatch<B>>),
    /// Nothing came in time.
    TimedOut,
    /// The queue is closed and empty.
    Ended,
}

#[derive(Debug)]
struct QueueState<B> {
    batches: VecDeque<WaitingBatch<B>>,
    bytes: usize,
    closed: bool,
}

/// Batches in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue<B> {
    state: Mutex<QueueState<B>>,
    changed: Condvar,
    limit_bytes: usize,
}

impl<B: Batch> Queue<B> {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let state = QueueState {
            batches: VecDeque::new(),
            bytes: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            limit_bytes,
        }
    }

    /// Adds a batch; hands it back if there is no room. A batch larger than the whole queue is
    /// taken while nothing else waits, since it could never be taken otherwise.
    pub(crate) fn push(
        &self,
        batch: WaitingBatch<B>,
    ) -> Result<(), (NotQueued, Box<WaitingBatch<B>>)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((NotQueued::Closed, Box::new(batch)));
        }
        let bytes = state.bytes + batch.batch.memory_bytes();
        if bytes > self.limit_bytes && !state.batches.is_empty() {
            return Err((NotQueued::Full, Box::new(batch)));
        }
        state.bytes = bytes;
        state.batches.push_back(batch);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes what waits, up to `group_bytes`, as soon as anything does.
    ///
    /// There is no artificial delay: while one group is being synced the next one gathers, so
    /// groups grow with the load by themselves and a lone batch never waits.
    pub(crate) fn next_group(&self, group_bytes: usize, timeout: Option<Duration>) -> NextGroup<B> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.state.lock();
        while state.batches.is_empty() {
            if state.closed {
                return NextGroup::Ended;
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return NextGroup::TimedOut;
                    }
                }
            }
        }
        let mut group = Vec::new();
        let mut taken_bytes = 0;
        while taken_bytes < group_bytes
            && let Some(batch) = state.batches.pop_front()
        {
            taken_bytes += batch.batch.memory_bytes();
            group.push(batch);
        }
        state.bytes -= taken_bytes;
        NextGroup::Write(group)
    }

    /// Takes everything that waits, for when there is nobody left to write it.
    pub(crate) fn take_all(&self) -> VecDeque<WaitingBatch<B>> {
        let mut state = self.state.lock();
        state.bytes = 0;
        std::mem::take(&mut state.batches)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Takes no more batches; the writer ends once it has written what waits.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}
