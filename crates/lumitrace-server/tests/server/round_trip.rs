//! What is sent comes back, over every protocol.

use super::harness::{Server, until};
use super::spans::{
    self, JSON, PROTOBUF, failed, grpc_client, post, protobuf, request, span, trace_id,
};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use tonic::codec::CompressionEncoding;

/// Whether both APIs know the one span of `trace`.
async fn assert_stored(server: &Server, trace: u64, name: &str) {
    let id = trace_id(trace);
    let (status, own) = server.get(&format!("/api/lumitrace/v1/traces/{id}")).await;
    assert_eq!(status, 200, "{own}");
    assert_eq!(own["trace_id"], id);
    assert_eq!(own["names"], json!([name]));
    assert_eq!(own["span_count"], 1);
    let (status, jaeger) = server.get(&format!("/api/traces/{id}")).await;
    assert_eq!(status, 200, "{jaeger}");
    assert_eq!(jaeger["data"][0]["spans"][0]["operationName"], name);
}

#[tokio::test]
async fn otlp_http_protobuf_and_json_are_stored_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for (trace, port) in (1..).zip(server.otlp_ports()) {
        let url = format!("http://{port}/v1/traces");
        let answer = post(
            &url,
            PROTOBUF,
            protobuf("web", vec![span(trace, 1, None, "pb")]),
        )
        .await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
        assert_eq!(answer.header("content-type"), PROTOBUF);
        assert_eq!(answer.header("lumitrace-pending-spans"), "1");
        assert_stored(&server, trace, "pb").await;

        let body = spans::json_request("web", trace + 10, 1, "js").to_string();
        let answer = post(&url, JSON, body).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        assert_eq!(answer.header("content-type"), JSON);
        assert_stored(&server, trace + 10, "js").await;
    }
}

#[tokio::test]
async fn otlp_grpc_is_stored_on_both_ports_in_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut trace = 0;
    for port in server.otlp_ports() {
        let plain = grpc_client(port).await;
        let compressed = |encoding| plain.clone().send_compressed(encoding);
        let clients = [
            plain.clone(),
            compressed(CompressionEncoding::Gzip),
            compressed(CompressionEncoding::Zstd),
        ];
        for mut client in clients {
            trace += 1;
            let response = client
                .export(request("web", vec![span(trace, 1, None, "rpc")]))
                .await
                .unwrap();
            let pending = response.metadata().get("lumitrace-pending-spans").unwrap();
            assert_eq!(pending, "1");
            assert_eq!(response.into_inner().partial_success, None);
            assert_stored(&server, trace, "rpc").await;
        }
    }
}

#[tokio::test]
async fn every_content_encoding_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for (trace, encoding) in (1..).zip(["identity", "gzip", "deflate", "zstd"]) {
        let body = protobuf("web", vec![span(trace, 1, None, encoding)]);
        let body = match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(&body[..], 3).unwrap(),
            _ => body,
        };
        let request = reqwest::Client::new()
            .post(format!("http://{}/v1/traces", server.otlp_http))
            .header("content-type", PROTOBUF)
            .header("content-encoding", encoding)
            .body(body);
        assert_eq!(spans::send(request).await.status, 200, "{encoding}");
        assert_stored(&server, trace, encoding).await;
    }
}

#[tokio::test]
async fn sloppy_paths_reach_the_receiver_and_posts_to_the_root_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let paths = [
        "/",
        "",
        "/v1/traces/",
        "//v1/traces",
        "/v1/traces/v1/traces",
        "/api/v1/traces",
    ];
    for (trace, path) in (1..).zip(paths) {
        let url = format!("http://{}{path}", server.otlp_http);
        let body = protobuf("web", vec![span(trace, 1, None, "sloppy")]);
        assert_eq!(post(&url, PROTOBUF, body).await.status, 200, "{path}");
        assert_stored(&server, trace, "sloppy").await;
    }
    assert_eq!(
        server.metric("lumitrace_ingest_posts_to_root_total").await,
        2.0
    );
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["otlp"]["posts_to_root"], 2);
    assert_eq!(status["otlp"]["spans"], paths.len());
}

