//! Zipkin's JSON, version 2 (openzipkin/zipkin-api, `zipkin2-api.yaml`), from spans as the
//! OpenTelemetry specification maps them (`trace/sdk_exporters/zipkin.md`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use lumitrace_model::{Event, Link, Resource, Scope, Span, SpanKind, StatusCode, names};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::tags::{attribute_tags, general_tags, json_of_attributes, text};

/// Encodes a list of spans: the body of `POST /api/v2/spans`.
///
/// ```
/// use lumitrace_model::Resource;
/// assert_eq!(lumitrace_wire::zipkin::encode_spans(&Resource::default(), []), b"[]");
/// ```
pub fn encode_spans<'a>(
    resource: &Resource,
    spans: impl IntoIterator<Item = (&'a Scope, &'a Span)>,
) -> Vec<u8> {
    let spans: Vec<Json> = spans
        .into_iter()
        .map(|(scope, span)| json!(ZipkinSpan::new(resource, scope, span)))
        .collect();
    Json::Array(spans).to_string().into_bytes()
}

/// A span as Zipkin has it; what is empty is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ZipkinSpan<'a> {
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    duration: u64,
    local_endpoint: Endpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
struct Annotation {
    timestamp: u64,
    value: String,
}

/// One side of a call.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl<'a> ZipkinSpan<'a> {
    fn new(resource: &'a Resource, scope: &'a Scope, span: &'a Span) -> Self {
        let local_endpoint = Endpoint {
            service_name: Some(resource.service_name().into()),
            ..Endpoint::default()
        };
        Self {
            trace_id: span.trace_id.to_string(),
            parent_id: span.parent_span_id.map(|id| id.to_string()),
            id: span.span_id.to_string(),
            kind: kind(span.kind),
            name: &span.name,
            timestamp: Some(micros(span.start_unix_nano)).filter(|time| *time > 0),
            // To Zipkin, zero is a duration that nobody knows.
            duration: micros(span.duration_nano()).max(1),
            local_endpoint,
            remote_endpoint: remote_endpoint(span),
            annotations: span.events.iter().map(annotation).collect(),
            tags: tags(resource, scope, span),
        }
    }
}

fn micros(nano: u64) -> u64 {
    nano / 1000
}

fn kind(kind: SpanKind) -> Option<&'static str> {
    match kind {
        SpanKind::Unspecified | SpanKind::Internal => None,
        SpanKind::Server => Some("SERVER"),
        SpanKind::Client => Some("CLIENT"),
        SpanKind::Producer => Some("PRODUCER"),
        SpanKind::Consumer => Some("CONSUMER"),
    }
}

/// Attributes of the resource, of the span and the general ones, in rising rank: where two have one
/// name, Zipkin gets the later.
fn tags<'a>(
    resource: &'a Resource,
    scope: &'a Scope,
    span: &'a Span,
) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
    const ERROR: &str = "error";
    let of_resource =
        attribute_tags(&resource.attributes).filter(|(key, _)| *key != names::SERVICE_NAME);
    let all = of_resource
        .chain(attribute_tags(&span.attributes))
        .chain(general_tags(scope, span));
    let mut tags: BTreeMap<Cow<'_, str>, Cow<'_, str>> = all
        .map(|(key, value)| {
            let value = match value {
                Cow::Borrowed(value) => text(value),
                Cow::Owned(value) => text(&value).into_owned().into(),
            };
            (key.into(), value)
        })
        .collect();
    if span.status.code == StatusCode::Error {
        tags.insert(ERROR.into(), (&*span.status.message).into());
    } else if tags.get(ERROR).is_some_and(|error| error == "false") {
        // To Zipkin, a span with this tag has failed, whatever it says.
        tags.remove(ERROR);
    }
    for (number, link) in span.links.iter().enumerate() {
        tags.insert(format!("otlp.link.{number}").into(), link_text(link).into());
    }
    tags
}

/// A link, which Zipkin has not, in the form of OpenTelemetry's Collector, whose receiver reads it.
fn link_text(link: &Link) -> String {
    format!(
        "{}|{}|{}|{}|{}",
        link.trace_id,
        link.span_id,
        link.trace_state,
        json_of_attributes(&link.attributes),
        link.dropped_attributes_count
    )
}

