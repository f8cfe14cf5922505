//! What the store's threads and its readers share: the sources of spans, and the state that
//! decides whether anything is still accepted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::AppendError;
use crate::block::Block;
use crate::block::dictionaries::DictionaryCache;
use crate::disk::Disk;
use crate::flush::FlushSignal;
use crate::log::queue::Queue;
use crate::log::segment::Segments;
use crate::manifest::Manifest;
use crate::memtable::Memtable;
use crate::options::StoreOptions;
use crate::stats::Counters;
use crate::stored::StoredBatch;
use crate::subscription::Subscribers;

/// Where spans are, as of one moment. Each span is in one of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// Takes new spans.
    pub(crate) active: Arc<Memtable>,
    /// Being written out as blocks, oldest first.
    pub(crate) frozen: Vec<Arc<Memtable>>,
    /// By sequence numbers, oldest first.
    pub(crate) blocks: Vec<Arc<Block>>,
}

impl Sources {
    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> Vec<Arc<Memtable>> {
        std::iter::once(&self.active)
            .chain(self.frozen.iter().rev())
            .cloned()
            .collect()
    }
}

/// Shared by the handle and the threads of a store.
pub(crate) struct Engine {
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) blocks_dir: PathBuf,
    /// Inserting into the active memtable needs a read lock, freezing it the write lock, so that
    /// nothing is inserted into a memtable that is being written out.
    pub(crate) sources: RwLock<Arc<Sources>>,
    pub(crate) manifest: Mutex<Manifest>,
    /// Of all blocks.
    pub(crate) dictionaries: Arc<DictionaryCache>,
    pub(crate) queue: Queue,
    pub(crate) segments: Segments,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) flush_signal: FlushSignal,
    /// Size of all memtables, in bytes.
    pub(crate) memtable_bytes: AtomicUsize,
    failure: OnceLock<String>,
}

/// What an [`Engine`] is made of when its store is opened.
pub(crate) struct EngineParts {
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) blocks_dir: PathBuf,
    pub(crate) sources: Sources,
    pub(crate) manifest: Manifest,
    pub(crate) dictionaries: Arc<DictionaryCache>,
    pub(crate) segments: Segments,
}

impl Engine {
    pub(crate) fn new(parts: EngineParts) -> Self {
        let EngineParts {
            options,
            disk,
            blocks_dir,
            sources,
            manifest,
            dictionaries,
            segments,
        } = parts;
        let memtable_bytes = AtomicUsize::new(bytes_in_memory(&sources));
        Self {
            queue: Queue::new(options.queue_bytes),
            subscribers: Arc::new(Subscribers::new(options.subscriber_bytes)),
            options,
            disk,
            blocks_dir,
            sources: RwLock::new(Arc::new(sources)),
            manifest: Mutex::new(manifest),
            dictionaries,
            segments,
            counters: Arc::default(),
            flush_signal: FlushSignal::default(),
            memtable_bytes,
            failure: OnceLock::new(),
        }
    }

    /// Where spans are now.
    pub(crate) fn snapshot(&self) -> Arc<Sources> {
        Arc::clone(&self.sources.read())
    }

    /// Makes the store refuse everything from now on: what is on the disk is no longer known.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the store has failed and accepts nothing more");
        // Of several failures the first one is the cause.
        let _ = self.failure.set(reason);
        self.queue.close();
    }

    /// Fails after `thread` has panicked, and answers everyone who waits for it: it will not.
    pub(crate) fn fail_after_panic(&self, thread: &str) {
        let reason = format!("the thread {thread} has panicked");
        self.fail(reason.clone());
        self.flush_signal.stop(&reason);
        let refusal = self.refusal();
        for batch in self.queue.take_all() {
            batch.refuse(&self.counters, &refusal);
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// The refusal of a store that has failed or is closed.
    pub(crate) fn refusal(&self) -> AppendError {
        let reason = self.failure().unwrap_or_else(|| "it is closed".to_owned());
        AppendError::Failed { reason }
    }

    /// Adds a logged batch to the active memtable; a reader that begins now sees its spans.
    pub(crate) fn insert(&self, batch: &Arc<StoredBatch>) {
        let sources = self.sources.read();
        let before = sources.active.size();
        sources.active.insert(batch);
        let after = sources.active.size();
        // Before the memtable can be frozen, so that flushing it subtracts what was added.
        // Replacing an announcement may make it smaller, hence the wrapping.
        self.memtable_bytes
            .fetch_add(after.bytes.wrapping_sub(before.bytes), Ordering::Relaxed);
        drop(sources);
        if after.bytes >= self.options.memtable_bytes {
            self.freeze_active();
        } else if before.first_insert.is_none() {
            // Its age counts from now on.
            self.flush_signal.wake();
        }
    }

    /// Puts an empty memtable in the place of the active one, which is then written out.
    pub(crate) fn freeze_active(&self) {
        let mut current = self.sources.write();
        if current.active.size().spans > 0 {
            let mut sources = Sources::clone(&current);
            sources.frozen.push(std::mem::take(&mut sources.active));
            *current = Arc::new(sources);
        }
        drop(current);
        self.flush_signal.wake();
    }

    /// Replaces the sources by what `change` makes of them, at once for every reader.
    pub(crate) fn change_sources(&self, change: impl FnOnce(&mut Sources)) {
        let mut current = self.sources.write();
        let mut sources = Sources::clone(&current);
        change(&mut sources);
        *current = Arc::new(sources);
    }
}

fn bytes_in_memory(sources: &Sources) -> usize {
    sources
        .memtables()
        .iter()
        .map(|memtable| memtable.size().bytes)
        .sum()
}
