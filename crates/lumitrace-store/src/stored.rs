//! Spans in memory: the bytes of their request, and where each of them is in it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{Event, KeyValue, Link, Resource, Scope, Span, SpanId, Status, TraceId};
use lumitrace_wire::otlp::protobuf::view::SpanView;
use lumitrace_wire::otlp::protobuf::{self, SpanHead};

use crate::identity::Version;
use crate::origins::Origins;
use crate::places::Records;
use crate::{SpanBatch, SpanParts, SpanRecord};

/// What a record comes from; shared among all that come from the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origin {
    /// Who produced it.
    pub resource: Arc<Resource>,
    /// Schema of the resource, or empty.
    pub resource_schema_url: Arc<str>,
    /// What recorded it.
    pub scope: Arc<Scope>,
    /// Schema of the scope and its spans, or empty.
    pub scope_schema_url: Arc<str>,
}

impl Origin {
    /// The name of the service that produced it.
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }
}

/// The spans of one request that was stored. They are read in place: nothing is built of a span
/// before somebody asks for it.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// let mut subscription = store.subscribe();
/// # let batch = example::batch()?;
/// store.append(batch).wait()?;
/// let stored = subscription.blocking_recv()?;
/// assert_eq!((stored.len(), stored.seqs()), (2, 1..3));
/// assert_eq!(stored.span(0).name(), "training_epoch");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredBatch {
    payload: Bytes,
    heads: Vec<SpanHead>,
    origins: Vec<Arc<Origin>>,
    /// What was built for it of its origins; others are shared with earlier batches.
    origin_bytes: usize,
    first_seq: u64,
    received_unix_nano: u64,
}

impl StoredBatch {
    /// The batch as it is kept once it is logged.
    pub(crate) fn new(
        batch: SpanBatch,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Self {
        let SpanBatch { payload, index, .. } = batch;
        Self {
            origins: origins.all(&index.origins, &payload),
            origin_bytes: origins.take_built_bytes(),
            heads: index.spans,
            payload,
            first_seq,
            received_unix_nano,
        }
    }

    /// How many spans it holds.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Span number `index`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn span(&self, index: usize) -> SpanRef<'_> {
        SpanRef {
            batch: self,
            head: &self.heads[index],
            seq: self.first_seq + index as u64,
        }
    }

    /// All spans, in the order of the request.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = SpanRef<'_>> {
        (0..self.len()).map(|index| self.span(index))
    }

    /// The sequence numbers of its spans.
    pub fn seqs(&self) -> std::ops::Range<u64> {
        self.first_seq..self.first_seq + self.heads.len() as u64
    }

    /// How much memory it takes, in bytes; about.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.payload.len()
            + self.heads.capacity() * size_of::<SpanHead>()
            + self.origins.capacity() * size_of::<Arc<Origin>>()
            + self.origin_bytes
    }
}

impl Records for StoredBatch {
    type Record<'a> = SpanRef<'a>;

    fn record(&self, index: usize) -> SpanRef<'_> {
        self.span(index)
    }
}

/// A span of a [`StoredBatch`].
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::SpanParts;
///
/// let mut subscription = store.subscribe();
/// # let batch = example::batch()?;
/// store.append(batch).wait()?;
/// for span in subscription.blocking_recv()?.spans() {
///     assert_eq!(span.origin().service_name(), "trainer");
///     let record = span.record(SpanParts::ALL); // one of its own
///     assert_eq!((record.seq, record.span.span_id), (span.seq(), span.span_id()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SpanRef<'a> {
    batch: &'a StoredBatch,
    head: &'a SpanHead,
    seq: u64,
}

impl<'a> SpanRef<'a> {
    /// Its ids, times, kind and status.
    pub fn head(self) -> &'a SpanHead {
        self.head
    }

    /// Its name.
    pub fn name(self) -> &'a str {
        self.head.name(&self.batch.payload)
    }

    /// The trace that it belongs to.
    pub fn trace_id(self) -> TraceId {
        self.head.trace_id
    }

    /// Its id within the trace.
    pub fn span_id(self) -> SpanId {
        self.head.span_id
    }

    /// Where it comes from.
    pub fn origin(self) -> &'a Arc<Origin> {
        &self.batch.origins[self.head.origin as usize]
    }

    /// Its place in the order in which the store received spans.
    pub fn seq(self) -> u64 {
        self.seq
    }

    /// When it was received, in nanoseconds since the Unix epoch.
    pub fn received_unix_nano(self) -> u64 {
        self.batch.received_unix_nano
    }

    /// The rest of it, read in place.
    pub fn view(self) -> SpanView<'a> {
        SpanView::new(self.head.message(&self.batch.payload))
    }

    /// Which of several records of the same span this is.
    pub(crate) fn version(self) -> Version {
        Version {
            pending: self.head.pending,
            seq: self.seq,
        }
    }

    /// These parts of it as a record of its own.
    pub fn record(self, parts: SpanParts) -> SpanRecord {
        let origin = self.origin();
        SpanRecord {
            span: self.decode(parts),
            resource: Arc::clone(&origin.resource),
            resource_schema_url: Arc::clone(&origin.resource_schema_url),
            scope: Arc::clone(&origin.scope),
            scope_schema_url: Arc::clone(&origin.scope_schema_url),
            seq: self.seq,
            received_unix_nano: self.batch.received_unix_nano,
        }
    }

    fn decode(self, parts: SpanParts) -> Span {
        let (head, view) = (self.head, self.view());
        let mut span = Span {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_span_id: head.parent_span_id,
            trace_state: view.trace_state.to_owned().into(),
            flags: view.flags,
            name: self.name().to_owned().into(),
            kind: head.kind,
            start_unix_nano: head.start_unix_nano,
            end_unix_nano: head.end_unix_nano,
            dropped_attributes_count: view.dropped_attributes_count,
            dropped_events_count: view.dropped_events_count,
            dropped_links_count: view.dropped_links_count,
            status: Status {
                code: head.status_code,
                message: view.status_message.to_owned().into(),
            },
            pending: head.pending,
            ..Span::default()
        };
        if parts.attributes {
            span.attributes = view.attributes().map(KeyValue::from).collect();
        }
        if parts.events {
            let event = |event: protobuf::view::EventView<'_>| Event {
                time_unix_nano: event.time_unix_nano,
                name: event.name.to_owned().into(),
                attributes: event.attributes().to_vec(),
                dropped_attributes_count: event.dropped_attributes_count,
            };
            span.events = view.events().map(event).collect();
        }
        if parts.links {
            let link = |link: protobuf::view::LinkView<'_>| Link {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: link.trace_state.to_owned().into(),
                attributes: link.attributes().to_vec(),
                dropped_attributes_count: link.dropped_attributes_count,
                flags: link.flags,
            };
            span.links = view.links().map(link).collect();
        }
        span
    }
}
