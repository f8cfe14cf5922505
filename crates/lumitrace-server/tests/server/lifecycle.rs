//! Starting, ending and starting again.

use super::harness::{Server, until};
use super::spans::{PROTOBUF, post, protobuf, span, trace_id};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_restart_keeps_the_data() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3_u64 {
        let mut server = Server::start(dir.path()).await;
        let url = format!("http://{}/v1/traces", server.otlp_http);
        let body = protobuf("web", vec![span(round, 1, None, "kept")]);
        assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
        for trace in 1..=round {
            let path = format!("/api/lumitrace/v1/traces/{}", trace_id(trace));
            assert_eq!(
                server.get(&path).await.0,
                200,
                "trace {trace} in round {round}"
            );
        }
        server.signal("-TERM");
        assert!(server.ended().await.success());
    }
}

#[tokio::test]
async fn an_end_lets_requests_finish_and_takes_no_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    let body = protobuf("web", vec![span(1, 1, None, "late")]);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&server.otlp_http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..10]).await.unwrap();
    until("the request to be under way", async || {
        (server.metric("lumitrace_ingest_in_flight_bytes").await == 10.0).then_some(())
    })
    .await;

    server.signal("-INT");
    until("new connections to be refused", async || {
        TcpStream::connect(&server.otlp_http)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    stream.write_all(&body[10..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.ended().await.success());
    drop(server);

    let server = Server::start(dir.path()).await;
    let path = format!("/api/lumitrace/v1/traces/{}", trace_id(1));
    assert_eq!(
        server.get(&path).await.0,
        200,
        "what was acknowledged at the end is kept"
    );
}

#[tokio::test]
async fn an_end_is_bounded_and_a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for (timeout, signals) in [("300ms", 1), ("10min", 2)] {
        let mut server = Server::start_with(dir.path(), &["--shutdown-timeout", timeout]).await;
        let mut stream = TcpStream::connect(&server.otlp_http).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Content-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        until("the request to be under way", async || {
            (server.metric("lumitrace_ingest_in_flight_bytes").await == 1.0).then_some(())
        })
        .await;
        let begun = Instant::now();
        server.signal("-INT");
        if signals == 2 {
            until("the first signal to be seen", async || {
                server.log().contains("a second Ctrl-C").then_some(())
            })
            .await;
            server.signal("-INT");
        }
        server.ended().await;
        assert!(
            begun.elapsed().as_secs() < 5,
            "{timeout}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn the_start_says_where_everything_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let log = server.log();
    let data = dir.path().join("data");
    for part in [
        &server.ui,
        &server.otlp_http,
        &server.otlp_grpc,
        &*data.to_string_lossy(),
    ] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    assert!(!log.contains("open to other machines"), "{log}");
}
