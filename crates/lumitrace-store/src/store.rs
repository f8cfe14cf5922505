//! The handle to an open store: opening, closing, and what concerns all shelves. What it does with each
//! signal is in a module of its own.

mod archive;
mod logs;
mod metrics;
mod spans;

use std::fmt;
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};
use crate::error::io_error;
use crate::folder::{Folder, FolderLock};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::parallel;
use crate::retention::KeptBlocks;
use crate::shelf::{LateShelf, Shelf, ShelfName, ShelfPlace};
use crate::spans::Spans;
use crate::subscription::Subscribers;
use crate::{FlushError, OpenError, ShelfStats, StoreOptions};

/// An open store. Clones share it; dropping the last one closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    spans: Shelf<Spans>,
    archive: LateShelf<Spans>,
    logs: LateShelf<Logs>,
    metrics: LateShelf<Metrics>,
    /// Held, because closing it lets in the next process: so it is the last to be dropped.
    _lock: FolderLock,
}

impl Handle {
    /// Has blocks removed and merged that are due, soon.
    fn wake_upkeep(&self) {
        self.spans.wake_upkeep();
        self.archive.get().into_iter().for_each(Shelf::wake_upkeep);
        self.logs.get().into_iter().for_each(Shelf::wake_upkeep);
        self.metrics.get().into_iter().for_each(Shelf::wake_upkeep);
    }
}

impl Store {
    /// Opens the store in `options.dir`, creating the folder if absent, and brings back from the
    /// logs what had not reached a block.
    ///
    /// A block that is damaged is left out if it cannot be opened; of one that can, what cannot be
    /// read is left out of answers, which say so. See [`ShelfStats::damages`].
    ///
    /// ```
    /// use lumitrace_store::{Store, StoreOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = Store::open(StoreOptions::new(dir))?;
    /// assert_eq!(store.stats().records, 0);
    /// let clone = store.clone(); // the same store
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let folder = Folder::create(&options.dir)?;
        let lock = folder.lock()?;
        let caches = Arc::default();
        let kept = Arc::<KeptBlocks>::default();
        let place = |name| ShelfPlace {
            folder: folder.shelf(name),
            options: options.of_shelf(name),
            disk: Arc::clone(&disk),
            caches: Arc::clone(&caches),
            kept: Arc::clone(&kept),
        };
        let subscribers = Subscribers::new(options.subscriber_bytes);
        let threads = options.opening_threads;
        let opened = parallel::both(
            threads,
            || {
                parallel::both(
                    threads,
                    || Shelf::open(place(ShelfName::Spans), Arc::new(subscribers)),
                    || LateShelf::open(place(ShelfName::Archive)),
                )
            },
            || {
                parallel::both(
                    threads,
                    || LateShelf::open(place(ShelfName::Logs)),
                    || LateShelf::open(place(ShelfName::Metrics)),
                )
            },
        );
        let opened = opened.and_then(|(spans, others)| Ok((spans?, others?)));
        let ((spans, archive), (logs, metrics)) =
            opened.map_err(io_error("start threads for", &options.dir))?;
        let handle = Handle {
            spans: spans?,
            archive: archive?,
            logs: logs?,
            metrics: metrics?,
            _lock: lock,
        };
        kept.set_complete();
        handle.wake_upkeep();
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// The spans' shelf in numbers.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.records, stats.appended_batches), (2, 1));
    /// assert!(stats.failure.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> ShelfStats {
        self.handle.spans.stats()
    }

    /// A shelf in numbers; none if nothing was ever put on it.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::ShelfName;
    ///
    /// assert_eq!(store.stats_of(ShelfName::Logs).unwrap().records, 1);
    /// assert!(store.stats_of(ShelfName::Archive).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats_of(&self, shelf: ShelfName) -> Option<ShelfStats> {
        match shelf {
            ShelfName::Spans => Some(self.stats()),
            ShelfName::Archive => self.handle.archive.get().map(Shelf::stats),
            ShelfName::Logs => self.handle.logs.get().map(Shelf::stats),
            ShelfName::Metrics => self.handle.metrics.get().map(Shelf::stats),
        }
    }

    /// Writes everything in memory out as blocks, and returns when that is done.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// assert_eq!((store.stats().blocks, store.stats().memtable_records), (0, 2));
    /// store.flush()?;
    /// assert_eq!((store.stats().blocks, store.stats().memtable_records), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The reason for which it could not be written. Nothing is lost: the log still has it.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.handle.spans.flush()?;
        self.handle.archive.get().map_or(Ok(()), Shelf::flush)?;
        self.handle.logs.get().map_or(Ok(()), Shelf::flush)?;
        self.handle.metrics.get().map_or(Ok(()), Shelf::flush)
    }

    /// Ends the store's threads after they have answered what was handed over. What is in memory
    /// stays in the log. Later appends are refused; reads still work. The folder stays locked
    /// until the last clone is dropped.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let (batch, trace_id) = (example::batch()?, example::trace_id());
    /// store.close();
    /// assert!(store.append(batch).wait().is_err());
    /// assert_eq!(store.trace(trace_id)?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.handle.spans.close();
        self.handle.archive.close();
        self.handle.logs.close();
        self.handle.metrics.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.handle.spans.engine.options.dir)
            .finish()
    }
}

#[cfg(test)]
mod tests;
