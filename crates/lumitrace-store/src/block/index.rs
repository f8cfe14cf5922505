//! The sidecar of a block: where each trace's rows are, what the block holds in short, the
//! resources and scopes of its spans, and the checksums of its data.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lumitrace_model::{Resource, Scope, TraceId};
use lumitrace_wire::otlp::protobuf;

use super::attributes::STORED_LIMITS;
use crate::SpanRecord;
use crate::binary::{Fields, PutFields};
use crate::error::{Corruption, OpenError, ReadError, io_error, read_error};
use crate::summary::Summaries;

const MAGIC: &[u8; 8] = b"LUMITIDX";
/// Newest version of sidecars, and with them of blocks, that this release writes and reads.
const VERSION: u32 = 1;
const SECTIONS: usize = 6;
const SECTION_ENTRY_BYTES: usize = 20;
const HEADER_BYTES: usize = 12 + SECTIONS * SECTION_ENTRY_BYTES + 4;

const SUMMARY: usize = 0;
const CHECKSUMS: usize = 1;
const FENCES: usize = 2;
const TRACES: usize = 3;
const RESOURCES: usize = 4;
const SCOPES: usize = 5;

/// A page of the trace table is read and checked as a whole.
const PAGE_BYTES: usize = 4096;
const PAGE_ENTRIES: usize = (PAGE_BYTES - 8) / ENTRY_BYTES;
const ENTRY_BYTES: usize = 24;

/// A resource, as the spans of a block share it.
#[derive(Debug, Clone)]
pub(crate) struct StoredResource {
    pub(crate) resource: Arc<Resource>,
    pub(crate) schema_url: Arc<str>,
}

/// A scope, as the spans of a block share it.
#[derive(Debug, Clone)]
pub(crate) struct StoredScope {
    pub(crate) scope: Arc<Scope>,
    pub(crate) schema_url: Arc<str>,
}

/// A block's resources by their number.
pub(crate) type Resources = [StoredResource];
/// A block's scopes by their number.
pub(crate) type Scopes = [StoredScope];

/// Rows of one trace that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TraceRows {
    pub(crate) trace_id: TraceId,
    pub(crate) first_row: u32,
    pub(crate) row_count: u32,
}

/// Everything that a sidecar holds, for writing it.
#[derive(Debug, Default)]
pub(crate) struct IndexContent {
    pub(crate) summaries: Summaries,
    pub(crate) checksums: Vec<u32>,
    pub(crate) traces: Vec<TraceRows>,
    /// As [`encode_resource`] makes them.
    pub(crate) resources: Vec<Vec<u8>>,
    /// As [`encode_scope`] makes them.
    pub(crate) scopes: Vec<Vec<u8>>,
}

impl IndexContent {
    /// The bytes of the sidecar.
    pub(crate) fn encode(mut self) -> Vec<u8> {
        self.traces.sort_unstable();
        let mut summary = Vec::new();
        self.summaries.encode(&mut summary);
        let mut checksums = Vec::new();
        self.checksums
            .iter()
            .for_each(|crc| checksums.put_u32(*crc));
        let pages = self.traces.chunks(PAGE_ENTRIES);
        let fences = pages
            .clone()
            .flat_map(|page| page[0].trace_id.to_bytes())
            .collect();
        let traces = pages.flat_map(encode_page).collect();
        let sections: [Vec<u8>; SECTIONS] = [
            summary,
            checksums,
            fences,
            traces,
            encode_table(&self.resources),
            encode_table(&self.scopes),
        ];

        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.put_u32(VERSION);
        let mut offset = HEADER_BYTES as u64;
        for (number, section) in sections.iter().enumerate() {
            out.put_u64(offset);
            out.put_u64(section.len() as u64);
            // The pages of the trace table have their own.
            out.put_u32(if number == TRACES {
                0
            } else {
                crc32c::crc32c(section)
            });
            offset += section.len() as u64;
        }
        out.put_u32(crc32c::crc32c(&out));
        sections
            .iter()
            .for_each(|section| out.extend_from_slice(section));
        out
    }
}

fn encode_page(rows: &[TraceRows]) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_BYTES);
    page.put_u32(rows.len() as u32);
    for entry in rows {
        page.extend_from_slice(entry.trace_id.as_bytes());
        page.put_u32(entry.first_row);
        page.put_u32(entry.row_count);
    }
    page.resize(PAGE_BYTES - 4, 0);
    page.put_u32(crc32c::crc32c(&page));
    page
}

