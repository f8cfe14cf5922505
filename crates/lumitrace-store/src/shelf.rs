//! A shelf of the store: one engine with its threads, and the name under which it is known.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::append::AppendError;
use crate::block::caches::BlockCaches;
use crate::compaction::{self, CompactionSignal};
use crate::disk::{Disk, retryable_refusal};
use crate::engine::{Engine, Sources, SubscribersOf};
use crate::error::{Corruption, io_error};
use crate::folder::ShelfFolder;
use crate::recovery::{self, Recovered};
use crate::retention::{self, KeptBlocks};
use crate::signal::{Batch, Memtable, Signal};
use crate::subscription::{Subscribers, Subscription};
use crate::wal::frame::MAX_PAYLOAD_BYTES;
use crate::wal::queue::{NotQueued, WaitingBatch};
use crate::wal::writer::LogWriter;
use crate::{
    Append, AppendReceipt, FlushError, LogBatch, MetricBatch, OpenError, ShelfStats, SpanBatch,
    StoreOptions, flush, ingest,
};

/// The parts of a store. Each has its own log, blocks, manifest and sequence numbers, and may be
/// kept for another time.
///
/// ```
/// use lumitrace_store::ShelfName;
/// assert_eq!(ShelfName::ALL.map(ShelfName::as_str), ["spans", "archive", "logs", "metrics"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShelfName {
    /// Spans.
    Spans,
    /// Spans of chosen traces, which are kept for ever.
    Archive,
    /// Log records.
    Logs,
    /// Points of metrics.
    Metrics,
}

impl ShelfName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Spans, Self::Archive, Self::Logs, Self::Metrics];

    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Archive => "archive",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

impl ShelfName {
    /// The type of the frames in its log.
    pub(crate) fn frame_type(self) -> u8 {
        match self {
            Self::Spans | Self::Archive => SpanBatch::FRAME_TYPE,
            Self::Logs => LogBatch::FRAME_TYPE,
            Self::Metrics => MetricBatch::FRAME_TYPE,
        }
    }
}

/// Where a shelf is, and how it is to be run.
#[derive(Debug, Clone)]
pub(crate) struct ShelfPlace {
    pub(crate) folder: ShelfFolder,
    /// Its own.
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    /// One for all shelves of a store.
    pub(crate) caches: Arc<BlockCaches>,
    /// One for all shelves of a store.
    pub(crate) kept: Arc<KeptBlocks>,
}

/// An open shelf. Dropping it ends its threads.
pub(crate) struct Shelf<S: Signal> {
    pub(crate) engine: Arc<Engine<S>>,
    compaction: Arc<CompactionSignal>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    replayed_records: u64,
    torn_tail: Option<Corruption>,
}

impl<S: Signal> Shelf<S> {
    /// Opens a shelf, and begins it if it is not there. The store's folder must be locked.
    pub(crate) fn open(
        place: ShelfPlace,
        subscribers: Arc<SubscribersOf<S>>,
    ) -> Result<Self, OpenError> {
        let Recovered {
            engine,
            position,
            replayed_records,
            torn_tail,
        } = recovery::recover(place, subscribers)?;
        retention::say(&engine);
        let shelf = Self {
            engine: Arc::new(engine),
            compaction: Arc::default(),
            threads: Mutex::default(),
            replayed_records,
            torn_tail,
        };
        // From here on dropping the shelf stops the threads that were started.
        shelf.spawn("lumitrace-log", {
            let log = LogWriter::new(position, &shelf.engine);
            move |engine, _| ingest::run(engine, log)
        })?;
        shelf.spawn("lumitrace-flush", |engine, compaction| {
            flush::run(engine, &|| compaction.wake());
        })?;
        shelf.spawn("lumitrace-compact", compaction::run)?;
        shelf.wake_upkeep();
        Ok(shelf)
    }