#[tokio::test]
async fn an_empty_request_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    assert_eq!(post(&url, PROTOBUF, "").await.status, 200);
    assert_eq!(post(&url, JSON, "{}").await.status, 200);
    let mut client = grpc_client(&server.otlp_grpc).await;
    let response = client.export(request("web", Vec::new())).await.unwrap();
    assert_eq!(response.into_inner().partial_success, None);
}

#[tokio::test]
async fn spans_with_bad_ids_are_rejected_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut short = span(1, 2, None, "short");
    short.trace_id.truncate(8);
    let zero = span(1, 0, None, "zero");
    let batch = vec![short, span(1, 1, None, "good"), zero];

    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = post(&url, PROTOBUF, protobuf("web", batch.clone())).await;
    assert_eq!(answer.status, 200);
    let response = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(
        partial.error_message.contains("id"),
        "{}",
        partial.error_message
    );
    assert_stored(&server, 1, "good").await;

    let mut client = grpc_client(&server.otlp_grpc).await;
    let response = client
        .export(request("web", batch))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.partial_success.unwrap().rejected_spans, 2);
    assert_eq!(
        server.metric("lumitrace_ingest_rejected_spans_total").await,
        4.0
    );
}

#[tokio::test]
async fn a_span_comes_back_with_everything_it_was_sent_with() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut sent = span(7, 1, Some(9), "work");
    sent.attributes = vec![
        spans::text("prompt", "<script>alert(1)</script>"),
        spans::attribute("loss", any_value::Value::DoubleValue(f64::NAN)),
        spans::attribute("step", any_value::Value::IntValue(i64::MAX)),
        spans::attribute("ok", any_value::Value::BoolValue(true)),
    ];
    sent.events = vec![Event {
        time_unix_nano: sent.start_time_unix_nano + 1,
        name: "exception".to_owned(),
        attributes: vec![
            spans::text("exception.type", "ValueError"),
            spans::text("exception.message", "bad"),
        ],
        ..Event::default()
    }];
    sent.links = vec![Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        attributes: vec![spans::text("why", "retry")],
        ..Link::default()
    }];
    sent.status = spans::failed("bad");
    sent.dropped_attributes_count = 3;
    let start = sent.start_time_unix_nano;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    assert_eq!(
        post(&url, PROTOBUF, protobuf("web", vec![sent]))
            .await
            .status,
        200
    );

    let path = format!(
        "/api/lumitrace/v1/traces/{}/spans/0000000000000001",
        trace_id(7)
    );
    let (status, found) = server.get(&path).await;
    assert_eq!(status, 200, "{found}");
    for (key, expected) in [
        ("parent_span_id", json!("0000000000000009")),
        ("name", json!("work")),
        ("kind", json!("internal")),
        ("service", json!("web")),
        ("start_unix_nano", json!(start.to_string())),
        ("duration_nano", json!("5000000")),
        ("state", json!("complete")),
        ("status", json!({"code": "error", "message": "bad"})),
        ("dropped_attributes_count", json!(3)),
        (
            "exception",
            json!({"type": "ValueError", "message": "bad", "stacktrace": null}),
        ),
    ] {
        assert_eq!(found[key], expected, "{key}");
    }
    let attributes = json!([
        {"key": "prompt", "type": "string", "value": "<script>alert(1)</script>"},
        {"key": "loss", "type": "double", "value": "NaN"},
        {"key": "step", "type": "int", "value": i64::MAX.to_string()},
        {"key": "ok", "type": "bool", "value": true},
    ]);
    assert_eq!(found["attributes"], attributes);
    assert_eq!(found["events"][0]["offset_nano"], "1");
    assert_eq!(found["links"][0]["span_id"], "02".repeat(8));
    assert_eq!(found["resource"]["attributes"][0]["value"], "web");
    assert_eq!(found["scope"]["name"], "tests");
}

