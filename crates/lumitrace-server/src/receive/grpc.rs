//! OTLP over gRPC: one message in, one message out.
//!
//! The framing of a unary call is read here rather than by tonic's server, because OTLP asks for
//! three things that it does not do: a message above the limit must be `RESOURCE_EXHAUSTED`, which
//! no client resends (tonic says `OUT_OF_RANGE`, which clients do resend); bytes must be counted
//! against the budget as they arrive; and decompression must not hold up the runtime's threads.
//! Statuses and their details are tonic's.

use super::body::{self, Encoding};
use super::ingest::{Format, Payload, Receiver};
use super::records::{Addressee, not_stored};
use super::route::{Route, route};
use crate::admit::Refusal;
use crate::metrics::Protocol;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use lumitrace_wire::otlp::response::encode_export_protobuf;
use std::convert::Infallible;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

const GRPC: &str = "application/grpc";
/// One byte says whether the message is compressed, four how long it is.
const FRAME_HEADER_BYTES: usize = 5;
/// `grpc.health.v1.HealthCheckResponse{status: SERVING}`.
const SERVING: &[u8] = &[0x08, 0x01];

/// Whether a request's `Content-Type` says gRPC (and not gRPC-Web, which frames differently).
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    value
        .strip_prefix(GRPC.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Answers one gRPC call.
pub(super) async fn answer(receiver: &Receiver, request: Request) -> Response {
    if request.version() != Version::HTTP_2 {
        let message = "gRPC needs HTTP/2; over HTTP/1.1 send OTLP/HTTP to /v1/traces, /v1/logs \
                       or /v1/metrics\n";
        receiver.refused(&Refusal::Malformed(message.to_owned()));
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, message).into_response();
    }
    let (parts, mut body) = request.into_parts();
    match call(receiver, &parts, &mut body).await {
        Ok(message) => succeed(&message),
        Err(refusal) => {
            receiver.refused(&refusal);
            body::discard(body).await;
            refuse(&refusal)
        }
    }
}

async fn call(
    receiver: &Receiver,
    parts: &http::request::Parts,
    body: &mut Body,
) -> Result<Vec<u8>, Refusal> {
    let signal = match route(parts.uri.path()) {
        Route::Export(signal) => signal,
        Route::GrpcHealth => return Ok(SERVING.to_vec()),
        Route::Profiles => return Err(not_stored("profiles")),
        Route::Root | Route::Unknown => {
            let message = "there is no such method; traces go to \
                           opentelemetry.proto.collector.trace.v1.TraceService/Export, \
                           logs to opentelemetry.proto.collector.logs.v1.LogsService/Export, \
                           metrics to \
                           opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
            return Err(Refusal::NotFound(message.to_owned()));
        }
    };
    if parts.method != Method::POST {
        return Err(Refusal::MethodNotAllowed(parts.method.to_string()));
    }
    receiver.metrics.request(Protocol::Grpc);
    let encoding = Encoding::from_header(parts.headers.get("grpc-encoding"))?;
    let mut reservation = receiver.reserve();
    let mut limits = receiver.body_limits;
    limits.max_bytes = limits.max_bytes.saturating_add(FRAME_HEADER_BYTES as u64);
    let bytes = body::read(body, limits, &mut reservation).await?;
    let (compressed, bytes) = unframe(bytes)?;
    let encoding = match (compressed, encoding) {
        (false, _) => Encoding::Identity,
        (true, Encoding::Identity) => {
            let message = "the message is marked as compressed, but grpc-encoding does not say how";
            return Err(Refusal::Malformed(message.to_owned()));
        }
        (true, encoding) => encoding,
    };
    let payload = Payload {
        bytes,
        encoding,
        format: Format::Protobuf,
        addressee: Addressee::Signal(signal),
    };
    let outcome = receiver
        .ingest(payload, &mut reservation, Protocol::Grpc)
        .await?;
    Ok(encode_export_protobuf(outcome.partial_success.as_ref()))
}

/// Takes the one message of a unary call out of its frame, and tells whether it is compressed.
fn unframe(mut bytes: Bytes) -> Result<(bool, Bytes), Refusal> {
    let malformed = |message: String| Refusal::Malformed(message);
    if bytes.len() < FRAME_HEADER_BYTES {
        return Err(malformed(
            "the call ends before its message begins".to_owned(),
        ));
    }
    let compressed = match bytes.get_u8() {
        0 => false,
        1 => true,
        flag => return Err(malformed(format!("{flag} is no gRPC compression flag"))),
    };
    let length = bytes.get_u32() as usize;
    if length != bytes.len() {
        return Err(malformed(format!(
            "the message should have {length} bytes, but {} arrived",
            bytes.len()
        )));
    }
    Ok((compressed, bytes))
}

fn succeed(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    // An answer holds one short text: its length fits.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze())
        .with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))));
    ([(CONTENT_TYPE, GRPC)], Body::new(body)).into_response()
}

/// The answer of a call that was refused.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let answer = refusal.answer();
    let status = match answer.retry_after {
        Some(wait) => Status::with_error_details(
            answer.grpc,
            refusal.to_string(),
            ErrorDetails::with_retry_info(Some(wait)),
        ),
        None => Status::new(answer.grpc, refusal.to_string()),
    };
    status.into_http()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_gives_back_its_message() {
        let frame = Bytes::from_static(&[1, 0, 0, 0, 2, 7, 8]);
        assert_eq!(unframe(frame), Ok((true, Bytes::from_static(&[7, 8]))));
        for broken in [
            &[][..],
            &[0, 0, 0, 0],
            &[2, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 0, 7],
        ] {
            assert!(
                unframe(Bytes::copy_from_slice(broken)).is_err(),
                "{broken:?}"
            );
        }
    }

    #[test]
    fn grpc_is_told_from_its_relatives() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            assert_eq!(is_grpc(&headers), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn random_frames_never_panic(bytes: Vec<u8>) {
            let _ = unframe(bytes.into());
        }
    }
}
