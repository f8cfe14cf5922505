//! Spans that have ended, on their way out: one list of spans and one of their attributes, so that
//! handing on a span moves some of its bytes and allocates nothing. A thread's list becomes a batch as
//! it is, and what is sent is encoded from it.

use std::collections::VecDeque;

use lumitrace_model::KeyValue;
use lumitrace_wire::otlp::protobuf::RequestEncoder;

use crate::exporter::ScopedSpan;
use crate::lane::Lane;
use crate::pipeline::Credit;
use crate::recording::{Recording, SpanRecord};

/// How much a batch holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSize {
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

/// Spans in the order in which they ended.
#[derive(Debug, Default)]
pub(crate) struct EndedSpans {
    spans: Vec<SpanRecord>,
    /// Those of the first span, then those of the second one, and so on.
    attributes: Vec<KeyValue>,
    /// What they are counted with while they wait.
    size_bytes: usize,
}

impl EndedSpans {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Adds the span of a recording, and leaves that empty.
    pub(crate) fn push(
        &mut self,
        recording: &mut Recording,
        end_unix_nano: u64,
        size_bytes: usize,
    ) {
        self.spans.push(std::mem::take(&mut recording.span));
        // After it has moved: see `SpanContext` on what is read right after it was written.
        if let Some(span) = self.spans.last_mut() {
            span.end_unix_nano = end_unix_nano;
            span.attribute_count = recording.attributes.len() as u32;
            // Room is counted in 40 bits, but nobody has a span of 4 GiB.
            span.size_bytes = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        }
        self.attributes.append(&mut recording.attributes);
        recording.keep_little_memory();
        self.size_bytes += size_bytes;
    }

    /// Forgets them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.attributes.clear();
        self.size_bytes = 0;
    }

    /// Whether it is a batch, or more than one.
    pub(crate) fn is_full(&self, size: BatchSize) -> bool {
        self.spans.len() >= size.spans || self.size_bytes >= size.bytes
    }

    fn fits_into(&self, size: BatchSize) -> bool {
        self.spans.len() <= size.spans && self.size_bytes <= size.bytes
    }

    /// Takes all spans of `other`. Both keep their memory.
    fn append(&mut self, other: &mut Self) {
        self.spans.append(&mut other.spans);
        self.attributes.append(&mut other.attributes);
        self.size_bytes += std::mem::take(&mut other.size_bytes);
    }

    /// Takes the first spans of `other`, as many as make a batch, at least one; here are none yet.
    fn take_first(&mut self, other: &mut Self, size: BatchSize) {
        let (mut spans, mut attributes, mut bytes) = (0, 0, 0);
        for span in &other.spans {
            let next_bytes = bytes + span.size_bytes as usize;
            if spans > 0 && (spans == size.spans || next_bytes > size.bytes) {
                break;
            }
            spans += 1;
            attributes += span.attribute_count as usize;
            bytes = next_bytes;
        }
        self.spans.extend(other.spans.drain(..spans));
        self.attributes.extend(other.attributes.drain(..attributes));
        self.size_bytes += bytes;
        other.size_bytes -= bytes.min(other.size_bytes);
    }

    fn iter(&self) -> impl Iterator<Item = (&SpanRecord, &[KeyValue])> {
        let mut rest = self.attributes.as_slice();
        self.spans.iter().map(move |span| {
            let (own, others) = rest.split_at(span.attribute_count as usize);
            rest = others;
            (span, own)
        })
    }

    /// Adds them to a request.
    pub(crate) fn encode(&self, request: &mut RequestEncoder) {
        for (span, attributes) in self.iter() {
            request.span(span.scope(), span.fields(attributes));
        }
    }

    /// Copies of them.
    pub(crate) fn to_spans(&self) -> Vec<ScopedSpan> {
        let copy = |(span, attributes): (&SpanRecord, &[KeyValue])| ScopedSpan {
            scope: span.scope(),
            span: span.to_span(attributes),
        };
        self.iter().map(copy).collect()
    }
}

/// Spans that the worker has collected, oldest first, and memory for those to come.
#[derive(Default)]
pub(crate) struct Backlog {
    lists: VecDeque<EndedSpans>,
    /// Empty ones. There are hardly ever more of them than lanes with spans.
    spares: Vec<EndedSpans>,
    /// Empty, to take lists over with.
    taken: Vec<EndedSpans>,
    spans: usize,
    size_bytes: usize,
}

/// Empty lists whose memory is kept.
const MAX_SPARES: usize = 64;

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.spans
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans == 0
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Takes over what has ended in a lane.
    pub(crate) fn collect(&mut self, lane: &Lane) -> Credit {
        let credit = lane.take_ended(&mut self.taken, &mut self.spares);
        for list in self.taken.drain(..) {
            self.spans += list.len();
            self.size_bytes += list.size_bytes();
            self.lists.push_back(list);
        }
        credit
    }

    /// The next spans, as many as a batch holds at most; at least one if there is any. A list that is a
    /// batch is handed on as it is, smaller ones are put together, and only what is more is divided.
    pub(crate) fn next_batch(&mut self, size: BatchSize) -> EndedSpans {
        let first = self.lists.pop_front_if(|list| list.fits_into(size));
        let mut batch = first.unwrap_or_else(|| self.spares.pop().unwrap_or_default());
        if let Some(list) = self.lists.front_mut().filter(|_| batch.is_empty()) {
            batch.take_first(list, size);
        } else {
            let fits_too = |list: &mut EndedSpans, batch: &EndedSpans| {
                batch.len() + list.len() <= size.spans
                    && batch.size_bytes() + list.size_bytes() <= size.bytes
            };
            while let Some(mut list) = self.lists.pop_front_if(|list| fits_too(list, &batch)) {
                batch.append(&mut list);
                self.keep(list);
            }
        }
        self.spans -= batch.len();
        self.size_bytes -= batch.size_bytes();
        batch
    }

    /// Keeps the memory of a batch that is done with.
    pub(crate) fn keep(&mut self, mut list: EndedSpans) {
        list.clear();
        if self.spares.len() < MAX_SPARES {
            self.spares.push(list);
        }
    }
}
