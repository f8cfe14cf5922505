//! From JSON text to spans.

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, TraceId, Value,
};
use serde::{Deserialize, Deserializer};

use super::fields::{self, Enumeration, Int64, List, Text, Uint32, Uint64};
use crate::otlp::{DecodedTraces, INVALID_IDS, has_valid_ids, take_pending_marker};
use crate::{DecodeError, DecodeLimits};

/// An OTLP value of depth 1 takes up to three levels of JSON (`{"arrayValue":{"values":[`), and
/// the request around it nine.
const JSON_LEVELS_PER_VALUE: usize = 3;
const JSON_LEVELS_OF_REQUEST: usize = 16;

/// Decodes an `ExportTraceServiceRequest` in JSON.
///
/// Spans with invalid ids are left out and counted; everything else is kept as it is.
///
/// # Errors
/// The bytes are no JSON object of this form, nest deeper than the limit, or would expand in
/// memory beyond the limit.
pub fn decode_traces(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedTraces, DecodeError> {
    let DecodeLimits {
        max_depth,
        max_expansion,
    } = *limits;
    let nesting = nesting(bytes);
    let levels = max_depth.saturating_mul(JSON_LEVELS_PER_VALUE);
    if nesting > levels.saturating_add(JSON_LEVELS_OF_REQUEST) {
        return Err(DecodeError::TooDeep { max_depth });
    }
    let budget = bytes.len().saturating_mul(max_expansion);
    let request = fields::with_budget(budget, || parse(bytes)).map_err(|error| match error {
        fields::Error::OverBudget => DecodeError::TooManyItems {
            ratio: max_expansion,
        },
        fields::Error::Malformed(reason) => DecodeError::Json(reason),
    })?;
    let mut traces = DecodedTraces::default();
    let groups = request
        .resource_spans
        .into_iter()
        .map(|group| group.decode(&mut traces));
    let groups: Vec<ResourceSpans> = groups.collect();
    traces.resource_spans = groups;
    // Values are only looked through where they might be too deep.
    if nesting > max_depth && fields::deepest(&traces.resource_spans) > max_depth {
        return Err(DecodeError::TooDeep { max_depth });
    }
    Ok(traces)
}

fn parse(bytes: &[u8]) -> Result<Request, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The nesting was bounded before, so the stack is.
    deserializer.disable_recursion_limit();
    let request = <Request as Deserialize>::deserialize(&mut deserializer);
    request
        .and_then(|request| deserializer.end().map(|()| request))
        .map_err(|_| explain(bytes))
}

/// What is wrong with a request and where: a second pass that keeps track of the path, which the
/// first one does not pay for.
fn explain(bytes: &[u8]) -> String {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    match serde_path_to_error::deserialize::<_, Request>(&mut deserializer) {
        Err(error) => format!("{}: {}", error.path(), error.inner()),
        Ok(_) => "there is more text after the end of the request".to_owned(),
    }
}

/// How deep arrays and objects nest in a JSON text, without parsing it.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Declares the JSON form of a message: every field may be absent or null, unknown ones are skipped.
macro_rules! message {
    ($(struct $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            // `remote` makes the derived code a function and leaves the trait to us.
            #[derive(Deserialize, Default)]
            #[serde(remote = "Self", default, rename_all = "camelCase")]
            struct $name {
                $(#[serde(deserialize_with = "fields::nullable")]
                $field: $type,)*
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    fields::message(deserializer)
                }
            }

            impl fields::Message for $name {
                fn from_fields<'de, D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error> {
                    $name::deserialize(fields)
                }
            }
        )*
    };
}

message! {
    struct Request { resource_spans: List<ResourceSpansJson>, }
    struct ResourceSpansJson {
        resource: ResourceJson,
        scope_spans: List<ScopeSpansJson>,
        schema_url: Text,
    }
    struct ResourceJson { attributes: List<KeyValueJson>, dropped_attributes_count: Uint32, }
    struct ScopeSpansJson { scope: ScopeJson, spans: List<SpanJson>, schema_url: Text, }
    struct ScopeJson {
        name: Text,
        version: Text,
        attributes: List<KeyValueJson>,
        dropped_attributes_count: Uint32,
    }
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
    struct KeyValueJson { key: Text, value: AnyValueJson, }
    struct AnyValueJson {
        string_value: Option<Text>,
        bool_value: Option<bool>,
        int_value: Option<Int64>,
        double_value: Option<fields::Double>,
        array_value: Option<Box<ArrayJson>>,
        kvlist_value: Option<Box<KeyValueListJson>>,
        bytes_value: Option<fields::Base64>,
    }
    struct ArrayJson { values: List<AnyValueJson>, }
    struct KeyValueListJson { values: List<KeyValueJson>, }
}

impl ResourceSpansJson {
    fn decode(self, traces: &mut DecodedTraces) -> ResourceSpans {
        let resource = Resource {
            attributes: attributes(self.resource.attributes),
            dropped_attributes_count: self.resource.dropped_attributes_count.0,
        };
        let scope_spans = self
            .scope_spans
            .into_iter()
            .map(|group| group.decode(traces))
            .collect();
        ResourceSpans {
            resource,
            schema_url: self.schema_url.0,
            scope_spans,
        }
    }
}

impl ScopeSpansJson {
    fn decode(self, traces: &mut DecodedTraces) -> ScopeSpans {
        let scope = Scope {
            name: self.scope.name.0,
            version: self.scope.version.0,
            attributes: attributes(self.scope.attributes),
            dropped_attributes_count: self.scope.dropped_attributes_count.0,
        };
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
            scope,
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
            events: self.events.into_iter().map(EventJson::decode).collect(),
            dropped_events_count: self.dropped_events_count.0,
            links: self.links.into_iter().map(LinkJson::decode).collect(),
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

fn attributes(list: List<KeyValueJson>) -> Vec<KeyValue> {
    let decode = |attribute: KeyValueJson| KeyValue {
        key: attribute.key.0,
        value: attribute.value.decode(),
    };
    list.into_iter().map(decode).collect()
}

impl AnyValueJson {
    fn decode(self) -> Value {
        if let Some(text) = self.string_value {
            Value::String(text.0)
        } else if let Some(bool) = self.bool_value {
            Value::Bool(bool)
        } else if let Some(int) = self.int_value {
            Value::Int(int.0)
        } else if let Some(double) = self.double_value {
            Value::Double(double.0)
        } else if let Some(array) = self.array_value {
            Value::Array(array.values.into_iter().map(AnyValueJson::decode).collect())
        } else if let Some(map) = self.kvlist_value {
            Value::Map(attributes(map.values))
        } else if let Some(bytes) = self.bytes_value {
            Value::Bytes(bytes.0)
        } else {
            Value::Null
        }
    }
}
