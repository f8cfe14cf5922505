//! Doing independent work on several threads, for as long as one function runs.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder, ScopedJoinHandle};

/// Does `work` with each of `items` on up to `threads` threads. The answers come in the order of the
/// items.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn map<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> io::Result<Vec<R>> {
    if threads <= 1 || items.len() <= 1 {
        return Ok(items.iter().map(work).collect());
    }
    let work_all = |items: &[T]| items.iter().map(&work).collect::<Vec<R>>();
    let work_all = &work_all;
    thread::scope(|scope| {
        let spawn = |items| Builder::new().spawn_scoped(scope, move || work_all(items));
        let chunks = items.chunks(items.len().div_ceil(threads));
        let started = chunks.map(spawn).collect::<io::Result<Vec<_>>>()?;
        Ok(started.into_iter().flat_map(join).collect())
    })
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
