//! Noticing that the process was forked.
//!
//! A child shares nothing with its parent but a copy of the memory at the moment of the fork: the
//! threads are gone, and a lock that one of them held stays locked for ever. So every per-process
//! part of the SDK (queue, worker thread, random generators) carries the generation it was made
//! in, and is left alone and replaced by a fresh one where the generation has moved on.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
/// The process that `GENERATION` was last raised in; zero before `watch`.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between this process and the one that set tracing up.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Starts noticing forks; does nothing when called again.
///
/// A hook costs nothing per span; asking for the process id at every span would cost a system
/// call each time.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        PROCESS.store(std::process::id(), Ordering::Relaxed);
        #[cfg(unix)]
        {
            // SAFETY: the handler only stores to atomics and asks for the process id, both of
            // which are async-signal-safe, and it lives as long as the program.
            unsafe { libc::pthread_atfork(None, None, Some(entered_child)) };
        }
    });
}

#[cfg(unix)]
extern "C" fn entered_child() {
    note_process();
}

/// Tells the SDK that this process may be a forked child.
///
/// Forks through the C library are noticed by themselves. Call this at the start of a child that
/// was made in another way (a raw `clone` system call, a restored checkpoint); calling it once
/// more, or in the parent, changes nothing.
///
/// ```
/// lumitrace::after_fork_in_child();
/// ```
pub fn after_fork_in_child() {
    if PROCESS.load(Ordering::Relaxed) != 0 {
        note_process();
    }
}

fn note_process() {
    let process = std::process::id();
    if PROCESS.swap(process, Ordering::Relaxed) != process {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
}
