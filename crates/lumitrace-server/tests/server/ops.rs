//! Health, metrics and the web interface's files.

use super::harness::Server;
use super::spans::{PROTOBUF, post, protobuf, span};
use std::collections::HashMap;

#[tokio::test]
async fn health_is_told_on_every_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for port in [&server.otlp_grpc, &server.otlp_http, &server.ui] {
        for (path, expected) in [("healthz", "ok\n"), ("readyz", "ready\n")] {
            let answer = reqwest::get(format!("http://{port}/{path}")).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.text().await.unwrap(), expected);
        }
        let metrics = reqwest::get(format!("http://{port}/metrics"))
            .await
            .unwrap();
        assert_eq!(metrics.status(), 200);
    }
}

#[tokio::test]
async fn metrics_are_valid_open_metrics_and_count_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let body = protobuf("web", vec![span(1, 1, None, "a"), span(1, 2, Some(1), "b")]);
    let length = body.len();
    assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
    assert_eq!(post(&url, PROTOBUF, "nonsense").await.status, 400);
    server.get("/api/services").await;

    let response = reqwest::get(format!("http://{}/metrics", server.ui))
        .await
        .unwrap();
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        content_type.starts_with("application/openmetrics-text"),
        "{content_type}"
    );
    let samples = parse_open_metrics(&response.text().await.unwrap());
    let protocol = "{protocol=\"otlp_http_protobuf\"}";
    for (name, value) in [
        (format!("lumitrace_ingest_requests_total{protocol}"), 2.0),
        (format!("lumitrace_ingest_spans_total{protocol}"), 2.0),
        (
            format!("lumitrace_ingest_payload_bytes_total{protocol}"),
            length as f64,
        ),
        (
            "lumitrace_ingest_refused_requests_total{reason=\"malformed\"}".to_owned(),
            1.0,
        ),
        (
            "lumitrace_ingest_request_duration_seconds_count".to_owned(),
            1.0,
        ),
        (
            "lumitrace_api_requests_total{route=\"/api/services\",status=\"2xx\"}".to_owned(),
            1.0,
        ),
        ("lumitrace_store_spans".to_owned(), 2.0),
        ("lumitrace_store_appended_spans_total".to_owned(), 2.0),
        ("lumitrace_store_healthy".to_owned(), 1.0),
    ] {
        assert_eq!(samples.get(&name), Some(&value), "{name}");
    }
}

/// The samples by name and labels; panics where the text breaks the format's rules.
fn parse_open_metrics(text: &str) -> HashMap<String, f64> {
    let mut families: HashMap<&str, &str> = HashMap::new();
    let mut samples = HashMap::new();
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, kind) = rest.split_once(' ').unwrap();
            assert!(
                families.insert(family, kind).is_none(),
                "{family} is declared twice"
            );
        } else if !line.starts_with("# ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let family = ["_total", "_bucket", "_sum", "_count", ""]
                .iter()
                .filter_map(|suffix| bare.strip_suffix(suffix))
                .find_map(|family| families.get_key_value(family));
            let (_, kind) = family.unwrap_or_else(|| panic!("{bare} has no type"));
            if *kind == "counter" {
                assert!(bare.ends_with("_total"), "{bare}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(
                samples.insert(name.to_owned(), value).is_none(),
                "{name} appears twice"
            );
        }
    }
    samples
}

#[tokio::test]
async fn pages_forbid_foreign_scripts_and_frames() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ui-frame-ancestors", "'self'"]).await;
    for path in [
        "/",
        "/search",
        "/trace/00000000000000000000000000000001",
        "/runs/x",
    ] {
        let page = reqwest::get(format!("http://{}{path}", server.ui))
            .await
            .unwrap();
        assert_eq!(page.status(), 200, "{path}");
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'self'"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(header("content-type").starts_with("text/html"), "{path}");
        assert!(page.text().await.unwrap().contains("Lumitrace"), "{path}");
    }
    let missing = reqwest::get(format!("http://{}/assets/none.js", server.ui))
        .await
        .unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn the_status_page_has_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (status, body) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(body["endpoints"]["ui"], server.ui);
    assert_eq!(body["healthy"], true);
    assert_eq!(body["problem"], serde_json::Value::Null);
    assert_eq!(body["spans"], 0);
    assert!(body["started_unix_nano"].is_string());
    assert!(body["data_dir"].as_str().unwrap().ends_with("/data"));
}
