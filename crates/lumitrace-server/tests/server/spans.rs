//! Requests as other programs make them: encoded by OpenTelemetry's own generated types.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::transport::{Channel, Endpoint};

/// The content type of OTLP in protobuf.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
/// The content type of OTLP in JSON.
pub(crate) const JSON: &str = "application/json";

/// Now, in nanoseconds since the Unix epoch.
pub(crate) fn now_unix_nano() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
}

/// A span of 5 ms that ended just now.
pub(crate) fn span(trace: u64, id: u64, parent: Option<u64>, name: &str) -> Span {
    let end = now_unix_nano();
    Span {
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent
            .map(|id| id.to_be_bytes().to_vec())
            .unwrap_or_default(),
        name: name.to_owned(),
        kind: span::SpanKind::Internal as i32,
        start_time_unix_nano: end - 5_000_000,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

/// The spans of one service.
pub(crate) fn resource_spans(service: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", service)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "tests".to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// A request with the spans of one service.
pub(crate) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans(service, spans)],
    }
}

/// The same, in protobuf.
pub(crate) fn protobuf(service: &str, spans: Vec<Span>) -> Vec<u8> {
    request(service, spans).encode_to_vec()
}

/// A request with one span, in OTLP/JSON.
pub(crate) fn json_request(service: &str, trace: u64, id: u64, name: &str) -> Value {
    let end = now_unix_nano();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": service}}
        ]},
        "scopeSpans": [{"scope": {"name": "tests"}, "spans": [{
            "traceId": trace_id(trace),
            "spanId": format!("{id:016x}"),
            "name": name,
            "kind": 1,
            "startTimeUnixNano": (end - 5_000_000).to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": [{"key": "loss", "value": {"doubleValue": "NaN"}}]
        }]}]
    }]})
}

/// A text attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

/// An attribute of any type.
pub(crate) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The status of a span that failed.
pub(crate) fn failed(message: &str) -> Option<Status> {
    Some(Status {
        code: 2,
        message: message.to_owned(),
    })
}

/// The status of a span that did what it should.
pub(crate) fn succeeded() -> Option<Status> {
    Some(Status {
        code: 1,
        message: String::new(),
    })
}

/// A trace id in hexadecimal.
pub(crate) fn trace_id(trace: u64) -> String {
    format!("{trace:032x}")
}

/// A gRPC client of the server at `host:port`.
pub(crate) async fn grpc_client(address: &str) -> TraceServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    TraceServiceClient::new(endpoint.connect().await.unwrap())
}

/// Posts `body` to `url`.
pub(crate) async fn post(url: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    send(
        reqwest::Client::new()
            .post(url)
            .header("content-type", content_type)
            .body(body),
    )
    .await
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    Answer {
        status,
        headers,
        body: response.bytes().await.unwrap().to_vec(),
    }
}

/// An answer to a POST.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value, or empty.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}
