//! A trace as Jaeger writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lumitrace_model::{
    Event, KeyValue, Resource, Span, SpanKind, StatusCode, TraceId, Value, names,
};
use lumitrace_query::SpanState;
use lumitrace_query::facts::service_name;
use lumitrace_store::SpanRecord;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

const NANO_PER_MICRO: u64 = 1_000;
/// The largest integer that JavaScript reads without loss; larger ones are sent as text.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<JaegerSpan>,
    processes: BTreeMap<String, Process>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    flags: u32,
    operation_name: String,
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<&'static str>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Serialize)]
struct Log {
    timestamp: u64,
    fields: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Tag {
    key: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Json,
}

impl Trace {
    /// The trace that these spans make.
    pub(super) fn new(trace_id: TraceId, records: &[Arc<SpanRecord>], now_unix_nano: u64) -> Self {
        let mut processes = Processes::default();
        let spans = records.iter().map(|record| {
            let process_id = processes.id_of(record);
            span(record, process_id, now_unix_nano)
        });
        let spans = spans.collect();
        Self {
            trace_id: trace_id.to_string(),
            spans,
            processes: processes.into_json(),
            warnings: None,
        }
    }
}

/// The processes of a trace: one for each service and resource.
#[derive(Default)]
struct Processes {
    known: Vec<(String, Arc<Resource>)>,
}

impl Processes {
    fn id_of(&mut self, record: &SpanRecord) -> String {
        let service = service_name(&record.resource, &record.span);
        let same = |(name, resource): &(String, Arc<Resource>)| {
            name == service
                && (Arc::ptr_eq(resource, &record.resource) || **resource == *record.resource)
        };
        let index = self.known.iter().position(same).unwrap_or_else(|| {
            self.known
                .push((service.to_owned(), Arc::clone(&record.resource)));
            self.known.len() - 1
        });
        format!("p{}", index + 1)
    }

