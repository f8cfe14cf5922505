//! Spans that have ended, on their way out: one list of spans and one of their attributes, so that
//! handing on a span moves some of its bytes and allocates nothing. A thread's list becomes a batch as
//! it is, and what is sent is encoded from it.

use std::collections::VecDeque;

use lumitrace_model::{KeyValue, Scope, Span, SpanKind, Status, Text};
use lumitrace_wire::otlp::protobuf::{RequestEncoder, SpanFields};

use crate::SpanContext;
use crate::exporter::ScopedSpan;
use crate::recording::{Details, Parent, Recording, otlp_flags};
use crate::tracer::Instrumentation;

/// Spans in the order in which they ended.
#[derive(Debug, Default)]
pub(crate) struct EndedSpans {
    spans: Vec<EndedSpan>,
    /// Those of the first span, then those of the second one, and so on.
    attributes: Vec<KeyValue>,
    /// What they are counted with while they wait.
    size_bytes: usize,
}

/// A span that has ended, but for its attributes.
#[derive(Debug)]
struct EndedSpan {
    context: SpanContext,
    instrumentation: &'static Instrumentation,
    name: Text,
    kind: SpanKind,
    parent: Option<Parent>,
    start_unix_nano: u64,
    end_unix_nano: u64,
    attribute_count: u32,
    dropped_attributes_count: u32,
    size_bytes: u32,
    details: Option<Box<Details>>,
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
        let Some(instrumentation) = recording.instrumentation else {
            return;
        };
        self.spans.push(EndedSpan {
            context: std::mem::take(&mut recording.context),
            instrumentation,
            name: std::mem::take(&mut recording.name),
            kind: recording.kind,
            parent: recording.parent,
            start_unix_nano: recording.start_unix_nano,
            end_unix_nano,
            attribute_count: recording.attributes.len() as u32,
            dropped_attributes_count: recording.dropped_attributes_count,
            // Room is counted in 40 bits, but nobody has a span of 4 GiB.
            size_bytes: u32::try_from(size_bytes).unwrap_or(u32::MAX),
            details: recording.details.take(),
        });
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

    /// Takes the first ones of `other`, as far as they are within these limits together with what is
    /// here; at least one if nothing is. Both keep their memory.
    fn fill_from(&mut self, other: &mut Self, max_spans: usize, max_bytes: usize) {
        let (mut spans, mut attributes, mut bytes) = (0, 0, 0);
        for span in &other.spans {
            let next_bytes = bytes + span.size_bytes as usize;
            let is_full =
                self.spans.len() + spans == max_spans || self.size_bytes + next_bytes > max_bytes;
            if is_full && self.spans.len() + spans > 0 {
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

    fn iter(&self) -> impl Iterator<Item = (&EndedSpan, &[KeyValue])> {
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
        let copy = |(span, attributes): (&EndedSpan, &[KeyValue])| ScopedSpan {
            scope: span.scope(),
            span: span.to_span(attributes),
        };
        self.iter().map(copy).collect()
    }
}

impl EndedSpan {
    fn scope(&self) -> &'static Scope {
        &self.instrumentation.scope
    }

    fn fields<'a>(&'a self, attributes: &'a [KeyValue]) -> SpanFields<'a> {
        static OK: Status = Status {
            code: lumitrace_model::StatusCode::Unset,
            message: Text::Borrowed(""),
        };
        let details = self.details.as_deref();
        SpanFields {
            trace_id: self.context.trace_id(),
            span_id: self.context.span_id(),
            parent_span_id: self.parent.map(|parent| parent.span_id),
            trace_state: self.context.trace_state(),
            flags: otlp_flags(&self.context, self.parent),
            name: &self.name,
            kind: self.kind,
            start_unix_nano: self.start_unix_nano,
            end_unix_nano: self.end_unix_nano,
            attributes,
            dropped_attributes_count: self.dropped_attributes_count,
            events: details.map_or(&[][..], |details| &details.events),
            dropped_events_count: details.map_or(0, |details| details.dropped_events_count),
            links: details.map_or(&[][..], |details| &details.links),
            dropped_links_count: details.map_or(0, |details| details.dropped_links_count),
            status: details.map_or(&OK, |details| &details.status),
            pending: false,
        }
    }

    fn to_span(&self, attributes: &[KeyValue]) -> Span {
        let fields = self.fields(attributes);
        Span {
            trace_id: fields.trace_id,
            span_id: fields.span_id,
            parent_span_id: fields.parent_span_id,
            trace_state: fields.trace_state.to_owned().into(),
            flags: fields.flags,
            name: self.name.clone(),
            kind: fields.kind,
            start_unix_nano: fields.start_unix_nano,
            end_unix_nano: fields.end_unix_nano,
            attributes: attributes.to_vec(),
            dropped_attributes_count: fields.dropped_attributes_count,
            events: fields.events.to_vec(),
            dropped_events_count: fields.dropped_events_count,
            links: fields.links.to_vec(),
            dropped_links_count: fields.dropped_links_count,
            status: fields.status.clone(),
            pending: false,
        }
    }
}

/// Spans that the worker has collected, oldest first, and memory for those to come.
#[derive(Default)]
pub(crate) struct Backlog {
    lists: VecDeque<EndedSpans>,
    /// Empty ones. There are hardly ever more of them than lanes with spans.
    spares: Vec<EndedSpans>,
    spans: usize,
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

    /// Adds the list that `take` exchanges for an empty one.
    pub(crate) fn collect(&mut self, take: impl FnOnce(&mut EndedSpans)) {
        let mut list = self.spares.pop().unwrap_or_default();
        take(&mut list);
        if list.is_empty() {
            return self.spares.push(list);
        }
        self.spans += list.len();
        self.lists.push_back(list);
    }

    /// The next spans within these limits, at least one if there is any.
    pub(crate) fn next_batch(&mut self, max_spans: usize, max_bytes: usize) -> EndedSpans {
        let is_whole =
            |list: &mut EndedSpans| list.len() <= max_spans && list.size_bytes() <= max_bytes;
        let first = self.lists.pop_front_if(is_whole);
        let mut batch = first.unwrap_or_else(|| self.spares.pop().unwrap_or_default());
        while let Some(list) = self.lists.front_mut() {
            batch.fill_from(list, max_spans, max_bytes);
            if !list.is_empty() {
                break;
            }
            let emptied = self.lists.pop_front();
            emptied.into_iter().for_each(|list| self.keep(list));
        }
        self.spans -= batch.len();
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
