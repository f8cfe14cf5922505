//! What the server counts about itself, in the OpenMetrics text format.
//!
//! Labels take only values that this program spells out, so that no sender can widen them.

mod store_collector;

use crate::admit::Budget;
use lumitrace_store::Store;
use lumitrace_wire::otlp::Signal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store_collector::{Sources, StoreCollector};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In which form a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, in protobuf.
    HttpProtobuf,
    /// OTLP over HTTP, in JSON.
    HttpJson,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

impl From<Protocol> for ProtocolLabels {
    fn from(protocol: Protocol) -> Self {
        let protocol = match protocol {
            Protocol::Grpc => "otlp_grpc",
            Protocol::HttpProtobuf => "otlp_http_protobuf",
            Protocol::HttpJson => "otlp_http_json",
        };
        Self { protocol }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    status: &'static str,
}

/// Sums since the start, for the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IngestTotals {
    /// Requests that reached a receiver.
    pub requests: u64,
    /// Spans stored.
    pub spans: u64,
    /// Log records stored.
    pub log_records: u64,
    /// Points of metrics stored.
    pub metric_points: u64,
    /// Spans rejected within accepted requests.
    pub rejected_spans: u64,
    /// Points of metrics rejected within accepted requests.
    pub rejected_metric_points: u64,
    /// Requests refused.
    pub refused_requests: u64,
    /// Requests posted to `/`.
    pub posts_to_root: u64,
}

