//! Following the store live: every subscriber sees every batch, unless it falls too far behind.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::stored::StoredBatch;

/// Receives every batch that is stored after it was made by
/// [`Store::subscribe`](crate::Store::subscribe), or the same of another signal.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use tokio::sync::broadcast::error::TryRecvError;
///
/// let mut subscription = store.subscribe();
/// assert_eq!(subscription.try_recv().unwrap_err(), TryRecvError::Empty);
/// # let batch = example::batch()?;
/// store.append(batch).wait()?;
/// let stored = subscription.try_recv()?;
/// let names: Vec<&str> = stored.spans().map(|span| span.name()).collect();
/// assert_eq!(names, ["training_epoch", "batch_processing"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscription<B = StoredBatch> {
    subscribers: Arc<Subscribers<B>>,
    /// Number of the batch that it receives next.
    next: u64,
}

impl<B> Subscription<B> {
    pub(crate) fn new(subscribers: &Arc<Subscribers<B>>) -> Self {
        let mut kept = subscribers.kept.lock();
        kept.subscribers += 1;
        Self {
            subscribers: Arc::clone(subscribers),
            next: kept.first + kept.batches.len() as u64,
        }
    }

    /// The next batch, once there is one. Loses nothing if it is dropped while it waits.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use tokio::sync::broadcast::error::RecvError;
    ///
    /// let mut subscription = store.subscribe();
    /// # let batch = example::batch()?;
    /// # let future = async {
    /// store.append(batch).await?;
    /// assert_eq!(subscription.recv().await?.len(), 2);
    /// store.close();
    /// assert_eq!(subscription.recv().await.unwrap_err(), RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # };
    /// # example::block_on(future)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Lagged` with the number of batches missed, after which it goes on with the oldest that is
    /// still kept; `Closed` when the store is closed and all was received.
    pub async fn recv(&mut self) -> Result<Arc<B>, RecvError> {
        loop {
            // Made before looking, so that what comes in between wakes it.
            let published = self.subscribers.published.notified();
            match self.subscribers.take(&mut self.next) {
                Ok(batch) => return Ok(batch),
                Err(TryRecvError::Lagged(missed)) => return Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Empty) => published.await,
            }
        }
    }

    /// The next batch if there is one.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// let mut subscription = store.subscribe();
    /// # let batch = example::batch()?;
    /// store.append(batch).wait()?;
    /// while let Ok(stored) = subscription.try_recv() {
    ///     println!("{} spans", stored.len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Empty` when all was received; otherwise as for [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Arc<B>, TryRecvError> {
        self.subscribers.take(&mut self.next)
    }

    /// Blocks this thread until there is a next batch.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// let mut subscription = store.subscribe();
    /// let follower = std::thread::spawn(move || {
    ///     let mut spans = 0;
    ///     while let Ok(stored) = subscription.blocking_recv() {
    ///         spans += stored.len();
    ///     }
    ///     spans
    /// });
    /// # let batch = example::batch()?;
    /// store.append(batch).wait()?;
    /// store.close();
    /// assert_eq!(follower.join().unwrap(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn blocking_recv(&mut self) -> Result<Arc<B>, RecvError> {
        let mut kept = self.subscribers.kept.lock();
        loop {
            match kept.take(&mut self.next) {
                Ok(batch) => return Ok(batch),
                Err(TryRecvError::Lagged(missed)) => return Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Empty) => self.subscribers.changed.wait(&mut kept),
            }
        }
    }
}

impl<B> Drop for Subscription<B> {
    fn drop(&mut self) {
        let mut kept = self.subscribers.kept.lock();
        kept.subscribers -= 1;
        let received = self.next.saturating_sub(kept.first) as usize;
        for batch in kept.batches.iter_mut().skip(received) {
            batch.unread -= 1;
        }
        kept.drop_read();
    }
}

impl<B> fmt::Debug for Subscription<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

struct KeptBatch<B> {
    batch: Arc<B>,
    bytes: usize,
    /// How many subscribers have yet to receive it. Whoever has not received a batch has not
    /// received those after it either, so the first batch that everyone has is the oldest.
    unread: usize,
}

/// The batches that some subscriber has not received, oldest first.
struct Kept<B> {
    batches: VecDeque<KeptBatch<B>>,
    bytes: usize,
    /// Number of the oldest.
    first: u64,
    subscribers: usize,
    closed: bool,
}

impl<B> Kept<B> {
    fn take(&mut self, next: &mut u64) -> Result<Arc<B>, TryRecvError> {
        let Some(index) = next.checked_sub(self.first) else {
            let missed = self.first - *next;
            *next = self.first;
            return Err(TryRecvError::Lagged(missed));
        };
        let Some(batch) = self.batches.get_mut(index as usize) else {
            return Err(if self.closed {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            });
        };
        batch.unread -= 1;
        *next += 1;
        let batch = Arc::clone(&batch.batch);
        self.drop_read();
        Ok(batch)
    }

