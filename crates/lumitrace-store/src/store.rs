//! The handle to an open store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use lumitrace_model::{SpanId, TraceId};
use parking_lot::Mutex;

use crate::append::AppendError;
use crate::block::Block;
use crate::compaction::{self, CompactionSignal};
use crate::disk::{Disk, RealDisk};
use crate::engine::Engine;
use crate::error::{Corruption, io_error};
use crate::identity::{Identity, supersedes};
use crate::log::frame::MAX_PAYLOAD_BYTES;
use crate::log::queue::{NotQueued, WaitingBatch};
use crate::log::writer::LogWriter;
use crate::memtable::Memtable;
use crate::recovery::{self, Recovered};
use crate::scan::walk;
use crate::summary::Summaries;
use crate::{
    Append, AppendReceipt, FlushError, OpenError, OperationSummary, ReadError, ScanRequest,
    ScanStats, ServiceSummary, SpanBatch, SpanParts, SpanRecord, SpanRef, StoreOptions, StoreStats,
    Subscription, flush, ingest,
};

/// An open store. Clones share it; dropping the last one closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    engine: Arc<Engine>,
    compaction: Arc<CompactionSignal>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    replayed_spans: u64,
    torn_tail: Option<Corruption>,
    /// Held, because closing it lets in the next process.
    _lock: File,
}

