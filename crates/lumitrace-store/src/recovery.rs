//! From a folder to an engine: everything that is checked and read back when a shelf is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::block::Block;
use crate::block::writer::remove_files;
use crate::check::block_id_of;
use crate::damage::DamagedBlock;
use crate::disk::remove_if_present;
use crate::engine::{Engine, Sources, SubscribersOf};
use crate::error::{Corruption, OpenError, io_error};
use crate::failpoint::{Failpoint, reached};
use crate::manifest::{BlockRecord, Manifest};
use crate::parallel;
use crate::replay::replay;
use crate::shelf::ShelfPlace;
use crate::signal::Signal;
use crate::wal::writer::LogPosition;

/// A shelf as it was left, ready to go on.
pub(crate) struct Recovered<S: Signal> {
    pub(crate) engine: Engine<S>,
    pub(crate) position: LogPosition,
    pub(crate) replayed_records: u64,
    pub(crate) torn_tail: Option<Corruption>,
}

/// Brings back the shelf in `place`, which nobody else may have open.
pub(crate) fn recover<S: Signal>(
    place: ShelfPlace,
    subscribers: Arc<SubscribersOf<S>>,
) -> Result<Recovered<S>, OpenError> {
    let ShelfPlace { folder, disk, .. } = &place;
    folder.create(&**disk)?;
    let rewrite_min_bytes = place.options.manifest_rewrite_bytes;
    let manifest = Manifest::open(Arc::clone(disk), folder.manifest(), rewrite_min_bytes)?;
    let sources = open_blocks(&place, manifest.blocks())?;
    let engine = Engine::new(place, subscribers, manifest, sources);

    let log = replay(&engine)?;
    settle_blocks_dir(&engine, log.position.next_seq)?;
    log.segments
        .into_iter()
        .for_each(|segment| engine.segments.add_closed(segment));
    let log_dir = engine.folder.log_dir();
    engine
        .segments
        .find_spares(&*engine.disk, &log_dir)
        .map_err(io_error("look for files of the log in", &log_dir))?;
    let durable_seq = engine.manifest.lock().durable_seq();
    engine.segments.free(&*engine.disk, durable_seq);
    if engine.segments.size().segments == 0 {
        // Numbering begins anew once no segment is left. None that was removed may come back then.
        engine
            .disk
            .sync_dir(&log_dir)
            .map_err(io_error("sync", &log_dir))?;
    }
    Ok(Recovered {
        engine,
        position: log.position,
        replayed_records: log.replayed_records,
        torn_tail: log.torn_tail,
    })
}

/// Opens the blocks that count. One that is damaged is left out, and kept as it is: it must not keep
/// the others from being read. Without its payload file a block still has most of its records.
fn open_blocks<S: Signal>(
    place: &ShelfPlace,
    records: &[BlockRecord],
) -> Result<Sources<S>, OpenError> {
    let parts = || {
        let (disk, dir) = (Arc::clone(&place.disk), place.folder.blocks_dir());
        (disk, dir, place.caches.for_block())
    };
    let open = |record: &BlockRecord| {
        let (disk, dir, cache) = parts();
        Block::open(disk, dir, *record, cache)
    };
    let opened = parallel::map(place.options.opening_threads, records, open)
        .map_err(io_error("start threads for", &place.folder.blocks_dir()))?;
    let mut sources = Sources::of_blocks(Vec::new());
    for (record, opened) in records.iter().zip(opened) {
        let damage = match opened {
            Ok(block) => {
                sources.blocks.push(Arc::new(block));
                continue;
            }
            Err(OpenError::Corrupt(damage)) => damage,
            Err(error) => return Err(error),
        };
        let (disk, dir, cache) = parts();
        match Block::open_without_payload(disk, dir, *record, cache) {
            Ok(block) => {
                let done = "opened a block without all of its large values";
                sources.damage_log.tell(&damage, done);
                sources.blocks.push(Arc::new(block));
            }
            Err(OpenError::Corrupt(damage)) => {
                let done = "left out a block that cannot be opened; its files stay as they are";
                sources.damage_log.tell(&damage, done);
                sources.damaged.push(DamagedBlock {
                    record: *record,
                    damage,
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sources)
}

/// Removes what unfinished flushes and merges have left, once it is sure that it is that.
fn settle_blocks_dir<S: Signal>(engine: &Engine<S>, next_seq: u64) -> Result<(), OpenError> {
    let dir = &engine.folder.blocks_dir();
    let mut manifest = engine.manifest.lock();
    let mut strays = Vec::new();
    for path in list(dir)? {
        let id = block_id_of(&path);
        let known = id.is_some_and(|id| manifest.blocks().iter().any(|block| block.id == id));
        let extension = path.extension().unwrap_or_default();
        if extension == "tmp" {
            remove_if_present(&*engine.disk, &path).map_err(io_error("remove", &path))?;
            reached(Failpoint::UnfinishedFileRemoved);
        } else if !known && let Some(id) = id {
            // A block is written from records in the synced log, so the log or other blocks reach as
            // far. If they do not, this block counted, and the record that said so is lost.
            if id.end_seq > next_seq {
                let reason = format!(
                    "no record names block {id}, which holds what the log no longer has: \
                     the end of the manifest is missing"
                );
                return Err(manifest.missing_records(reason).into());
            }
            strays.push(id);
        }
    }
    manifest.cut_torn_tail()?;
    manifest.remove_unfinished_rewrite()?;
    for id in strays {
        remove_files(&*engine.disk, dir, id).map_err(io_error("remove files from", dir))?;
        reached(Failpoint::StrayBlockRemoved);
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let paths = || {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
    };
    paths().map_err(io_error("list", dir))
}
