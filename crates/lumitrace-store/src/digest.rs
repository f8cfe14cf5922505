//! What whoever opens the store wants kept of the spans of each block, beside them: made while a block is
//! written, read instead of its spans.
//!
//! The store knows nothing of what a digest says. It keeps its bytes with the block, hands them out
//! while the block counts, and makes them anew when blocks are merged. A block that was written without
//! a digester, or with another one, has no digest: its spans are read instead.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use lumitrace_model::TraceId;

use crate::SpanRecord;
use crate::block::Block;
use crate::block::digest::{DigestContent, DigestParts};
use crate::block::payload::PayloadReader;
use crate::engine::Sources;
use crate::error::ReadError;
use crate::scan::SpanParts;
use crate::spans::Spans;

/// Makes the digests of blocks. See [the module](self).
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use std::{io, sync::Arc};
/// use lumitrace_store::{BlockDigester, DigestParts, SpanDigester, SpanRecord, Store, StoreOptions};
///
/// /// Counts the spans of services that train.
/// #[derive(Debug)]
/// struct Counter;
///
/// struct Count(u8);
///
/// impl SpanDigester for Counter {
///     fn format(&self) -> u64 {
///         1
///     }
///
///     fn concerns(&self, span_name: &str) -> bool {
///         span_name == "training_epoch"
///     }
///
///     fn begin(&self) -> Box<dyn BlockDigester> {
///         Box::new(Count(0))
///     }
/// }
///
/// impl BlockDigester for Count {
///     fn add(&mut self, _: u64, _: &SpanRecord, _: &mut DigestParts<'_>) -> io::Result<()> {
///         self.0 += 1;
///         Ok(())
///     }
///
///     fn finish(self: Box<Self>, parts: &mut DigestParts<'_>) -> io::Result<Vec<u8>> {
///         // What is long becomes a part, which is known by its number.
///         let number = parts.add(b"long")?;
///         Ok(vec![self.0, number as u8])
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// # let (dir, batch) = (dir.path(), example::batch()?);
/// let digester = Some(Arc::new(Counter) as Arc<dyn SpanDigester>);
/// let store = Store::open(StoreOptions { digester, ..StoreOptions::new(dir) })?;
/// store.append(batch).wait()?;
/// store.flush()?;
///
/// let digest = &store.digests()?[0];
/// assert_eq!((digest.services(), digest.bytes()), (&["trainer".to_owned()][..], &[2, 0][..]));
/// assert_eq!(digest.parts()?.part(0)?, b"long");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait SpanDigester: fmt::Debug + Send + Sync {
    /// Tells its digests from those of others, of other versions, and of other settings: those are not
    /// handed out.
    fn format(&self) -> u64;

    /// Whether a block's spans of a service are to be digested, if one of them has this name.
    fn concerns(&self, span_name: &str) -> bool;

    /// Begins the digest of a block.
    fn begin(&self) -> Box<dyn BlockDigester>;
}

/// Settings are the same if their digests are.
impl PartialEq for dyn SpanDigester {
    fn eq(&self, other: &Self) -> bool {
        self.format() == other.format()
    }
}

impl Eq for dyn SpanDigester {}

