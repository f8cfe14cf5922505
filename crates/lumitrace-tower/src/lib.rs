//! HTTP servers over `tower` and clients over `reqwest`, traced with Lumitrace.
//!
//! **What it is.** [`ServerLayer`], a layer for whatever is a `tower` service of HTTP requests (axum, tonic,
//! hyper's servers): each request becomes a span of the kind `server`, below the caller's span in another
//! process, if the request's headers name one. With the feature `reqwest`, [`ClientMiddleware`]: each
//! request that is sent becomes a span of the kind `client`, and carries its ids in its headers. Names and
//! attributes are OpenTelemetry's semantic conventions for HTTP.
//!
//! **What it is not.** No set-up: where spans go, the provider says; which headers are read and written,
//! [`lumitrace::propagation`]. No bodies and no headers are recorded but `User-Agent`.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, extract::Path, routing::get};
//!
//! async fn run(Path(id): Path<u32>) -> String {
//!     // Spans that are started here are children of `GET /runs/{id}`.
//!     lumitrace::current_span().set_attribute("run", id);
//!     format!("run {id}")
//! }
//! let router: Router = Router::new()
//!     .route("/runs/{id}", get(run))
//!     // After the routes: only what they have matched is known to it.
//!     .layer(lumitrace_tower::server_layer());
//! # }
//! ```
//!
//! # What spans say
//!
//! | | of a server | of a client |
//! |---|---|---|
//! | name | method and route (`GET /runs/{id}`), or the method alone where no route is known | the method |
//! | `http.request.method` | the method, `_OTHER` for those that HTTP does not define | the same |
//! | address | `url.scheme`, `url.path`, `url.query`, `server.address`, `server.port` | `url.full`, `server.address`, `server.port` |
//! | `http.route` | with the feature `axum` | |
//! | `network.protocol.version`, `user_agent.original` | as the request has them | |
//! | `http.response.status_code` | of the answer | of the answer |
//! | failed, with `error.type` | 500 and above, an error of the service or of the body | 400 and above, no answer |
//! | ends | with the answer's body, or when nobody waits for it any more | with the answer's headers |
//!
//! Passwords in addresses and values of query parameters that grant access (`sig`, `token`, `api_key`, …) are
//! replaced by `REDACTED`.
//!
//! A service keeps its answers: bodies are streamed, and connections upgraded, as without the layer.
//!
//! Modules in reading order: `semantics` (what spans say), `server`, `body`, and `client`.

mod body;
#[cfg(feature = "reqwest")]
mod client;
mod semantics;
mod server;

// The examples of the guide, which needs all of Lumitrace's crates for programs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
mod rust_guide {}

pub use body::TracedBody;
#[cfg(feature = "reqwest")]
pub use client::{ClientMiddleware, client_middleware};
pub use server::{ResponseFuture, ServerLayer, TracedService, server_layer};