    fn spawn(
        &self,
        name: &'static str,
        run: impl FnOnce(&Engine<S>, &CompactionSignal) + Send + 'static,
    ) -> Result<(), OpenError> {
        let (engine, compaction) = (Arc::clone(&self.engine), Arc::clone(&self.compaction));
        let run = move || {
            let guard = PanicGuard { engine, name };
            run(&guard.engine, &compaction);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let dir = &self.engine.options.dir;
        self.threads
            .lock()
            .push(thread.map_err(io_error("start a thread for", dir))?);
        Ok(())
    }

    /// Hands over a batch. The answer comes when it is durable and searchable, or refused.
    pub(crate) fn append(&self, batch: S::Batch) -> Append {
        let engine = &self.engine;
        if let Some(error) = refusal_before_queueing(engine, batch.payload().len()) {
            engine.counters.count_refusal(&error);
            return Append::answered(Err(error));
        }
        if batch.record_count() == 0 {
            return Append::answered(Ok(AppendReceipt {
                record_count: 0,
                first_seq: 0,
            }));
        }
        let (answer, append) = Append::channel();
        let waiting = WaitingBatch {
            batch,
            received_unix_nano: unix_nano_now(),
            answer,
        };
        if let Err((reason, waiting)) = engine.queue.push(waiting) {
            let error = match reason {
                NotQueued::Full => AppendError::Full {
                    limit_bytes: engine.options.queue_bytes,
                },
                NotQueued::Closed => engine.refusal(),
            };
            waiting.refuse(&engine.counters, &error);
        }
        append
    }

    /// Where records are now.
    pub(crate) fn snapshot(&self) -> Arc<Sources<S>> {
        self.engine.snapshot()
    }

    /// The sequence number after the last.
    pub(crate) fn end_seq(&self) -> u64 {
        let sources = self.snapshot();
        let memtables = sources.memtables();
        let blocks = sources.blocks.iter().map(|block| block.record().id);
        let ids = memtables.iter().filter_map(|memtable| memtable.block_id());
        // Also when the blocks that held the last records have expired.
        let durable_seq = self.engine.manifest.lock().durable_seq();
        let ends = ids.chain(blocks).map(|id| id.end_seq);
        ends.fold(durable_seq, u64::max)
    }

    /// The shelf in numbers.
    pub(crate) fn stats(&self) -> ShelfStats {
        let engine = &self.engine;
        let sources = engine.snapshot();
        let sizes: Vec<_> = sources
            .memtables()
            .iter()
            .map(|memtable| memtable.size())
            .collect();
        let memtable_records = sizes.iter().map(|size| size.records as u64).sum();
        let records = sources.blocks.iter().map(|block| *block.record());
        let block_bytes = records.clone().map(|block| block.bytes()).sum();
        let damaged_bytes: u64 = sources.damaged.iter().map(|it| it.record.bytes()).sum();
        let log = engine.segments.size();
        ShelfStats {
            records: memtable_records + records.map(|block| block.rows).sum::<u64>(),
            blocks: sources.blocks.len() as u64,
            block_bytes,
            damaged_blocks: sources.damaged.len() as u64,
            damaged_reads: sources.damage_log.damaged_reads(),
            damages: sources.damage_log.met(),
            log_bytes: log.bytes,
            log_segments: log.segments,
            disk_bytes: block_bytes + damaged_bytes + log.file_bytes + engine.manifest.lock().len(),
            memtable_records,
            memtable_bytes: sizes.iter().map(|size| size.bytes as u64).sum(),
            queue_bytes: engine.queue.bytes() as u64,
            replayed_records: self.replayed_records,
            torn_tail: self.torn_tail.clone(),
            failure: engine.failure(),
            flush_problem: engine
                .flush_signal
                .problem()
                .map(|problem| problem.to_string()),
            ..engine.counters.snapshot()
        }
    }

    /// How it was opened.
    pub(crate) fn options(&self) -> &StoreOptions {
        &self.engine.options
    }

    /// Has blocks removed and merged that are due, soon.
    pub(crate) fn wake_upkeep(&self) {
        self.compaction.wake();
    }

    /// Writes everything in memory out as blocks, and returns when that is done.
    pub(crate) fn flush(&self) -> Result<(), FlushError> {
        self.engine.flush_signal.flush()
    }

    /// Ends the threads after they have answered what was handed over.
    pub(crate) fn close(&self) {
        self.engine.queue.close();
        self.engine.flush_signal.stop("the store is closed");
        self.compaction.stop();
        for thread in self.threads.lock().drain(..) {
            // A panic was reported when it happened; see `PanicGuard`.
            let _ = thread.join();
        }
        self.engine.subscribers.close();
    }
}

impl<S: Signal> Drop for Shelf<S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells those who wait for a thread of the shelf when it panics.
struct PanicGuard<S: Signal> {
    engine: Arc<Engine<S>>,
    name: &'static str,
}

impl<S: Signal> Drop for PanicGuard<S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.engine.fail_after_panic(self.name);
        }
    }
}

