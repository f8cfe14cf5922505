//! What is stored: a batch as it comes in, and a span with all that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{Event, KeyValue, Link, Resource, ResourceSpans, Scope, Span, Value};
use lumitrace_wire::otlp::protobuf::{self, TracesIndex};
use lumitrace_wire::{DecodeError, DecodeLimits};

use crate::retries::RetryKey;

/// The spans of one request, as the bytes in which the log and the memtable keep them.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use lumitrace_store::SpanBatch;
///
/// # let resource_spans = example::spans();
/// let batch = SpanBatch::from_resource_spans(&resource_spans)?;
/// assert_eq!((batch.span_count(), batch.rejected()), (2, (0, None)));
/// assert!(batch.memory_bytes() > batch.payload_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SpanBatch {
    pub(crate) payload: Bytes,
    pub(crate) index: TracesIndex,
    pub(crate) retry_key: Option<RetryKey>,
}

impl SpanBatch {
    /// The batch of a request that came as an OTLP `ExportTraceServiceRequest` in protobuf. Checks
    /// all of it, and builds nothing.
    ///
    /// ```
    /// use lumitrace_store::SpanBatch;
    /// let batch = SpanBatch::from_payload(Default::default(), &Default::default())?;
    /// assert_eq!(batch.span_count(), 0);
    /// # Ok::<(), lumitrace_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// See [`protobuf::index_traces`].
    pub fn from_payload(payload: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let limits = DecodeLimits {
            // What cannot be read back must not be logged.
            max_depth: limits.max_depth.min(DecodeLimits::own_data().max_depth),
            ..*limits
        };
        let index = protobuf::index_traces(&payload, &limits)?;
        Ok(Self {
            payload,
            index,
            retry_key: None,
        })
    }

    /// The batch of spans that came in another form; encodes them.
    ///
    /// ```
    /// use lumitrace_model::{ResourceSpans, ScopeSpans, Span, SpanId, TraceId};
    /// use lumitrace_store::SpanBatch;
    ///
    /// let span = Span {
    ///     trace_id: TraceId::from_bytes([1; 16]),
    ///     span_id: SpanId::from_bytes([1; 8]),
    ///     name: "batch_processing".into(),
    ///     ..Span::default()
    /// };
    /// let scope_spans = vec![ScopeSpans { spans: vec![span], ..Default::default() }];
    /// let batch = SpanBatch::from_resource_spans(&[ResourceSpans { scope_spans, ..Default::default() }])?;
    /// assert_eq!(batch.span_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// They take 4 GiB or more, or nest deeper than anything that is read back.
    pub fn from_resource_spans(resource_spans: &[ResourceSpans]) -> Result<Self, DecodeError> {
        let payload = Bytes::from(protobuf::encode_traces(resource_spans));
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    /// The same batch, which is not stored again if it comes again with the same bytes. Announcements of
    /// spans are: after another one, the same as before is news.
    pub(crate) fn recognisable(self) -> Self {
        let announces = self.index.spans.iter().any(|span| span.pending);
        Self {
            retry_key: (!announces).then(|| RetryKey::of(&self.payload)),
            ..self
        }
    }

    /// How many spans it holds. Those without a valid trace and span id do not count.
    pub fn span_count(&self) -> usize {
        self.index.spans.len()
    }

    /// How many spans it leaves out because their trace or span id is invalid, and why.
    ///
    /// ```
    /// use lumitrace_model::{ResourceSpans, ScopeSpans, Span};
    /// use lumitrace_store::SpanBatch;
    ///
    /// let without_ids = vec![ScopeSpans { spans: vec![Span::default()], ..Default::default() }];
    /// let group = ResourceSpans { scope_spans: without_ids, ..Default::default() };
    /// let batch = SpanBatch::from_resource_spans(&[group])?;
    /// assert_eq!((batch.span_count(), batch.rejected().0), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rejected(&self) -> (u64, Option<&str>) {
        (self.index.rejected_spans, self.index.rejection.as_deref())
    }

    /// Size of the request, in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.payload.len() + self.index.memory_bytes()
    }
}

