//! What a store's folder holds, without opening it: nothing is changed, and a server may be running
//! on it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::SpanBatch;
use crate::block::Block;
use crate::block::caches::BlockCaches;
use crate::block::writer::index_path;
use crate::disk::RealDisk;
use crate::error::{Corruption, OpenError, io_error};
use crate::folder::{Folder, ShelfFolder};
use crate::manifest::{self, BlockRecord};
use crate::origins::Origins;
use crate::shelf::ShelfName;
use crate::stats::ServiceSummary;
use crate::summary::Summaries;
use crate::wal::segment;
use crate::wal::survey::{FoundFrame, survey};

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderContent {
    /// The process that has the folder open, if one has: then this is what it had written at one
    /// moment.
    pub in_use: Option<InUse>,
    /// Version of the folder's format.
    pub format_version: u32,
    /// The blocks that count, oldest first.
    pub blocks: Vec<BlockContent>,
    /// What is in the log and not in a block yet.
    pub log: LogContent,
    /// When the earliest span started, in nanoseconds since the Unix epoch; none without spans.
    pub first_start_unix_nano: Option<u64>,
    /// When the latest span started, in nanoseconds since the Unix epoch; none without spans.
    pub last_start_unix_nano: Option<u64>,
    /// The services, by name.
    pub services: Vec<ServiceSummary>,
    /// The other shelves of the store that are there.
    pub others: Vec<ShelfContent>,
    /// All files, by what they are.
    pub files: BTreeMap<FileKind, FileTotals>,
    /// Damage that was met. There may be more: see [`check`](crate::check::check).
    pub damages: Vec<Corruption>,
}

impl FolderContent {
    /// Spans in blocks and in the log, without those in the archive. Repetitions that no merge has met yet count each time.
    pub fn spans(&self) -> u64 {
        self.blocks.iter().map(|block| block.spans).sum::<u64>() + self.log.spans
    }

    /// Size of all files of the folder, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|total| total.bytes).sum()
    }

    fn widen_times(&mut self, first_start: u64, last_start: u64) {
        let first = self.first_start_unix_nano.get_or_insert(first_start);
        *first = first_start.min(*first);
        let last = self.last_start_unix_nano.get_or_insert(last_start);
        *last = last_start.max(*last);
    }
}

/// Who has a folder open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// The process, if it said so.
    pub pid: Option<u32>,
}

/// A block in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockContent {
    /// Its name: that of its files, without their endings.
    pub name: String,
    /// How many spans it holds.
    pub spans: u64,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// When its earliest span started, in nanoseconds since the Unix epoch.
    pub first_start_unix_nano: u64,
    /// When its latest span started, in nanoseconds since the Unix epoch.
    pub last_start_unix_nano: u64,
}

/// The log in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogContent {
    /// Segments.
    pub segments: u64,
    /// Size of what is in them, in bytes; their files may be larger.
    pub bytes: u64,
    /// Spans in it that no block holds.
    pub spans: u64,
}

/// A shelf in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShelfContent {
    /// Which one it is.
    pub name: ShelfName,
    /// Records in blocks and in the log. Repetitions that no merge has met yet count each time.
    pub records: u64,
    /// Blocks.
    pub blocks: u64,
    /// Size of blocks and log, in bytes.
    pub bytes: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Spans of a block.
    BlockData,
    /// The index of a block.
    BlockIndex,
    /// Large values of a block's spans.
    BlockPayload,
    /// A log segment.
    Log,
    /// A file that was a log segment, and is kept to become one again.
    LogSpare,
    /// The manifest.
    Manifest,
    /// What a repair has set aside.
    Damaged,
    /// Anything else: unfinished files, the lock, files that are not the store's.
    Other,
}

impl FileKind {
    /// A word for it.
    ///
    /// ```
    /// use lumitrace_store::inspect::FileKind;
    /// assert_eq!(FileKind::BlockIndex.as_str(), "block indexes");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlockData => "block data",
            Self::BlockIndex => "block indexes",
            Self::BlockPayload => "block payloads",
            Self::Log => "log",
            Self::LogSpare => "log, kept for reuse",
            Self::Manifest => "manifest",
            Self::Damaged => "set aside",
            Self::Other => "other",
        }
    }
}

/// Number and size of some files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileTotals {
    /// How many.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Says what the folder `dir` holds. Reads the manifest, the blocks' indexes and the log, but not
/// the blocks themselves.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let dir = example::folder()?;
/// use lumitrace_store::inspect::inspect;
///
/// # let dir = dir.path();
/// let content = inspect(dir)?;
/// assert_eq!((content.spans(), content.blocks.len()), (2, 1));
/// assert_eq!(content.services[0].name, "trainer");
/// assert!(content.in_use.is_none() && content.bytes() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// There is no store in `dir`, a newer release wrote it, or it cannot be read. Damage is no error,
/// but part of the answer, unless it is that of the manifest.
pub fn inspect(dir: &Path) -> Result<FolderContent, OpenError> {
    let folder = Folder::existing(dir)?;
    let mut content = FolderContent {
        in_use: folder.in_use()?,
        ..FolderContent::default()
    };
    let spans = folder.shelf(ShelfName::Spans);
    let manifest = manifest::read(&spans.manifest())?;
    content.format_version = manifest.version;
    content.files = files(&folder, dir).map_err(io_error("list", dir))?;
    let mut summaries = Summaries::default();
    for block in &manifest.blocks {
        add_block(&spans, block, &mut content, &mut summaries);
    }
    let mut origins = Origins::default();
    content.log = read_log(
        &spans,
        spans.name().frame_type(),
        manifest.durable_seq,
        &mut content.damages,
        &mut |frame| {
            if let Some(batch) = frame.stored::<SpanBatch>(&mut origins) {
                batch.spans().for_each(|span| summaries.add_span(span));
            }
        },
    )?;
    let others = folder
        .shelves()
        .filter(|shelf| shelf.name() != ShelfName::Spans);
    for shelf in others {
        let read = inspect_shelf(&shelf, content.in_use.is_some(), &mut content.damages)?;
        content.others.push(read);
    }
    content.services = summaries.services();
    let services = content.services.clone();
    for service in &services {
        content.widen_times(service.first_start_unix_nano, service.last_start_unix_nano);
    }
    Ok(content)
}

