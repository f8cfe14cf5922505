//! The nouns of Lumitrace: what a span, a log record, a metric, their resource and their attributes
//! *are*.
//!
//! **What it is.** Plain data that follows OpenTelemetry's data model (`trace.proto`, `logs.proto`,
//! `metrics.proto`, `common.proto`, `resource.proto` of opentelemetry-proto 1.x), shared by the
//! SDK, which records it, and by the server, which stores and queries it.
//!
//! **What it is not.** No I/O, no async, no serialisation: bytes are `lumitrace-wire`'s business,
//! JSON for people is the server's.
//!
//! Modules in reading order: [`id`], [`value`], [`span`], [`resource`], [`log`], [`metric`],
//! [`names`].

pub mod id;
pub mod log;
pub mod metric;
pub mod names;
pub mod resource;
pub mod span;
pub mod value;

pub use id::{ParseIdError, SpanId, TraceId};
pub use log::{LogRecord, ResourceLogs, ScopeLogs, Severity};
pub use metric::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, Metric, MetricData, MetricKind, Number, NumberPoint, PointFlags, QuantileValue,
    ResourceMetrics, ScopeMetrics, SummaryPoint,
};
pub use resource::{Resource, ResourceSpans, Scope, ScopeSpans};
pub use span::{Event, Link, Span, SpanKind, Status, StatusCode};
pub use value::{KeyValue, Text, Value};
