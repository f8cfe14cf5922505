//! Live streams, as a browser's `EventSource` reads them.

use super::harness::{PATIENCE, Server, until};
use super::logs::{log, log_protobuf};
use super::metrics::{gauge, request};
use super::spans::{self, PROTOBUF, post, protobuf, span, trace_id};
use prost::Message;
use serde_json::Value;
use std::time::Instant;

struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    async fn open(server: &Server, path: &str) -> Self {
        let url = format!("http://{}/api/lumitrace/v1/live/{path}", server.ui);
        let response = reqwest::get(url).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next event; `None` when the server ends the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let parsed = field("event: ").zip(field("data: "));
                self.buffer = rest.to_owned();
                if let Some((name, data)) = parsed {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout_at(until, self.response.chunk());
            let chunk = chunk.await.expect("an event in time");
            self.buffer
                .push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

async fn send(server: &Server, service: &str, trace: u64, name: &str) {
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let body = protobuf(service, vec![span(trace, 1, None, name)]);
    assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
}

#[tokio::test]
async fn changed_traces_arrive_and_only_those_that_match() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "traces?service=web").await;
    send(&server, "other", 1, "x").await;
    send(&server, "web", 2, "x").await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "traces");
    let traces = data["traces"].as_array().unwrap();
    assert_eq!(traces.len(), 1, "{data}");
    assert_eq!(traces[0]["trace_id"], trace_id(2));
    assert_eq!(traces[0]["root_service"], "web");
}

#[tokio::test]
async fn a_search_by_status_is_followed_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "traces?status=ok").await;
    let url = format!("http://{}/v1/traces", server.otlp_http);
    send(&server, "web", 1, "unset").await;
    let mut well = span(2, 1, None, "well");
    well.status = spans::succeeded();
    assert_eq!(
        post(&url, PROTOBUF, protobuf("web", vec![well]))
            .await
            .status,
        200
    );
    let (_, data) = events.next().await.unwrap();
    let traces = data["traces"].as_array().unwrap();
    assert_eq!(traces.len(), 1, "{data}");
    assert_eq!(traces[0]["trace_id"], trace_id(2));
}

#[tokio::test]
async fn events_come_at_most_about_four_times_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "traces").await;
    let begun = Instant::now();
    let mut seen = 0;
    let mut count = 0;
    for trace in 1..=50 {
        send(&server, "web", trace, "x").await;
    }
    while seen < 50 {
        let (_, data) = events.next().await.unwrap();
        seen += data["traces"].as_array().unwrap().len();
        count += 1;
    }
    let quarters = begun.elapsed().as_millis() / 250;
    assert!(
        count <= quarters + 1,
        "{count} events in {quarters} quarters of a second"
    );
}

#[tokio::test]
async fn runs_tell_their_changes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut runs = Events::open(&server, "runs").await;
    send(&server, "training", 1, "training_epoch").await;
    let (name, data) = runs.next().await.unwrap();
    assert_eq!(name, "runs");
    let id = data["runs"][0]["run_id"].as_str().unwrap();

    let mut run = Events::open(&server, &format!("runs/{id}")).await;
    let (name, first) = run.next().await.unwrap();
    assert_eq!(name, "run");
    send(&server, "training", 2, "training_epoch").await;
    let (_, second) = run.next().await.unwrap();
    assert_ne!(first["revision"], second["revision"]);
}

#[tokio::test]
async fn log_records_that_match_arrive_newest_first_also_if_there_were_none_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "logs?service=web&min_severity=WARN&text=late").await;
    let url = format!("http://{}/v1/logs", server.otlp_http);
    let records = [(13, "too late"), (9, "late but fine"), (17, "Late again")];
    let of = |service: &str| {
        let records = records
            .iter()
            .map(|(severity, body)| log(1, 1, *severity, body));
        log_protobuf(service, records.collect())
    };
    for service in ["other", "web"] {
        assert_eq!(post(&url, PROTOBUF, of(service)).await.status, 200);
    }
    let (name, data) = events.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["left_out"]),
        ("logs", &Value::from(0))
    );
    let logs = data["logs"].as_array().unwrap().iter();
    let bodies: Vec<&Value> = logs.map(|log| &log["body"]).collect();
    assert_eq!(bodies.len(), 2, "{data}");
    assert!(bodies[0].to_string().contains("Late again"), "{data}");
    assert!(bodies[1].to_string().contains("too late"), "{data}");
}

#[tokio::test]
async fn metrics_whose_points_match_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "metrics?service=web").await;
    let url = format!("http://{}/v1/metrics", server.otlp_http);
    for (service, metrics) in [
        ("other", vec![gauge("hidden", &[1.0])]),
        (
            "web",
            vec![gauge("loss", &[1.0, 2.0]), gauge("accuracy", &[0.5])],
        ),
    ] {
        let body = request(service, metrics).encode_to_vec();
        assert_eq!(post(&url, PROTOBUF, body).await.status, 200);
    }
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "metrics");
    assert_eq!(data["names"], serde_json::json!(["accuracy", "loss"]));
}

#[tokio::test]
async fn a_live_stream_refuses_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for path in ["logs?limit=3", "logs?min_severity=loud", "metrics?kind=sum"] {
        let url = format!("http://{}/api/lumitrace/v1/live/{path}", server.ui);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 400, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_stream_behind() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Events::open(&server, "traces").await);
    }
    assert_eq!(server.metric("lumitrace_live_streams").await, 5.0);
    drop(open);
    until("the streams to be gone", async || {
        (server.metric("lumitrace_live_streams").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    let mut events = Events::open(&server, "traces").await;
    let begun = Instant::now();
    server.signal("-TERM");
    assert!(events.next().await.is_none());
    assert!(server.ended().await.success());
    assert!(
        begun.elapsed().as_secs() < 5,
        "an open stream held up the end"
    );
}