/// Whether there is a store in the folder `dir`, in whatever state.
///
/// ```
/// use lumitrace_store::{Store, StoreOptions, inspect::holds_store};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// assert!(!holds_store(dir));
/// Store::open(StoreOptions::new(dir))?;
/// assert!(holds_store(dir));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn holds_store(dir: &Path) -> bool {
    Folder::existing(dir).is_ok()
}

fn add_block(
    folder: &ShelfFolder,
    block: &BlockRecord,
    content: &mut FolderContent,
    summaries: &mut Summaries,
) {
    let is_in_use = content.in_use.is_some();
    if let Some(opened) = open_block(folder, block, is_in_use, &mut content.damages) {
        summaries.merge(opened.summaries());
    }
    content.blocks.push(BlockContent {
        name: block.id.to_string(),
        spans: block.rows,
        bytes: block.bytes(),
        first_start_unix_nano: block.first_start_unix_nano,
        last_start_unix_nano: block.last_start_unix_nano,
    });
    if block.rows > 0 {
        content.widen_times(block.first_start_unix_nano, block.last_start_unix_nano);
    }
}

/// A block as a store opens it; none, with the damage noted, if it would leave it out.
fn open_block(
    folder: &ShelfFolder,
    record: &BlockRecord,
    is_in_use: bool,
    damages: &mut Vec<Corruption>,
) -> Option<Block> {
    let (dir, caches) = (folder.blocks_dir(), Arc::<BlockCaches>::default());
    let index = index_path(&dir, record.id);
    match Block::open(Arc::new(RealDisk), dir, *record, caches.for_block()) {
        Ok(block) => return Some(block),
        // A running server has just merged or removed it.
        Err(_) if is_in_use && !index.exists() => {}
        Err(OpenError::Corrupt(damage)) => damages.push(damage),
        Err(error) => damages.push(Corruption::new(&index, 0, error.to_string())),
    }
    None
}

fn inspect_shelf(
    folder: &ShelfFolder,
    is_in_use: bool,
    damages: &mut Vec<Corruption>,
) -> Result<ShelfContent, OpenError> {
    let manifest = manifest::read(&folder.manifest())?;
    for block in &manifest.blocks {
        open_block(folder, block, is_in_use, damages);
    }
    let log = read_log(
        folder,
        folder.name().frame_type(),
        manifest.durable_seq,
        damages,
        &mut |_| {},
    )?;
    let blocks = manifest.blocks.iter();
    Ok(ShelfContent {
        name: folder.name(),
        records: log.spans + blocks.clone().map(|block| block.rows).sum::<u64>(),
        blocks: manifest.blocks.len() as u64,
        bytes: log.bytes + blocks.map(BlockRecord::bytes).sum::<u64>(),
    })
}

/// Reads the log of a shelf, and hands the frames to `visit` that no block holds.
fn read_log(
    folder: &ShelfFolder,
    frame_type: u8,
    durable_seq: u64,
    damages: &mut Vec<Corruption>,
    visit: &mut dyn FnMut(&FoundFrame<'_>),
) -> Result<LogContent, OpenError> {
    let dir = folder.log_dir();
    let mut content = LogContent::default();
    let segments = match segment::list(&dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(content),
        Err(error) => return Err(io_error("list", &dir)(error)),
    };
    for (index, (_, path)) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let mut add = |frame: &FoundFrame<'_>| {
            if frame.header.first_seq >= durable_seq {
                content.spans += u64::from(frame.header.record_count);
                visit(frame);
            }
            ControlFlow::Continue(())
        };
        let found = match survey(path, frame_type, is_last, &mut add) {
            Ok(found) => found,
            // A running server has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error("read", path)(error)),
        };
        content.segments += 1;
        content.bytes += found.used_bytes;
        damages.extend(found.damages);
    }
    Ok(content)
}

fn files(folder: &Folder, dir: &Path) -> io::Result<BTreeMap<FileKind, FileTotals>> {
    let mut totals: BTreeMap<FileKind, FileTotals> = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            // Gone between listing and looking: a server is running.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let total = totals.entry(kind_of(folder, &entry.path())).or_default();
            total.files += 1;
            total.bytes += metadata.len();
        }
    }
    Ok(totals)
}

fn kind_of(folder: &Folder, path: &Path) -> FileKind {
    if path.starts_with(folder.damaged_dir()) {
        return FileKind::Damaged;
    }
    let in_shelf = |shelf: ShelfFolder| {
        let parent = path.parent()?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            None if path == shelf.manifest() => Some(FileKind::Manifest),
            Some("log") if parent == shelf.log_dir() => Some(FileKind::Log),
            Some("spare") if parent == shelf.log_dir() => Some(FileKind::LogSpare),
            Some("parquet") if parent == shelf.blocks_dir() => Some(FileKind::BlockData),
            Some("idx") if parent == shelf.blocks_dir() => Some(FileKind::BlockIndex),
            Some("payload") if parent == shelf.blocks_dir() => Some(FileKind::BlockPayload),
            _ => None,
        }
    };
    let kind = folder.shelves().find_map(in_shelf);
    kind.unwrap_or(FileKind::Other)
}
