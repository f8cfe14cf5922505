//! Exporting over OTLP/gRPC.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use h2::server::SendResponse;
use lumitrace::environment::Environment;
use lumitrace::model::Span;
use lumitrace::{FlushError, TracerProvider, setup_tracing};
use lumitrace_wire::otlp::protobuf::decode_traces;
use support::PATIENCE;
use tokio::runtime::Runtime;

/// A gRPC server of one method that answers with the codes of `statuses` in turn, then with OK; and
/// to more than so many spans at once that they are too large.
struct GrpcReceiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    _runtime: Runtime,
}

struct Call {
    path: String,
    api_key: Option<String>,
    spans: Vec<Span>,
}

impl GrpcReceiver {
    fn start(statuses: &'static [&'static str]) -> Self {
        Self::start_taking(usize::MAX, statuses)
    }

    fn start_taking(max_spans: usize, statuses: &'static [&'static str]) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&calls);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let calls = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let calls = Arc::clone(&calls);
                        tokio::spawn(answer(request, respond, max_spans, statuses, calls));
                    }
                });
            }
        });
        Self {
            address,
            calls,
            _runtime: runtime,
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .flat_map(|call| call.spans.clone())
            .collect()
    }
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<bytes::Bytes>,
    max_spans: usize,
    statuses: &[&str],
    calls: Arc<Mutex<Vec<Call>>>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    // A gRPC message: one byte for compression, four for the length.
    let decoded = decode_traces(&body[5..], &Default::default()).unwrap();
    let groups = decoded
        .resource_spans
        .into_iter()
        .flat_map(|group| group.scope_spans);
    let call = Call {
        path: head.uri.path().to_owned(),
        api_key: head
            .headers
            .get("api-key")
            .map(|value| value.to_str().unwrap().to_owned()),
        spans: groups.flat_map(|scope| scope.spans).collect(),
    };
    let is_too_large = call.spans.len() > max_spans;
    let number = {
        let mut calls = calls.lock().unwrap();
        calls.push(call);
        calls.len() - 1
    };
    let status = match is_too_large {
        true => "8",
        false => statuses.get(number).copied().unwrap_or("0"),
    };
    let head = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("lumitrace-pending-spans", "1")
        .body(())
        .unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    if status == "0" {
        stream
            .send_data(bytes::Bytes::from_static(&[0; 5]), false)
            .unwrap();
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    if is_too_large {
        let message = "grpc: received message larger than max (9 vs. 4)";
        trailers.insert("grpc-message", message.parse().unwrap());
    }
    stream.send_trailers(trailers).unwrap();
}

fn exporting_to(address: SocketAddr) -> TracerProvider {
    setup_tracing("grpc")
        .endpoint(format!("http://{address}"))
        .protocol(lumitrace::exporter::OtlpProtocol::Grpc)
        .header("Api-Key", "secret")
        .with_environment(Environment::default())
        .on_notice(|_| ())
        .build()
}

#[test]
fn spans_arrive_over_grpc_with_headers() {
    let receiver = GrpcReceiver::start(&[]);
    let provider = exporting_to(receiver.address);
    for _ in 0..700 {
        provider.tracer("t").span("work").start().end();
    }
    let open = provider.tracer("t").span("open").start();
    provider.force_flush(PATIENCE).unwrap();
    provider.shutdown().unwrap();
    assert_eq!(
        receiver
            .spans()
            .iter()
            .filter(|span| span.name == "work")
            .count(),
        700
    );
    assert!(
        receiver
            .spans()
            .iter()
            .any(|span| span.name == "open" && span.pending)
    );
    for call in receiver.calls.lock().unwrap().iter() {
        assert_eq!(
            call.path,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        assert_eq!(call.api_key.as_deref(), Some("secret"));
    }
    open.end();
}

#[test]
fn unavailable_is_tried_again_and_an_invalid_argument_is_not() {
    // UNAVAILABLE, then INVALID_ARGUMENT.
    let receiver = GrpcReceiver::start(&["14", "3"]);
    let provider = exporting_to(receiver.address);
    provider.tracer("t").span("work").start().end();
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    assert_eq!(provider.force_flush(PATIENCE), Ok(()), "refused for good");
    assert_eq!(provider.stats().refused_spans, 1);
    provider.tracer("t").span("work").start().end();
    assert_eq!(provider.force_flush(PATIENCE), Ok(()));
    assert_eq!(provider.stats().exported_spans, 1);
}

#[test]
fn c24_a_batch_that_is_too_large_is_halved_until_it_fits() {
    let receiver = GrpcReceiver::start_taking(60, &[]);
    let provider = exporting_to(receiver.address);
    for _ in 0..300 {
        provider.tracer("t").span("work").start().end();
    }
    provider.force_flush(PATIENCE).unwrap();
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (300, 0));
    let calls = receiver.calls.lock().unwrap();
    let sizes = calls.iter().map(|call| call.spans.len());
    assert_eq!(sizes.filter(|size| *size <= 60).sum::<usize>(), 300);
}

#[test]
fn a_receiver_that_is_not_there_is_retryable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let provider = exporting_to(closed);
    provider.tracer("t").span("work").start().end();
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    assert_eq!(provider.stats().refused_spans, 0);
    let started = std::time::Instant::now();
    assert_eq!(provider.shutdown(), Err(FlushError::Failed));
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(provider.stats().unsent_spans, 1);
}
