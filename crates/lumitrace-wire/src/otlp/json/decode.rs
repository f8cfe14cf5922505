//! From JSON text to spans.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value,
};
use serde::Deserialize as _;
use serde_json::{Map, Value as Json};

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
/// The bytes are no JSON object of this form, or nest deeper than the limit.
pub fn decode_traces(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedTraces, DecodeError> {
    let DecodeLimits { max_depth, .. } = *limits;
    let levels = max_depth.saturating_mul(JSON_LEVELS_PER_VALUE) + JSON_LEVELS_OF_REQUEST;
    if nesting(bytes) > levels {
        return Err(DecodeError::TooDeep { max_depth });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // Safe: the nesting was just bounded.
    deserializer.disable_recursion_limit();
    let malformed = |error: serde_json::Error| DecodeError::Json(error.to_string());
    let request = Json::deserialize(&mut deserializer).map_err(malformed)?;
    deserializer.end().map_err(malformed)?;

    let mut traces = DecodedTraces::default();
    let request = Object::new(&request, "the request")?;
    let decoder = Decoder { max_depth };
    traces.resource_spans = request
        .list("resourceSpans")?
        .map(|each| decoder.resource_spans(each?, &mut traces))
        .collect::<Result<_, _>>()?;
    Ok(traces)
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

/// A JSON object whose fields are read by the rules of OTLP.
struct Object<'a> {
    fields: &'a Map<String, Json>,
}

impl<'a> Object<'a> {
    fn new(json: &'a Json, what: &str) -> Result<Self, DecodeError> {
        let fields = json
            .as_object()
            .ok_or_else(|| wrong_type(what, "an object"))?;
        Ok(Self { fields })
    }

    /// The field, unless absent or null.
    fn get(&self, key: &str) -> Option<&'a Json> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn object(&self, key: &str) -> Result<Option<Object<'a>>, DecodeError> {
        self.get(key)
            .map(|value| Object::new(value, key))
            .transpose()
    }

    fn list(
        &self,
        key: &'static str,
    ) -> Result<impl Iterator<Item = Result<Object<'a>, DecodeError>> + use<'a>, DecodeError> {
        let items: &'a [Json] = match self.get(key) {
            None => &[],
            Some(Json::Array(items)) => items,
            Some(_) => return Err(wrong_type(key, "an array")),
        };
        Ok(items.iter().map(move |item| Object::new(item, key)))
    }

    fn text(&self, key: &str) -> Result<Text, DecodeError> {
        match self.get(key) {
            None => Ok(Text::default()),
            Some(Json::String(text)) => Ok(Cow::Owned(text.clone())),
            Some(_) => Err(wrong_type(key, "text")),
        }
    }

    fn u64(&self, key: &str) -> Result<u64, DecodeError> {
        self.get(key).map_or(Ok(0), |value| integer(value, key))
    }

    fn u32(&self, key: &str) -> Result<u32, DecodeError> {
        self.get(key).map_or(Ok(0), |value| integer(value, key))
    }

    fn trace_id(&self, key: &str) -> Result<TraceId, DecodeError> {
        Ok(self.text(key)?.parse().unwrap_or_default())
    }

    fn span_id(&self, key: &str) -> Result<SpanId, DecodeError> {
        Ok(self.text(key)?.parse().unwrap_or_default())
    }

    /// An enum: its number, or the end of its name (`SPAN_KIND_SERVER`) as proto3 JSON spells it.
    fn enumeration(&self, key: &str, names: &[&str]) -> Result<i64, DecodeError> {
        match self.get(key) {
            None => Ok(0),
            Some(Json::String(name)) if name.parse::<i64>().is_err() => {
                let number = names.iter().position(|known| name.ends_with(known));
                number
                    .map(|number| number as i64)
                    .ok_or_else(|| wrong_type(key, "a number or a known name"))
            }
            Some(value) => integer(value, key),
        }
    }
}

struct Decoder {
    max_depth: usize,
}

impl Decoder {
    fn resource_spans(
        &self,
        json: Object<'_>,
        traces: &mut DecodedTraces,
    ) -> Result<ResourceSpans, DecodeError> {
        let mut resource = Resource::default();
        if let Some(json) = json.object("resource")? {
            resource.attributes = self.attributes(&json)?;
            resource.dropped_attributes_count = json.u32("droppedAttributesCount")?;
        }
        let scope_spans = json
            .list("scopeSpans")?
            .map(|each| self.scope_spans(each?, traces))
            .collect::<Result<_, _>>()?;
        Ok(ResourceSpans {
            resource,
            schema_url: json.text("schemaUrl")?,
            scope_spans,
        })
    }

    fn scope_spans(
        &self,
        json: Object<'_>,
        traces: &mut DecodedTraces,
    ) -> Result<ScopeSpans, DecodeError> {
        let mut scope = Scope::default();
        if let Some(json) = json.object("scope")? {
            scope.name = json.text("name")?;
            scope.version = json.text("version")?;
            scope.attributes = self.attributes(&json)?;
            scope.dropped_attributes_count = json.u32("droppedAttributesCount")?;
        }
        let mut spans = Vec::new();
        for each in json.list("spans")? {
            let span = self.span(&each?)?;
            if has_valid_ids(&span) {
                spans.push(span);
            } else {
                traces.reject(INVALID_IDS);
            }
        }
        Ok(ScopeSpans {
            scope,
            schema_url: json.text("schemaUrl")?,
            spans,
        })
    }

    fn span(&self, json: &Object<'_>) -> Result<Span, DecodeError> {
        let kinds = [
            "UNSPECIFIED",
            "INTERNAL",
            "SERVER",
            "CLIENT",
            "PRODUCER",
            "CONSUMER",
        ];
        let events = json.list("events")?.map(|each| self.event(&each?));
        let links = json.list("links")?.map(|each| self.link(&each?));
        let mut span = Span {
            trace_id: json.trace_id("traceId")?,
            span_id: json.span_id("spanId")?,
            parent_span_id: Some(json.span_id("parentSpanId")?).filter(SpanId::is_valid),
            trace_state: json.text("traceState")?,
            flags: json.u32("flags")?,
            name: json.text("name")?,
            kind: SpanKind::from_code(json.enumeration("kind", &kinds)?),
            start_unix_nano: json.u64("startTimeUnixNano")?,
            end_unix_nano: json.u64("endTimeUnixNano")?,
            attributes: self.attributes(json)?,
            dropped_attributes_count: json.u32("droppedAttributesCount")?,
            events: events.collect::<Result<_, _>>()?,
            dropped_events_count: json.u32("droppedEventsCount")?,
            links: links.collect::<Result<_, _>>()?,
            dropped_links_count: json.u32("droppedLinksCount")?,
            status: status(json)?,
            pending: false,
        };
        take_pending_marker(&mut span);
        Ok(span)
    }

    fn event(&self, json: &Object<'_>) -> Result<Event, DecodeError> {
        Ok(Event {
            time_unix_nano: json.u64("timeUnixNano")?,
            name: json.text("name")?,
            attributes: self.attributes(json)?,
            dropped_attributes_count: json.u32("droppedAttributesCount")?,
        })
    }

    fn link(&self, json: &Object<'_>) -> Result<Link, DecodeError> {
        Ok(Link {
            trace_id: json.trace_id("traceId")?,
            span_id: json.span_id("spanId")?,
            trace_state: json.text("traceState")?,
            attributes: self.attributes(json)?,
            dropped_attributes_count: json.u32("droppedAttributesCount")?,
            flags: json.u32("flags")?,
        })
    }

    fn attributes(&self, json: &Object<'_>) -> Result<Vec<KeyValue>, DecodeError> {
        self.key_values(json, "attributes", self.max_depth)
    }

    fn key_values(
        &self,
        json: &Object<'_>,
        key: &'static str,
        depth_left: usize,
    ) -> Result<Vec<KeyValue>, DecodeError> {
        let key_value = |json: Object<'_>| {
            let value = json.object("value")?;
            let value = value.map_or(Ok(Value::Null), |value| self.value(&value, depth_left))?;
            Ok(KeyValue {
                key: json.text("key")?,
                value,
            })
        };
        json.list(key)?.map(|each| key_value(each?)).collect()
    }

    fn value(&self, json: &Object<'_>, depth_left: usize) -> Result<Value, DecodeError> {
        let deeper = depth_left.checked_sub(1).ok_or(DecodeError::TooDeep {
            max_depth: self.max_depth,
        })?;
        if json.get("stringValue").is_some() {
            return Ok(Value::String(json.text("stringValue")?));
        }
        if let Some(value) = json.get("boolValue") {
            return value
                .as_bool()
                .map(Value::Bool)
                .ok_or(wrong_type("boolValue", "a boolean"));
        }
        if let Some(value) = json.get("intValue") {
            return integer(value, "intValue").map(Value::Int);
        }
        if let Some(value) = json.get("doubleValue") {
            return double(value).map(Value::Double);
        }
        if let Some(array) = json.object("arrayValue")? {
            let values = array.list("values")?.map(|each| self.value(&each?, deeper));
            return values.collect::<Result<_, _>>().map(Value::Array);
        }
        if let Some(map) = json.object("kvlistValue")? {
            return self.key_values(&map, "values", deeper).map(Value::Map);
        }
        if json.get("bytesValue").is_some() {
            let text = json.text("bytesValue")?;
            let bytes = STANDARD.decode(&*text).or_else(|_| URL_SAFE.decode(&*text));
            return bytes
                .map(Value::Bytes)
                .map_err(|_| wrong_type("bytesValue", "base64"));
        }
        Ok(Value::Null)
    }
}

fn status(json: &Object<'_>) -> Result<Status, DecodeError> {
    let Some(json) = json.object("status")? else {
        return Ok(Status::default());
    };
    let code = json.enumeration("code", &["UNSET", "OK", "ERROR"])?;
    Ok(Status {
        code: StatusCode::from_code(code),
        message: json.text("message")?,
    })
}

/// A number, or text that spells one: proto3 JSON writes 64-bit integers as text.
fn integer<N: TryFrom<i128>>(json: &Json, key: &str) -> Result<N, DecodeError> {
    let number = match json {
        Json::Number(number) => {
            let int = number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from));
            int.or_else(|| {
                number
                    .as_f64()
                    .filter(|float| float.fract() == 0.0)
                    .map(|f| f as i128)
            })
        }
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| wrong_type(key, "an integer"))
}

fn double(json: &Json) -> Result<f64, DecodeError> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => Value::String(Cow::Owned(text.clone())).as_f64(),
        _ => None,
    };
    number.ok_or_else(|| wrong_type("doubleValue", "a number"))
}

fn wrong_type(key: &str, expected: &str) -> DecodeError {
    DecodeError::Json(format!("{key} is not {expected}"))
}
