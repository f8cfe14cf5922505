//! The spans that have ended and wait for the worker, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shards::Shards;
use crate::BatchSettings;
use crate::recording::Recording;

/// A span that waits, and the bytes that it was counted with.
pub(crate) struct Waiting {
    pub(crate) recording: Arc<Recording>,
    pub(crate) size_bytes: usize,
}

pub(crate) struct SpanQueue {
    waiting: Shards<Vec<Waiting>>,
    /// Spans and bytes that wait, in the queue or with the worker, in one number so that one
    /// atomic addition claims both: see [`Load`].
    load: AtomicU64,
    max: Load,
    batch_spans: u64,
}

/// A number of spans in the upper 24 bits, and their bytes in the lower 40.
#[derive(Debug, Clone, Copy)]
struct Load(u64);

const BYTES_BITS: u32 = 40;

impl Load {
    fn new(spans: usize, bytes: usize) -> Self {
        let bytes = (bytes as u64).min((1 << BYTES_BITS) - 1);
        Self((spans as u64) << BYTES_BITS | bytes)
    }

    fn spans(self) -> u64 {
        self.0 >> BYTES_BITS
    }

    fn bytes(self) -> u64 {
        self.0 & ((1 << BYTES_BITS) - 1)
    }
}

impl SpanQueue {
    pub(crate) fn new(settings: &BatchSettings) -> Self {
        // Half of the range stays free, for threads that claim room at the same moment.
        let max_spans = settings.max_queue_spans.clamp(1, 1 << 23);
        let max_bytes = settings.max_queue_bytes.clamp(1, 1 << (BYTES_BITS - 1));
        Self {
            waiting: Shards::default(),
            load: AtomicU64::new(0),
            max: Load::new(max_spans, max_bytes),
            // A queue smaller than a batch is full before a batch is.
            batch_spans: settings.max_batch_spans.clamp(1, max_spans) as u64,
        }
    }

    /// Adds a span; returns whether a whole batch waits, or the span where there is no room.
    pub(crate) fn push(
        &self,
        recording: Arc<Recording>,
        size_bytes: usize,
    ) -> Result<bool, Arc<Recording>> {
        let claim = Load::new(1, size_bytes);
        // SeqCst pairs with the worker, which first says that it sleeps and then looks here.
        let before = Load(self.load.fetch_add(claim.0, Ordering::SeqCst));
        let fits =
            before.spans() < self.max.spans() && before.bytes() + claim.bytes() <= self.max.bytes();
        if !fits {
            self.load.fetch_sub(claim.0, Ordering::Relaxed);
            return Err(recording);
        }
        self.waiting.own().lock().push(Waiting {
            recording,
            size_bytes,
        });
        Ok(before.spans() + 1 >= self.batch_spans)
    }

    /// Moves what waits to the end of `taken`. It counts as waiting until [`release`]d.
    ///
    /// [`release`]: SpanQueue::release
    pub(crate) fn take_into(&self, taken: &mut impl Extend<Waiting>) {
        for shard in self.waiting.all() {
            taken.extend(shard.lock().drain(..));
        }
    }

    /// Gives back the room of spans that were taken.
    pub(crate) fn release(&self, spans: usize, bytes: usize) {
        self.load
            .fetch_sub(Load::new(spans, bytes).0, Ordering::Relaxed);
    }

    /// How many spans wait.
    pub(crate) fn len(&self) -> usize {
        Load(self.load.load(Ordering::SeqCst)).spans() as usize
    }

    /// Whether a whole batch waits.
    pub(crate) fn is_batch_full(&self) -> bool {
        self.len() as u64 >= self.batch_spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_keeps_spans_and_bytes_apart() {
        let load = Load(Load::new(2047, 5_000_000).0 + Load::new(1, 300).0);
        assert_eq!((load.spans(), load.bytes()), (2048, 5_000_300));
    }
}
