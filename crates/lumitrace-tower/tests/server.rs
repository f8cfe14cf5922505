//! The layer in a real axum server.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message as ServerMessage, WebSocketUpgrade};
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use lumitrace::{FutureExt, SpanKind, StatusCode as Outcome, Tracer, Value, current_span};
use lumitrace_tower::ServerLayer;
use support::{PATIENCE, Recording, send, serve};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};

fn layer(recording: &Recording) -> ServerLayer {
    ServerLayer::new(recording.tracer())
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn a11_a_request_is_a_span_named_after_its_route_below_the_caller() {
    let recording = Recording::start();
    let tracer: Tracer = recording.tracer();
    let handler = async move |Path(id): Path<u32>| {
        current_span().set_attribute("run", id);
        tracer.in_span("query", |_| ());
        assert_eq!(
            lumitrace::Context::current().baggage().get("user"),
            Some("7")
        );
        "found"
    };
    let router = Router::new()
        .route("/runs/{id}", get(handler))
        .layer(layer(&recording));
    let address = serve(router).await;
    let headers = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                   baggage: user=7\r\nuser-agent: test\r\n";
    let answer = send(address, "GET /runs/7?step=1", headers).await;
    assert!(answer.ends_with("found"), "{answer}");

    let span = recording.ended("GET /runs/{id}").await;
    assert_eq!(
        span.trace_id.to_string(),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    assert_eq!(span.parent_span_id.unwrap().to_string(), "00f067aa0ba902b7");
    assert_eq!(
        (span.kind, span.status.code),
        (SpanKind::Server, Outcome::Unset)
    );
    for (key, value) in [
        ("http.request.method", Value::from("GET")),
        ("http.route", Value::from("/runs/{id}")),
        ("http.response.status_code", Value::Int(200)),
        ("url.path", Value::from("/runs/7")),
        ("url.query", Value::from("step=1")),
        ("server.address", Value::from("127.0.0.1")),
        ("server.port", Value::Int(address.port().into())),
        ("network.protocol.version", Value::from("1.1")),
        ("user_agent.original", Value::from("test")),
        ("run", Value::Int(7)),
    ] {
        assert_eq!(span.attribute(key), Some(&value), "{key}");
    }
    let query = recording.ended("query").await;
    assert_eq!(query.parent_span_id, Some(span.span_id));
}

#[tokio::test]
async fn t31_a_4xx_is_no_error_of_a_server_and_a_5xx_is() {
    let recording = Recording::start();
    let router = Router::new()
        .route("/refused", get(StatusCode::NOT_FOUND))
        .route("/broken", get(StatusCode::SERVICE_UNAVAILABLE))
        .layer(layer(&recording));
    let address = serve(router).await;
    for (path, code, outcome) in [
        ("/refused", 404, Outcome::Unset),
        ("/broken", 503, Outcome::Error),
    ] {
        let answer = send(address, &format!("GET {path}"), "").await;
        assert_eq!(status_of(&answer), code.to_string());
        let span = recording.ended(&format!("GET {path}")).await;
        assert_eq!(span.status.code, outcome, "{path}");
        let status = span.attribute("http.response.status_code");
        assert_eq!(status, Some(&Value::Int(code)));
        let error_type = (code >= 500).then(|| Value::from(code.to_string()));
        assert_eq!(span.attribute("error.type"), error_type.as_ref());
    }
}

#[tokio::test]
async fn t32_a_streamed_body_is_flushed_piece_by_piece_and_the_span_ends_with_it() {
    let recording = Recording::start();
    let tracer = recording.tracer();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures::stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    let pieces = pieces.map(move |piece| {
        tracer.span("piece").start().end();
        Ok::<_, std::io::Error>(piece)
    });
    let mut body = Some(Body::from_stream(pieces));
    let service = service_fn(move |_: Request| {
        let body = body.take().unwrap();
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(body)))
    });
    let service = layer(&recording).layer(service);
    let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
    let mut body = answer.into_body();
    for text in ["one", "two"] {
        sender.send(Bytes::from(text)).await.unwrap();
        let piece = body.frame().await.unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), text);
        assert!(
            recording.spans().iter().all(|span| span.name == "piece"),
            "open"
        );
    }
    drop(sender);
    assert!(body.frame().await.is_none());
    let spans = recording.spans();
    let request = spans.iter().find(|span| span.name == "GET").unwrap();
    let mut pieces = spans.iter().filter(|span| span.name == "piece");
    assert!(pieces.all(|piece| piece.parent_span_id == Some(request.span_id)));
    assert_eq!(spans.len(), 3);
}

#[tokio::test]
async fn t32_a_streamed_answer_reaches_the_client_while_it_is_made() {
    let recording = Recording::start();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let stream = async move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let pieces = futures::stream::unfold(receiver, async |mut receiver| {
            Some((Ok::<_, std::io::Error>(receiver.recv().await?), receiver))
        });
        Body::from_stream(pieces)
    };
    let router = Router::new()
        .route("/stream", get(stream))
        .layer(layer(&recording));
    let address = serve(router).await;
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut connection, request.as_bytes())
        .await
        .unwrap();
    let mut seen = String::new();
    for text in ["first", "second"] {
        sender.send(Bytes::from(text)).await.unwrap();
        // The next piece is sent when this one has come.
        while !seen.contains(text) {
            let mut buffer = [0; 1024];
            let read = tokio::io::AsyncReadExt::read(&mut connection, &mut buffer);
            let length = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
            assert!(length > 0, "{seen}");
            seen.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        assert!(recording.spans().is_empty(), "the body goes on");
    }
    drop(sender);
    recording.ended("GET /stream").await;
}

