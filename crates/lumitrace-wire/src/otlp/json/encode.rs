//! From spans to JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, Status, Value,
    names,
};
use serde_json::{Map, Value as Json, json};

/// Encodes an `ExportTraceServiceRequest` in JSON; fields that hold their default are left out.
///
/// ```
/// assert_eq!(lumitrace_wire::otlp::json::encode_traces(&[]), br#"{"resourceSpans":[]}"#);
/// ```
pub fn encode_traces(resource_spans: &[ResourceSpans]) -> Vec<u8> {
    let groups: Vec<Json> = resource_spans.iter().map(resource_group).collect();
    json!({ "resourceSpans": groups }).to_string().into_bytes()
}

/// An object under construction that leaves out what proto3 would.
#[derive(Default)]
struct Object(Map<String, Json>);

impl Object {
    fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.set(key, text);
        }
    }

    fn number(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.set(key, number);
        }
    }

    /// A 64-bit number, as text.
    fn long(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.set(key, number.to_string());
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], encode: impl Fn(&T) -> Json) {
        if !items.is_empty() {
            self.set(key, items.iter().map(encode).collect::<Vec<_>>());
        }
    }
}

fn resource_group(group: &ResourceSpans) -> Json {
    let mut object = Object::default();
    object.set("resource", resource(&group.resource));
    object.list("scopeSpans", &group.scope_spans, scope_group);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn resource(resource: &Resource) -> Json {
    let mut object = Object::default();
    object.list("attributes", &resource.attributes, key_value);
    object.number("droppedAttributesCount", resource.dropped_attributes_count);
    Json::Object(object.0)
}

fn scope_group(group: &ScopeSpans) -> Json {
    let mut object = Object::default();
    object.set("scope", scope(&group.scope));
    object.list("spans", &group.spans, span);
    object.text("schemaUrl", &group.schema_url);
    Json::Object(object.0)
}

fn scope(scope: &Scope) -> Json {
    let mut object = Object::default();
    object.text("name", &scope.name);
    object.text("version", &scope.version);
    object.list("attributes", &scope.attributes, key_value);
    object.number("droppedAttributesCount", scope.dropped_attributes_count);
    Json::Object(object.0)
}

fn span(span: &Span) -> Json {
    let mut object = Object::default();
    object.set("traceId", span.trace_id.to_string());
    object.set("spanId", span.span_id.to_string());
    object.text("traceState", &span.trace_state);
    let parent = span.parent_span_id.as_ref().map(SpanId::to_string);
    object.text("parentSpanId", parent.as_deref().unwrap_or_default());
    object.number("flags", span.flags);
    object.text("name", &span.name);
    object.number("kind", span.kind.code().into());
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
        status.number("code", span.status.code.code().into());
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

fn key_value(attribute: &KeyValue) -> Json {
    json!({ "key": attribute.key, "value": value(&attribute.value) })
}

fn value(value_: &Value) -> Json {
    let list = |items: Vec<Json>| json!({ "values": items });
    match value_ {
        Value::Null => json!({}),
        Value::Bool(bool) => json!({ "boolValue": bool }),
        Value::Int(int) => json!({ "intValue": int.to_string() }),
        Value::Double(double) if double.is_finite() => json!({ "doubleValue": double }),
        Value::Double(double) => json!({ "doubleValue": non_finite(*double) }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bytes(bytes) => json!({ "bytesValue": STANDARD.encode(bytes) }),
        Value::Array(array) => json!({ "arrayValue": list(array.iter().map(value).collect()) }),
        Value::Map(map) => json!({ "kvlistValue": list(map.iter().map(key_value).collect()) }),
    }
}

/// How proto3 JSON spells the doubles that JSON has no number for.
fn non_finite(double: f64) -> &'static str {
    if double.is_nan() {
        "NaN"
    } else if double > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
