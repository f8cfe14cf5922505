//! Blocks of which no manifest says anything: opened and measured from their own files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::block::Block;
use crate::block::caches::BlockCaches;
use crate::block::file::ChecksummedFile;
use crate::block::footer::Footer;
use crate::block::index::Index;
use crate::block::writer::{data_path, index_path};
use crate::error::{OpenError, ReadError, io_error};
use crate::manifest::{BlockId, BlockRecord};
use crate::signal::{BlockRows, Signal};

/// Opens the block `id` in `dir`. What its record says of the times of its rows is unknown; see
/// [`measure`].
pub(crate) fn open(dir: &Path, id: BlockId) -> Result<Block, OpenError> {
    let mut record = BlockRecord {
        data_bytes: length(&data_path(dir, id))?,
        index_bytes: length(&index_path(dir, id))?,
        ..BlockRecord::empty(id)
    };
    let path = index_path(dir, id);
    let cache = Arc::<BlockCaches>::default().for_block();
    let index = Index::open(path, cache)?;
    record.payload_bytes = index.payload()?.file_bytes();
    let file = ChecksummedFile::new(data_path(dir, id), record.data_bytes, index.checksums());
    let footer = Footer::read(&file, index.keys())?;
    let rows = footer.metadata.metadata().file_metadata().num_rows();
    record.rows = u64::try_from(rows).unwrap_or(0);
    Block::open_alone(dir, record)
}

/// The record of `block`, from its rows.
pub(crate) fn measure<S: Signal>(block: &Block) -> Result<BlockRecord, ReadError> {
    let mut record = *block.record();
    let rows = BlockRows::all(block);
    S::visit_times(&rows, &mut |start, end| record.include(start, end))?;
    Ok(record)
}

fn length(path: &Path) -> Result<u64, OpenError> {
    let metadata = fs::metadata(path).map_err(io_error("read", path))?;
    Ok(metadata.len())
}
