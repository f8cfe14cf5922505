//! The thread that writes memtables out as blocks, and frees the log of what they held.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::append::AppendError;
use crate::block::Block;
use crate::block::writer::remove_files;
use crate::disk::retryable_refusal;
use crate::engine::Engine;
use crate::error::FlushError;
use crate::failpoint::{Failpoint, reached};
use crate::manifest::{BlockId, BlockRecord, ManifestFailure};
use crate::options::Durability;
use crate::signal::{Memtable, Signal};
use crate::stats::count;

/// How long to wait before a block that could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Of zstd: blocks are written while records come in, and merged later.
pub(crate) const COMPRESSION_LEVEL: i32 = 1;

/// Why a block was not written. It is tried again.
#[derive(Debug, Clone)]
pub(crate) struct FlushProblem {
    reason: String,
    /// How appends are refused once memory is full, if it is not simply full.
    refusal: Option<AppendError>,
}

impl FlushProblem {
    pub(crate) fn new(reason: String) -> Self {
        Self {
            reason,
            refusal: None,
        }
    }

    /// Whether it may succeed later, without anybody mending anything but the space on the disk.
    pub(crate) fn may_pass(&self) -> bool {
        self.refusal.is_some()
    }

    fn of_io(what: &str, error: &io::Error) -> Self {
        Self {
            reason: format!("{what}: {error}"),
            refusal: retryable_refusal(error),
        }
    }
}

impl fmt::Display for FlushProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[derive(Debug, Default)]
struct Requests {
    /// Number of the latest request to write everything out, and of the latest that was met.
    asked: u64,
    met: u64,
    /// The latest request that failed, and why.
    failed: Option<(u64, String)>,
    /// Why the last attempt failed, until one succeeds.
    problem: Option<FlushProblem>,
    woken: bool,
    /// Why nothing is written out any more, if so.
    stopped: Option<String>,
}

/// How others talk to the flushing thread.
#[derive(Debug, Default)]
pub(crate) struct FlushSignal {
    requests: Mutex<Requests>,
    changed: Condvar,
}

/// What the thread is to do.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// Write out everything, for all requests up to this number.
    All(u64),
    /// Write out what is frozen or old.
    Due,
    Stop,
}

impl FlushSignal {
    /// Says that there is a frozen memtable.
    pub(crate) fn wake(&self) {
        self.requests.lock().woken = true;
        self.changed.notify_all();
    }

    /// Ends the thread, and the waiting of those who asked it for something. Of several reasons
    /// the first one counts.
    pub(crate) fn stop(&self, reason: &str) {
        let mut requests = self.requests.lock();
        requests.stopped.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    pub(crate) fn problem(&self) -> Option<FlushProblem> {
        self.requests.lock().problem.clone()
    }

    /// How an append is to be refused while memory is full.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        self.requests.lock().problem.as_ref()?.refusal.clone()
    }

    /// Has everything written out, and waits for it.
    pub(crate) fn flush(&self) -> Result<(), FlushError> {
        let mut requests = self.requests.lock();
        requests.asked += 1;
        let own = requests.asked;
        self.changed.notify_all();
        loop {
            if requests.met >= own {
                return Ok(());
            }
            if let Some((failed, reason)) = &requests.failed
                && *failed >= own
            {
                return Err(FlushError {
                    reason: reason.clone(),
                });
            }
            if let Some(reason) = requests.stopped.clone() {
                return Err(FlushError { reason });
            }
            self.changed.wait(&mut requests);
        }
    }

    fn next_task(&self, timeout: Option<Duration>) -> Task {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut requests = self.requests.lock();
        loop {
            if requests.stopped.is_some() {
                return Task::Stop;
            }
            let answered = requests.failed.as_ref().map_or(0, |(failed, _)| *failed);
            if requests.asked > requests.met.max(answered) {
                return Task::All(requests.asked);
            }
            if std::mem::take(&mut requests.woken) {
                return Task::Due;
            }
            match deadline {
                None => self.changed.wait(&mut requests),
                Some(deadline) => {
                    if self.changed.wait_until(&mut requests, deadline).timed_out() {
                        return Task::Due;
                    }
                }
            }
        }
    }

    fn report(&self, task: &Task, result: &Result<(), FlushProblem>) {
        let mut requests = self.requests.lock();
        requests.problem = result.as_ref().err().cloned();
        if let Task::All(asked) = task {
            match result {
                Ok(()) => requests.met = *asked,
                Err(problem) => requests.failed = Some((*asked, problem.to_string())),
            }
        }
        self.changed.notify_all();
    }
}