impl Store {
    /// Opens the store in `options.dir`, creating the folder if absent, and brings back from the
    /// log what had not reached a block.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let Recovered {
            engine,
            lock,
            log_dir,
            position,
            replayed_spans,
            torn_tail,
        } = recovery::recover(options, Arc::clone(&disk))?;
        let engine = Arc::new(engine);
        let log = LogWriter::new(disk, log_dir, position, &engine);
        let compaction = Arc::new(CompactionSignal::default());
        let handle = Handle {
            engine: Arc::clone(&engine),
            compaction: Arc::clone(&compaction),
            threads: Mutex::default(),
            replayed_spans,
            torn_tail,
            _lock: lock,
        };
        // From here on dropping the handle stops the threads that were started.
        handle.spawn("lumitrace-log", {
            let engine = Arc::clone(&engine);
            move || ingest::run(&engine, log)
        })?;
        handle.spawn("lumitrace-flush", {
            let (engine, compaction) = (Arc::clone(&engine), Arc::clone(&compaction));
            move || flush::run(&engine, &|| compaction.wake())
        })?;
        handle.spawn("lumitrace-compact", {
            let compaction = Arc::clone(&compaction);
            move || compaction::run(&engine, &compaction)
        })?;
        compaction.wake();
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// Hands over a batch. The answer comes when it is durable and searchable, or refused.
    pub fn append(&self, batch: SpanBatch) -> Append {
        let engine = &self.handle.engine;
        if let Some(error) = refusal_before_queueing(engine, batch.payload_bytes()) {
            engine.counters.count_refusal(&error);
            return Append::answered(Err(error));
        }
        if batch.span_count() == 0 {
            return Append::answered(Ok(AppendReceipt {
                span_count: 0,
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

    /// All spans of a trace, whatever their age, each once, by start.
    ///
    /// A final span replaces announcements of it; of two announcements the later counts, of two
    /// final spans the first.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn trace(&self, trace_id: TraceId) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        self.trace_parts(trace_id, SpanParts::ALL)
    }

    /// Like [`trace`](Self::trace), but only these parts of each span: what a list of traces needs
    /// of a trace of a million spans.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn trace_parts(
        &self,
        trace_id: TraceId,
        parts: SpanParts,
    ) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        self.spans_that_count(
            |memtable| records_of(memtable, trace_id, parts, |_| true),
            |block| block.trace(trace_id, parts),
        )
    }

    /// The spans of a trace that have this id: one for each kind, as Zipkin lets a client and a
    /// server share an id. See [`trace`](Self::trace) for which record of a span counts.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn span(
        &self,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let is_it = |span: SpanRef<'_>| span.span_id() == span_id;
        let in_memory = |memtable: &_| records_of(memtable, trace_id, SpanParts::ALL, is_it);
        self.spans_that_count(in_memory, |block| block.span(trace_id, span_id))
    }

    /// Of the records that memtables and blocks have, those that count, by start.
    fn spans_that_count(
        &self,
        in_memory: impl Fn(&Memtable) -> Vec<SpanRecord>,
        in_block: impl Fn(&Block) -> Result<Vec<SpanRecord>, ReadError>,
    ) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let sources = self.handle.engine.snapshot();
        let mut spans: HashMap<Identity, Arc<SpanRecord>> = HashMap::new();
        let mut add = |record: Arc<SpanRecord>| match spans.entry(Identity::of(&record.span)) {
            Entry::Occupied(mut known) => {
                if supersedes(&record, known.get()) {
                    known.insert(record);
                }
            }
            Entry::Vacant(new) => {
                new.insert(record);
            }
        };
        for memtable in sources.memtables() {
            in_memory(&memtable)
                .into_iter()
                .map(Arc::new)
                .for_each(&mut add);
        }
        for block in &sources.blocks {
            in_block(block)?
                .into_iter()
                .map(Arc::new)
                .for_each(&mut add);
        }
        let mut spans: Vec<_> = spans.into_values().collect();
        spans.sort_unstable_by_key(|record| (record.span.start_unix_nano, record.seq));
        Ok(spans)
    }

    /// Hands every span that `request` asks for to `visit`, window by window, until it breaks.
    ///
    /// A span is visited once if all that was received of it starts at the same time, which
    /// senders keep to. An announcement may still be visited after its final span has come if both
    /// are in blocks and only the announcement is what `request` asks for;
    /// [`trace`](Self::trace) knows it exactly.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn scan(
        &self,
        request: &ScanRequest,
        visit: &mut dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()>,
    ) -> Result<ScanStats, ReadError> {
        let sources = self.handle.engine.snapshot();
        let blocks: Vec<_> = sources.blocks.iter().rev().cloned().collect();
        walk::scan(&sources.memtables(), &blocks, request, visit)
    }

    /// What its threads share.
    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// The sequence number after the last: every span with a lower one is searchable.
    ///
    /// Together with [`ScanRequest::seqs`] it divides what a scan reads from what
    /// [`subscribe`](Self::subscribe) brings, so that each span is taken in once.
    pub fn end_seq(&self) -> u64 {
        let sources = self.handle.engine.snapshot();
        let memtables = sources.memtables();
        let blocks = sources.blocks.iter().map(|block| block.record().id);
        let ids = memtables.iter().filter_map(|memtable| memtable.block_id());
        // Also when the blocks that held the last spans have expired.
        let durable_seq = self.handle.engine.manifest.lock().durable_seq();
        let ends = ids.chain(blocks).map(|id| id.end_seq);
        ends.fold(durable_seq, u64::max)
    }

    /// The services of which spans are stored, by name.
    pub fn services(&self) -> Vec<ServiceSummary> {
        self.summaries().services()
    }

    /// The operations of a service, by name and kind.
    pub fn operations(&self, service: &str) -> Vec<OperationSummary> {
        self.summaries().operations(service)
    }

    fn summaries(&self) -> Summaries {
        let sources = self.handle.engine.snapshot();
        let mut total = Summaries::default();
        sources
            .blocks
            .iter()
            .for_each(|block| total.merge(block.summaries()));
        sources
            .memtables()
            .iter()
            .for_each(|memtable| memtable.add_summaries_to(&mut total));
        total
    }

    /// Every batch from now on, as soon as it is durable and searchable. A subscriber that falls
    /// behind by more than [`StoreOptions::subscriber_bytes`] is told how many it missed.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(&self.handle.engine.subscribers)
    }

    /// The store in numbers.
    pub fn stats(&self) -> StoreStats {
        let engine = &self.handle.engine;
        let sources = engine.snapshot();
        let sizes: Vec<_> = sources
            .memtables()
            .iter()
            .map(|memtable| memtable.size())
            .collect();
        let memtable_spans = sizes.iter().map(|size| size.spans as u64).sum();
        let records = sources.blocks.iter().map(|block| *block.record());
        let block_bytes = records.clone().map(|block| block.bytes()).sum();
        let (log_segments, log_bytes) = engine.segments.size();
        StoreStats {
            spans: memtable_spans + records.map(|block| block.rows).sum::<u64>(),
            blocks: sources.blocks.len() as u64,
            block_bytes,
            log_bytes,
            log_segments,
            disk_bytes: block_bytes + log_bytes + engine.manifest.lock().len(),
            memtable_spans,
            memtable_bytes: sizes.iter().map(|size| size.bytes as u64).sum(),
            queue_bytes: engine.queue.bytes() as u64,
            replayed_spans: self.handle.replayed_spans,
            torn_tail: self.handle.torn_tail.clone(),
            failure: engine.failure(),
            flush_problem: engine
                .flush_signal
                .problem()
                .map(|problem| problem.to_string()),
            ..engine.counters.snapshot()
        }
    }

    /// Writes everything in memory out as blocks, and returns when that is done.
    ///
    /// # Errors
    /// The reason for which it could not be written. Nothing is lost: the log still has it.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.handle.engine.flush_signal.flush()
    }

    /// Ends the store's threads after they have answered what was handed over. What is in memory
    /// stays in the log. Later appends are refused; reads still work. The folder stays locked
    /// until the last clone is dropped.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.handle.engine.options.dir)
            .finish()
    }
}

impl Handle {
    fn spawn(
        &self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), OpenError> {
        let dir = &self.engine.options.dir;
        let engine = Arc::clone(&self.engine);
        let run = move || {
            let _guard = PanicGuard { engine, name };
            run();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads
            .lock()
            .push(thread.map_err(io_error("start a thread for", dir))?);
        Ok(())
    }

    fn close(&self) {
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

/// Tells those who wait for a thread of the store when it panics.
struct PanicGuard {
    engine: Arc<Engine>,
    name: &'static str,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.engine.fail_after_panic(self.name);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// These parts of the spans of a trace for which `is_wanted` says yes.
fn records_of(
    memtable: &Memtable,
    trace_id: TraceId,
    parts: SpanParts,
    is_wanted: impl Fn(SpanRef<'_>) -> bool,
) -> Vec<SpanRecord> {
    let spans = memtable.trace(trace_id);
    let wanted = spans.iter().filter(|span| is_wanted(*span));
    wanted.map(|span| span.record(parts)).collect()
}

/// Why a batch of `bytes` is refused without asking the log, if so.
fn refusal_before_queueing(engine: &Engine, bytes: usize) -> Option<AppendError> {
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
    // Blocks are not written as fast as spans come in, or not at all.
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

#[cfg(test)]
mod tests;
