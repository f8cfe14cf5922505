//! What a shelf's threads and its readers share: the sources of records, and the state that decides
//! whether anything is still accepted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::AppendError;
use crate::block::Block;
use crate::block::caches::BlockCaches;
use crate::damage::{DamageLog, DamagedBlock};
use crate::disk::Disk;
use crate::flush::FlushSignal;
use crate::folder::ShelfFolder;
use crate::manifest::{BlockId, Manifest};
use crate::options::StoreOptions;
use crate::retention::KeptBlocks;
use crate::shelf::ShelfPlace;
use crate::signal::{Batch, BlockTarget, Memtable, Signal};
use crate::stats::Counters;
use crate::subscription::Subscribers;
use crate::wal::queue::Queue;
use crate::wal::segments::Segments;

/// Where records are, as of one moment. Each is in one of them.
pub(crate) struct Sources<S: Signal> {
    /// Takes new records.
    pub(crate) active: Arc<S::Memtable>,
    /// Being written out as blocks, oldest first.
    pub(crate) frozen: Vec<Arc<S::Memtable>>,
    /// By sequence numbers, oldest first.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Blocks that count, but cannot be opened, by sequence numbers.
    pub(crate) damaged: Vec<DamagedBlock>,
    /// What readers have met.
    pub(crate) damage_log: Arc<DamageLog>,
}

impl<S: Signal> Sources<S> {
    /// Those of a shelf that has nothing but these blocks.
    pub(crate) fn of_blocks(blocks: Vec<Arc<Block>>) -> Self {
        Self {
            active: Arc::default(),
            frozen: Vec::new(),
            blocks,
            damaged: Vec::new(),
            damage_log: Arc::default(),
        }
    }

    /// The blocks, in parts between which there is one that cannot be opened: a block that is made
    /// of others takes the place of all whose numbers it spans.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = &[Arc<Block>]> {
        self.blocks.chunk_by(|block, next| {
            let is_between = |id: BlockId| block.id() < id && id < next.id();
            !self.damaged.iter().any(|it| is_between(it.record.id))
        })
    }

    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> Vec<Arc<S::Memtable>> {
        std::iter::once(&self.active)
            .chain(self.frozen.iter().rev())
            .cloned()
            .collect()
    }
}

impl<S: Signal> Clone for Sources<S> {
    fn clone(&self) -> Self {
        Self {
            active: Arc::clone(&self.active),
            frozen: self.frozen.clone(),
            blocks: self.blocks.clone(),
            damaged: self.damaged.clone(),
            damage_log: Arc::clone(&self.damage_log),
        }
    }
}

/// Whoever follows a shelf of this signal.
pub(crate) type SubscribersOf<S> = Subscribers<<<S as Signal>::Batch as Batch>::Stored>;

/// Shared by the handle and the threads of a shelf.
pub(crate) struct Engine<S: Signal> {
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: ShelfFolder,
    /// Inserting into the active memtable needs a read lock, freezing it the write lock, so that
    /// nothing is inserted into a memtable that is being written out.
    pub(crate) sources: RwLock<Arc<Sources<S>>>,
    pub(crate) manifest: Mutex<Manifest>,
    /// Of all blocks of the store.
    pub(crate) caches: Arc<BlockCaches>,
    /// Of all shelves of the store.
    pub(crate) kept: Arc<KeptBlocks>,
    pub(crate) queue: Queue<S::Batch>,
    pub(crate) segments: Segments,
    pub(crate) subscribers: Arc<SubscribersOf<S>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) flush_signal: FlushSignal,
    /// Size of all memtables, in bytes.
    pub(crate) memtable_bytes: AtomicUsize,
    failure: OnceLock<String>,
}

impl<S: Signal> Engine<S> {
    /// The engine of a shelf whose log is still to be replayed.
    pub(crate) fn new(
        place: ShelfPlace,
        subscribers: Arc<SubscribersOf<S>>,
        manifest: Manifest,
        sources: Sources<S>,
    ) -> Self {
        let ShelfPlace {
            folder,
            options,
            disk,
            caches,
            kept,
        } = place;
        Self {
            queue: Queue::new(options.queue_bytes),
            subscribers,
            segments: Segments::new(options.log_segment_bytes),
            options,
            disk,
            folder,
            sources: RwLock::new(Arc::new(sources)),
            manifest: Mutex::new(manifest),
            caches,
            kept,
            counters: Arc::default(),
            flush_signal: FlushSignal::default(),
            memtable_bytes: AtomicUsize::new(0),
            failure: OnceLock::new(),
        }
    }

    /// Where records are now.
    pub(crate) fn snapshot(&self) -> Arc<Sources<S>> {
        Arc::clone(&self.sources.read())
    }

    /// Whether the record with this number has neither expired nor been lost to damage.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        let sources = self.snapshot();
        let memtables = sources.memtables();
        let in_memory = memtables.iter().filter_map(|memtable| memtable.block_id());
        let in_blocks = sources.blocks.iter().map(|block| block.record().id);
        let mut ids = in_memory.chain(in_blocks);
        ids.any(|id| (id.first_seq..id.end_seq).contains(&seq))
    }

    /// Where block `id` is written, compressed as `level` of zstd says.
    pub(crate) fn block_target(&self, id: BlockId, level: i32) -> BlockTarget {
        BlockTarget {
            disk: Arc::clone(&self.disk),
            dir: self.folder.blocks_dir(),
            id,
            row_group_rows: self.options.row_group_rows,
            compression_level: level,
            digester: self.options.digester.clone(),
        }
    }

    /// Makes the shelf refuse everything from now on: what is on the disk is no longer known.
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

    /// The refusal of a shelf that has failed or is closed.
    pub(crate) fn refusal(&self) -> AppendError {
        let reason = self.failure().unwrap_or_else(|| "it is closed".to_owned());
        AppendError::Failed { reason }
    }

    /// Adds a logged batch to the active memtable; a reader that begins now sees its records.
    pub(crate) fn insert(&self, batch: &Arc<<S::Batch as Batch>::Stored>) {
        let sources = self.sources.read();
        let before = sources.active.size();
        sources.active.insert(batch, &sources.frozen);
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
        if current.active.size().records > 0 {
            let mut sources = Sources::clone(&current);
            sources.frozen.push(std::mem::take(&mut sources.active));
            *current = Arc::new(sources);
        }
        drop(current);
        self.flush_signal.wake();
    }

    /// Replaces the sources by what `change` makes of them, at once for every reader.
    pub(crate) fn change_sources(&self, change: impl FnOnce(&mut Sources<S>)) {
        let mut current = self.sources.write();
        let mut sources = Sources::clone(&current);
        change(&mut sources);
        *current = Arc::new(sources);
    }
}