#[tokio::test]
async fn a_search_finds_what_matches_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    for trace in 1..=3 {
        let mut root = span(trace, 1, None, "root");
        root.attributes = vec![spans::text("pair", "gbpusd")];
        let mut child = span(trace, 2, Some(1), "child");
        if trace == 2 {
            child.status = spans::failed("broke");
        } else {
            child.status = spans::succeeded();
        }
        assert_eq!(
            post(&url, PROTOBUF, protobuf("fx", vec![root, child]))
                .await
                .status,
            200
        );
    }
    let search = async |query: &str| -> Vec<String> {
        let (status, page) = server
            .get(&format!("/api/lumitrace/v1/traces?{query}"))
            .await;
        assert_eq!(status, 200, "{page}");
        let traces = page["traces"].as_array().unwrap().iter();
        traces
            .map(|trace| trace["trace_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = [trace_id(3), trace_id(2), trace_id(1)];
    assert_eq!(search("").await, all);
    assert_eq!(
        search("service=fx&operation=child&tag=pair%3Dgbpusd").await,
        [""; 0]
    );
    assert_eq!(
        search("service=fx&operation=root&tag=pair%3Dgbpusd").await,
        all
    );
    assert_eq!(search("status=error").await, [trace_id(2)]);
    assert_eq!(search("status=ok").await, [trace_id(3), trace_id(1)]);
    assert_eq!(search("status=unset").await, all);
    assert_eq!(search("status=unset&operation=child").await, [""; 0]);
    assert_eq!(search("text=BROKE").await, [trace_id(2)]);
    assert_eq!(search("service=nobody").await, [""; 0]);
    assert_eq!(search("min_duration=1h").await, [""; 0]);

    let (_, first) = server.get("/api/lumitrace/v1/traces?limit=2").await;
    let next = first["next"].as_str().unwrap();
    let (_, second) = server
        .get(&format!("/api/lumitrace/v1/traces?limit=2&before={next}"))
        .await;
    assert_eq!(second["traces"][0]["trace_id"], trace_id(1));
    assert_eq!(second["next"], Value::Null);

    let (_, services) = server.get("/api/lumitrace/v1/services").await;
    assert_eq!(services["services"][0]["name"], "fx");
    let (_, operations) = server.get("/api/lumitrace/v1/services/fx/operations").await;
    assert_eq!(
        operations["operations"][0],
        json!({"name": "child", "kind": "internal"})
    );
}

#[tokio::test]
async fn operations_are_counted_and_timed_over_all_time_and_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let mut spans: Vec<_> = (1..=10).map(|id| span(1, id, None, "read")).collect();
    spans[0].status = failed("no rows");
    let body = protobuf("db", spans);
    assert_eq!(post(&url, PROTOBUF, body.clone()).await.status, 200);
    // Sent again, it counts no more.
    assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
    let (_, services) = server.get("/api/lumitrace/v1/services").await;
    let last: u64 = text_number(&services["services"][0]["last_seen_unix_nano"]);
    let (start, end) = (last - 60_000_000_000, last + 1);
    let path = "/api/lumitrace/v1/operations/statistics";
    let query = format!("service=db&start_unix_nano={start}&end_unix_nano={end}&steps=6");
    let (status, found) = server.get(&format!("{path}?{query}")).await;
    assert_eq!(status, 200, "{found}");
    let read = &found["operations"][0];
    assert_eq!(
        (&read["service"], &read["operation"]),
        (&json!("db"), &json!("read"))
    );
    let total = &read["total"];
    assert_eq!((&total["count"], &total["errors"]), (&json!(10), &json!(1)));
    assert_eq!(total["max_nano"], "5000000");
    assert!(text_number(&total["p95_nano"]).abs_diff(5_000_000) <= 50_000);
    let steps = read["steps"].as_array().unwrap();
    assert_eq!(
        steps.len(),
        found["steps_unix_nano"].as_array().unwrap().len()
    );
    let counts = steps.iter().filter_map(|step| step["count"].as_u64());
    assert_eq!(counts.sum::<u64>(), 10);
    assert_eq!(found["truncated"], false);

    let (_, none) = server.get(&format!("{path}?service=nobody")).await;
    assert_eq!(none["operations"], json!([]));
    let (status, _) = server.get(&format!("{path}?stepz=3")).await;
    assert_eq!(status, 400);
}

/// A 64-bit number, which the API writes as text.
fn text_number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn wrong_questions_get_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for (path, status, code) in [
        ("/traces?colour=red", 400, "invalid_parameter"),
        ("/traces?limit=none", 400, "invalid_parameter"),
        ("/traces/xyz", 400, "invalid_parameter"),
        (
            "/traces/00000000000000000000000000000001",
            404,
            "trace_not_found",
        ),
        (
            "/traces/00000000000000000000000000000001/spans/0000000000000001",
            404,
            "span_not_found",
        ),
        ("/runs/0000000000000001", 404, "run_not_found"),
        ("/live/runs/0000000000000001", 404, "run_not_found"),
        ("/nothing", 404, "not_found"),
    ] {
        let (found, body) = server.get(&format!("/api/lumitrace/v1{path}")).await;
        assert_eq!(found, status, "{path}: {body}");
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(
            body["error"]["message"].as_str().unwrap().len() > 10,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_training_run_is_recognised_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let number =
        |key: &str, value: f64| spans::attribute(key, any_value::Value::DoubleValue(value));
    let int = |key: &str, value: i64| spans::attribute(key, any_value::Value::IntValue(value));
    let mut epoch = span(1, 1, None, "training_epoch");
    epoch.attributes = vec![
        int("epoch", 1),
        int("total_epochs", 3),
        number("train_loss", 0.5),
    ];
    let batches = (2..12).map(|id| {
        let mut batch = span(1, id, Some(1), "batch_processing");
        let index = id as i64 - 2;
        batch.attributes = vec![
            int("batch_index", index),
            int("batch_size", 32),
            number("loss", f64::NAN),
        ];
        batch
    });
    let all: Vec<_> = batches.chain([epoch]).collect();
    assert_eq!(
        post(&url, PROTOBUF, protobuf("fx-training", all))
            .await
            .status,
        200
    );

    let runs = until("the run to be listed", async || {
        let (_, runs) = server.get("/api/lumitrace/v1/runs").await;
        (runs["runs"][0]["batch_count"] == 10).then_some(runs)
    })
    .await;
    let run = &runs["runs"][0];
    assert_eq!(run["service_name"], "fx-training");
    assert_eq!(run["last_loss"], "NaN");
    let id = run["run_id"].as_str().unwrap();
    let (status, view) = server.get(&format!("/api/lumitrace/v1/runs/{id}")).await;
    assert_eq!(status, 200, "{view}");
    assert_eq!(view["epochs"][0]["label"], "1/3");
    assert_eq!(view["epochs"][0]["train_loss"], 0.5);
    let path = format!("/api/lumitrace/v1/runs/{id}/series?name=loss&max_points=4");
    let (_, series) = server.get(&path).await;
    assert_eq!(series["series"][0]["points"][0]["last"], "NaN");
    let path = format!("/api/lumitrace/v1/runs/{id}/epochs/0000000000000001/batches?limit=3");
    let (_, batches) = server.get(&path).await;
    assert_eq!(batches["total"], 10);
    assert_eq!(batches["batches"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_long_trace_arrives_whole_though_it_is_sent_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let leaves: Vec<u64> = (2..=20_000).collect();
    for ids in leaves.chunks(5_000) {
        let spans = ids.iter().map(|id| span(1, *id, Some(1), "leaf"));
        let answer = post(&url, PROTOBUF, protobuf("web", spans.collect())).await;
        assert_eq!(answer.status, 200);
    }
    let root = protobuf("web", vec![span(1, 1, None, "root")]);
    assert_eq!(post(&url, PROTOBUF, root).await.status, 200);
    let path = format!("/api/lumitrace/v1/traces/{}", trace_id(1));
    let response = reqwest::get(format!("http://{}{path}", server.ui))
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().get("content-length").is_none());
    let trace: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(trace["span_count"], 20_000);
    let ids = trace["spans"]["id"].as_array().unwrap();
    let distinct: std::collections::HashSet<_> =
        ids.iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(distinct.len(), 20_000);
    assert_eq!(trace["spans"]["label"].as_array().unwrap().len(), 20_000);
}
