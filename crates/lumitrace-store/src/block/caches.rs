//! What was read of blocks last and is kept in memory, within a bound for all blocks of a store
//! together: parsing a footer takes longer than reading a trace, and making one entry of a
//! dictionary whole decompresses all of them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::page_values::Dictionary;
use crate::error::ReadError;

/// Most bytes of footers and of what is read of indexes.
const MAX_PART_BYTES: u64 = 64 << 20;
/// Most bytes of dictionaries.
const MAX_DICTIONARY_BYTES: u64 = 128 << 20;
/// About what a part takes: a guess from which the cache's table is sized. It is so few of them that
/// the cache is not divided into several of their own bound, which a large footer would exceed.
const USUAL_PART_BYTES: u64 = 2 << 20;
/// The same of a dictionary.
const USUAL_DICTIONARY_BYTES: u64 = 16 << 10;

/// A part of a block that is read whole and kept.
pub(crate) trait KeptPart: Any + Send + Sync {
    /// Which one it is.
    const NAME: PartName;

    /// About how many bytes of memory it takes.
    fn memory_bytes(&self) -> usize;
}

/// What tells the parts of a block apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PartName {
    /// Of the file of spans.
    Footer,
    /// What the spans share.
    Tables,
    /// Where filters of values are.
    FilterDirectory,
    /// Where frames of the payload are.
    Frames,
}

/// Caches of all blocks of a store.
pub(crate) struct BlockCaches {
    parts: Cache<(u64, PartName), Part, ByBytes>,
    /// By block, and where the page begins in its file.
    dictionaries: Cache<(u64, u64), Arc<Dictionary>, ByBytes>,
    /// Numbers blocks.
    blocks: AtomicU64,
}

#[derive(Clone)]
struct Part {
    content: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<(u64, PartName), Part> for ByBytes {
    fn weight(&self, _: &(u64, PartName), part: &Part) -> u64 {
        part.bytes
    }
}

impl Weighter<(u64, u64), Arc<Dictionary>> for ByBytes {
    fn weight(&self, _: &(u64, u64), dictionary: &Arc<Dictionary>) -> u64 {
        dictionary.memory_bytes() as u64
    }
}

impl Default for BlockCaches {
    fn default() -> Self {
        Self::with_part_bytes(MAX_PART_BYTES)
    }
}

impl fmt::Debug for BlockCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCaches")
            .field("part_bytes", &self.parts.weight())
            .field("dictionary_bytes", &self.dictionaries.weight())
            .finish_non_exhaustive()
    }
}

impl BlockCaches {
    fn with_part_bytes(max_bytes: u64) -> Self {
        let usual = |bytes: u64, of_one: u64| (bytes / of_one) as usize;
        Self {
            parts: Cache::with_weighter(usual(max_bytes, USUAL_PART_BYTES), max_bytes, ByBytes),
            dictionaries: Cache::with_weighter(
                usual(MAX_DICTIONARY_BYTES, USUAL_DICTIONARY_BYTES),
                MAX_DICTIONARY_BYTES,
                ByBytes,
            ),
            blocks: AtomicU64::new(0),
        }
    }

    /// The part for another block.
    pub(crate) fn for_block(self: &Arc<Self>) -> BlockCache {
        BlockCache {
            caches: Arc::clone(self),
            block: self.blocks.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// What is kept of one block. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BlockCache {
    caches: Arc<BlockCaches>,
    block: u64,
}

impl BlockCache {
    /// A part of the block: the one at hand, or else what `read` reads, which is kept for as long as
    /// others are not read more often.
    pub(crate) fn part<T: KeptPart>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<Arc<T>, ReadError> {
        let key = (self.block, T::NAME);
        let known = self.caches.parts.get(&key);
        if let Some(Ok(part)) = known.map(|part| part.content.downcast::<T>()) {
            return Ok(part);
        }
        let part = Arc::new(read()?);
        let kept = Part {
            bytes: part.memory_bytes() as u64,
            content: Arc::clone(&part) as Arc<dyn Any + Send + Sync>,
        };
        self.caches.parts.insert(key, kept);
        Ok(part)
    }

    /// The dictionary whose page begins at `offset`, if it is at hand.
    pub(crate) fn dictionary(&self, offset: u64) -> Option<Arc<Dictionary>> {
        self.caches.dictionaries.get(&(self.block, offset))
    }

    /// Keeps a dictionary, for as long as others are not read more often.
    pub(crate) fn insert_dictionary(&self, offset: u64, dictionary: &Arc<Dictionary>) {
        let key = (self.block, offset);
        self.caches.dictionaries.insert(key, Arc::clone(dictionary));
    }

    /// Forgets the parts of a block that nobody reads any more.
    pub(crate) fn forget_parts(&self) {
        use PartName::{FilterDirectory, Footer, Frames, Tables};
        for name in [Footer, Tables, FilterDirectory, Frames] {
            self.caches.parts.remove(&(self.block, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Takes so many KiB.
    struct Fake(usize);

    impl KeptPart for Fake {
        const NAME: PartName = PartName::Footer;

        fn memory_bytes(&self) -> usize {
            self.0 << 10
        }
    }

    #[test]
    fn parts_are_read_once_while_they_fit_and_again_where_they_do_not() {
        let caches = Arc::new(BlockCaches::with_part_bytes(100 << 10));
        let reads = Cell::new(0);
        let read = |block: &BlockCache| {
            let part = block.part(|| {
                reads.set(reads.get() + 1);
                Ok(Fake(8))
            });
            assert_eq!(part.unwrap().0, 8);
        };
        let blocks: Vec<BlockCache> = (0..100).map(|_| caches.for_block()).collect();
        for _ in 0..3 {
            blocks[..10].iter().for_each(read);
        }
        assert_eq!(reads.get(), 10);
        blocks.iter().for_each(read);
        assert!(caches.parts.weight() <= 100 << 10);
        assert!(reads.get() >= 100 - 10);
        blocks.iter().for_each(BlockCache::forget_parts);
        assert_eq!(caches.parts.weight(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_not_kept() {
        let caches = Arc::new(BlockCaches::default());
        let block = caches.for_block();
        let damage = || crate::Corruption::new(std::path::Path::new("a"), 0, "flipped");
        let failed = block.part::<Fake>(|| Err(damage().into()));
        assert!(failed.is_err());
        assert_eq!(block.part(|| Ok(Fake(1))).unwrap().0, 1);
    }

    #[test]
    fn a_part_of_half_the_bound_is_kept() {
        let caches = Arc::new(BlockCaches::default());
        let block = caches.for_block();
        let size = (MAX_PART_BYTES >> 11) as usize;
        block.part(|| Ok(Fake(size))).unwrap();
        block
            .part(|| -> Result<Fake, _> { panic!("it is kept") })
            .unwrap();
    }
}
