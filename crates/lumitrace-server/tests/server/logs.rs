//! Log records: taken in every form, kept through kills, found by what they say and where.

use super::harness::{Server, until};
use super::spans::{
    self, Answer, JSON, PROTOBUF, attribute, now_unix_nano, post, protobuf, span, text, trace_id,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;

/// A log record that was said just now in a span of a trace.
pub(super) fn log(trace: u64, span: u64, severity: i32, body: &str) -> LogRecord {
    let now = now_unix_nano();
    LogRecord {
        time_unix_nano: now,
        observed_time_unix_nano: now,
        severity_number: severity,
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(body.to_owned())),
        }),
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        ..LogRecord::default()
    }
}

fn log_request(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = ScopeLogs {
        scope: Some(InstrumentationScope {
            name: "tests".to_owned(),
            ..InstrumentationScope::default()
        }),
        log_records,
        ..ScopeLogs::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Resource::default()
            }),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        }],
    }
}

pub(super) fn log_protobuf(service: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    log_request(service, log_records).encode_to_vec()
}

fn log_json(trace: u64, body: &str) -> String {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "web"}}
        ]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": now_unix_nano().to_string(),
            "severityNumber": 9,
            "body": {"stringValue": body},
            "traceId": trace_id(trace),
            "spanId": "0000000000000001",
        }]}]
    }]})
    .to_string()
}

/// Sends log records in protobuf, and has them acknowledged.
async fn send(server: &Server, service: &str, log_records: Vec<LogRecord>) {
    let url = format!("http://{}/v1/logs", server.otlp_http);
    let answer = post(&url, PROTOBUF, log_protobuf(service, log_records)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
}

/// The bodies that an address of the API answers with, in its order.
async fn bodies(server: &Server, path: &str) -> Vec<String> {
    let (status, page) = server.get(&format!("/api/lumitrace/v1{path}")).await;
    assert_eq!(status, 200, "{page}");
    let logs = page["logs"].as_array().unwrap().iter();
    logs.map(|log| log["body"]["value"].as_str().unwrap().to_owned())
        .collect()
}

async fn assert_stored(server: &Server, trace: u64, body: &str) {
    let path = format!("/traces/{}/logs", trace_id(trace));
    assert_eq!(bodies(server, &path).await, [body]);
}

#[tokio::test]
async fn logs_are_taken_over_http_in_protobuf_and_json_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for (trace, port) in (1..).zip(server.otlp_ports()) {
        let url = format!("http://{port}/v1/logs");
        let body = log_protobuf("web", vec![log(trace, 1, 9, "pb")]);
        let answer = post(&url, PROTOBUF, body).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
        assert_eq!(answer.header("content-type"), PROTOBUF);
        assert_stored(&server, trace, "pb").await;

        let answer = post(&url, JSON, log_json(trace + 10, "js")).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        assert_eq!(answer.header("content-type"), JSON);
        assert_stored(&server, trace + 10, "js").await;

        // A bare address, which names no signal.
        let root = format!("http://{port}/");
        let body = log_protobuf("web", vec![log(trace + 20, 1, 9, "root")]);
        assert_eq!(post(&root, PROTOBUF, body).await.status, 200);
        assert_stored(&server, trace + 20, "root").await;
        let answer = post(&root, JSON, log_json(trace + 30, "root js")).await;
        assert_eq!(answer.status, 200);
        assert_stored(&server, trace + 30, "root js").await;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let body = log_protobuf("web", vec![log(50, 1, 9, "zipped")]);
    encoder.write_all(&body).unwrap();
    let request = reqwest::Client::new()
        .post(format!("http://{}/v1/logs", server.otlp_http))
        .header("content-type", PROTOBUF)
        .header("content-encoding", "gzip")
        .body(encoder.finish().unwrap());
    assert_eq!(spans::send(request).await.status, 200);
    assert_stored(&server, 50, "zipped").await;

    let counted = server
        .metric("lumitrace_ingest_log_records_total{protocol=\"otlp_http_protobuf\"}")
        .await;
    assert_eq!(counted, 5.0);
    assert_eq!(server.metric("lumitrace_store_log_records").await, 9.0);
    assert_eq!(server.metric("lumitrace_store_spans").await, 0.0);
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(
        (&status["log_records"], &status["spans"]),
        (&9.into(), &0.into())
    );
    assert_eq!(status["otlp"]["log_records"], 9);
}

#[tokio::test]
async fn one_log_record_is_found_by_its_place_in_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    send(
        &server,
        "web",
        vec![log(1, 1, 9, "first"), log(1, 1, 9, "second")],
    )
    .await;
    let (_, page) = server.get("/api/lumitrace/v1/logs").await;
    for listed in page["logs"].as_array().unwrap() {
        let path = format!("/api/lumitrace/v1/logs/{}", listed["id"].as_str().unwrap());
        let (status, found) = server.get(&path).await;
        assert_eq!((status, &found), (200, listed));
    }
    for (id, expected) in [("7-3", 404), ("nonsense", 400)] {
        let (status, error) = server.get(&format!("/api/lumitrace/v1/logs/{id}")).await;
        assert_eq!(status, expected, "{error}");
    }
}

