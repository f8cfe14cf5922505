//! OTLP's JSON form (`docs/specification.md`, "JSON Protobuf Encoding"): proto3 JSON, but ids are
//! hexadecimal and enums are numbers.
//!
//! Reading is kinder than writing: numbers may be text, enums may be names, `null` is a default,
//! and unknown fields are ignored.

mod decode;
mod encode;
mod fields;
mod limited;

pub use decode::{decode_logs, decode_metrics, decode_traces};
pub(crate) use encode::double;
pub use encode::{encode_logs, encode_metrics, encode_spans, encode_traces};

#[cfg(test)]
mod tests;
