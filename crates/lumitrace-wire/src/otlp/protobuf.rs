//! OTLP's protobuf form: `ExportTraceServiceRequest`, `ExportLogsServiceRequest`,
//! `ExportMetricsServiceRequest` and what is in them.
//!
//! Field numbers are those of opentelemetry-proto's `trace.proto`, `logs.proto`, `metrics.proto`,
//! `common.proto` and `resource.proto`. Unknown fields are skipped, as protobuf asks.
//!
//! In reading order: [`index_traces`] and its like check a request and say where its records are;
//! [`view`] reads parts of a checked record in place; the `decode_` functions build what the bytes say, the
//! `encode_` functions and [`RequestEncoder`] the bytes.

mod check;
mod decode;
mod encode;
mod index;
pub mod view;

pub use decode::{
    decode_attributes, decode_log_record, decode_logs, decode_metrics, decode_resource,
    decode_scope, decode_span, decode_traces,
};
pub use encode::{
    RequestEncoder, SpanFields, encode_attributes, encode_logs, encode_metrics, encode_sorted,
    encode_traces,
};
pub use index::{
    LogHead, LogsIndex, MetricHead, MetricsIndex, Origin, Part, PointHead, SpanHead, TracesIndex,
    index_logs, index_metrics, index_traces,
};

#[cfg(test)]
mod tests;
