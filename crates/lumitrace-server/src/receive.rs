//! Takes OTLP requests in, over HTTP and gRPC, and answers each in the sender's own protocol.
//!
//! Both OTLP ports run the same service: a sender on the wrong port, or with a doubled path, is
//! served all the same. On the way of a request: `route` tells what it wants, `body` reads and
//! decompresses it within the limits, `ingest` decodes and stores it, with what `records` knows of
//! each signal, and `http` and `grpc` say the outcome.

mod body;
mod grpc;
mod http;
mod ingest;
mod records;
mod route;

pub use ingest::Receiver;

use crate::admit::Refusal;
use crate::ops;
use ::http::{HeaderName, HeaderValue};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use lumitrace_model::names::PENDING_SPANS_HEADER;
use std::sync::Arc;

/// The service of an OTLP port: `/healthz`, `/readyz`, `/metrics`, and OTLP for everything else.
pub fn router(receiver: Arc<Receiver>, ops: Arc<ops::Ops>) -> Router {
    Router::new()
        .fallback(receive)
        .with_state(receiver)
        .merge(ops::router(ops))
}

async fn receive(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let mut response = if grpc::is_grpc(request.headers()) {
        grpc::answer(&receiver, request).await
    } else {
        http::answer(&receiver, request).await
    };
    // Tells our SDK that announcements of open spans are understood here.
    response.headers_mut().insert(
        HeaderName::from_static(PENDING_SPANS_HEADER),
        HeaderValue::from_static("1"),
    );
    response
}

/// Says a refusal to the sender of `request`, whatever it speaks and wherever it was sent.
pub(crate) async fn refuse(request: Request, refusal: &Refusal) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(body).await;
    if grpc::is_grpc(&parts.headers) {
        grpc::refuse(refusal)
    } else {
        http::refused(refusal, http::format_of(&parts.headers).ok())
    }
}
