//! OTLP's protobuf form: `ExportTraceServiceRequest` and what is in it.
//!
//! Field numbers are those of opentelemetry-proto's `trace.proto`, `common.proto` and
//! `resource.proto`. Unknown fields are skipped, as protobuf asks.

mod decode;
mod encode;

pub use decode::{decode_attributes, decode_traces};
pub use encode::{RequestEncoder, encode_attributes, encode_traces};

#[cfg(test)]
mod tests;
