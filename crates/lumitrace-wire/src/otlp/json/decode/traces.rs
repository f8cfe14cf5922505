//! From JSON text to spans.

use lumitrace_model::{
    Event, Link, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode, TraceId,
};
use serde::{Deserialize, Deserializer};

use super::{KeyValueJson, ResourceJson, ScopeJson, attributes, message, request};
use crate::otlp::json::fields::{self, Enumeration, Text, Uint32, Uint64};
use crate::otlp::json::limited::List;
use crate::otlp::{DecodedTraces, INVALID_IDS, has_valid_ids, take_pending_marker};
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportTraceServiceRequest` in JSON.
///
/// Spans with invalid ids are left out and counted; everything else is kept as it is.
///
/// # Errors
/// The bytes are no JSON object of this form, nest deeper than the limit, or would expand in
/// memory beyond the limit.
pub fn decode_traces(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedTraces, DecodeError> {
    let request: RequestJson = request(bytes, limits)?;
    let mut traces = DecodedTraces::default();
    let groups = request
        .resource_spans
        .map(|group| group.decode(&mut traces));
    traces.resource_spans = groups;
    Ok(traces)
}

message! {
    struct RequestJson { resource_spans: List<ResourceSpansJson>, }
    struct ResourceSpansJson {
        resource: ResourceJson,
        scope_spans: List<ScopeSpansJson>,
        schema_url: Text,
    }
    struct ScopeSpansJson { scope: ScopeJson, spans: List<SpanJson>, schema_url: Text, }
    struct SpanJson {
        trace_id: Text,
        span_id: Text,
        parent_span_id: Text,
        trace_state: Text,
        flags: Uint32,
        name: Text,
        kind: Enumeration<fields::SpanKinds>,
        start_time_unix_nano: Uint64,
        end_time_unix_nano: Uint64,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
        events: List<EventJson>,
        dropped_events_count: Uint32,
        links: List<LinkJson>,
        dropped_links_count: Uint32,
        status: StatusJson,
    }
    struct EventJson {
        time_unix_nano: Uint64,
        name: Text,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
    }
    struct LinkJson {
        trace_id: Text,
        span_id: Text,
        trace_state: Text,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
        flags: Uint32,
    }
    struct StatusJson { message: Text, code: Enumeration<fields::StatusCodes>, }
}

impl ResourceSpansJson {
    fn decode(self, traces: &mut DecodedTraces) -> ResourceSpans {
        ResourceSpans {
            resource: self.resource.decode(),
            schema_url: self.schema_url.0,
            scope_spans: self.scope_spans.map(|group| group.decode(traces)),
        }
    }
}

impl ScopeSpansJson {
    fn decode(self, traces: &mut DecodedTraces) -> ScopeSpans {
        let mut spans = Vec::with_capacity(self.spans.len());
        for span in self.spans {
            let span = span.decode();
            if has_valid_ids(&span) {
                spans.push(span);
            } else {
                traces.reject(INVALID_IDS);
            }
        }
        ScopeSpans {
            scope: self.scope.decode(),
            schema_url: self.schema_url.0,
            spans,
        }
    }
}

impl SpanJson {
    fn decode(self) -> Span {
        let status = Status {
            code: StatusCode::from_code(self.status.code.number()),
            message: self.status.message.0,
        };
        let mut span = Span {
            trace_id: self.trace_id.0.parse().unwrap_or(TraceId::INVALID),
            span_id: self.span_id.0.parse().unwrap_or(SpanId::INVALID),
            parent_span_id: self.parent_span_id.0.parse().ok(),
            trace_state: self.trace_state.0,
            flags: self.flags.0,
            name: self.name.0,
            kind: SpanKind::from_code(self.kind.number()),
            start_unix_nano: self.start_time_unix_nano.0,
            end_unix_nano: self.end_time_unix_nano.0,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
            events: self.events.map(EventJson::decode),
            dropped_events_count: self.dropped_events_count.0,
            links: self.links.map(LinkJson::decode),
            dropped_links_count: self.dropped_links_count.0,
            status,
            pending: false,
        };
        take_pending_marker(&mut span);
        span
    }
}

impl EventJson {
    fn decode(self) -> Event {
        Event {
            time_unix_nano: self.time_unix_nano.0,
            name: self.name.0,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
        }
    }
}

impl LinkJson {
    fn decode(self) -> Link {
        Link {
            trace_id: self.trace_id.0.parse().unwrap_or(TraceId::INVALID),
            span_id: self.span_id.0.parse().unwrap_or(SpanId::INVALID),
            trace_state: self.trace_state.0,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.0,
            flags: self.flags.0,
        }
    }
}