/// Writes out memtables when they are full, old, or asked for, until told to stop. `flushed` is
/// called after each block.
pub(crate) fn run<S: Signal>(engine: &Engine<S>, flushed: &dyn Fn()) {
    loop {
        let failing = engine.flush_signal.problem().is_some();
        let timeout = if failing {
            Some(RETRY_AFTER)
        } else {
            next_due_in(engine)
        };
        let task = engine.flush_signal.next_task(timeout);
        match task {
            Task::Stop => return,
            Task::All(_) => engine.freeze_active(),
            Task::Due if next_due_in(engine) == Some(Duration::ZERO) => engine.freeze_active(),
            Task::Due => {}
        }
        let result = write_frozen(engine, flushed);
        if let Err(problem) = &result {
            count(&engine.counters.flush_failures, 1);
            tracing::warn!(%problem, "could not write a block; its records stay in the log");
        }
        engine.flush_signal.report(&task, &result);
    }
}

/// How long until the active memtable is old enough to be written out; none while it is empty.
fn next_due_in<S: Signal>(engine: &Engine<S>) -> Option<Duration> {
    let first_insert = engine.snapshot().active.size().first_insert?;
    Some(
        engine
            .options
            .flush_after
            .saturating_sub(first_insert.elapsed()),
    )
}

/// Writes the frozen memtables out as blocks. `flushed` is called after each.
fn write_frozen<S: Signal>(engine: &Engine<S>, flushed: &dyn Fn()) -> Result<(), FlushProblem> {
    while let Some(memtable) = engine.snapshot().frozen.first() {
        let written = write_block(engine, memtable)?;
        replace_by_block(engine, memtable, written)?;
        flushed();
    }
    Ok(())
}

/// Writes a frozen memtable out as a block that does not count yet; none if it is empty.
pub(crate) fn write_block<S: Signal>(
    engine: &Engine<S>,
    memtable: &S::Memtable,
) -> Result<Option<BlockRecord>, FlushProblem> {
    if let Some(failure) = engine.failure() {
        return Err(FlushProblem::new(failure));
    }
    let Some(id) = memtable.block_id() else {
        return Ok(None);
    };
    sync_log(engine)?;
    let target = engine.block_target(id, COMPRESSION_LEVEL);
    let record = S::write_memtable(memtable, target).map_err(|error| {
        discard_block(engine, id);
        FlushProblem::of_io(&format!("block {id}"), &error)
    })?;
    Ok(Some(record))
}

/// Removes what was written of a block that does not count: space matters most when there is none.
/// What stays, the next opening removes.
pub(crate) fn discard_block<S: Signal>(engine: &Engine<S>, id: BlockId) {
    let _ = remove_files(&*engine.disk, &engine.folder.blocks_dir(), id);
}

/// Makes the block `written` of the oldest frozen memtable count, in the memtable's place, and frees
/// the log of what it holds.
pub(crate) fn replace_by_block<S: Signal>(
    engine: &Engine<S>,
    memtable: &Arc<S::Memtable>,
    written: Option<BlockRecord>,
) -> Result<(), FlushProblem> {
    let block = written
        .map(|record| commit_block(engine, record))
        .transpose()?;
    engine
        .memtable_bytes
        .fetch_sub(memtable.size().bytes, Ordering::Relaxed);
    engine.change_sources(|sources| {
        sources.frozen.retain(|other| !Arc::ptr_eq(other, memtable));
        sources.blocks.extend(block);
    });
    reached(Failpoint::MemtableReplaced);
    let durable_seq = engine.manifest.lock().durable_seq();
    engine.segments.free(&*engine.disk, durable_seq);
    count(&engine.counters.flushes, 1);
    Ok(())
}

/// Makes sure that the log reaches as far on the disk as a block that is about to be written:
/// otherwise a power cut could leave a block of what the log no longer has, and recovery
/// would have to take it for one whose record was lost.
fn sync_log<S: Signal>(engine: &Engine<S>) -> Result<(), FlushProblem> {
    if engine.options.durability == Durability::Fsync {
        // What is in a memtable was synced before.
        return Ok(());
    }
    engine.segments.sync(&*engine.disk).map_err(|reason| {
        engine.fail(reason.clone());
        FlushProblem::new(reason)
    })
}

/// Opens a written block and makes it count. If it does not, its files are removed, unless the
/// manifest may already name it.
pub(crate) fn commit_block<S: Signal>(
    engine: &Engine<S>,
    record: BlockRecord,
) -> Result<Arc<Block>, FlushProblem> {
    let give_up = |problem| {
        discard_block(engine, record.id);
        Err(problem)
    };
    let (disk, dir) = (Arc::clone(&engine.disk), engine.folder.blocks_dir());
    let block = match Block::open(disk, dir, record, engine.caches.for_block()) {
        Ok(block) => block,
        Err(error) => return give_up(FlushProblem::new(error.to_string())),
    };
    match engine.manifest.lock().add_block(record) {
        Ok(()) => {
            reached(Failpoint::BlockRecordSynced);
            Ok(Arc::new(block))
        }
        Err(ManifestFailure::NoSpace(error)) => {
            give_up(FlushProblem::of_io("the manifest", &error))
        }
        Err(ManifestFailure::Fatal(reason)) => {
            engine.fail(reason.clone());
            Err(FlushProblem::new(reason))
        }
    }
}
