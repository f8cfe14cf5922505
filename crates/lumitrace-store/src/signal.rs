//! What the engine asks of what it stores: all that is not the same for spans and for anything else.
//!
//! The engine numbers records, logs them, keeps the newest in memory, and puts them away in blocks.
//! Of a record it knows nothing but that it is one of a [`Batch`], and in a [`Memtable`] later.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use lumitrace_wire::DecodeError;

use crate::block::Block;
use crate::check::RowCheck;
use crate::digest::SpanDigester;
use crate::disk::Disk;
use crate::error::ReadError;
use crate::manifest::{BlockId, BlockRecord};
use crate::memtable::MemtableSize;
use crate::origins::Origins;
use crate::retries::RetryKey;

/// One kind of what is stored: spans, or log records, or points of metrics.
pub(crate) trait Signal: Send + Sync + Sized + 'static {
    type Batch: Batch;
    type Memtable: Memtable<Stored = <Self::Batch as Batch>::Stored>;

    /// Whether the rows of a block are sorted by when they begin, first of all.
    const IS_BY_TIME: bool = true;

    /// Writes a memtable as a block, which does not count yet.
    fn write_memtable(memtable: &Self::Memtable, target: BlockTarget) -> io::Result<BlockRecord>;

    /// Writes these rows as one block, in order and each record once; none if told to stop. It does
    /// not count yet.
    fn write_rows(
        rows: &[BlockRows<'_>],
        target: BlockTarget,
        is_stopping: &dyn Fn() -> bool,
    ) -> io::Result<Option<BlockRecord>>;

    /// Hands when each of these rows begins and ends to `visit`; everything of them is decoded.
    fn visit_times(rows: &BlockRows<'_>, visit: &mut dyn FnMut(u64, u64)) -> Result<(), ReadError>;

    /// Decodes every row of a block, and holds what is said of them against what they are.
    fn check_rows(block: &Block, check: &mut RowCheck<'_, '_>) -> Result<(), ReadError>;
}

/// The records of one request, as the bytes that are logged.
pub(crate) trait Batch: Sized + Send + 'static {
    /// A batch that was logged, as memtables and subscribers share it.
    type Stored: Send + Sync;

    /// Says in the log what the payload is.
    const FRAME_TYPE: u8;

    /// The batch that is logged as `payload`.
    fn from_logged(payload: Bytes) -> Result<Self, DecodeError>;

    fn payload(&self) -> &[u8];

    fn record_count(&self) -> usize;

    /// What a retry of it has, too, if it can be told from others that say the same.
    fn retry_key(&self) -> Option<RetryKey> {
        None
    }

    /// About how many bytes of memory it takes.
    fn memory_bytes(&self) -> usize;

    /// The batch as it is kept once it is logged, its records numbered from `first_seq`.
    fn into_stored(
        self,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Arc<Self::Stored>;
}

/// The newest records, in memory: searchable the moment they are logged, until a block holds them.
pub(crate) trait Memtable: Default + Send + Sync + 'static {
    type Stored;

    /// Adds the records of a batch. They must follow those inserted before in sequence. Those that
    /// repeat what is in one of `older`, which stay as they are, may be left out.
    fn insert(&self, batch: &Arc<Self::Stored>, older: &[Arc<Self>]);

    fn size(&self) -> MemtableSize;

    /// The block that this memtable becomes; none while it is empty.
    fn block_id(&self) -> Option<BlockId>;
}

/// Where a block is written, and how.
#[derive(Debug, Clone)]
pub(crate) struct BlockTarget {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) id: BlockId,
    /// Most rows of a row group.
    pub(crate) row_group_rows: usize,
    /// Level of zstd.
    pub(crate) compression_level: i32,
    /// Of spans.
    pub(crate) digester: Option<Arc<dyn SpanDigester>>,
}

/// Rows of a block, ascending and apart.
#[derive(Debug, Clone)]
pub(crate) struct BlockRows<'a> {
    pub(crate) block: &'a Block,
    pub(crate) rows: Vec<Range<usize>>,
    /// Whether large values that are damaged stay cut, instead of failing.
    pub(crate) is_rescue: bool,
}

impl<'a> BlockRows<'a> {
    pub(crate) fn all(block: &'a Block) -> Self {
        let all = 0..block.record().rows as usize;
        Self {
            block,
            rows: std::iter::once(all).collect(),
            is_rescue: false,
        }
    }
}
