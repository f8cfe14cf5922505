//! Bytes to nouns and back.
//!
//! **What it is.** Encoders and decoders between wire formats and `lumitrace-model`: OTLP's
//! traces, logs and metrics in protobuf and in JSON; and encoders of spans for Jaeger and Zipkin.
//!
//! **What it is not.** No sockets, no compression, no policy. Decoding never panics, never blocks,
//! and allocates at most a small multiple of its input.
//!
//! Why not generated code: the SDK encodes each span once, straight into the request's bytes, and
//! the server decodes without an intermediate tree (see `docs/adr/0002-own-otlp-codec.md`); the
//! tests hold both against the generated types of `opentelemetry-proto`.
//!
//! Modules in reading order: [`limits`], [`otlp`] with [`otlp::protobuf`], [`otlp::json`] and
//! [`otlp::response`]; [`jaeger`] over `thrift`, [`zipkin`], and `tags`, which both need.

pub mod jaeger;
mod limits;
pub mod otlp;
mod proto;
mod tags;
mod thrift;
pub mod zipkin;

pub use limits::{DecodeError, DecodeLimits};
pub use otlp::DecodedTraces;