fn decode_page(page: &[u8]) -> Option<Vec<TraceRows>> {
    let (body, crc) = page.split_at_checked(PAGE_BYTES - 4)?;
    if crc != crc32c::crc32c(body).to_le_bytes() {
        return None;
    }
    let mut fields = Fields::new(body);
    let count = fields.u32()?;
    let mut entry = || {
        let trace_id = TraceId::from_bytes(fields.take(16)?.try_into().ok()?);
        Some(TraceRows {
            trace_id,
            first_row: fields.u32()?,
            row_count: fields.u32()?,
        })
    };
    (0..count).map(|_| entry()).collect()
}

fn encode_table(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(entries.len() as u32);
    entries.iter().for_each(|entry| out.put_bytes(entry));
    out
}

fn decode_table<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Option<Arc<[T]>> {
    let mut fields = Fields::new(bytes);
    (0..fields.u32()?)
        .map(|_| decode(fields.bytes()?))
        .collect()
}

/// The resource of `record` as a sidecar keeps it.
pub(crate) fn encode_resource(record: &SpanRecord) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_bytes(record.resource_schema_url.as_bytes());
    out.put_u32(record.resource.dropped_attributes_count);
    out.put_bytes(&protobuf::encode_attributes(&record.resource.attributes));
    out
}

fn decode_resource(bytes: &[u8]) -> Option<StoredResource> {
    let mut fields = Fields::new(bytes);
    let schema_url = fields.text()?.into();
    let dropped_attributes_count = fields.u32()?;
    let attributes = protobuf::decode_attributes(fields.bytes()?, &STORED_LIMITS).ok()?;
    let resource = Arc::new(Resource {
        attributes,
        dropped_attributes_count,
    });
    Some(StoredResource {
        resource,
        schema_url,
    })
}

/// The scope of `record` as a sidecar keeps it.
pub(crate) fn encode_scope(record: &SpanRecord) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_bytes(record.scope_schema_url.as_bytes());
    out.put_bytes(record.scope.name.as_bytes());
    out.put_bytes(record.scope.version.as_bytes());
    out.put_u32(record.scope.dropped_attributes_count);
    out.put_bytes(&protobuf::encode_attributes(&record.scope.attributes));
    out
}

fn decode_scope(bytes: &[u8]) -> Option<StoredScope> {
    let mut fields = Fields::new(bytes);
    let schema_url = fields.text()?.into();
    let name = Cow::Owned(fields.text()?.to_owned());
    let version = Cow::Owned(fields.text()?.to_owned());
    let dropped_attributes_count = fields.u32()?;
    let attributes = protobuf::decode_attributes(fields.bytes()?, &STORED_LIMITS).ok()?;
    let scope = Arc::new(Scope {
        name,
        version,
        attributes,
        dropped_attributes_count,
    });
    Some(StoredScope { scope, schema_url })
}

#[derive(Debug, Clone, Copy)]
struct Section {
    offset: u64,
    len: u64,
    crc: u32,
}

/// A sidecar. In memory are its short parts; the trace table is read page by page. The file is
/// opened for each read, which costs little beside it: a store may have more blocks than a process
/// may have open files.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    sections: [Section; SECTIONS],
    summaries: Summaries,
    checksums: Arc<[u32]>,
    /// The first trace of each page of the trace table.
    fences: Vec<TraceId>,
    resources: OnceLock<Arc<Resources>>,
    scopes: OnceLock<Arc<Scopes>>,
}

