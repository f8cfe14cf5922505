//! Replaying the log into memory while another thread writes what is full out as blocks, so that
//! neither waits for the other and memory stays bounded however long the log is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::engine::Engine;
use crate::error::{OpenError, io_error};
use crate::flush::{FlushProblem, write_frozen};
use crate::signal::Signal;
use crate::wal::recovery::{self, RecoveredLog};

/// Replays what blocks do not hold yet. Returns how the log was left. Nothing is being written when
/// this returns.
pub(crate) fn replay<S: Signal>(engine: &Engine<S>) -> Result<RecoveredLog, OpenError> {
    let durable_seq = engine.manifest.lock().durable_seq();
    let (log_dir, damaged_dir) = (engine.folder.log_dir(), engine.folder.damaged_dir());
    let disk = &*engine.disk;
    let shared = Shared::default();
    thread::scope(|scope| {
        let writing = thread::Builder::new()
            .name("lumitrace-replay".to_owned())
            .spawn_scoped(scope, || shared.write_blocks(engine))
            .map_err(io_error("start a thread for", &log_dir))?;
        // Also when replaying panics, or the scope would wait for ever.
        let end = EndOnDrop(&shared);
        let mut apply = |batch: Arc<_>| {
            engine.insert(&batch);
            shared.wake_and_wait_for_room(engine)
        };
        let dirs = (log_dir.as_path(), damaged_dir.as_path());
        let log = recovery::recover::<S::Batch>(disk, dirs, durable_seq, &mut apply);
        drop(end);
        if writing.join().is_err() {
            let source = io::Error::other("the thread that writes blocks has panicked");
            return Err(io_error("write a block to", &engine.folder.blocks_dir())(
                source,
            ));
        }
        log
    })
}

/// What the two threads tell each other.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// There may be something to write.
    woken: bool,
    ended: bool,
    /// Why the latest attempt failed; on a full disk records stay in memory while there is room.
    problem: Option<FlushProblem>,
}

impl Shared {
    /// Writes full memtables out until replaying has ended and none is left, or cannot be written.
    fn write_blocks<S: Signal>(&self, engine: &Engine<S>) {
        // Also when this panics, or the other thread would wait for room for ever.
        let _end = EndOnDrop(self);
        loop {
            let mut state = self.state.lock();
            while !state.woken && !state.ended {
                self.changed.wait(&mut state);
            }
            if !state.woken {
                return;
            }
            (state.woken, state.problem) = (false, None);
            drop(state);
            let written = write_frozen(engine, &|| {
                // Locked, so that nobody is between looking for room and waiting for it.
                let _state = self.state.lock();
                self.changed.notify_all();
            });
            self.state.lock().problem = written.err();
            self.changed.notify_all();
        }
    }

    fn wake_and_wait_for_room<S: Signal>(&self, engine: &Engine<S>) -> Result<(), OpenError> {
        if engine.snapshot().frozen.is_empty() {
            return Ok(());
        }
        let has_room =
            || engine.memtable_bytes.load(Ordering::Relaxed) < engine.options.memory_limit();
        let mut state = self.state.lock();
        state.woken = true;
        self.changed.notify_all();
        while !has_room() {
            if !state.woken
                && let Some(problem) = &state.problem
            {
                let source = io::Error::other(problem.to_string());
                return Err(io_error("write a block to", &engine.folder.blocks_dir())(
                    source,
                ));
            }
            if state.ended {
                let source = io::Error::other("the thread that writes blocks has ended");
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

/// Tells the other thread that this one has ended.
struct EndOnDrop<'a>(&'a Shared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}