/// Makes the digest of one block.
pub trait BlockDigester: Send {
    /// Takes in the span in row `row`, of a service that is to be digested. Rows come in order; large
    /// values may be cut.
    ///
    /// # Errors
    /// A part cannot be written.
    fn add(&mut self, row: u64, record: &SpanRecord, parts: &mut DigestParts<'_>)
    -> io::Result<()>;

    /// The digest, short beside the block: what is long is in parts.
    ///
    /// # Errors
    /// A part cannot be written.
    fn finish(self: Box<Self>, parts: &mut DigestParts<'_>) -> io::Result<Vec<u8>>;
}

/// The digest of a block.
#[derive(Debug)]
pub struct SpanDigest {
    block: Arc<Block>,
    content: DigestContent,
}

impl SpanDigest {
    /// The sequence numbers of the block's spans, of whatever service.
    pub fn seqs(&self) -> Range<u64> {
        let id = self.block.id();
        id.first_seq..id.end_seq
    }

    /// The services whose spans in the block are in the digest: all of them.
    pub fn services(&self) -> &[String] {
        &self.content.services
    }

    /// What [`BlockDigester::finish`] made; empty if no service was digested.
    pub fn bytes(&self) -> &[u8] {
        &self.content.bytes
    }

    /// A reader of the digest's parts.
    ///
    /// # Errors
    /// The file of parts cannot be read, or is damaged.
    pub fn parts(&self) -> Result<DigestPartsReader<'_>, ReadError> {
        Ok(DigestPartsReader {
            content: &self.content,
            payload: self.block.payload()?,
        })
    }

    /// The spans in these rows, which are ascending, without what is large.
    ///
    /// # Errors
    /// The block cannot be read, is damaged, or has no such rows.
    pub fn records(
        &self,
        rows: &[u64],
        parts: SpanParts,
    ) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let row_count = self.block.record().rows;
        let is_ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_ascending || rows.last().is_some_and(|last| *last >= row_count) {
            return Err(self.malformed());
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ranges: Vec<Range<usize>> = rows
            .chunk_by(|row, next| row + 1 == *next)
            .map(|run| run[0] as usize..run[0] as usize + run.len())
            .collect();
        let mut records = self.block.open_data()?.records(&ranges, parts)?;
        let mut read = Vec::with_capacity(rows.len());
        while let Some(batch) = records.next()? {
            read.extend(batch.into_iter().map(Arc::new));
        }
        Ok(read)
    }

    /// Whether the block may have spans of this trace: wrong once in a hundred times where it has none.
    ///
    /// # Errors
    /// The index cannot be read, or is damaged.
    pub fn may_have_trace(&self, trace_id: TraceId) -> Result<bool, ReadError> {
        Ok(!self.block.trace_rows(trace_id)?.is_empty())
    }

    /// The error of a digest whose checksums fit, but that does not make sense to whoever made it.
    pub fn malformed(&self) -> ReadError {
        self.block.index().malformed_digest()
    }
}

/// Reads the parts of a digest.
#[derive(Debug)]
pub struct DigestPartsReader<'a> {
    content: &'a DigestContent,
    payload: PayloadReader,
}

impl DigestPartsReader<'_> {
    /// The bytes of the part with this number, as [`DigestParts::add`] gave it.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or there is no such part.
    pub fn part(&mut self, number: u32) -> Result<Vec<u8>, ReadError> {
        match self.content.parts.get(number as usize) {
            Some(stored) => self.payload.value(stored),
            None => Err(self
                .payload
                .malformed("a digest has no part of this number")),
        }
    }
}

/// The digests that can be read instead of their blocks: those made by a digester of this format, but
/// not those of blocks that may share spans with the archive. A digest that is damaged is left out.
pub(crate) fn digests(
    format: u64,
    spans: &Sources<Spans>,
    archive: Option<&Sources<Spans>>,
) -> Result<Vec<SpanDigest>, ReadError> {
    let mut found = Vec::new();
    for block in &spans.blocks {
        let content = match block.index().digest() {
            Ok(Some(content)) if content.format == format => content,
            Ok(_) => continue,
            Err(ReadError::Corrupt(damage)) => {
                let done = "read the spans of a block instead of their digest";
                spans.damage_log.tell(&damage, done);
                continue;
            }
            Err(error) => return Err(error),
        };
        if !archive.is_some_and(|archive| may_share(block, &content.services, archive)) {
            found.push(SpanDigest {
                block: Arc::clone(block),
                content,
            });
        }
    }
    Ok(found)
}

/// Whether spans of one of these services may be in `block` and in the archive.
fn may_share(block: &Block, services: &[String], archive: &Sources<Spans>) -> bool {
    let ranges = block.time_ranges();
    let in_block = |other: &Block| {
        let mut overlaps = other.time_ranges().iter();
        overlaps.any(|other| ranges.iter().any(|range| range.overlaps(&other.starts)))
            && services
                .iter()
                .any(|service| other.summaries().has_service(service))
    };
    let in_memory = || {
        let memtables = archive.memtables();
        let mut services = services.iter();
        services.any(|service| {
            memtables
                .iter()
                .any(|it| it.with_summaries(|it| it.has_service(service)))
        })
    };
    archive.blocks.iter().any(|other| in_block(other)) || in_memory()
}
