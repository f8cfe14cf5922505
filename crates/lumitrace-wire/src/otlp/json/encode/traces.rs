//! From spans to JSON text.

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status, names,
};
use serde_json::{Value as Json, json};

use super::{Object, key_value, resource, scope};

/// Encodes an `ExportTraceServiceRequest` in JSON; fields that hold their default are left out.
///
/// ```
/// assert_eq!(lumitrace_wire::otlp::json::encode_traces(&[]), br#"{"resourceSpans":[]}"#);
/// ```
pub fn encode_traces(resource_spans: &[ResourceSpans]) -> Vec<u8> {
    let groups: Vec<Json> = resource_spans.iter().map(resource_group).collect();
    json!({ "resourceSpans": groups }).to_string().into_bytes()
}

/// Encodes the request of one resource from spans wherever they lie, grouped by who recorded them.
///
/// ```
/// use lumitrace_model::{Resource, Scope, Span};
/// let (scope, span) = (Scope::default(), Span::default());
/// let bytes = lumitrace_wire::otlp::json::encode_spans(&Resource::default(), [(&scope, &span)]);
/// assert!(bytes.starts_with(br#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"#));
/// ```
pub fn encode_spans<'a>(
    resource_: &Resource,
    spans: impl IntoIterator<Item = (&'a Scope, &'a Span)>,
) -> Vec<u8> {
    let mut scopes: Vec<(&Scope, Vec<Json>)> = Vec::new();
    for (scope_, span_) in spans {
        // A batch has few scopes, and consecutive spans mostly share theirs.
        let index = scopes.iter().rposition(|(known, _)| *known == scope_);
        let index = index.unwrap_or_else(|| {
            scopes.push((scope_, Vec::new()));
            scopes.len() - 1
        });
        scopes[index].1.push(span(span_));
    }
    let scopes: Vec<Json> = scopes
        .into_iter()
        .map(|(scope_, spans)| json!({ "scope": scope(scope_), "spans": spans }))
        .collect();
    let group = json!({ "resource": resource(resource_), "scopeSpans": scopes });
    json!({ "resourceSpans": [group] }).to_string().into_bytes()
}

fn resource_group(group: &ResourceSpans) -> Json {
    let mut object = Object::default();
    object.set("resource", resource(&group.resource));
    object.list("scopeSpans", &group.scope_spans, scope_group);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn scope_group(group: &ScopeSpans) -> Json {
    let mut object = Object::default();
    object.set("scope", scope(&group.scope));
    object.list("spans", &group.spans, span);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn span(span: &Span) -> Json {
    let mut object = Object::default();
    object.set("traceId", span.trace_id.to_string());
    object.set("spanId", span.span_id.to_string());
    object.text("traceState", &span.trace_state);
    object.optional_text("parentSpanId", span.parent_span_id);
    object.number("flags", span.flags);
    object.text("name", &span.name);
    object.number("kind", span.kind.code());
    object.long("startTimeUnixNano", span.start_unix_nano);
    object.long("endTimeUnixNano", span.end_unix_nano);
    if span.pending {
        let marker = KeyValue::new(names::PENDING_ATTRIBUTE, true);
        let attributes: Vec<Json> = span
            .attributes
            .iter()
            .chain([&marker])
            .map(key_value)
            .collect();
        object.set("attributes", attributes);
    } else {
        object.list("attributes", &span.attributes, key_value);
    }
    object.number("droppedAttributesCount", span.dropped_attributes_count);
    object.list("events", &span.events, event);
    object.number("droppedEventsCount", span.dropped_events_count);
    object.list("links", &span.links, link);
    object.number("droppedLinksCount", span.dropped_links_count);
    if span.status != Status::default() {
        let mut status = Object::default();
        status.text("message", &span.status.message);
        status.number("code", span.status.code.code());
        object.set("status", status.0);
    }
    Json::Object(object.0)
}

fn event(event: &Event) -> Json {
    let mut object = Object::default();
    object.long("timeUnixNano", event.time_unix_nano);
    object.text("name", &event.name);
    object.list("attributes", &event.attributes, key_value);
    object.number("droppedAttributesCount", event.dropped_attributes_count);
    Json::Object(object.0)
}

fn link(link: &Link) -> Json {
    let mut object = Object::default();
    object.set("traceId", link.trace_id.to_string());
    object.set("spanId", link.span_id.to_string());
    object.text("traceState", &link.trace_state);
    object.list("attributes", &link.attributes, key_value);
    object.number("droppedAttributesCount", link.dropped_attributes_count);
    object.number("flags", link.flags);
    Json::Object(object.0)
}
