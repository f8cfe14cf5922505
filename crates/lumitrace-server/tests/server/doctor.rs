//! `lumitrace doctor`, with and without a server.

use super::harness::{Server, lumitrace};
use super::spans::{PROTOBUF, post, protobuf, span};

/// What it prints about a server that is well.
fn doctor(server: &Server) -> String {
    let output = lumitrace(&["doctor", "--python", "no-such-python"])
        .args(["--listen-otlp-grpc", &server.otlp_grpc])
        .args(["--listen-otlp-http", &server.otlp_http])
        .args(["--listen-ui", &server.ui, "--data-dir", "."])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test]
async fn it_finds_a_healthy_server_and_says_what_arrived() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/", server.otlp_http);
    let body = protobuf("web", vec![span(1, 1, None, "a")]);
    assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
    let text = doctor(&server);
    for part in [
        &*format!("a server answers at {}", server.otlp_grpc),
        "an empty OTLP request is answered in",
        "spans that arrived since the server started: 1",
        "posted to /",
        "can be written",
        "no-such-python cannot be run",
        "0 problems",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn it_says_that_no_program_has_sent_anything_however_often_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for _ in 0..2 {
        let text = doctor(&server);
        assert!(
            text.contains("no spans have arrived since the server started"),
            "{text}"
        );
    }
}

#[test]
fn it_says_who_has_the_port_and_what_is_not_running() {
    let dir = tempfile::tempdir().unwrap();
    // Held open, but it never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = listener.local_addr().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = lumitrace(&["doctor", "--python", "no-such-python"])
        .args([
            "--listen-otlp-grpc",
            &free.to_string(),
            "--listen-otlp-http",
            &free.to_string(),
        ])
        .args(["--listen-ui", &foreign.to_string(), "--data-dir"])
        .arg(dir.path())
        .env("OTEL_SDK_DISABLED", "true")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        &*format!("nothing answers at {free}"),
        "lumitrace serve",
        &format!("{foreign}"),
        "OTEL_SDK_DISABLED",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}
