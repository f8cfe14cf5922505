//! Doing independent work on several threads, for as long as one function runs.
//!
//! Work of seconds, such as opening a store, gets threads of its own, as many as its options say. Work
//! of milliseconds goes to threads that are there already: a new one is begun on the processor of its
//! maker, and moved away from it only later (measured: half of 1.7 ms on a new thread came to 1.9 ms,
//! on waiting ones to 1.1 ms).

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder, ScopedJoinHandle};
use std::{io, iter};

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

/// Does `work` with each of `items` on up to `threads` threads, of which each takes the next item when
/// it is done with one. The answers come in the order of the items.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn map<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> io::Result<Vec<R>> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return Ok(items.iter().map(work).collect());
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        Some((index, work(items.get(index)?)))
    };
    let work_on = || iter::from_fn(take).collect::<Vec<(usize, R)>>();
    let mut answers = thread::scope(|scope| {
        let spawn = |_| Builder::new().spawn_scoped(scope, work_on);
        let others = (1..threads).map(spawn).collect::<io::Result<Vec<_>>>()?;
        let mut answers = work_on();
        answers.extend(others.into_iter().flat_map(join));
        Ok::<_, io::Error>(answers)
    })?;
    answers.sort_unstable_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Does `work` with each of `items` on all processors, with at least `min_items` on each. The answers come
/// in the order of the items; of several errors, one.
///
/// # Errors
/// The work failed with an item.
pub(crate) fn try_map_short<T: Sync, R: Send, E: Send>(
    min_items: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    if items.len() < 2 * min_items {
        return items.iter().map(work).collect();
    }
    let items = items.par_iter().with_min_len(min_items);
    items.map(work).collect()
}

/// Does both, at the same time if `threads` are more than one.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn both<A, B: Send>(
    threads: usize,
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> io::Result<(A, B)> {
    if threads <= 1 {
        return Ok((first(), second()));
    }
    thread::scope(|scope| {
        let second = Builder::new().spawn_scoped(scope, second)?;
        Ok((first(), join(second)))
    })
}

/// A panic of the thread goes on in this one.
fn join<R>(thread: ScopedJoinHandle<'_, R>) -> R {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn the_answers_come_in_the_order_of_the_items_however_many_threads_there_are() {
        let items: Vec<u32> = (0..10).collect();
        for threads in 0..15 {
            let doubled = map(threads, &items, |item| item * 2).unwrap();
            assert_eq!(doubled, (0..10).map(|item| item * 2).collect::<Vec<_>>());
        }
        assert!(map(4, &[0_u32; 0], |item| *item).unwrap().is_empty());
    }

    #[test]
    fn short_work_answers_in_the_order_of_the_items_or_with_an_error() {
        let items: Vec<usize> = (0..100).collect();
        for min_items in [1, 7, 60] {
            let doubled = try_map_short(min_items, &items, |item| Ok::<_, ()>(item * 2));
            assert_eq!(doubled, Ok(items.iter().map(|item| item * 2).collect()));
            let failed = try_map_short(min_items, &items, |item| {
                if *item == 70 { Err("no") } else { Ok(()) }
            });
            assert_eq!(failed, Err("no"));
        }
    }

    #[test]
    fn work_is_done_at_the_same_time_on_several_threads_and_here_on_one() {
        let barrier = Barrier::new(2);
        let meet = || barrier.wait().is_leader();
        let (one, other) = both(2, meet, meet).unwrap();
        assert_ne!(one, other);
        let leaders = map(2, &[(), ()], |()| barrier.wait().is_leader()).unwrap();
        assert_ne!(leaders[0], leaders[1]);
        let here = || thread::current().id();
        assert_eq!(both(1, here, here).unwrap(), (here(), here()));
        assert_eq!(map(1, &[(), ()], |()| here()).unwrap(), [here(), here()]);
    }
}
