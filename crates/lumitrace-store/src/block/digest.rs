//! The digest of a block while it is made, and the section of the sidecar that has it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::payload::{ChunkRuns, ContentHash, PayloadWriter, StoredValue};
use crate::SpanRecord;
use crate::binary::{Fields, PutFields};
use crate::digest::{BlockDigester, SpanDigester};
use crate::summary::Summaries;

/// What the sidecar says of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DigestContent {
    /// Of the digester.
    pub(crate) format: u64,
    /// Whose spans are in it.
    pub(crate) services: Vec<String>,
    /// What the digester has to say; empty if there are no services.
    pub(crate) bytes: Vec<u8>,
    /// What is longer, in the payload file.
    pub(crate) parts: Vec<StoredValue>,
}

impl DigestContent {
    /// Writes the section of the sidecar.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.format);
        out.put_varint(self.services.len() as u64);
        for service in &self.services {
            out.put_bytes(service.as_bytes());
        }
        out.put_bytes(&self.bytes);
        out.put_varint(self.parts.len() as u64);
        for part in &self.parts {
            out.put_varint(part.bytes);
            out.extend_from_slice(&part.hash.0);
            out.put_bytes(&part.chunks.encode());
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let format = fields.u64()?;
        let mut services = Vec::new();
        for _ in 0..fields.varint()? {
            services.push(fields.text()?.to_owned());
        }
        let content = fields.bytes()?.to_vec();
        let mut parts = Vec::new();
        for _ in 0..fields.varint()? {
            parts.push(StoredValue {
                bytes: fields.varint()?,
                hash: ContentHash(fields.take(ContentHash::BYTES)?.try_into().ok()?),
                chunks: ChunkRuns::decode(fields.bytes()?)?,
            });
        }
        let digest = Self {
            format,
            services,
            bytes: content,
            parts,
        };
        fields.is_empty().then_some(digest)
    }
}

/// Where a digester puts what is long.
pub struct DigestParts<'a> {
    payload: &'a mut PayloadWriter,
    parts: &'a mut Vec<StoredValue>,
}

impl DigestParts<'_> {
    /// Writes a part, and returns its number: that of the first is zero.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<u32> {
        let number = self.parts.len() as u32;
        self.parts.push(self.payload.add(bytes)?);
        Ok(number)
    }
}

/// Has the digest of a block made while it is written.
pub(crate) struct DigestWriter {
    format: u64,
    services: HashSet<String>,
    /// None if there is nothing to digest.
    digester: Option<Box<dyn BlockDigester>>,
    parts: Vec<StoredValue>,
}

impl DigestWriter {
    /// For a block with spans of these operations.
    pub(crate) fn new(digester: &Arc<dyn SpanDigester>, summaries: &[&Summaries]) -> Self {
        let named = summaries
            .iter()
            .flat_map(|it| it.services_with(|name| digester.concerns(name)));
        let services: HashSet<String> = named.map(str::to_owned).collect();
        Self {
            format: digester.format(),
            digester: (!services.is_empty()).then(|| digester.begin()),
            services,
            parts: Vec::new(),
        }
    }

    /// Whether spans of this service are to be [added](Self::add).
    pub(crate) fn wants(&self, service: &str) -> bool {
        self.services.contains(service)
    }

    pub(crate) fn add(
        &mut self,
        row: u64,
        record: &SpanRecord,
        payload: &mut PayloadWriter,
    ) -> io::Result<()> {
        let parts = &mut self.parts;
        match &mut self.digester {
            Some(digester) => digester.add(row, record, &mut DigestParts { payload, parts }),
            None => Ok(()),
        }
    }

    pub(crate) fn finish(mut self, payload: &mut PayloadWriter) -> io::Result<DigestContent> {
        let parts = &mut self.parts;
        let bytes = match self.digester {
            Some(digester) => digester.finish(&mut DigestParts { payload, parts })?,
            None => Vec::new(),
        };
        let mut services: Vec<String> = self.services.into_iter().collect();
        services.sort_unstable();
        Ok(DigestContent {
            format: self.format,
            services,
            bytes,
            parts: self.parts,
        })
    }
}