    fn into_json(self) -> BTreeMap<String, Process> {
        let processes = self.known.into_iter().enumerate();
        processes
            .map(|(index, (service_name, resource))| {
                let others = resource.attributes.iter();
                let others = others.filter(|attribute| attribute.key != names::SERVICE_NAME);
                let tags = others.map(tag).collect();
                (format!("p{}", index + 1), Process { service_name, tags })
            })
            .collect()
    }
}

fn span(record: &SpanRecord, process_id: String, now_unix_nano: u64) -> JaegerSpan {
    let span = &record.span;
    let parent = span.parent_span_id.map(|parent| Reference {
        ref_type: "CHILD_OF",
        trace_id: span.trace_id.to_string(),
        span_id: parent.to_string(),
    });
    let links = span.links.iter().map(|link| Reference {
        ref_type: "FOLLOWS_FROM",
        trace_id: link.trace_id.to_string(),
        span_id: link.span_id.to_string(),
    });
    let mut tags: Vec<Tag> = span.attributes.iter().map(tag).collect();
    tags.extend(synthesised_tags(record));
    JaegerSpan {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        // Jaeger knows only the lowest bit, "sampled"; whatever is stored was sampled.
        flags: 1,
        operation_name: span.name.to_string(),
        references: parent.into_iter().chain(links).collect(),
        start_time: span.start_unix_nano / NANO_PER_MICRO,
        duration: span.duration_nano() / NANO_PER_MICRO,
        tags,
        logs: span.events.iter().map(log).collect(),
        process_id,
        warnings: warnings(span, now_unix_nano),
    }
}

/// Fields of an OTLP span that are tags in Jaeger.
fn synthesised_tags(record: &SpanRecord) -> Vec<Tag> {
    let text = |key: &str, value: &str| {
        (!value.is_empty()).then(|| Tag {
            key: key.to_owned(),
            kind: "string",
            value: value.into(),
        })
    };
    let span = &record.span;
    let kind = match span.kind {
        SpanKind::Unspecified => "",
        kind => kind.as_str(),
    };
    let code = match span.status.code {
        StatusCode::Unset => "",
        StatusCode::Ok => "OK",
        StatusCode::Error => "ERROR",
    };
    let says_error = span.attribute("error").is_some();
    let error = (span.is_error() && !says_error).then(|| Tag {
        key: "error".to_owned(),
        kind: "bool",
        value: true.into(),
    });
    [
        text("span.kind", kind),
        text("otel.scope.name", &record.scope.name),
        text("otel.scope.version", &record.scope.version),
        text("otel.status_code", code),
        error,
        text("otel.status_description", &span.status.message),
        text("w3c.tracestate", &span.trace_state),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn warnings(span: &Span, now_unix_nano: u64) -> Option<Vec<&'static str>> {
    match SpanState::of(span, now_unix_nano) {
        SpanState::Complete => None,
        SpanState::Running => Some(vec!["This span is still running."]),
        SpanState::Interrupted => Some(vec!["This span was never ended; its process fell silent."]),
    }
}

fn log(event: &Event) -> Log {
    let name = Tag {
        key: "event".to_owned(),
        kind: "string",
        value: event.name.as_ref().into(),
    };
    let fields = std::iter::once(name).chain(event.attributes.iter().map(tag));
    Log {
        timestamp: event.time_unix_nano / NANO_PER_MICRO,
        fields: fields.collect(),
    }
}

fn tag(attribute: &KeyValue) -> Tag {
    let (kind, value) = match &attribute.value {
        Value::Null => ("string", "".into()),
        Value::Bool(value) => ("bool", (*value).into()),
        Value::Int(value) if value.unsigned_abs() > MAX_SAFE_INTEGER => {
            ("int64", value.to_string().into())
        }
        Value::Int(value) => ("int64", (*value).into()),
        Value::Double(value) => ("float64", super::super::json::number(*value)),
        Value::String(text) => ("string", text.as_ref().into()),
        Value::Bytes(bytes) => ("binary", BASE64.encode(bytes).into()),
        nested @ (Value::Array(_) | Value::Map(_)) => ("string", plain(nested).to_string().into()),
    };
    Tag {
        key: attribute.key.to_string(),
        kind,
        value,
    }
}

/// A nested value as plain JSON, which Jaeger shows as text.
fn plain(value: &Value) -> Json {
    match value {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.to_string(), plain(&entry.value)))
            .collect(),
        Value::Null => Json::Null,
        scalar => {
            tag(&KeyValue {
                key: "".into(),
                value: scalar.clone(),
            })
            .value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_model::{Link, Scope, SpanId, Status};
    use serde_json::json;

    fn record(span: Span) -> Arc<SpanRecord> {
        let attributes = vec![
            KeyValue::new(names::SERVICE_NAME, "web"),
            KeyValue::new("pid", 7),
        ];
        Arc::new(SpanRecord {
            span,
            resource: Arc::new(Resource {
                attributes,
                ..Resource::default()
            }),
            resource_schema_url: "".into(),
            scope: Arc::new(Scope {
                name: "lib".into(),
                ..Scope::default()
            }),
            scope_schema_url: "".into(),
            seq: 0,
            received_unix_nano: 0,
        })
    }

    #[test]
    fn types_are_spelt_as_jaeger_spells_them() {
        for (value, kind, json) in [
            (Value::from(true), "bool", json!(true)),
            (Value::from(5), "int64", json!(5)),
            (Value::from(i64::MAX), "int64", json!("9223372036854775807")),
            (Value::from(0.5), "float64", json!(0.5)),
            (Value::from("x"), "string", json!("x")),
            (Value::from(vec![1_u8, 2]), "binary", json!("AQI=")),
            (
                Value::from(vec![Value::from(1), Value::from("a")]),
                "string",
                json!("[1,\"a\"]"),
            ),
        ] {
            let tag = tag(&KeyValue {
                key: "k".into(),
                value,
            });
            assert_eq!(
                tag,
                Tag {
                    key: "k".to_owned(),
                    kind,
                    value: json
                }
            );
        }
    }

    #[test]
    fn a_failed_span_has_the_tags_that_jaeger_makes_up() {
        let span = Span {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([2; 8]),
            parent_span_id: Some(SpanId::from_bytes([3; 8])),
            name: "op".into(),
            kind: SpanKind::Server,
            start_unix_nano: 5_000_999,
            end_unix_nano: 7_000_999,
            status: Status {
                code: StatusCode::Error,
                message: "broke".into(),
            },
            links: vec![Link {
                span_id: SpanId::from_bytes([4; 8]),
                ..Link::default()
            }],
            ..Span::default()
        };
        let trace = Trace::new(span.trace_id, &[record(span)], 0);
        let json = serde_json::to_value(trace).unwrap();
        let span = &json["spans"][0];
        assert_eq!(span["startTime"], 5000);
        assert_eq!(span["duration"], 2000);
        assert_eq!(span["references"][0]["refType"], "CHILD_OF");
        assert_eq!(span["references"][1]["refType"], "FOLLOWS_FROM");
        assert_eq!(span["warnings"], Json::Null);
        let tags = span["tags"].as_array().unwrap();
        for expected in [
            json!({"key": "span.kind", "type": "string", "value": "server"}),
            json!({"key": "otel.scope.name", "type": "string", "value": "lib"}),
            json!({"key": "otel.status_code", "type": "string", "value": "ERROR"}),
            json!({"key": "error", "type": "bool", "value": true}),
            json!({"key": "otel.status_description", "type": "string", "value": "broke"}),
        ] {
            assert!(
                tags.contains(&expected),
                "{expected} is missing in {tags:?}"
            );
        }
        assert_eq!(json["processes"]["p1"]["serviceName"], "web");
        let process_tags = &json["processes"]["p1"]["tags"];
        assert_eq!(
            *process_tags,
            json!([{"key": "pid", "type": "int64", "value": 7}])
        );
    }

    #[test]
    fn spans_of_equal_resources_share_a_process() {
        let spans = [record(Span::default()), record(Span::default())];
        let trace = Trace::new(TraceId::default(), &spans, 0);
        assert_eq!(trace.processes.len(), 1);
        assert!(trace.spans.iter().all(|span| span.process_id == "p1"));
    }
}