impl Index {
    pub(crate) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let mut header = vec![0; HEADER_BYTES];
        let sections = match file.read_exact_at(&mut header, 0) {
            Ok(()) => decode_header(&path, &header)?,
            Err(_) => return Err(Corruption::new(&path, 0, "the header is cut short").into()),
        };
        let mut index = Self {
            path,
            sections,
            summaries: Summaries::default(),
            checksums: Arc::default(),
            fences: Vec::new(),
            resources: OnceLock::new(),
            scopes: OnceLock::new(),
        };
        let malformed = |index: &Self, section| OpenError::from(index.malformed(section));
        index.summaries = Summaries::decode(&mut Fields::new(&index.section(SUMMARY)?))
            .ok_or_else(|| malformed(&index, SUMMARY))?;
        let mut checksums = Vec::new();
        let bytes = index.section(CHECKSUMS)?;
        let mut fields = Fields::new(&bytes);
        checksums.extend(std::iter::from_fn(|| fields.u32()));
        index.checksums = checksums.into();
        let fences = index.section(FENCES)?;
        let ids = fences.chunks_exact(16).filter_map(|id| id.try_into().ok());
        index.fences = ids.map(TraceId::from_bytes).collect();
        Ok(index)
    }

    pub(crate) fn summaries(&self) -> &Summaries {
        &self.summaries
    }

    pub(crate) fn checksums(&self) -> Arc<[u32]> {
        Arc::clone(&self.checksums)
    }

    /// The rows of a trace, ascending.
    pub(crate) fn trace_rows(&self, trace_id: TraceId) -> Result<Vec<Range<usize>>, ReadError> {
        // A trace may begin in the middle of a page and go on over several.
        let first_page = self
            .fences
            .partition_point(|fence| *fence < trace_id)
            .saturating_sub(1);
        let end_page = self.fences.partition_point(|fence| *fence <= trace_id);
        let mut rows = Vec::new();
        for page in first_page..end_page {
            let entries = self.page(page)?;
            let found = entries.iter().filter(|entry| entry.trace_id == trace_id);
            rows.extend(found.map(|entry| {
                let first_row = entry.first_row as usize;
                first_row..first_row + entry.row_count as usize
            }));
        }
        Ok(rows)
    }

    fn page(&self, page: usize) -> Result<Vec<TraceRows>, ReadError> {
        let offset = self.sections[TRACES].offset + (page * PAGE_BYTES) as u64;
        let bytes = self.read(offset, PAGE_BYTES)?;
        decode_page(&bytes).ok_or_else(|| {
            Corruption::new(&self.path, offset, "a page of the trace table is damaged").into()
        })
    }

    pub(crate) fn resources(&self) -> Result<Arc<Resources>, ReadError> {
        self.table(&self.resources, RESOURCES, decode_resource)
    }

    pub(crate) fn scopes(&self) -> Result<Arc<Scopes>, ReadError> {
        self.table(&self.scopes, SCOPES, decode_scope)
    }

    fn table<T>(
        &self,
        cached: &OnceLock<Arc<[T]>>,
        section: usize,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Arc<[T]>, ReadError> {
        if let Some(table) = cached.get() {
            return Ok(Arc::clone(table));
        }
        let bytes = self.section(section)?;
        let table = decode_table(&bytes, decode).ok_or_else(|| self.malformed(section))?;
        Ok(Arc::clone(cached.get_or_init(|| table)))
    }

    fn section(&self, number: usize) -> Result<Vec<u8>, ReadError> {
        let section = self.sections[number];
        let bytes = self.read(section.offset, section.len as usize)?;
        if crc32c::crc32c(&bytes) != section.crc {
            let reason = "a section's checksum does not fit";
            return Err(Corruption::new(&self.path, section.offset, reason).into());
        }
        Ok(bytes)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let file = File::open(&self.path).map_err(read_error(&self.path))?;
        let file_len = file.metadata().map_err(read_error(&self.path))?.len();
        if offset.saturating_add(len as u64) > file_len {
            return Err(Corruption::new(&self.path, offset, "the file is cut short").into());
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset)
            .map_err(read_error(&self.path))?;
        Ok(bytes)
    }

    fn malformed(&self, section: usize) -> Corruption {
        let offset = self.sections[section].offset;
        Corruption::new(&self.path, offset, "a section does not hold what it should")
    }
}

fn decode_header(path: &Path, header: &[u8]) -> Result<[Section; SECTIONS], OpenError> {
    let damage = || OpenError::from(Corruption::new(path, 0, "no header of a block's index"));
    let mut fields = Fields::new(header);
    let (magic, version) = (fields.take(8), fields.u32());
    let (Some(magic), Some(version)) = (magic, version) else {
        return Err(damage());
    };
    let crc = crc32c::crc32c(&header[..HEADER_BYTES - 4]).to_le_bytes();
    if magic != MAGIC || header[HEADER_BYTES - 4..] != crc {
        return Err(damage());
    }
    if version > VERSION {
        let (file, found, supported) = (path.to_owned(), version, VERSION);
        return Err(OpenError::NewerVersion {
            file,
            found,
            supported,
        });
    }
    let mut section = || {
        Some(Section {
            offset: fields.u64()?,
            len: fields.u64()?,
            crc: fields.u32()?,
        })
    };
    let mut sections = [Section {
        offset: 0,
        len: 0,
        crc: 0,
    }; SECTIONS];
    for entry in &mut sections {
        *entry = section().ok_or_else(damage)?;
    }
    Ok(sections)
}
