//! What one question may cost: time, spans or log records that are looked at, and memory; and
//! whether somebody still waits for its answer.
//!
//! Memory is counted for what a question keeps, by the estimates of
//! [`SpanRecord::memory_bytes`](crate::SpanRecord::memory_bytes), not for pages that are
//! decompressed on the way: those are bounded by the size of a page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Limits of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Longest time that it may take.
    pub max_time: Duration,
    /// Most spans, or log records, that it may look at.
    pub max_spans: u64,
    /// Most memory that it may keep at one time, in bytes.
    pub max_memory_bytes: u64,
}

impl QueryLimits {
    /// No limits.
    pub const NONE: Self = Self {
        max_time: Duration::MAX,
        max_spans: u64::MAX,
        max_memory_bytes: u64::MAX,
    };
}

/// The memory that all questions together may keep at one time.
#[derive(Debug)]
pub struct QueryMemory {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl QueryMemory {
    /// This many bytes.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    /// How much of it is in use, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), Exhausted> {
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.limit_bytes {
            return Ok(());
        }
        self.give_back(bytes);
        Err(Exhausted::SharedMemory {
            limit_bytes: self.limit_bytes,
        })
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why a question was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Nobody waits for the answer any more.
    #[error("whoever asked has gone")]
    Cancelled,
    /// It took too long.
    #[error("it took longer than {limit:?}")]
    Time {
        /// The limit.
        limit: Duration,
    },
    /// It looked at too many spans, or log records.
    #[error("it looked at more than {limit} records")]
    Spans {
        /// The limit.
        limit: u64,
    },
    /// What it keeps takes too much memory.
    #[error("its answer takes more than {limit_bytes} bytes of memory")]
    Memory {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// What all questions keep takes too much memory; retry once others have been answered.
    #[error("all questions together take more than {limit_bytes} bytes of memory")]
    SharedMemory {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
}

/// What is left for one question. Clones share it.
///
/// ```
/// use lumitrace_store::{Exhausted, QueryBudget, QueryLimits, QueryMemory};
/// # use std::sync::Arc;
/// let memory = Arc::new(QueryMemory::new(1 << 20));
/// let limits = QueryLimits { max_spans: 100, ..QueryLimits::NONE };
/// let budget = QueryBudget::new(limits, &memory);
/// budget.look_at(60)?;
/// assert_eq!(budget.look_at(60), Err(Exhausted::Spans { limit: 100 }));
/// # Ok::<(), Exhausted>(())
/// ```
#[derive(Debug, Clone)]
pub struct QueryBudget {
    effort: Arc<Effort>,
    held: Arc<Held>,
}

/// What a question and all its parts have spent.
#[derive(Debug)]
struct Effort {
    limits: QueryLimits,
    /// None if that is farther away than clocks reach.
    deadline: Option<Instant>,
    spans: AtomicU64,
    cancelled: AtomicBool,
}

/// What a question, or a part of it, keeps in memory; given back with its last clone.
#[derive(Debug)]
struct Held {
    memory: Arc<QueryMemory>,
    bytes: AtomicU64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.give_back(*self.bytes.get_mut());
    }
}

impl QueryBudget {
    /// The budget of a question that is asked now.
    pub fn new(limits: QueryLimits, memory: &Arc<QueryMemory>) -> Self {
        let effort = Effort {
            limits,
            deadline: Instant::now().checked_add(limits.max_time),
            spans: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        };
        Self {
            effort: Arc::new(effort),
            held: Arc::new(Held {
                memory: Arc::clone(memory),
                bytes: AtomicU64::new(0),
            }),
        }
    }

    /// As much as it takes: for tools that run until they are done.
    ///
    /// ```
    /// use lumitrace_store::QueryBudget;
    /// assert!(QueryBudget::unlimited().look_at(u64::MAX).is_ok());
    /// ```
    pub fn unlimited() -> Self {
        Self::new(QueryLimits::NONE, &Arc::new(QueryMemory::new(u64::MAX)))
    }

    /// For a part of the question that forgets what it has read once it is done: it shares
    /// everything but the memory it keeps, which is given back when it is dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use lumitrace_store::{QueryBudget, QueryLimits, QueryMemory};
    ///
    /// let memory = Arc::new(QueryMemory::new(1_000));
    /// let budget = QueryBudget::new(QueryLimits::NONE, &memory);
    /// let part = budget.part();
    /// part.hold(600)?;
    /// assert_eq!(memory.used_bytes(), 600);
    /// drop(part);
    /// assert_eq!(memory.used_bytes(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            effort: Arc::clone(&self.effort),
            held: Arc::new(Held {
                memory: Arc::clone(&self.held.memory),
                bytes: AtomicU64::new(0),
            }),
        }
    }