/// A shelf that many stores never need: it is begun when something is first put on it, so that it
/// costs neither threads nor files before.
pub(crate) struct LateShelf<S: Signal> {
    place: ShelfPlace,
    shelf: OnceLock<Shelf<S>>,
    /// They may come before the shelf is there.
    subscribers: Arc<SubscribersOf<S>>,
    /// Whether the store is closed. Held while the shelf is being begun.
    closed: Mutex<bool>,
}

impl<S: Signal> LateShelf<S> {
    /// Opens the shelf if it is there.
    pub(crate) fn open(place: ShelfPlace) -> Result<Self, OpenError> {
        let shelf = OnceLock::new();
        let subscribers = Arc::new(Subscribers::new(place.options.subscriber_bytes));
        if place.folder.exists() {
            let open = Shelf::open(place.clone(), Arc::clone(&subscribers))?;
            shelf.get_or_init(|| open);
        }
        Ok(Self {
            place,
            shelf,
            subscribers,
            closed: Mutex::new(false),
        })
    }

    /// The shelf, if anything was ever put on it.
    pub(crate) fn get(&self) -> Option<&Shelf<S>> {
        self.shelf.get()
    }

    /// The shelf, which is begun if it is not there. The refusal says why it cannot be.
    pub(crate) fn get_or_begin(&self) -> Result<&Shelf<S>, AppendError> {
        if let Some(shelf) = self.shelf.get() {
            return Ok(shelf);
        }
        let closed = self.closed.lock();
        // Somebody else may have begun it meanwhile.
        if let Some(shelf) = self.shelf.get() {
            return Ok(shelf);
        }
        if *closed {
            let reason = "it is closed".to_owned();
            return Err(AppendError::Failed { reason });
        }
        let begun = Shelf::open(self.place.clone(), Arc::clone(&self.subscribers));
        let shelf = begun.map_err(|error| refusal_of(&error))?;
        Ok(self.shelf.get_or_init(|| shelf))
    }

    /// Every batch from now on, also if the shelf is begun later.
    pub(crate) fn subscribe(&self) -> Subscription<<S::Batch as Batch>::Stored> {
        Subscription::new(&self.subscribers)
    }

    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
        self.shelf.get().into_iter().for_each(Shelf::close);
        self.subscribers.close();
    }
}

/// How an append is refused whose shelf cannot be begun.
fn refusal_of(error: &OpenError) -> AppendError {
    let refusal = match error {
        OpenError::Io { source, .. } => retryable_refusal(source),
        _ => None,
    };
    refusal.unwrap_or_else(|| AppendError::Failed {
        reason: error.to_string(),
    })
}

/// Why a batch of `bytes` is refused without asking the log, if so.
fn refusal_before_queueing<S: Signal>(engine: &Engine<S>, bytes: usize) -> Option<AppendError> {
    if bytes > MAX_PAYLOAD_BYTES {
        return Some(AppendError::TooLarge {
            bytes,
            limit_bytes: MAX_PAYLOAD_BYTES,
        });
    }
    let limit_bytes = engine.options.memory_limit();
    if engine.memtable_bytes.load(Ordering::Relaxed) < limit_bytes {
        return None;
    }
    // Blocks are not written as fast as records come in, or not at all.
    Some(
        engine
            .flush_signal
            .refusal()
            .unwrap_or(AppendError::Full { limit_bytes }),
    )
}

/// Now, in nanoseconds since the Unix epoch.
pub(crate) fn unix_nano_now() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