/// An event: its name, and its attributes as a JSON object.
fn annotation(event: &Event) -> Annotation {
    let value = if event.attributes.is_empty() {
        event.name.to_string()
    } else {
        let attributes = json_of_attributes(&event.attributes);
        format!("{}: {attributes}", json!(event.name))
    };
    Annotation {
        timestamp: micros(event.time_unix_nano),
        value,
    }
}

/// Attributes that name the other side of a call, the best first, and those with its port (table
/// "Remote endpoint" of the specification).
const REMOTE: [(&str, Option<&str>); 11] = [
    ("peer.service", None),
    ("server.address", None),
    ("net.peer.name", None),
    ("network.peer.address", Some("network.peer.port")),
    ("server.socket.domain", None),
    ("server.socket.address", Some("server.socket.port")),
    ("net.sock.peer.name", None),
    ("net.sock.peer.addr", Some("net.sock.peer.port")),
    ("peer.hostname", None),
    ("peer.address", None),
    ("db.name", None),
];

/// The other side of a call that this span makes: Zipkin draws dependencies from it.
fn remote_endpoint(span: &Span) -> Option<Endpoint<'_>> {
    if !matches!(span.kind, SpanKind::Client | SpanKind::Producer) {
        return None;
    }
    REMOTE.iter().find_map(|(key, port_key)| {
        let name = text(span.attribute(key)?);
        if name.is_empty() {
            return None;
        }
        let port = port_key.and_then(|key| span.attribute(key)?.as_i64());
        let mut endpoint = Endpoint {
            port: port.and_then(|port| u16::try_from(port).ok()),
            ..Endpoint::default()
        };
        match name.parse() {
            Ok(IpAddr::V4(address)) => endpoint.ipv4 = Some(address.to_string()),
            Ok(IpAddr::V6(address)) => endpoint.ipv6 = Some(address.to_string()),
            Err(_) => endpoint.service_name = Some(name),
        }
        Some(endpoint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::samples;
    use lumitrace_model::{KeyValue, SpanId, Status, TraceId, Value};
    use proptest::prelude::*;
    use serde::Deserialize;

    /// A span as Zipkin's API describes it (`zipkin2-api.yaml`), strictly.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "being read is the test")]
    struct ApiSpan {
        trace_id: String,
        parent_id: Option<String>,
        id: String,
        kind: Option<ApiKind>,
        name: String,
        timestamp: Option<i64>,
        duration: Option<i64>,
        local_endpoint: ApiEndpoint,
        remote_endpoint: Option<ApiEndpoint>,
        #[serde(default)]
        annotations: Vec<ApiAnnotation>,
        #[serde(default)]
        tags: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum ApiKind {
        Client,
        Server,
        Producer,
        Consumer,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "being read is the test")]
    struct ApiEndpoint {
        service_name: Option<String>,
        ipv4: Option<std::net::Ipv4Addr>,
        ipv6: Option<std::net::Ipv6Addr>,
        port: Option<u16>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "being read is the test")]
    struct ApiAnnotation {
        timestamp: i64,
        value: String,
    }

    fn encoded(span: &Span) -> Json {
        let resource = Resource {
            attributes: vec![
                KeyValue::new(names::SERVICE_NAME, "train"),
                KeyValue::new("rank", 0),
            ],
            ..Resource::default()
        };
        let scope = Scope {
            name: "fx".into(),
            ..Scope::default()
        };
        let bytes = encode_spans(&resource, [(&scope, span)]);
        serde_json::from_slice::<Vec<Json>>(&bytes)
            .unwrap()
            .remove(0)
    }

    fn span() -> Span {
        Span {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([2; 8]),
            name: "training_epoch".into(),
            start_unix_nano: 1_700_000_000_123_456_789,
            end_unix_nano: 1_700_000_000_123_458_023,
            ..Span::default()
        }
    }

    #[test]
    fn a_plain_span_has_ids_times_in_microseconds_service_and_tags() {
        let expected = json!({
            "traceId": "01".repeat(16),
            "id": "02".repeat(8),
            "name": "training_epoch",
            "timestamp": 1_700_000_000_123_456_u64,
            "duration": 1,
            "localEndpoint": { "serviceName": "train" },
            "tags": { "rank": "0", "otel.scope.name": "fx", "otel.library.name": "fx" },
        });
        assert_eq!(encoded(&span()), expected);
    }

    #[test]
    fn a_failed_span_has_its_message_as_error_and_no_other_span_has_that_tag() {
        let mut span = Span {
            attributes: vec![KeyValue::new("error", false)],
            ..span()
        };
        assert_eq!(encoded(&span)["tags"].get("error"), None);
        span.status = Status {
            code: StatusCode::Error,
            message: "".into(),
        };
        let tags = encoded(&span)["tags"].take();
        assert_eq!(
            (&tags["error"], &tags["otel.status_code"]),
            (&json!(""), &json!("ERROR"))
        );
        span.status.message = "no memory".into();
        assert_eq!(encoded(&span)["tags"]["error"], "no memory");
        span.status.code = StatusCode::Ok;
        assert_eq!(encoded(&span)["tags"]["otel.status_code"], "OK");
        assert_eq!(encoded(&span)["tags"].get("error"), None);
    }

    #[test]
    fn events_are_annotations_and_links_are_tags() {
        let event = Event {
            time_unix_nano: 5_000,
            name: "exception".into(),
            attributes: vec![
                KeyValue::new("exception.type", "OOM"),
                KeyValue::new("n", 1),
            ],
            ..Event::default()
        };
        let link = Link {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([2; 8]),
            trace_state: "a=b".into(),
            attributes: vec![KeyValue::new("why", "retry")],
            dropped_attributes_count: 3,
            ..Link::default()
        };
        let plain = Event {
            name: "checkpoint".into(),
            ..Event::default()
        };
        let span = encoded(&Span {
            events: vec![event, plain],
            links: vec![link],
            ..span()
        });
        let expected = json!([
            { "timestamp": 5, "value": r#""exception": {"exception.type":"OOM","n":1}"# },
            { "timestamp": 0, "value": "checkpoint" },
        ]);
        assert_eq!(span["annotations"], expected);
        let (trace, id) = ("01".repeat(16), "02".repeat(8));
        let expected = format!(r#"{trace}|{id}|a=b|{{"why":"retry"}}|3"#);
        assert_eq!(span["tags"]["otlp.link.0"], expected);
    }

    #[test]
    fn a_call_names_its_other_side_by_the_best_attribute() {
        let remote = |kind, attributes: Vec<KeyValue>| {
            let mut span = encoded(&Span {
                kind,
                attributes,
                ..span()
            });
            span["remoteEndpoint"].take()
        };
        let address = || {
            vec![
                KeyValue::new("db.name", "spans"),
                KeyValue::new("network.peer.address", "10.1.2.3"),
                KeyValue::new("network.peer.port", 5432),
            ]
        };
        let by_address = json!({ "ipv4": "10.1.2.3", "port": 5432 });
        assert_eq!(remote(SpanKind::Client, address()), by_address);
        let named = [address(), vec![KeyValue::new("peer.service", "db")]].concat();
        assert_eq!(
            remote(SpanKind::Producer, named),
            json!({ "serviceName": "db" })
        );
        let other_version = vec![KeyValue::new("net.sock.peer.addr", "::1")];
        assert_eq!(
            remote(SpanKind::Client, other_version),
            json!({ "ipv6": "::1" })
        );
        assert_eq!(remote(SpanKind::Server, address()), Json::Null);
        assert_eq!(remote(SpanKind::Client, vec![]), Json::Null);
        let no_port = vec![
            KeyValue::new("network.peer.address", "10.1.2.3"),
            KeyValue::new("network.peer.port", 70_000),
        ];
        assert_eq!(
            remote(SpanKind::Client, no_port),
            json!({ "ipv4": "10.1.2.3" })
        );
    }

    #[test]
    fn an_attribute_of_the_span_wins_over_one_of_the_resource() {
        let span = Span {
            attributes: vec![KeyValue::new("rank", vec![Value::Int(3)])],
            ..span()
        };
        assert_eq!(encoded(&span)["tags"]["rank"], "[3]");
    }

    proptest! {
        #[test]
        fn any_spans_are_what_the_api_describes(groups in samples::traces()) {
            for group in &groups {
                let spans: Vec<_> = group.scope_spans.iter()
                    .flat_map(|scope| scope.spans.iter().map(|span| (&scope.scope, span)))
                    .collect();
                let bytes = encode_spans(&group.resource, spans.iter().copied());
                let read: Vec<ApiSpan> = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(read.len(), spans.len());
                for (read, (_, span)) in read.iter().zip(&spans) {
                    prop_assert_eq!(&read.id, &span.span_id.to_string());
                    prop_assert_eq!(&read.name, &span.name);
                    prop_assert!(read.duration.unwrap() >= 1);
                }
            }
        }
    }
}
