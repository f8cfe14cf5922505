//! Jaeger's v1 JSON API, as Jaeger's own UI and Grafana call it.

use super::harness::Server;
use super::spans::{
    PROTOBUF, attribute, failed, now_unix_nano, post, request, resource_spans, span, trace_id,
};
use opentelemetry_proto::tonic::common::v1::any_value;
use prost::Message;
use serde_json::{Value, json};
use std::path::Path;

/// A server that holds one call from `web` to `db`, which failed.
async fn server_with_a_call(dir: &Path) -> Server {
    let server = Server::start(dir).await;
    let mut query = span(0xabc, 2, Some(1), "query");
    query.kind = 2;
    query.status = failed("no rows");
    query.attributes = vec![attribute("cached", any_value::Value::BoolValue(false))];
    let mut call = request("web", vec![span(0xabc, 1, None, "GET /a")]);
    call.resource_spans.push(resource_spans("db", vec![query]));
    let url = format!("http://{}/v1/traces", server.otlp_http);
    assert_eq!(post(&url, PROTOBUF, call.encode_to_vec()).await.status, 200);
    server
}

#[tokio::test]
async fn services_and_operations_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_a_call(dir.path()).await;
    let (status, services) = server.get("/api/services").await;
    assert_eq!(status, 200);
    let expected =
        json!({"data": ["db", "web"], "total": 2, "limit": 0, "offset": 0, "errors": null});
    assert_eq!(services, expected);
    let (_, names) = server.get("/api/services/web/operations").await;
    assert_eq!(names["data"], json!(["GET /a"]));
    let (_, operations) = server
        .get("/api/operations?service=db&spanKind=server")
        .await;
    assert_eq!(
        operations["data"],
        json!([{"name": "query", "spanKind": "server"}])
    );
    let (_, none) = server
        .get("/api/operations?service=db&spanKind=client")
        .await;
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn a_search_gives_whole_traces() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_a_call(dir.path()).await;
    let now = now_unix_nano() / 1000;
    let start = now - 60_000_000;
    let found = async |query: &str| -> usize {
        let (status, body) = server.get(&format!("/api/traces?{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        body["data"].as_array().unwrap().len()
    };
    let window = format!("start={start}&end={now}&limit=20&lookback=1h");
    assert_eq!(found(&format!("service=web&{window}")).await, 1);
    assert_eq!(
        found(&format!("service=db&operation=query&{window}")).await,
        1
    );
    assert_eq!(
        found(&format!(
            "service=db&tags=%7B%22error%22%3A%22true%22%7D&{window}"
        ))
        .await,
        1
    );
    assert_eq!(
        found(&format!("service=web&tag=error:true&{window}")).await,
        0
    );
    assert_eq!(found("service=web&minDuration=1m").await, 0);
    assert_eq!(found(&format!("service=web&end={start}")).await, 0);

    let (status, body) = server.get("/api/traces?limit=5").await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["msg"], "parameter 'service' is required");
    let (status, _) = server
        .get("/api/traces?service=web&minDuration=2s&maxDuration=1s")
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_trace_is_found_by_any_spelling_of_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_a_call(dir.path()).await;
    for id in [
        trace_id(0xabc),
        "abc".to_owned(),
        "ABC".to_owned(),
        "0abc".to_owned(),
        "AAAAAAAAAAAAAAAAAAAKvA==".to_owned(),
    ] {
        // Grafana sends the range in milliseconds, others in microseconds: neither matters.
        let (status, body) = server.get(&format!("/api/traces/{id}?start=1&end=2")).await;
        assert_eq!(status, 200, "{id}");
        let trace = &body["data"][0];
        assert_eq!(trace["traceID"], trace_id(0xabc));
        assert_eq!(trace["spans"].as_array().unwrap().len(), 2);
        let query = span_named(trace, "query");
        let process = query["processID"].as_str().unwrap();
        assert_eq!(trace["processes"][process]["serviceName"], "db");
        assert_eq!(query["references"][0]["refType"], "CHILD_OF");
        assert_eq!(query["references"][0]["spanID"], "0000000000000001");
        assert_eq!(query["duration"], 5000);
        let tags = query["tags"].as_array().unwrap();
        assert!(tags.contains(&json!({"key": "cached", "type": "bool", "value": false})));
        assert!(tags.contains(&json!({"key": "error", "type": "bool", "value": true})));
    }
}

fn span_named<'a>(trace: &'a Value, name: &str) -> &'a Value {
    let spans = trace["spans"].as_array().unwrap();
    spans
        .iter()
        .find(|span| span["operationName"] == name)
        .unwrap()
}

#[tokio::test]
async fn an_unknown_trace_is_an_error_alone_and_an_entry_among_several() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_a_call(dir.path()).await;
    let url = format!("http://{}/api/traces/77", server.ui);
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        body["errors"],
        json!([{"code": 404, "msg": "trace not found"}])
    );
    assert_eq!(body["data"], Value::Null);

    let (status, body) = server.get("/api/traces?traceID=abc&traceID=77").await;
    assert_eq!(status, 200);
    assert_eq!(body["total"], 1);
    assert_eq!(body["errors"][0]["traceID"], trace_id(0x77));
    let (status, _) = server.get("/api/traces/not-hex").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn metrics_by_service_are_said_to_be_missing_in_jaegers_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for kind in ["latencies", "calls", "errors", "minstep"] {
        let (status, body) = server
            .get(&format!("/api/metrics/{kind}?service=web&quantile=0.95"))
            .await;
        assert_eq!(status, 501, "{kind}");
        assert_eq!(body["errors"][0]["code"], 501, "{kind}: {body}");
        assert_eq!(body["data"], Value::Null);
    }
}

#[tokio::test]
async fn dependencies_are_counted_over_the_spans_of_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with_a_call(dir.path()).await;
    let now = now_unix_nano() / 1_000_000 + 1;
    let (status, body) = server
        .get(&format!("/api/dependencies?endTs={now}&lookback=60000"))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        body["data"],
        json!([{"parent": "web", "child": "db", "callCount": 1}])
    );
    let (_, body) = server
        .get("/api/dependencies?endTs=5000&lookback=1000")
        .await;
    assert_eq!(body["data"], json!([]));
}
