//! OTLP's protobuf form: `ExportTraceServiceRequest` and what is in it.
//!
//! Field numbers are those of opentelemetry-proto's `trace.proto`, `common.proto` and
//! `resource.proto`. Unknown fields are skipped, as protobuf asks.

//!
//! In reading order: [`index_traces`] checks a request and says where its spans are; [`view`] reads
//! parts of a checked span in place; the `decode_` functions build what the bytes say, the
//! `encode_` functions and [`RequestEncoder`] the bytes.

mod check;
mod decode;
mod encode;
pub mod view;

pub use check::{Origin, Part, SpanHead, TracesIndex, index_traces};
pub use decode::{decode_attributes, decode_resource, decode_scope, decode_span, decode_traces};
pub use encode::{RequestEncoder, encode_attributes, encode_traces};

#[cfg(test)]
mod tests;
