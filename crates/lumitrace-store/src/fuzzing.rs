//! The way in for fuzzers: bytes of any kind, handed to the readers of the store's files.
//!
//! Not an API: it is compiled only for the crate's own tests and with the feature `fuzzing`, and may
//! change at any time. [`checksums`] makes the checksums of changed bytes fit, as a bug in a writer
//! or someone with the folder in hand could, so that the readers behind the checks are reached.
//!
//! Every function panics where a reader breaks its promise: damage must be an error that names the
//! file, and what can be read must say the same after it was written again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

use crate::binary::{Fields, PutFields};
use crate::block::Block;
use crate::block::caches::BlockCaches;
use crate::block::digest::DigestContent;
use crate::block::index_header::Header;
use crate::block::keys::Keys;
use crate::block::layout::Planner;
use crate::block::payload::ChunkRuns;
use crate::block::payload::frames::{FrameChunks, FrameTable};
use crate::block::payload::payload_path;
use crate::block::received::ReceivedTable;
use crate::block::rollup::BlockRollup;
use crate::block::schema::{RowSchema, SPAN_SCHEMA};
use crate::block::tables::{Tables, TablesBuilder, decode_resources, decode_scopes};
use crate::block::time_ranges;
use crate::block::trace_table::{decode_filter, decode_page, rows_in_page_v1};
use crate::block::value_filters::FilterDirectory;
use crate::block::writer::{data_path, index_path};
use crate::disk::Disk;
use crate::engine::Sources;
use crate::error::{OpenError, ReadError};
use crate::manifest::{BlockId, BlockRecord, check_header, read_records};
use crate::scan::walk;
use crate::signal::{BlockRows, BlockTarget};
use crate::summary::Summaries;
use crate::trace::TraceLookup;
use crate::{Damaged, RollupRequest, ScanRequest, SpanParts, rollup};

pub mod checksums;
mod log;
mod logs_and_metrics;
mod record_file;

pub use log::{read_log, read_log_of_logs, read_log_of_metrics};
pub use logs_and_metrics::{read_log_block, read_metric_block};
pub use record_file::read_record_file;

/// Where a reader needs files, they are written here; nobody asks whether they reach the disk.
#[derive(Debug)]
struct UnsyncedDisk;

