//! Dictionaries of columns that were read last: making one entry whole decompresses all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::page_values::Dictionary;

/// Most bytes of dictionaries in memory, of all blocks of a store together.
const MAX_BYTES: u64 = 32 << 20;
/// About what one takes: a guess from which the cache's table is sized.
const USUAL_BYTES: u64 = 16 << 10;

/// The dictionaries that were read last, for all blocks of a store.
#[derive(Debug)]
pub(crate) struct DictionaryCache {
    cache: Cache<DictionaryKey, Arc<Dictionary>, ByBytes>,
    blocks: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct DictionaryKey {
    block: u64,
    /// Where the page begins in the block's file.
    offset: u64,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<DictionaryKey, Arc<Dictionary>> for ByBytes {
    fn weight(&self, _: &DictionaryKey, dictionary: &Arc<Dictionary>) -> u64 {
        dictionary.memory_bytes() as u64
    }
}

impl Default for DictionaryCache {
    fn default() -> Self {
        let usual_items = (MAX_BYTES / USUAL_BYTES) as usize;
        Self {
            cache: Cache::with_weighter(usual_items, MAX_BYTES, ByBytes),
            blocks: AtomicU64::new(0),
        }
    }
}

impl DictionaryCache {
    /// The part for another block.
    pub(crate) fn for_block(self: &Arc<Self>) -> BlockDictionaries {
        BlockDictionaries {
            cache: Arc::clone(self),
            block: self.blocks.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Dictionaries of one block.
#[derive(Debug)]
pub(crate) struct BlockDictionaries {
    cache: Arc<DictionaryCache>,
    block: u64,
}

impl BlockDictionaries {
    /// The dictionary whose page begins at `offset`, if it is at hand.
    pub(crate) fn get(&self, offset: u64) -> Option<Arc<Dictionary>> {
        self.cache.cache.get(&self.key(offset))
    }

    /// Keeps a dictionary, for as long as others are not read more often.
    pub(crate) fn insert(&self, offset: u64, dictionary: &Arc<Dictionary>) {
        let key = self.key(offset);
        self.cache.cache.insert(key, Arc::clone(dictionary));
    }

    fn key(&self, offset: u64) -> DictionaryKey {
        DictionaryKey {
            block: self.block,
            offset,
        }
    }
}
