//! How much waits for the worker: bounded in number and in bytes, over all threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::BatchSettings;

/// Spans that a thread claims room for at once, so that threads seldom meet at the one number; fewer
/// where that would be much of a batch.
const BLOCK_SPANS: usize = 16;
/// The least number of blocks in a batch.
const BLOCKS_PER_BATCH: usize = 32;
/// The bytes that go with it: those of spans with a handful of attributes.
const BLOCK_BYTES: usize = 16 << 10;

/// What waits, in lanes or with the worker, and what was claimed for spans to come.
pub(crate) struct WaitingLoad {
    /// In one number, so that one atomic addition claims both: see [`Load`].
    load: AtomicU64,
    max: Load,
    /// So much is worth sending.
    batch: Load,
    block_spans: usize,
    is_closed: AtomicBool,
}

/// Room that a lane has claimed for spans to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Credit {
    spans: u64,
    bytes: u64,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

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

impl WaitingLoad {
    pub(crate) fn new(settings: &BatchSettings) -> Self {
        // Half of the range stays free, for threads that claim room at the same moment.
        let max_spans = settings.max_queue_spans.clamp(1, 1 << 23);
        let max_bytes = settings.max_queue_bytes.clamp(1, 1 << (BYTES_BITS - 1));
        // A queue smaller than a batch is full before a batch is.
        let batch_spans = settings.max_batch_spans.clamp(1, max_spans);
        // Half of it: a large span may find no room although there is some.
        let batch_bytes = settings.max_batch_bytes.clamp(1, max_bytes.div_ceil(2));
        Self {
            load: AtomicU64::new(0),
            max: Load::new(max_spans, max_bytes),
            batch: Load::new(batch_spans, batch_bytes),
            block_spans: (batch_spans / BLOCKS_PER_BATCH).clamp(1, BLOCK_SPANS),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Takes the room for a span out of `credit`, or claims some; returns whether the worker should
    /// look, as a whole batch waits.
    pub(crate) fn claim(&self, credit: &mut Credit, size_bytes: usize) -> Result<bool, QueueFull> {
        let bytes = size_bytes as u64;
        let lacks_room = credit.spans == 0 || credit.bytes < bytes;
        if lacks_room {
            let claimed = self.add_what_lacks(*credit, size_bytes)?;
            credit.spans += claimed.spans();
            credit.bytes += claimed.bytes();
        }
        credit.spans -= 1;
        credit.bytes -= bytes;
        // Spans that are claimed ahead are no reason to look yet.
        let is_worth_a_look =
            (credit.spans == 0 && self.are_spans_full()) || (lacks_room && self.are_bytes_full());
        Ok(is_worth_a_look)
    }

    /// Claims a block, or just as much as a span of this size lacks: where a block has no room, and once a
    /// batch waits, so that many threads with a few spans each do not take the room of all.
    fn add_what_lacks(&self, credit: Credit, size_bytes: usize) -> Result<Load, QueueFull> {
        let lacks_span = credit.spans == 0;
        let left = credit.bytes as usize;
        let block = Load::new(
            if lacks_span { self.block_spans } else { 0 },
            BLOCK_BYTES.max(size_bytes).saturating_sub(left),
        );
        if !self.is_batch_full() && self.add(block) {
            return Ok(block);
        }
        let one = Load::new(usize::from(lacks_span), size_bytes.saturating_sub(left));
        self.add(one).then_some(one).ok_or(QueueFull)
    }

    /// Claims room; returns whether there is any.
    fn add(&self, claim: Load) -> bool {
        // SeqCst pairs with the worker, which first says that it sleeps and then looks here.
        let before = Load(self.load.fetch_add(claim.0, Ordering::SeqCst));
        let fits = before.spans() + claim.spans() <= self.max.spans()
            && before.bytes() + claim.bytes() <= self.max.bytes()
            && !self.is_closed();
        if !fits {
            self.load.fetch_sub(claim.0, Ordering::SeqCst);
        }
        fits
    }

    /// Gives back the room of spans that the worker took, and is done with.
    pub(crate) fn release(&self, spans: usize, bytes: usize) {
        self.load
            .fetch_sub(Load::new(spans, bytes).0, Ordering::SeqCst);
    }

    /// Gives back room for spans that did not come.
    pub(crate) fn give_back(&self, credit: Credit) {
        self.release(credit.spans as usize, credit.bytes as usize);
    }

    /// From now on there is no room; what was claimed before stays claimed.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// How many spans wait, together with those to come that room is claimed for.
    pub(crate) fn spans(&self) -> u64 {
        Load(self.load.load(Ordering::SeqCst)).spans()
    }

    /// Whether a whole batch may wait: so many spans or so many bytes.
    pub(crate) fn is_batch_full(&self) -> bool {
        self.are_spans_full() || self.are_bytes_full()
    }

    /// The bytes that are worth sending, however few spans they are.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch.bytes() as usize
    }

    fn are_spans_full(&self) -> bool {
        self.spans() >= self.batch.spans()
    }

    fn are_bytes_full(&self) -> bool {
        Load(self.load.load(Ordering::SeqCst)).bytes() >= self.batch.bytes()
    }
}

impl Credit {
    pub(crate) fn spans(self) -> u64 {
        self.spans
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

    fn load(max_queue_spans: usize, max_queue_bytes: usize) -> WaitingLoad {
        WaitingLoad::new(&BatchSettings {
            max_queue_spans,
            max_queue_bytes,
            ..BatchSettings::default()
        })
    }

    #[test]
    fn exactly_as_many_spans_find_room_as_there_is() {
        for max_spans in [1, 2, 15, 16, 17, 100] {
            let load = load(max_spans, 1 << 30);
            let mut credits = [Credit::default(); 2];
            let mut claim = |number: usize| load.claim(&mut credits[number % 2], 10).is_ok();
            let found = (0..200).filter(|number| claim(*number)).count();
            assert!(found <= max_spans, "{found} of {max_spans}");
            assert!(found + BLOCK_SPANS > max_spans, "{found} of {max_spans}");
            credits
                .into_iter()
                .for_each(|credit| load.give_back(credit));
            load.release(found, found * 10);
            assert_eq!(load.load.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn the_worker_is_told_when_the_last_span_of_a_batch_comes() {
        for batch_spans in [1, 2, 40, 512] {
            let load = WaitingLoad::new(&BatchSettings {
                max_batch_spans: batch_spans,
                ..BatchSettings::default()
            });
            let mut credit = Credit::default();
            let first = (1..).find(|_| load.claim(&mut credit, 10) == Ok(true));
            assert_eq!(first, Some(batch_spans));
        }
    }

    #[test]
    fn the_worker_is_told_of_a_few_spans_with_the_bytes_of_a_batch() {
        let load = load(2048, 1 << 20);
        let mut credit = Credit::default();
        let told = (1..).find(|_| load.claim(&mut credit, 200_000) != Ok(false));
        // Half of the queue: a fifth one would fit, and a sixth would not.
        assert_eq!(told, Some(3));
    }

    #[test]
    fn nothing_finds_room_after_the_end() {
        let load = load(2048, 1 << 20);
        let mut credit = Credit::default();
        assert_eq!(load.claim(&mut credit, 100), Ok(false));
        load.close();
        let claimed_before = (0..100).take_while(|_| load.claim(&mut credit, 100).is_ok());
        assert_eq!(claimed_before.count(), BLOCK_SPANS - 1);
    }

    #[test]
    fn spans_with_many_bytes_find_as_much_room_as_there_is() {
        for size_bytes in [300, 1_100, 2_000, 17_000] {
            let (max_spans, max_bytes) = (2048, 1 << 20);
            let load = load(max_spans, max_bytes);
            let mut credit = Credit::default();
            let claims = (0..4000).map(|_| load.claim(&mut credit, size_bytes));
            let claims: Vec<_> = claims.take_while(Result::is_ok).collect();
            let fit = max_spans.min(max_bytes / size_bytes);
            assert_eq!(claims.len(), fit, "{size_bytes}");
        }
    }

    #[test]
    fn many_threads_with_a_span_each_find_room_for_all() {
        let load = load(2048, 32 << 20);
        let mut credits = vec![Credit::default(); 1000];
        let mut is_told = false;
        for credit in &mut credits {
            is_told |= load.claim(credit, 300).unwrap();
        }
        assert!(is_told, "a batch waits");
    }

    #[test]
    fn a_span_with_more_bytes_than_a_block_is_counted_with_them() {
        let load = load(100, 3 * BLOCK_BYTES);
        let mut credit = Credit::default();
        assert!(load.claim(&mut credit, 2 * BLOCK_BYTES).is_ok());
        assert_eq!(load.claim(&mut credit, 2 * BLOCK_BYTES), Err(QueueFull));
        assert!(load.claim(&mut credit, BLOCK_BYTES).is_ok());
        assert_eq!(load.claim(&mut credit, 1), Err(QueueFull));
    }
}