    /// Ends the question when it is dropped, as it is when a client goes away.
    ///
    /// ```
    /// use lumitrace_store::{Exhausted, QueryBudget};
    ///
    /// let budget = QueryBudget::unlimited();
    /// let waiting = budget.cancel_on_drop();
    /// assert_eq!(budget.check(), Ok(()));
    /// drop(waiting); // the client went away
    /// assert_eq!(budget.check(), Err(Exhausted::Cancelled));
    /// ```
    pub fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(Arc::clone(&self.effort))
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Nobody waits, or it has taken too long.
    pub fn check(&self) -> Result<(), Exhausted> {
        let effort = &self.effort;
        if effort.cancelled.load(Ordering::Relaxed) {
            return Err(Exhausted::Cancelled);
        }
        match effort.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Exhausted::Time {
                limit: effort.limits.max_time,
            }),
            _ => Ok(()),
        }
    }

    /// Counts spans, or log records, that are looked at.
    ///
    /// # Errors
    /// There were too many; or as [`check`](Self::check).
    pub fn look_at(&self, spans: u64) -> Result<(), Exhausted> {
        self.check()?;
        let limit = self.effort.limits.max_spans;
        let before = self.effort.spans.fetch_add(spans, Ordering::Relaxed);
        if before.saturating_add(spans) > limit {
            return Err(Exhausted::Spans { limit });
        }
        Ok(())
    }

    /// Counts bytes that are kept in memory until the budget, or this part of it, is dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use lumitrace_store::{Exhausted, QueryBudget, QueryLimits, QueryMemory};
    ///
    /// let limits = QueryLimits { max_memory_bytes: 100, ..QueryLimits::NONE };
    /// let budget = QueryBudget::new(limits, &Arc::new(QueryMemory::new(1_000)));
    /// budget.hold(60)?;
    /// assert_eq!(budget.hold(60), Err(Exhausted::Memory { limit_bytes: 100 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There are too many.
    pub fn hold(&self, bytes: usize) -> Result<(), Exhausted> {
        let bytes = bytes as u64;
        let limit_bytes = self.effort.limits.max_memory_bytes;
        let before = self.held.bytes.load(Ordering::Relaxed);
        if before.saturating_add(bytes) > limit_bytes {
            return Err(Exhausted::Memory { limit_bytes });
        }
        self.held.memory.take(bytes)?;
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// See [`QueryBudget::cancel_on_drop`].
#[derive(Debug)]
#[must_use = "the question is cancelled when this is dropped"]
pub struct CancelOnDrop(Arc<Effort>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit_bytes: u64) -> Arc<QueryMemory> {
        Arc::new(QueryMemory::new(limit_bytes))
    }

    #[test]
    fn memory_is_given_back_with_the_part_that_kept_it() {
        let memory = memory(1000);
        let limits = QueryLimits {
            max_memory_bytes: 600,
            ..QueryLimits::NONE
        };
        let budget = QueryBudget::new(limits, &memory);
        budget.hold(500).unwrap();
        let part = budget.part();
        part.hold(400).unwrap();
        assert_eq!(memory.used_bytes(), 900);
        let refused = budget.hold(101);
        assert_eq!(refused, Err(Exhausted::Memory { limit_bytes: 600 }));
        drop(part);
        assert_eq!(memory.used_bytes(), 500);
        drop(budget.clone());
        assert_eq!(memory.used_bytes(), 500);
        drop(budget);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn questions_share_the_memory_of_all() {
        let memory = memory(1000);
        let [first, second] = [(); 2].map(|()| QueryBudget::new(QueryLimits::NONE, &memory));
        first.hold(800).unwrap();
        let refused = second.hold(300);
        assert_eq!(refused, Err(Exhausted::SharedMemory { limit_bytes: 1000 }));
        drop(first);
        second.hold(300).unwrap();
    }

    #[test]
    fn a_question_ends_when_its_time_is_over_or_nobody_waits() {
        let limits = QueryLimits {
            max_time: Duration::ZERO,
            ..QueryLimits::NONE
        };
        let late = QueryBudget::new(limits, &memory(0));
        let limit = Duration::ZERO;
        assert_eq!(late.check(), Err(Exhausted::Time { limit }));
        let budget = QueryBudget::unlimited();
        let part = budget.part();
        let client = budget.cancel_on_drop();
        part.check().unwrap();
        drop(client);
        assert_eq!(part.look_at(1), Err(Exhausted::Cancelled));
    }
}
