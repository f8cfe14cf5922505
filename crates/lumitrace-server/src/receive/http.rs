//! OTLP over HTTP: statuses and bodies as the OTLP specification's "OTLP/HTTP Response" says.

use super::body::{self, Encoding};
use super::ingest::{Format, Outcome, Payload, Receiver};
use super::records::{Addressee, not_stored};
use super::route::{Route, route};
use crate::admit::Refusal;
use crate::metrics::Protocol;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use lumitrace_wire::otlp::response::{
    encode_export_json, encode_export_protobuf, encode_status_json, encode_status_protobuf,
};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers one request on an OTLP port that is not gRPC.
pub(super) async fn answer(receiver: &Receiver, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let route = route(parts.uri.path());
    if parts.method != Method::POST
        && let Some(response) = answer_to_people(receiver, &parts.method, route)
    {
        return response;
    }
    let format = format_of(&parts.headers);
    let outcome = match admit(&parts, route, format.clone()) {
        Ok(admitted) => receive(receiver, &mut body, admitted).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(outcome) => accepted(format.unwrap_or(Format::Protobuf), &outcome),
        Err(refusal) => {
            receiver.refused(&refusal);
            body::discard(body).await;
            refused(&refusal, format.ok())
        }
    }
}

/// What is known of a request before its body is read.
struct Admitted {
    addressee: Addressee,
    format: Format,
    encoding: Encoding,
}

/// The decisions that need no body.
fn admit(
    parts: &http::request::Parts,
    route: Route,
    format: Result<Format, Refusal>,
) -> Result<Admitted, Refusal> {
    let addressee = match route {
        Route::Export(signal) => Addressee::Signal(signal),
        Route::Root => Addressee::Unnamed,
        Route::Profiles => return Err(not_stored("profiles")),
        Route::GrpcHealth | Route::Unknown => {
            let message = "there is no receiver at this path; traces go to /v1/traces, \
                           logs to /v1/logs, metrics to /v1/metrics";
            return Err(Refusal::NotFound(message.to_owned()));
        }
    };
    if parts.method != Method::POST {
        return Err(Refusal::MethodNotAllowed(parts.method.to_string()));
    }
    Ok(Admitted {
        addressee,
        format: format?,
        encoding: Encoding::from_header(parts.headers.get(CONTENT_ENCODING))?,
    })
}

async fn receive(
    receiver: &Receiver,
    body: &mut Body,
    admitted: Admitted,
) -> Result<Outcome, Refusal> {
    let Admitted {
        addressee,
        format,
        encoding,
    } = admitted;
    let protocol = match format {
        Format::Protobuf => Protocol::HttpProtobuf,
        Format::Json => Protocol::HttpJson,
    };
    receiver.metrics.request(protocol);
    if addressee == Addressee::Unnamed {
        receiver.metrics.post_to_root();
    }
    let mut reservation = receiver.reserve();
    let bytes = body::read(body, receiver.body_limits, &mut reservation).await?;
    let payload = Payload {
        bytes,
        encoding,
        format,
        addressee,
    };
    receiver.ingest(payload, &mut reservation, protocol).await
}

/// The format that the `Content-Type` names.
pub(super) fn format_of(headers: &HeaderMap) -> Result<Format, Refusal> {
    let value = headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(value);
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        // The second is the registered name; the specification asks for the first.
        PROTOBUF | "application/protobuf" => Ok(Format::Protobuf),
        JSON => Ok(Format::Json),
        _ => Err(Refusal::UnsupportedMediaType(text.into_owned())),
    }
}

fn accepted(format: Format, outcome: &Outcome) -> Response {
    let partial = outcome.partial_success.as_ref();
    match format {
        Format::Protobuf => respond(StatusCode::OK, PROTOBUF, encode_export_protobuf(partial)),
        Format::Json => respond(
            StatusCode::OK,
            JSON,
            encode_export_json(outcome.signal, partial),
        ),
    }
}

/// The answer of a request that was refused, in the format in which it came.
pub(super) fn refused(refusal: &Refusal, format: Option<Format>) -> Response {
    let answer = refusal.answer();
    let message = refusal.to_string();
    let code = answer.grpc as i32;
    let mut response = match (refusal, format) {
        (Refusal::MethodNotAllowed(_), _) | (_, None) => {
            respond(answer.http, TEXT, format!("{message}\n").into_bytes())
        }
        (_, Some(Format::Protobuf)) => respond(
            answer.http,
            PROTOBUF,
            encode_status_protobuf(code, &message),
        ),
        (_, Some(Format::Json)) => respond(answer.http, JSON, encode_status_json(code, &message)),
    };
    let headers = response.headers_mut();
    if let Some(wait) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if matches!(refusal, Refusal::MethodNotAllowed(_)) {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// What a person or a health checker gets who looks at the port with GET or HEAD. A bare error
/// would look like a server that is down.
fn answer_to_people(receiver: &Receiver, method: &Method, route: Route) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let text = format!(
        "Lumitrace is up. This port takes OTLP: POST /v1/traces, /v1/logs and /v1/metrics \
         (protobuf or JSON), or gRPC.\nThe web interface is at {}\n",
        receiver.ui_url
    );
    let mut response = match route {
        Route::Root => respond(StatusCode::OK, TEXT, text.into_bytes()),
        Route::Export(_) | Route::Profiles => {
            respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, text.into_bytes())
        }
        Route::GrpcHealth | Route::Unknown => {
            respond(StatusCode::NOT_FOUND, TEXT, text.into_bytes())
        }
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}