    fn drop_read(&mut self) {
        while self.batches.front().is_some_and(|batch| batch.unread == 0) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= batch.bytes;
            self.first += 1;
        }
    }
}

/// What the store keeps for its subscribers, bounded in bytes: however slow one of them is, it
/// holds up neither the store nor the others, and never more memory than that.
pub(crate) struct Subscribers<B> {
    kept: Mutex<Kept<B>>,
    limit_bytes: usize,
    /// For those that wait as a future.
    published: Notify,
    /// For those that wait on a thread.
    changed: Condvar,
}

impl<B> Subscribers<B> {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let kept = Kept {
            batches: VecDeque::new(),
            bytes: 0,
            first: 0,
            subscribers: 0,
            closed: false,
        };
        Self {
            kept: Mutex::new(kept),
            limit_bytes,
            published: Notify::new(),
            changed: Condvar::new(),
        }
    }

    /// Hands a batch of `bytes` to all subscribers. Whoever has fallen behind too far misses older
    /// ones.
    pub(crate) fn publish(&self, batch: Arc<B>, bytes: usize) {
        let mut kept = self.kept.lock();
        if kept.subscribers == 0 {
            return;
        }
        let unread = kept.subscribers;
        kept.bytes += bytes;
        kept.batches.push_back(KeptBatch {
            batch,
            bytes,
            unread,
        });
        while kept.bytes > self.limit_bytes && kept.batches.len() > 1 {
            kept.drop_oldest();
        }
        drop(kept);
        self.wake();
    }

    /// Says that nothing more comes.
    pub(crate) fn close(&self) {
        self.kept.lock().closed = true;
        self.wake();
    }

    fn wake(&self) {
        self.published.notify_waiters();
        self.changed.notify_all();
    }

    fn take(&self, next: &mut u64) -> Result<Arc<B>, TryRecvError> {
        self.kept.lock().take(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::testing::{span, stored};

    fn batch(number: u64) -> Arc<StoredBatch> {
        stored(vec![span(1, number)], number)
    }

    fn publish(subscribers: &Subscribers<StoredBatch>, number: u64) {
        let batch = batch(number);
        let bytes = batch.memory_bytes();
        subscribers.publish(batch, bytes);
    }

    fn number(batch: Result<Arc<StoredBatch>, TryRecvError>) -> Result<u64, TryRecvError> {
        batch.map(|batch| batch.seqs().start)
    }

    #[test]
    fn a_slow_subscriber_misses_the_oldest_batches_and_holds_no_more_than_the_limit() {
        let subscribers = Arc::new(Subscribers::new(3 * batch(1).memory_bytes()));
        let mut slow = Subscription::new(&subscribers);
        let mut fast = Subscription::new(&subscribers);
        for next in 1..=10 {
            publish(&subscribers, next);
            assert_eq!(number(fast.try_recv()), Ok(next));
            assert!(subscribers.kept.lock().bytes <= subscribers.limit_bytes);
        }
        assert_eq!(number(fast.try_recv()), Err(TryRecvError::Empty));
        assert_eq!(number(slow.try_recv()), Err(TryRecvError::Lagged(7)));
        for next in 8..=10 {
            assert_eq!(number(slow.try_recv()), Ok(next));
        }
        assert_eq!(number(slow.try_recv()), Err(TryRecvError::Empty));
        subscribers.close();
        assert_eq!(slow.blocking_recv().unwrap_err(), RecvError::Closed);
    }

    #[test]
    fn nothing_is_kept_that_every_subscriber_has_received() {
        let subscribers = Arc::new(Subscribers::new(usize::MAX));
        publish(&subscribers, 1);
        let mut first = Subscription::new(&subscribers);
        publish(&subscribers, 2);
        let second = Subscription::new(&subscribers);
        publish(&subscribers, 3);
        let kept = || subscribers.kept.lock().batches.len();
        assert_eq!(kept(), 2);
        first.blocking_recv().unwrap();
        assert_eq!(kept(), 1);
        first.blocking_recv().unwrap();
        assert_eq!(kept(), 1, "the second has not received it");
        drop(second);
        assert_eq!((kept(), subscribers.kept.lock().bytes), (0, 0));
    }

    #[test]
    fn a_batch_beyond_the_limit_is_still_handed_over() {
        let subscribers = Arc::new(Subscribers::new(0));
        let mut live = Subscription::new(&subscribers);
        publish(&subscribers, 1);
        assert!(live.try_recv().is_ok());
    }
}