#[tokio::test]
async fn logs_are_taken_over_grpc_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for (trace, port) in (1..).zip(server.otlp_ports()) {
        let endpoint = Endpoint::from_shared(format!("http://{port}")).unwrap();
        let client = LogsServiceClient::new(endpoint.connect().await.unwrap());
        let mut client = client.send_compressed(CompressionEncoding::Gzip);
        let request = log_request("web", vec![log(trace, 1, 9, "rpc")]);
        let response = client.export(request).await.unwrap();
        assert_eq!(response.into_inner().partial_success, None);
        assert_stored(&server, trace, "rpc").await;
        // Nothing is fine too.
        client.export(log_request("web", vec![])).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_record_comes_back_with_everything_it_was_sent_with() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut sent = log(7, 3, 18, "<b>no memory</b>");
    sent.severity_text = "ERR".to_owned();
    sent.event_name = "device.lost".to_owned();
    sent.attributes = vec![
        attribute("loss", any_value::Value::DoubleValue(f64::NAN)),
        attribute("step", any_value::Value::IntValue(i64::MAX)),
    ];
    sent.dropped_attributes_count = 2;
    let time = sent.time_unix_nano.to_string();
    send(&server, "trainer", vec![sent]).await;
    let path = format!("/api/lumitrace/v1/traces/{}/logs", trace_id(7));
    let (_, page) = server.get(&path).await;
    let found = &page["logs"][0];
    for (key, expected) in [
        ("time_unix_nano", json!(time)),
        ("observed_time_unix_nano", json!(time)),
        ("severity_number", json!(18)),
        ("severity_text", json!("ERR")),
        ("service", json!("trainer")),
        ("event_name", json!("device.lost")),
        (
            "body",
            json!({"type": "string", "value": "<b>no memory</b>"}),
        ),
        ("trace_id", json!(trace_id(7))),
        ("span_id", json!("0000000000000003")),
        ("dropped_attributes_count", json!(2)),
        (
            "attributes",
            json!([
                {"key": "loss", "type": "double", "value": "NaN"},
                {"key": "step", "type": "int", "value": i64::MAX.to_string()},
            ]),
        ),
    ] {
        assert_eq!(found[key], expected, "{key}");
    }
    assert_eq!(found["resource"]["attributes"][0]["value"], "trainer");
    assert_eq!(found["scope"]["name"], "tests");
    assert_eq!(
        (&page["next"], &page["truncated"]),
        (&Value::Null, &json!(false))
    );
}

#[tokio::test]
async fn a_search_of_logs_finds_what_matches_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut first = log(1, 1, 9, "Epoch 1 begins");
    first.attributes = vec![attribute("epoch", any_value::Value::IntValue(1))];
    let middle = now_unix_nano();
    send(&server, "trainer", vec![first]).await;
    send(&server, "trainer", vec![log(1, 2, 13, "loss is NaN")]).await;
    let mut orphan = log(2, 1, 17, "disk is full");
    orphan.trace_id.clear();
    orphan.span_id.clear();
    send(&server, "loader", vec![orphan]).await;
    let [full, nan, epoch] = ["disk is full", "loss is NaN", "Epoch 1 begins"];
    let trace = trace_id(1);
    for (query, expected) in [
        ("/logs", &[full, nan, epoch][..]),
        ("/logs?service=trainer", &[nan, epoch]),
        ("/logs?min_severity=warn", &[full, nan]),
        ("/logs?min_severity=17", &[full]),
        ("/logs?text=EPOCH", &[epoch]),
        ("/logs?tag=epoch%3D1", &[epoch]),
        ("/logs?tag=service.name%3Dloader", &[full]),
        ("/logs?service=nobody", &[]),
        (&format!("/logs?trace_id={trace}"), &[nan, epoch]),
        (&format!("/traces/{trace}/logs"), &[nan, epoch]),
        (
            &format!("/traces/{trace}/logs?span_id=0000000000000002"),
            &[nan],
        ),
        (&format!("/traces/{}/logs", trace_id(9)), &[]),
        (&format!("/logs?end_unix_nano={middle}"), &[epoch]),
        (&format!("/logs?start_unix_nano={middle}"), &[full, nan]),
    ] {
        assert_eq!(bodies(&server, query).await, expected, "{query}");
    }
    let (_, page) = server.get("/api/lumitrace/v1/logs?limit=2").await;
    let next = page["next"].as_str().unwrap();
    let second = bodies(&server, &format!("/logs?limit=2&before={next}")).await;
    assert_eq!(second, [epoch]);
    let (_, services) = server.get("/api/lumitrace/v1/logs/services").await;
    assert_eq!(services["services"], json!(["loader", "trainer"]));
    for wrong in ["colour=red", "min_severity=loud", "trace_id=x", "before=x"] {
        let (status, body) = server.get(&format!("/api/lumitrace/v1/logs?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}");
        assert_eq!(body["error"]["code"], "invalid_parameter");
    }
}