/// A stored span with everything that it was sent with.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// # let trace_id = example::trace_id();
/// let record = &store.trace(trace_id)?[0];
/// assert_eq!(record.service_name(), "trainer");
/// assert_eq!((record.span.name.as_ref(), record.seq), ("training_epoch", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRecord {
    /// The span.
    pub span: Span,
    /// Who produced it; shared among the spans of a request.
    pub resource: Arc<Resource>,
    /// Schema of the resource, or empty.
    pub resource_schema_url: Arc<str>,
    /// What recorded it; shared among the spans of a request.
    pub scope: Arc<Scope>,
    /// Schema of the scope and its spans, or empty.
    pub scope_schema_url: Arc<str>,
    /// Its place in the order in which the store received spans; unique within the store.
    pub seq: u64,
    /// When it was received, in nanoseconds since the Unix epoch.
    pub received_unix_nano: u64,
}

impl SpanRecord {
    /// The name of the service that produced it.
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    /// How much memory it takes by itself, without resource and scope, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        memory_bytes(self)
    }
}

/// About how much memory a record takes by itself, in bytes.
pub(crate) fn memory_bytes(record: &SpanRecord) -> usize {
    /// Entries in the memtable's maps, and the allocations' own overhead.
    const OVERHEAD: usize = 160;
    let span = &record.span;
    let events = span
        .events
        .iter()
        .map(|event| size_of::<Event>() + event.name.len() + attributes_bytes(&event.attributes));
    let links = span.links.iter().map(|link| {
        size_of::<Link>() + link.trace_state.len() + attributes_bytes(&link.attributes)
    });
    OVERHEAD
        + size_of::<SpanRecord>()
        + span.name.len()
        + span.trace_state.len()
        + span.status.message.len()
        + attributes_bytes(&span.attributes)
        + events.sum::<usize>()
        + links.sum::<usize>()
}

/// About how much memory attributes take, in bytes.
pub(crate) fn attributes_bytes(attributes: &[KeyValue]) -> usize {
    let attribute_bytes = |attribute: &KeyValue| {
        size_of::<KeyValue>() + attribute.key.len() + value_bytes(&attribute.value)
    };
    attributes.iter().map(attribute_bytes).sum()
}

/// About how much memory a value takes beside itself, in bytes.
pub(crate) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values
            .iter()
            .map(|value| size_of::<Value>() + value_bytes(value))
            .sum(),
        Value::Map(pairs) => attributes_bytes(pairs),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small records for the tests of all modules.

    use lumitrace_model::{ScopeSpans, SpanId, TraceId};

    use super::*;
    use crate::SpanParts;
    use crate::origins::Origins;
    use crate::stored::StoredBatch;

    /// A span of trace `trace` with id `span`, one second long, of service `checkout`.
    pub(crate) fn span(trace: u8, span: u64) -> Span {
        let mut trace_id = [0; 16];
        trace_id[15] = trace;
        Span {
            trace_id: TraceId::from_bytes(trace_id),
            span_id: SpanId::from_bytes(span.to_be_bytes()),
            name: "batch_processing".into(),
            start_unix_nano: 1_700_000_000_000_000_000 + span * 1_000_000,
            end_unix_nano: 1_700_000_001_000_000_000 + span * 1_000_000,
            ..Span::default()
        }
    }

    pub(crate) fn record(trace: u8, span_id: u64) -> SpanRecord {
        let stored = stored(vec![span(trace, span_id)], 0);
        stored.span(0).record(SpanParts::ALL)
    }

    /// The spans as the store keeps them, numbered from `first_seq`, received at 7.
    pub(crate) fn stored(spans: Vec<Span>, first_seq: u64) -> Arc<StoredBatch> {
        let mut origins = Origins::default();
        Arc::new(StoredBatch::new(batch(spans), first_seq, 7, &mut origins))
    }

    pub(crate) fn resource_spans(spans: Vec<Span>) -> Vec<ResourceSpans> {
        let resource = Resource {
            attributes: vec![KeyValue::new("service.name", "checkout")],
            ..Resource::default()
        };
        vec![ResourceSpans {
            resource,
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }]
    }

    pub(crate) fn batch(spans: Vec<Span>) -> SpanBatch {
        SpanBatch::from_resource_spans(&resource_spans(spans)).unwrap()
    }
}
