//! What is stored: a batch as it comes in, and the record that each of its spans becomes.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{Resource, ResourceSpans, Scope, Span, Text};
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
        Self { resource_spans: decoded.resource_spans, payload }
    }

    /// The batch of spans that came in another form; encodes them for the log.
    pub fn from_resource_spans(resource_spans: Vec<ResourceSpans>) -> Self {
        let payload = protobuf::encode_traces(&resource_spans).into();
        Self { resource_spans, payload }
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
    pub resource_schema_url: Text,
    /// What recorded it; shared among the spans of a request.
    pub scope: Arc<Scope>,
    /// Schema of the scope and its spans, or empty.
    pub scope_schema_url: Text,
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