#[tokio::test]
async fn a_search_of_logs_that_costs_too_much_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--query-max-spans", "10"]).await;
    let many = (1..=100).map(|number| log(1, number, 9, "said"));
    send(&server, "trainer", many.collect()).await;
    let (status, page) = server.get("/api/lumitrace/v1/logs?text=unsaid").await;
    assert_eq!((status, &page["truncated"]), (200, &json!(true)), "{page}");
}

/// A value in a list in a list and so on, as the body of a log record.
fn deep() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encode_length_delimiter(bytes.len(), &mut out).unwrap();
        out.extend_from_slice(bytes);
        out
    };
    let nested = (0..5_000).fold(Vec::new(), |value, _| field(5, &field(1, &value)));
    field(1, &field(2, &field(2, &field(5, &nested))))
}

#[tokio::test]
async fn broken_logs_are_refused_like_broken_spans() {
    let dir = tempfile::tempdir().unwrap();
    let limit = ["--limits-max-request-bytes", "64KiB"];
    let server = Server::start_with(dir.path(), &limit).await;
    send(&server, "web", vec![log(99, 1, 9, "kept")]).await;
    let url = format!("http://{}/v1/logs", server.otlp_http);
    let good = log_protobuf("web", vec![log(1, 1, 9, "cut")]);
    let large = log_protobuf("web", vec![log(1, 1, 9, &"x".repeat(70_000))]);
    let empty_items = [0x0a, 0].repeat(30_000);
    for (name, content_type, body, status) in [
        ("truncated", PROTOBUF, good[..good.len() - 3].to_vec(), 400),
        ("too deep", PROTOBUF, deep(), 400),
        ("nothing but empty groups", PROTOBUF, empty_items, 400),
        (
            "spans",
            PROTOBUF,
            protobuf("web", vec![span(1, 1, None, "x")]),
            400,
        ),
        ("no JSON", JSON, b"{".to_vec(), 400),
        (
            "JSON of another type",
            JSON,
            br#"{"resourceLogs":5}"#.to_vec(),
            400,
        ),
        ("too large", PROTOBUF, large, 413),
        ("no type", "", good.clone(), 415),
    ] {
        let answer: Answer = post(&url, content_type, body).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.header("retry-after"), "", "{name}");
    }
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 405);
    let url = format!("http://{}/v1development/profiles", server.otlp_http);
    let answer = post(&url, JSON, "{}").await;
    assert_eq!(answer.status, 404);
    let status: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("traces, logs and metrics"), "{message}");
    assert_eq!(bodies(&server, "/logs").await, ["kept"]);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.metric("lumitrace_ingest_in_flight_bytes").await, 0.0);
}

#[tokio::test]
async fn acknowledged_logs_survive_kills() {
    let dir = tempfile::tempdir().unwrap();
    let small = ["--store-memtable-bytes", "64KiB"];
    let mut acknowledged = Vec::new();
    for start in 0..5_u64 {
        let mut server = Server::start_with(dir.path(), &small).await;
        for number in 0..60 {
            let body = format!("{start}.{number}");
            send(&server, "web", vec![log(1, 1 + number, 9, &body)]).await;
            acknowledged.push(body);
        }
        server.kill();
    }
    let server = Server::start(dir.path()).await;
    let mut found = bodies(&server, "/logs?limit=1000").await;
    found.reverse();
    assert_eq!(found, acknowledged);
    assert_eq!(server.metric("lumitrace_store_healthy").await, 1.0);
}

#[tokio::test]
async fn log_records_may_be_kept_for_another_time_than_spans() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "--store-retention-max-age",
        "100h",
        "--store-log-retention-max-age",
        "1ms",
        "--store-flush-after",
        "10ms",
    ];
    let server = Server::start_with(dir.path(), &arguments).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = post(
        &url,
        PROTOBUF,
        protobuf("web", vec![span(1, 1, None, "kept")]),
    )
    .await;
    assert_eq!(answer.status, 200);
    send(&server, "web", vec![log(1, 1, 9, "gone")]).await;
    until("the log record expires", async || {
        let expired = server.metric("lumitrace_store_expired_log_records_total");
        (expired.await == 1.0).then_some(())
    })
    .await;
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["spans"], 1, "{status}");
}