/// The server's counters.
pub struct Metrics {
    registry: Registry,
    requests: Family<ProtocolLabels, Counter>,
    spans: Family<ProtocolLabels, Counter>,
    log_records: Family<ProtocolLabels, Counter>,
    metric_points: Family<ProtocolLabels, Counter>,
    payload_bytes: Family<ProtocolLabels, Counter>,
    ingest_seconds: Histogram,
    refused: Family<ReasonLabels, Counter>,
    rejected_spans: Counter,
    rejected_metric_points: Counter,
    posts_to_root: Counter,
    connections: Family<ListenerLabels, Gauge>,
    connection_errors: Family<ListenerLabels, Counter>,
    api_requests: Family<RouteLabels, Counter>,
    api_seconds: Histogram,
    queries_given_up: Family<ReasonLabels, Counter>,
    live_streams: Gauge,
    live_lagged: Counter,
    sources: Arc<OnceLock<Sources>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        // 0.1 ms to 13 s: a memory-only append up to a slow disk or a cold search.
        let seconds = || Histogram::new(exponential_buckets(0.0001, 2.5, 14));
        let mut metrics = Self {
            registry: Registry::with_prefix("lumitrace"),
            requests: Family::default(),
            spans: Family::default(),
            log_records: Family::default(),
            metric_points: Family::default(),
            payload_bytes: Family::default(),
            ingest_seconds: seconds(),
            refused: Family::default(),
            rejected_spans: Counter::default(),
            rejected_metric_points: Counter::default(),
            posts_to_root: Counter::default(),
            connections: Family::default(),
            connection_errors: Family::default(),
            api_requests: Family::default(),
            api_seconds: seconds(),
            queries_given_up: Family::default(),
            live_streams: Gauge::default(),
            live_lagged: Counter::default(),
            sources: Arc::default(),
        };
        metrics.register_ingest();
        metrics.register_serving();
        let sources = Arc::clone(&metrics.sources);
        metrics
            .registry
            .register_collector(Box::new(StoreCollector { sources }));
        metrics
    }

    /// Has `store` and `budget` asked at each scrape from now on.
    pub fn watch(&self, store: Store, budget: Budget) {
        // Those of a second call are not asked: a server has one store.
        let _ = self.sources.set(Sources { store, budget });
    }

    fn register_ingest(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("ingest");
        registry.register(
            "requests",
            "Requests that reached a receiver",
            self.requests.clone(),
        );
        registry.register("spans", "Spans stored", self.spans.clone());
        registry.register(
            "log_records",
            "Log records stored",
            self.log_records.clone(),
        );
        registry.register(
            "metric_points",
            "Points of metrics stored",
            self.metric_points.clone(),
        );
        registry.register_with_unit(
            "payload",
            "Bytes of accepted requests, after decompression",
            Unit::Bytes,
            self.payload_bytes.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's last byte until its content is durable",
            Unit::Seconds,
            self.ingest_seconds.clone(),
        );
        registry.register(
            "refused_requests",
            "Requests refused, by reason",
            self.refused.clone(),
        );
        registry.register(
            "rejected_spans",
            "Spans left out of accepted requests",
            self.rejected_spans.clone(),
        );
        registry.register(
            "rejected_metric_points",
            "Points of metrics left out of accepted requests",
            self.rejected_metric_points.clone(),
        );
        registry.register(
            "posts_to_root",
            "Requests posted to / by clients that were given an address without a path",
            self.posts_to_root.clone(),
        );
    }

    fn register_serving(&mut self) {
        let registry = &mut self.registry;
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connection_errors",
            "Connections that ended with an error, such as bytes that are no HTTP",
            self.connection_errors.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the query APIs, by route and class of status",
            self.api_requests.clone(),
        );
        registry.register_with_unit(
            "api_request_duration",
            "Time until the answer of a query API began",
            Unit::Seconds,
            self.api_seconds.clone(),
        );
        registry.register(
            "queries_given_up",
            "Questions given up because nobody waited or they cost too much, by reason",
            self.queries_given_up.clone(),
        );
        registry.register(
            "live_streams",
            "Open live streams",
            self.live_streams.clone(),
        );
        registry.register(
            "live_missed_batches",
            "Batches that live streams missed because they fell behind",
            self.live_lagged.clone(),
        );
    }

    /// A request reached a receiver.
    pub(crate) fn request(&self, protocol: Protocol) {
        self.requests.get_or_create(&protocol.into()).inc();
    }

    /// A request was stored.
    pub(crate) fn accepted(
        &self,
        signal: Signal,
        protocol: Protocol,
        record_count: usize,
        payload_bytes: usize,
        duration: Duration,
    ) {
        let labels = protocol.into();
        self.records(signal)
            .get_or_create(&labels)
            .inc_by(record_count as u64);
        self.payload_bytes
            .get_or_create(&labels)
            .inc_by(payload_bytes as u64);
        self.ingest_seconds.observe(duration.as_secs_f64());
    }

    /// A request was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A question was given up, because nobody waited or because of its cost.
    pub(crate) fn query_given_up(&self, reason: &'static str) {
        let given_up = self
            .queries_given_up
            .get_or_create(&ReasonLabels { reason });
        given_up.inc();
    }

    /// The counter of a signal's records.
    fn records(&self, signal: Signal) -> &Family<ProtocolLabels, Counter> {
        match signal {
            Signal::Traces => &self.spans,
            Signal::Logs => &self.log_records,
            Signal::Metrics => &self.metric_points,
        }
    }

    /// Records were left out of an accepted request.
    pub(crate) fn rejected(&self, signal: Signal, count: u64) {
        let counter = match signal {
            Signal::Traces => &self.rejected_spans,
            Signal::Metrics => &self.rejected_metric_points,
            // No log record lacks anything that the store could not do without.
            Signal::Logs => return,
        };
        counter.inc_by(count);
    }

    /// A request was posted to `/`.
    pub(crate) fn post_to_root(&self) {
        self.posts_to_root.inc();
    }

    /// A connection was opened; it counts until the guard is dropped.
    pub(crate) fn connection(&self, listener: &'static str) -> GaugeGuard {
        GaugeGuard::new(&self.connections.get_or_create(&ListenerLabels { listener }))
    }

    /// A connection ended with an error.
    pub(crate) fn connection_error(&self, listener: &'static str) {
        self.connection_errors
            .get_or_create(&ListenerLabels { listener })
            .inc();
    }

    /// A query API answered.
    pub(crate) fn api_request(&self, route: String, status: http::StatusCode, duration: Duration) {
        let status = match status.as_u16() {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.api_requests
            .get_or_create(&RouteLabels { route, status })
            .inc();
        self.api_seconds.observe(duration.as_secs_f64());
    }

    /// A live stream was opened; it counts until the guard is dropped.
    pub(crate) fn live_stream(&self) -> GaugeGuard {
        GaugeGuard::new(&self.live_streams)
    }

    /// A live stream missed batches.
    pub(crate) fn live_missed(&self, batches: u64) {
        self.live_lagged.inc_by(batches);
    }

    /// The sums for the status page.
    pub fn ingest_totals(&self) -> IngestTotals {
        let protocols = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];
        let sum = |family: &Family<ProtocolLabels, Counter>| {
            protocols
                .iter()
                .map(|p| family.get_or_create(&(*p).into()).get())
                .sum()
        };
        IngestTotals {
            requests: sum(&self.requests),
            spans: sum(&self.spans),
            log_records: sum(&self.log_records),
            metric_points: sum(&self.metric_points),
            rejected_spans: self.rejected_spans.get(),
            rejected_metric_points: self.rejected_metric_points.get(),
            refused_requests: crate::admit::REASONS
                .iter()
                .map(|reason| self.refused.get_or_create(&ReasonLabels { reason }).get())
                .sum(),
            posts_to_root: self.posts_to_root.get(),
        }
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts one in a gauge as long as it lives.
#[derive(Debug)]
pub(crate) struct GaugeGuard {
    gauge: Gauge,
}

impl GaugeGuard {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self {
            gauge: gauge.clone(),
        }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
