//! What is stored: a batch as it comes in, and the record that each of its spans becomes.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Value,
};
use lumitrace_wire::DecodedTraces;
use lumitrace_wire::otlp::protobuf;

/// The spans of one request, together with the bytes that the log keeps of it.
#[derive(Debug, Clone, Default)]
pub struct SpanBatch {
    /// The spans, by resource and scope. Spans without a valid trace and span id are not stored.
    pub resource_spans: Vec<ResourceSpans>,
    /// The same spans as an OTLP `ExportTraceServiceRequest` in protobuf.
    pub payload: Bytes,
}

impl SpanBatch {
    /// The batch of a request that came as OTLP protobuf: `decoded` must be what
    /// `lumitrace_wire::otlp::protobuf::decode_traces` made of `payload`.
    pub fn from_payload(payload: Bytes, decoded: DecodedTraces) -> Self {
        Self {
            resource_spans: decoded.resource_spans,
            payload,
        }
    }

    /// The batch of spans that came in another form; encodes them for the log.
    pub fn from_resource_spans(resource_spans: Vec<ResourceSpans>) -> Self {
        let payload = protobuf::encode_traces(&resource_spans).into();
        Self {
            resource_spans,
            payload,
        }
    }

    /// How many spans it holds.
    pub fn span_count(&self) -> usize {
        self.resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .map(|scope| scope.spans.len())
            .sum()
    }
}

/// A stored span with everything that it was sent with.
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
}

/// The records that a batch becomes, in its order; `seq` is given to them when they are logged.
pub(crate) fn into_records(
    resource_spans: Vec<ResourceSpans>,
    received_unix_nano: u64,
) -> Vec<SpanRecord> {
    let mut records = Vec::new();
    for ResourceSpans {
        resource,
        schema_url: resource_schema_url,
        scope_spans,
    } in resource_spans
    {
        let (resource, resource_schema_url) = (Arc::new(resource), resource_schema_url.into());
        for ScopeSpans {
            scope,
            schema_url: scope_schema_url,
            spans,
        } in scope_spans
        {
            let (scope, scope_schema_url) = (Arc::new(scope), scope_schema_url.into());
            let valid = |span: &Span| span.trace_id.is_valid() && span.span_id.is_valid();
            records.extend(spans.into_iter().filter(valid).map(|span| SpanRecord {
                span,
                resource: Arc::clone(&resource),
                resource_schema_url: Arc::clone(&resource_schema_url),
                scope: Arc::clone(&scope),
                scope_schema_url: Arc::clone(&scope_schema_url),
                seq: 0,
                received_unix_nano,
            }));
        }
    }
    records
}

/// Gives the records their places in the store's order, beginning with `first_seq`.
pub(crate) fn number(records: Vec<SpanRecord>, first_seq: u64) -> Vec<Arc<SpanRecord>> {
    let numbered = records
        .into_iter()
        .zip(first_seq..)
        .map(|(record, seq)| SpanRecord { seq, ..record });
    numbered.map(Arc::new).collect()
}

/// Counts the memory of a batch's records, in bytes; about. What they share is charged once, to
/// the first of them that is counted.
#[derive(Debug, Default)]
pub(crate) struct BatchMeter<'a> {
    resource: Option<&'a Arc<Resource>>,
    scope: Option<&'a Arc<Scope>>,
}

impl<'a> BatchMeter<'a> {
    /// What `record` adds to the records that were counted before it.
    pub(crate) fn bytes(&mut self, record: &'a SpanRecord) -> usize {
        let mut bytes = memory_bytes(record);
        if !is_same(self.resource.replace(&record.resource), &record.resource) {
            bytes += size_of::<Resource>()
                + record.resource_schema_url.len()
                + attributes_bytes(&record.resource.attributes);
        }
        if !is_same(self.scope.replace(&record.scope), &record.scope) {
            let scope = &record.scope;
            bytes += size_of::<Scope>()
                + record.scope_schema_url.len()
                + scope.name.len()
                + scope.version.len()
                + attributes_bytes(&scope.attributes);
        }
        bytes
    }
}

/// The records of a resource or scope follow each other, so that looking at the last one is enough.
fn is_same<T>(last: Option<&Arc<T>>, own: &Arc<T>) -> bool {
    last.is_some_and(|last| Arc::ptr_eq(last, own))
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

fn attributes_bytes(attributes: &[KeyValue]) -> usize {
    let attribute_bytes = |attribute: &KeyValue| {
        size_of::<KeyValue>() + attribute.key.len() + value_bytes(&attribute.value)
    };
    attributes.iter().map(attribute_bytes).sum()
}

fn value_bytes(value: &Value) -> usize {
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

    use lumitrace_model::{SpanId, TraceId};

    use super::*;

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
        into_records(resource_spans(vec![span(trace, span_id)]), 7).remove(0)
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
        SpanBatch::from_resource_spans(resource_spans(spans))
    }
}