#[tokio::test]
async fn t32_a_websocket_is_upgraded_and_its_request_is_a_span() {
    let recording = Recording::start();
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if let ServerMessage::Text(text) = message {
                    let answer = ServerMessage::Text(format!("{text}!").into());
                    socket.send(answer).await.unwrap();
                }
            }
        })
    };
    let router = Router::new()
        .route("/socket", any(echo))
        .layer(layer(&recording));
    let address = serve(router).await;
    let url = format!("ws://{address}/socket");
    let (mut socket, response) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for text in ["one", "two"] {
        let message = tokio_tungstenite::tungstenite::Message::text(text);
        futures::SinkExt::send(&mut socket, message).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap().as_str(), format!("{text}!"));
    }
    // The connection is still open: the request was answered with its upgrade.
    let span = recording.ended("GET /socket").await;
    let status = span.attribute("http.response.status_code");
    assert_eq!(status, Some(&Value::Int(101)));
    assert_eq!(span.status.code, Outcome::Unset);
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_span() {
    let recording = Recording::start();
    let (started, mut has_started) = mpsc::channel::<()>(1);
    let never = async move || {
        started.send(()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let router = Router::new()
        .route("/slow", get(never))
        .layer(layer(&recording));
    let address = serve(router).await;
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut connection, request)
        .await
        .unwrap();
    has_started.recv().await.unwrap();
    drop(connection);
    let span = recording.ended("GET /slow").await;
    assert_eq!(span.attribute("http.response.status_code"), None);
}

#[tokio::test]
async fn t20_an_error_of_the_service_or_of_the_body_is_recorded() {
    let recording = Recording::start();
    let failing = service_fn(async |_: Request| Err::<Response<Body>, _>("no backend"));
    let service = layer(&recording).layer(failing);
    let error = service
        .oneshot(Request::new(Body::empty()))
        .await
        .unwrap_err();
    assert_eq!(error, "no backend");

    let breaking = service_fn(async |_: Request| {
        let pieces = [Ok(Bytes::from("a")), Err(std::io::Error::other("cut off"))];
        let body = Body::from_stream(futures::stream::iter(pieces));
        Ok::<_, std::convert::Infallible>(Response::new(body))
    });
    let service = layer(&recording).layer(breaking);
    let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());

    let spans = recording.spans();
    let messages: Vec<_> = spans.iter().map(|span| &*span.status.message).collect();
    assert_eq!(messages, ["no backend", "cut off"]);
    for span in &spans {
        assert_eq!((span.status.code, span.events.len()), (Outcome::Error, 1));
    }
}

#[tokio::test]
async fn a_panicking_handler_is_an_error_of_its_span() {
    let recording = Recording::start();
    let panicking =
        service_fn(async |_: Request| -> Result<Response<Body>, String> { panic!("on purpose") });
    let service = layer(&recording).layer(panicking);
    let task = tokio::spawn(service.oneshot(Request::new(Body::empty())));
    assert!(task.await.unwrap_err().is_panic());
    let span = recording.ended("GET").await;
    assert_eq!(span.status.code, Outcome::Error);
    assert!(!current_span().is_recording());
}

#[tokio::test]
async fn without_a_matched_route_the_name_is_the_method_alone() {
    let recording = Recording::start();
    let router = Router::new()
        .fallback(async || StatusCode::NOT_FOUND.into_response())
        .layer(layer(&recording));
    let address = serve(router).await;
    send(address, "BREW /pot/7", "").await;
    let span = recording.ended("HTTP").await;
    let original = span.attribute("http.request.method_original");
    assert_eq!(original, Some(&Value::from("BREW")));
    assert_eq!(span.attribute("http.route"), None);
}

#[tokio::test]
async fn headers_that_name_no_trace_are_as_if_they_were_not_there() {
    let recording = Recording::start();
    let router = Router::new().route("/", get("")).layer(layer(&recording));
    let address = serve(router).await;
    send(
        address,
        "GET /",
        "traceparent: 00-zz-1-\r\nbaggage: %%%\r\n",
    )
    .await;
    assert_eq!(recording.ended("GET /").await.parent_span_id, None);
}

#[tokio::test]
async fn a_service_that_is_called_in_the_process_belongs_to_its_caller() {
    let recording = Recording::start();
    let baggage = lumitrace::Baggage::new().with("user", "7");
    let inner = service_fn(async |_: Request| {
        let context = lumitrace::Context::current();
        assert_eq!(context.baggage().get("user"), Some("7"));
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    });
    let service = layer(&recording).layer(inner);
    let caller = recording.tracer().span("caller").start();
    let context = lumitrace::Context::of_span(&caller).with_baggage(baggage);
    let call = service.oneshot(Request::new(Body::empty()));
    call.in_context(context).await.unwrap();
    let span = recording.ended("GET").await;
    assert_eq!(span.parent_span_id, Some(caller.context().span_id()));
}
