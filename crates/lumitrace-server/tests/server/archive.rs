//! What somebody keeps stays, whatever the retention.

use super::harness::{Server, until};
use super::spans::{PROTOBUF, post, protobuf, span, trace_id};

async fn archive(server: &Server, path: &str) -> (u16, serde_json::Value) {
    let answer = post(&format!("http://{}{path}", server.ui), "text/plain", "").await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn archived_traces_and_runs_are_found_as_before_when_everything_else_has_expired() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    for (service, spans) in [
        ("web", vec![span(1, 1, None, "GET /")]),
        ("shop", vec![span(2, 1, None, "order")]),
        ("lost", vec![span(3, 1, None, "gone")]),
        ("trainer", vec![span(4, 1, None, "training_epoch")]),
    ] {
        let answer = post(&url, PROTOBUF, protobuf(service, spans)).await;
        assert_eq!(answer.status, 200);
    }
    let own = |trace: u64| format!("/api/lumitrace/v1/traces/{}/archive", trace_id(trace));
    let (status, body) = archive(&server, &own(1)).await;
    assert_eq!((status, &body["copied_spans"]), (200, &1.into()), "{body}");
    let (_, again) = archive(&server, &own(1)).await;
    assert_eq!(again["copied_spans"], 0);
    assert_eq!(server.get(&own(1)).await.1["archived"], true);
    assert_eq!(server.get(&own(3)).await.1["archived"], false);
    assert_eq!(archive(&server, &own(9)).await.0, 404);
    let jaeger = |trace: u64| format!("/api/archive/{}", trace_id(trace));
    assert_eq!(archive(&server, &jaeger(2)).await.0, 200);
    assert_eq!(archive(&server, &jaeger(9)).await.0, 404);
    let (_, runs) = server.get("/api/lumitrace/v1/runs").await;
    let run_id = runs["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let run = format!("/api/lumitrace/v1/runs/{run_id}");
    let (status, body) = archive(&server, &format!("{run}/archive")).await;
    assert_eq!((status, &body["copied_spans"]), (200, &1.into()), "{body}");
    server.signal("-INT");
    server.ended().await;

    let arguments = [
        "--store-retention-max-bytes",
        "1",
        "--store-flush-after",
        "10ms",
    ];
    let server = Server::start_with(dir.path(), &arguments).await;
    until("the spans expire", async || {
        let expired = server.metric("lumitrace_store_expired_spans_total").await;
        (expired == 4.0).then_some(())
    })
    .await;
    let (_, page) = server.get("/api/lumitrace/v1/traces").await;
    let mut found: Vec<&str> = page["traces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trace| trace["root_service"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, ["shop", "trainer", "web"]);
    assert_eq!(server.get(&run).await.0, 200);
    let path = |trace: u64| format!("/api/lumitrace/v1/traces/{}", trace_id(trace));
    assert_eq!(server.get(&path(1)).await.1["span_count"], 1);
    assert_eq!(server.get(&path(3)).await.0, 404);
}