impl Disk for UnsyncedDisk {
    fn sync_data(&self, _path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a manifest.
///
/// # Errors
/// It is damaged.
pub fn read_manifest(bytes: &[u8]) -> Result<(), OpenError> {
    let path = Path::new("MANIFEST");
    let read = |bytes: &[u8]| {
        check_header(path, bytes)?;
        read_records(path, bytes)
    };
    let (content, len) = read(bytes).inspect_err(expect_damage)?;
    assert!(len <= bytes.len());
    let (again, _) = read(&content.encode()).expect("what was written can be read");
    assert_eq!(again.durable_seq, content.durable_seq);
    assert_eq!(again.blocks, content.blocks);
    Ok(())
}

/// Reads `bytes` as each of the sections of a sidecar, as its header, and as a frame of a payload.
pub fn read_sections(bytes: &[u8]) {
    let _ = Header::decode(bytes);
    if let Some(summaries) = Summaries::decode(&mut Fields::new(bytes)) {
        let encode = |summaries: &Summaries| {
            let mut out = Vec::new();
            summaries.encode(&mut out);
            out
        };
        let encoded = encode(&summaries);
        let again = Summaries::decode(&mut Fields::new(&encoded)).expect("it was written");
        assert_eq!(encode(&again), encoded);
    }
    if let Some(keys) = Keys::decode(bytes) {
        keys.any_in_list();
        let mut sum = keys.clone();
        sum.add(&keys);
        assert_eq!(Keys::decode(&keys.encode()), Some(keys));
    }
    if let Some(received) = ReceivedTable::decode(bytes) {
        received.at(1);
        let again = ReceivedTable::decode(&received.encode());
        assert_eq!(again, Some(received));
    }
    if let Some(directory) = FilterDirectory::decode(bytes) {
        let again = FilterDirectory::decode(&directory.encode());
        assert_eq!(again, Some(directory));
    }
    if let Some(ranges) = time_ranges::decode(bytes) {
        let again = time_ranges::decode(&time_ranges::encode(&ranges));
        assert_eq!(again, Some(ranges));
    }
    let _ = DigestContent::decode(bytes);
    let rollup = BlockRollup::decode(bytes, 3).flatten();
    for step in rollup.iter().flat_map(BlockRollup::steps) {
        step.each_entry(|_, durations| {
            let p95 = durations.quantile_nano(0.95);
            assert!(p95.is_none_or(|p95| p95 <= durations.max_nano()));
        });
    }
    if let (Some(resources), Some(scopes)) = (decode_resources(bytes), decode_scopes(bytes)) {
        read_tables(&Tables::new(resources, scopes, ReceivedTable::default()));
    } else if let Some(resources) = decode_resources(bytes) {
        let received = ReceivedTable::default();
        read_tables(&Tables::new(resources, Vec::new(), received));
    } else if let Some(scopes) = decode_scopes(bytes) {
        read_tables(&Tables::new(Vec::new(), scopes, ReceivedTable::default()));
    }
    let mut page = bytes.to_vec();
    page.put_u32(crc32c::crc32c(bytes));
    for page in [bytes, &page] {
        decode_page(page);
        rows_in_page_v1(page, TraceId::from_bytes([1; 16]));
    }
    decode_filter(bytes);
    if let Some(table) = FrameTable::decode(bytes) {
        assert_eq!(FrameTable::decode(&table.encode()), Some(table));
    }
    if let Some(runs) = ChunkRuns::decode(bytes) {
        assert_eq!(ChunkRuns::decode(&runs.encode()), Some(runs));
    }
    for chunks in [1, 3] {
        FrameChunks::decode(bytes, chunks);
    }
}

fn read_tables(tables: &Tables) {
    let mut builder = TablesBuilder::default();
    builder.add(tables);
    let (resources, scopes) = builder.encode();
    let again = Tables::new(
        decode_resources(&resources).expect("it was written"),
        decode_scopes(&scopes).expect("it was written"),
        ReceivedTable::default(),
    );
    let mut builder = TablesBuilder::default();
    builder.add(&again);
    assert_eq!(builder.encode(), (resources, scopes));
}

/// The files of a block; its payload is empty if it has none.
#[derive(Debug, Clone, Copy)]
pub struct BlockBytes<'a> {
    /// The index.
    pub index: &'a [u8],
    /// The file of rows.
    pub data: &'a [u8],
    /// The file of large values.
    pub payload: &'a [u8],
}

/// Reads a block of `rows` rows in every way; its files are written to `dir`. Returns the number of
/// spans that were read.
///
/// # Errors
/// It is damaged. Not everything is read then.
pub fn read_block(dir: &Path, files: &BlockBytes<'_>, rows: u64) -> Result<u64, OpenError> {
    read_block_of(dir, files, rows).inspect_err(expect_damage)
}

/// Where a block is written again, of which the files are in `dir`.
fn target_in(dir: &Path, id: BlockId) -> BlockTarget {
    fs::create_dir_all(dir).expect("the scratch folder can be written to");
    BlockTarget {
        disk: Arc::new(UnsyncedDisk),
        dir: dir.to_owned(),
        id,
        row_group_rows: 2,
        compression_level: 1,
        digester: None,
    }
}

/// Opens a block of `rows` rows, whose files are written to `dir`.
fn open_block(dir: &Path, files: &BlockBytes<'_>, rows: u64) -> Result<Arc<Block>, OpenError> {
    let BlockBytes {
        index,
        data,
        payload,
    } = *files;
    let id = BlockId {
        first_seq: 1,
        end_seq: 1 + rows,
    };
    write(&data_path(dir, id), data);
    write(&index_path(dir, id), index);
    write(&payload_path(dir, id), payload);
    let record = BlockRecord {
        id,
        rows,
        first_start_unix_nano: 0,
        last_start_unix_nano: u64::MAX,
        first_end_unix_nano: 0,
        last_end_unix_nano: u64::MAX,
        data_bytes: data.len() as u64,
        index_bytes: index.len() as u64,
        payload_bytes: payload.len() as u64,
    };
    let block = Block::open(
        Arc::new(UnsyncedDisk),
        dir.to_owned(),
        record,
        Arc::<BlockCaches>::default().for_block(),
    )?;
    Ok(Arc::new(block))
}

/// The first error of these. One that fails must not hide the others.
fn all_of<const N: usize>(read: [Result<(), OpenError>; N]) -> Result<(), OpenError> {
    read.iter()
        .filter_map(|read| read.as_ref().err())
        .for_each(expect_damage);
    read.into_iter().collect()
}

fn read_block_of(dir: &Path, files: &BlockBytes<'_>, rows: u64) -> Result<u64, OpenError> {
    let block = open_block(dir, files, rows)?;
    all_of([
        read_index(&block),
        read_traces(&block, [TraceId::from_bytes([1; 16])]),
        search(&block, &ScanRequest::default()).map(drop),
        search(&block, &demanding_request()).map(drop),
        add_to(&block, &SPAN_SCHEMA),
        roll_up(&block),
    ])?;
    let found = search(&block, &ScanRequest::default())?;
    read_traces(&block, found.iter().map(|(trace_id, _)| *trace_id))?;
    Ok(found.len() as u64)
}

/// Plans another block of this kind, into which this one goes.
fn add_to(block: &Block, kind: &RowSchema) -> Result<(), OpenError> {
    let mut planner = Planner::default();
    block.add_to(&mut planner, kind, &BlockRows::all(block).rows)?;
    planner.finish();
    Ok(())
}

fn read_index(block: &Block) -> Result<(), OpenError> {
    for service in block.summaries().services() {
        block.summaries().operations(&service.name);
    }
    let mut merged = Summaries::default();
    merged.merge(block.summaries());
    merged.merge(block.summaries());
    block.index().tables()?;
    for key in block
        .index()
        .keys()
        .into_iter()
        .flat_map(|keys| keys.keys.keys())
    {
        for stripe in [0, 1] {
            block.index().value_filter(key, stripe)?;
        }
    }
    Ok(())
}

fn read_traces(block: &Block, traces: impl IntoIterator<Item = TraceId>) -> Result<(), OpenError> {
    let traces: HashSet<TraceId> = traces.into_iter().collect();
    for trace_id in traces {
        for parts in [SpanParts::ALL, SpanParts::NONE] {
            let mut records = Vec::new();
            let lookup = TraceLookup { trace_id, parts };
            block.visit_trace::<ReadError>(lookup, &mut |some| {
                records.extend(some);
                Ok(())
            })?;
            assert!(records.iter().all(|it| it.span.trace_id == trace_id));
        }
        block.visit_span(trace_id, SpanId::from_bytes([2; 8]), &mut drop)?;
    }
    Ok(())
}

fn roll_up(block: &Arc<Block>) -> Result<(), OpenError> {
    let sources = Sources::of_blocks(vec![Arc::clone(block)]);
    // All at once, as the rollup says it, and in steps for which spans must be read.
    for step_nano in [None, NonZeroU64::new(1)] {
        let request = RollupRequest {
            step_nano,
            ..RollupRequest::default()
        };
        let rollup = rollup::roll_up(&sources, &request)?;
        expect_whole(&rollup.stats.damaged)?;
    }
    Ok(())
}

fn search(block: &Arc<Block>, request: &ScanRequest) -> Result<Vec<(TraceId, SpanId)>, OpenError> {
    let mut found = Vec::new();
    let sources = Arc::new(Sources::of_blocks(vec![Arc::clone(block)]));
    let stats = walk::scan(&[sources], request, &mut |record| {
        assert!(request.matches(&record));
        found.push((record.span.trace_id, record.span.span_id));
        ControlFlow::Continue(())
    })?;
    expect_whole(&stats.damaged)?;
    Ok(found)
}

/// What was left out of an answer is the error here.
fn expect_whole(damaged: &Damaged) -> Result<(), OpenError> {
    match damaged.first() {
        None => Ok(()),
        Some(damage) => Err(OpenError::Corrupt(damage.clone())),
    }
}

/// Has a condition of every kind, for spans like those of the golden folders.
fn demanding_request() -> ScanRequest {
    let attribute = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    ScanRequest {
        service: Some("trainer".to_owned()),
        names: vec!["batch_processing".to_owned()],
        max_duration_nano: Some(1_000_000_000),
        only_errors: true,
        attributes: vec![
            attribute("int", &i64::MIN.to_string()),
            attribute("string", "Größe"),
            attribute("bool", "true"),
        ],
        text: Some("größe".to_owned()),
        newest_first: false,
        ..ScanRequest::default()
    }
}

/// Whatever is in a file, the error names the file and is not one of the operating system.
fn expect_damage(error: &OpenError) {
    match error {
        OpenError::Corrupt(damage) => assert!(!damage.reason.is_empty()),
        OpenError::NewerVersion {
            found, supported, ..
        } => assert!(found > supported),
        OpenError::Io { .. } | OpenError::Locked { .. } | OpenError::NoStore { .. } => {
            panic!("{error}")
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("the scratch folder can be written to");
}
