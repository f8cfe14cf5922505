//! The middleware in a real client, against a real server.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use lumitrace::{FutureExt, SpanKind, StatusCode as Outcome, Value};
use lumitrace_tower::{ClientMiddleware, ServerLayer};
use reqwest_middleware::reqwest::Client;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use support::{Recording, serve};

fn client(recording: &Recording) -> ClientWithMiddleware {
    // No proxy of this machine comes between.
    let client = Client::builder().no_proxy().build().unwrap();
    ClientBuilder::new(client)
        .with(ClientMiddleware::new(recording.tracer()))
        .build()
}

#[tokio::test]
async fn a37_one_trace_goes_from_the_caller_through_the_client_to_the_server() {
    let recording = Recording::start();
    let router = Router::new()
        .route("/runs/{id}", get("found"))
        .layer(ServerLayer::new(recording.tracer()));
    let address = serve(router).await;
    let client = client(&recording);
    let url = format!("http://{address}/runs/7?token=abc");
    let request = async { client.get(url).send().await.unwrap().text().await.unwrap() };
    let caller = recording.tracer().span("caller").start();
    assert_eq!(request.in_span(caller).await, "found");

    let server = recording.ended("GET /runs/{id}").await;
    let caller = recording.ended("caller").await;
    let client = recording.ended("GET").await;
    assert_eq!(client.parent_span_id, Some(caller.span_id));
    assert_eq!(server.parent_span_id, Some(client.span_id));
    assert_eq!(
        (client.kind, client.status.code),
        (SpanKind::Client, Outcome::Unset)
    );
    let full = format!("http://{address}/runs/7?token=REDACTED");
    for (key, value) in [
        ("http.request.method", Value::from("GET")),
        ("url.full", Value::from(full)),
        ("server.address", Value::from("127.0.0.1")),
        ("server.port", Value::Int(address.port().into())),
        ("http.response.status_code", Value::Int(200)),
    ] {
        assert_eq!(client.attribute(key), Some(&value), "{key}");
    }
}

#[tokio::test]
async fn t31_a_4xx_is_an_error_of_a_client() {
    let recording = Recording::start();
    let address = serve(Router::new().route("/", get(StatusCode::NOT_FOUND))).await;
    let answer = client(&recording).get(format!("http://{address}/")).send();
    assert_eq!(answer.await.unwrap().status(), 404);
    let span = recording.ended("GET").await;
    assert_eq!(span.status.code, Outcome::Error);
    assert_eq!(span.attribute("error.type"), Some(&Value::from("404")));
}

#[tokio::test]
async fn t20_a_request_without_an_answer_says_why_and_keeps_secrets() {
    let recording = Recording::start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://ada:hunter2@{address}/?api_key=hunter3");
    assert!(client(&recording).get(url).send().await.is_err());
    let span = recording.ended("GET").await;
    assert_eq!((span.status.code, span.events.len()), (Outcome::Error, 1));
    assert_eq!(span.attribute("error.type"), Some(&Value::from("connect")));
    let message = span.attribute("error.message").unwrap().as_str().unwrap();
    assert!(message.contains("refused"), "{message}");
    assert!(!format!("{span:?}").contains("hunter"), "{span:?}");
}
