//! Replaying the log into memory while other threads write what is full out as blocks, so that
//! nobody waits for the other and memory stays bounded however long the log is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::engine::Engine;
use crate::error::{OpenError, io_error};
use crate::flush::{FlushProblem, discard_block, replace_by_block, write_block};
use crate::manifest::BlockRecord;
use crate::signal::Signal;
use crate::wal::recovery::{self, RecoveredLog};

const PANICKED: &str = "a thread that writes blocks has panicked";

/// Replays what blocks do not hold yet. Returns how the log was left. Nothing is being written when
/// this returns.
pub(crate) fn replay<S: Signal>(engine: &Engine<S>) -> Result<RecoveredLog, OpenError> {
    let durable_seq = engine.manifest.lock().durable_seq();
    let (log_dir, damaged_dir) = (engine.folder.log_dir(), engine.folder.damaged_dir());
    let disk = &*engine.disk;
    let shared = Shared::default();
    thread::scope(|scope| {
        // Also when replaying panics, or a thread cannot be started, or the scope would wait for ever.
        let end = EndOnDrop(&shared);
        let start_writing = |_| {
            thread::Builder::new()
                .name("lumitrace-replay".to_owned())
                .spawn_scoped(scope, || shared.write_blocks(engine))
        };
        let writing: Vec<_> = (0..writing_threads(engine))
            .map(start_writing)
            .collect::<io::Result<_>>()
            .map_err(io_error("start a thread for", &log_dir))?;
        let mut apply = |batch: Arc<_>| {
            engine.insert(&batch);
            shared.wake_and_wait_for_room(engine)
        };
        let dirs = (log_dir.as_path(), damaged_dir.as_path());
        let log = recovery::recover::<S::Batch>(disk, dirs, durable_seq, &mut apply);
        drop(end);
        let ended = writing.into_iter().map(ScopedJoinHandle::join);
        if ended.filter(Result::is_err).count() > 0 {
            let source = io::Error::other(PANICKED);
            return Err(io_error("write a block to", &engine.folder.blocks_dir())(
                source,
            ));
        }
        log
    })
}

/// No more than there can be memtables to write.
fn writing_threads<S: Signal>(engine: &Engine<S>) -> usize {
    let options = &engine.options;
    let memtables = options.memory_limit() / options.memtable_bytes.max(1);
    options.opening_threads.clamp(1, memtables.max(1))
}

/// What the threads tell each other.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many of the frozen memtables are being written, from the oldest on.
    taken: usize,
    /// No more are coming.
    ended: bool,
    /// Why the latest attempt failed; nothing is written until somebody asks for another one. On a full
    /// disk records stay in memory while there is room.
    problem: Option<FlushProblem>,
    has_panicked: bool,
}

impl Shared {
    /// Writes full memtables out until replaying has ended and none is left, or cannot be written.
    fn write_blocks<S: Signal>(&self, engine: &Engine<S>) {
        let _fail = FailOnPanic(self);
        while let Some(memtable) = self.take(engine) {
            let written = write_block(engine, &memtable);
            self.commit(engine, &memtable, written);
            self.changed.notify_all();
        }
    }

    /// The oldest memtable that nobody is writing yet, once there is one; none at the end.
    fn take<S: Signal>(&self, engine: &Engine<S>) -> Option<Arc<S::Memtable>> {
        let mut state = self.state.lock();
        loop {
            if state.problem.is_none()
                && let Some(memtable) = engine.snapshot().frozen.get(state.taken)
            {
                state.taken += 1;
                return Some(Arc::clone(memtable));
            }
            if state.ended {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Makes a block that was written count once all before it do. After a problem none does: a block
    /// that counts says that all records before it are in blocks.
    fn commit<S: Signal>(
        &self,
        engine: &Engine<S>,
        memtable: &Arc<S::Memtable>,
        written: Result<Option<BlockRecord>, FlushProblem>,
    ) {
        let mut state = self.state.lock();
        let is_oldest = || {
            let oldest = engine.snapshot().frozen.first().map(Arc::as_ptr);
            oldest == Some(Arc::as_ptr(memtable))
        };
        while written.is_ok() && state.problem.is_none() && !is_oldest() {
            self.changed.wait(&mut state);
        }
        let committed = match written {
            Ok(Some(record)) if state.problem.is_some() => {
                discard_block(engine, record.id);
                Ok(())
            }
            // Locked, so that the memtables and how many of them are taken change at once.
            Ok(written) => replace_by_block(engine, memtable, written),
            Err(problem) => Err(problem),
        };
        state.taken -= 1;
        if let Err(problem) = committed {
            tracing::warn!(%problem, "could not write a block; its records stay in the log");
            state.problem = Some(problem);
        }
    }

    fn wake_and_wait_for_room<S: Signal>(&self, engine: &Engine<S>) -> Result<(), OpenError> {
        if engine.snapshot().frozen.is_empty() {
            return Ok(());
        }
        let has_room =
            || engine.memtable_bytes.load(Ordering::Relaxed) < engine.options.memory_limit();
        let mut state = self.state.lock();
        if state.taken == 0 && !state.has_panicked {
            state.problem = None;
        }
        self.changed.notify_all();
        while !has_room() {
            if state.taken == 0
                && let Some(problem) = &state.problem
            {
                let source = io::Error::other(problem.to_string());
                return Err(io_error("write a block to", &engine.folder.blocks_dir())(
                    source,
                ));
            }
            // Blocks take their room away one by one, each with a notification.
            self.changed.wait(&mut state);
        }
        Ok(())
    }
}

/// Tells the other threads that replaying has ended.
struct EndOnDrop<'a>(&'a Shared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// Tells the other threads of a panic while a block is written, or they would wait for ever.
struct FailOnPanic<'a>(&'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.state.lock();
            state.has_panicked = true;
            state.problem = Some(FlushProblem::new(PANICKED.to_owned()));
            state.taken = state.taken.saturating_sub(1);
            self.0.changed.notify_all();
        }
    }
}
