//! The web interface: the files of `ui/dist`, which release builds hold within them and debug
//! builds read when asked.

use crate::config;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";
/// Files below here carry a hash of their content in their names.
const HASHED: &str = "assets/";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<title>Lumitrace</title><h1>The web interface is not built yet</h1>\
<p>Lumitrace is running and takes traces. To see them here, run \
<code>cargo xtask ui</code> in the repository, then reload this page \
(a release build has to be built again).</p>\
<p>The query APIs are at <code>/api/lumitrace/v1</code> and, as Jaeger speaks, <code>/api</code>.</p>";

/// Serves the web interface for every path that nothing else answers.
pub fn router(settings: &config::Ui) -> Router {
    let policy = content_security_policy(&settings.frame_ancestors);
    let policy = HeaderValue::from_str(&policy).unwrap_or_else(|_| {
        tracing::warn!("ui.frame_ancestors cannot be sent as a header; nobody may frame the pages");
        HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'")
    });
    Router::new().fallback(serve).with_state(Arc::new(policy))
}

/// No script but our own files, nothing from elsewhere. Styles may be inline: canvas and chart
/// libraries set them.
fn content_security_policy(frame_ancestors: &str) -> String {
    format!(
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors {frame_ancestors}"
    )
}

async fn serve(State(policy): State<Arc<HeaderValue>>, request: Request) -> Response {
    let mut response = answer(request.method(), request.uri().path(), request.headers());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::clone(&policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    if path == "api" || path.starts_with("api/") || path.starts_with("v1/") {
        return no_such_call(path);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let message = "this port serves the web interface and the query APIs; \
                       OTLP is taken at ports 4318 (HTTP) and 4317 (gRPC) unless set otherwise\n";
        let allow = [(ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, message).into_response();
    }
    if let Some(file) = Files::get(path) {
        return send(path, file, headers);
    }
    if path.starts_with(HASHED) {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    // The path is a place within the single-page application.
    match Files::get(INDEX) {
        Some(index) => send(INDEX, index, headers),
        None => Html(NOT_BUILT).into_response(),
    }
}

fn no_such_call(path: &str) -> Response {
    let message = if path.starts_with("v1/") {
        "this port does not take OTLP; send it to port 4318 (HTTP) or 4317 (gRPC)"
    } else {
        "there is no such call; the query APIs are below /api/lumitrace/v1 and /api"
    };
    let body = json!({"error": {"code": "not_found", "message": message}});
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

fn send(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = etag(&file.metadata.sha256_hash());
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let unchanged = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    if unchanged {
        return (
            StatusCode::NOT_MODIFIED,
            [(ETAG, etag), (CACHE_CONTROL, cache.to_owned())],
        )
            .into_response();
    }
    let mut content_type = file.metadata.mimetype().to_owned();
    if content_type.starts_with("text/") {
        content_type.push_str("; charset=utf-8");
    }
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, cache.to_owned()),
        (ETAG, etag),
    ];
    (headers, file.data.into_owned()).into_response()
}

fn etag(hash: &[u8]) -> String {
    let mut text = String::from('"');
    for byte in hash.iter().take(16) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}
