//! What is taken in: how its requests are made, decoded with prost and handed to the store.

use bytes::Bytes;
use lumitrace_model::{
    KeyValue, LogRecord, Metric, MetricData, Number, NumberPoint, Resource, ResourceLogs,
    ResourceMetrics, ResourceSpans, ScopeLogs, ScopeMetrics, Severity, Span, Value,
};
use lumitrace_server::generate::shape::benchmark;
use lumitrace_store::{Append, LogBatch, MetricBatch, SpanBatch, Store};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::protobuf;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const FIRST_UNIX_NANO: u64 = 1_700_000_000_000_000_000;
/// Between two traces, or two rounds of measuring.
const STEP_NANO: u64 = 1_000_000;
/// Metrics of each processor.
const METRICS: u64 = 10;

/// What is taken in.
#[derive(clap::ValueEnum, Debug, Clone, Copy)]
pub(super) enum Signal {
    /// Spans of the benchmark's traces.
    Spans,
    /// For each such span a log record with a sentence, ids and the span's attributes.
    Logs,
    /// Points of ten gauges for each of many GPUs.
    Metrics,
}

impl Signal {
    /// Requests of `batch` records each.
    pub(super) fn requests(self, seed: u64, records: u64, batch: u64) -> Vec<Bytes> {
        let batch = batch.max(benchmark::SPANS_PER_TRACE);
        let firsts = (0..records).step_by(batch as usize);
        let request = |first: u64| -> Bytes {
            let end = (first + batch).min(records);
            match self {
                Self::Spans => protobuf::encode_traces(&traces(seed, first, end)).into(),
                Self::Logs => {
                    let groups = traces(seed, first, end).into_iter().map(logs_of);
                    protobuf::encode_logs(&groups.collect::<Vec<_>>()).into()
                }
                Self::Metrics => protobuf::encode_metrics(&[points(first, end)]).into(),
            }
        };
        firsts.map(request).collect()
    }

    /// Decodes a request with prost, and drops it.
    pub(super) fn decode_with_prost(self, request: Bytes) -> anyhow::Result<()> {
        match self {
            Self::Spans => drop(std::hint::black_box(ExportTraceServiceRequest::decode(
                request,
            )?)),
            Self::Logs => drop(std::hint::black_box(ExportLogsServiceRequest::decode(
                request,
            )?)),
            Self::Metrics => drop(std::hint::black_box(ExportMetricsServiceRequest::decode(
                request,
            )?)),
        }
        Ok(())
    }

    /// Hands a request to the store.
    pub(super) fn append(self, store: &Store, request: Bytes) -> anyhow::Result<Append> {
        let limits = DecodeLimits::default();
        Ok(match self {
            Self::Spans => store.append(SpanBatch::from_payload(request, &limits)?),
            Self::Logs => store.append_logs(LogBatch::from_payload(request, &limits)?),
            Self::Metrics => store.append_metrics(MetricBatch::from_payload(request, &limits)?),
        })
    }
}

/// The traces of these spans.
fn traces(seed: u64, first: u64, end: u64) -> Vec<ResourceSpans> {
    let numbers = first / benchmark::SPANS_PER_TRACE..end / benchmark::SPANS_PER_TRACE;
    let trace = |number| benchmark::trace(seed, number, FIRST_UNIX_NANO + number * STEP_NANO);
    numbers.flat_map(trace).collect()
}

fn logs_of(group: ResourceSpans) -> ResourceLogs {
    let scopes = group.scope_spans.into_iter().map(|scope| ScopeLogs {
        scope: scope.scope,
        log_records: scope.spans.into_iter().map(log_of).collect(),
        ..ScopeLogs::default()
    });
    ResourceLogs {
        resource: group.resource,
        scope_logs: scopes.collect(),
        ..ResourceLogs::default()
    }
}

fn log_of(span: Span) -> LogRecord {
    let milliseconds = (span.end_unix_nano - span.start_unix_nano) / 1_000_000;
    LogRecord {
        time_unix_nano: span.end_unix_nano,
        observed_time_unix_nano: span.end_unix_nano,
        severity: Severity::from_number(9),
        severity_text: "INFO".into(),
        body: Value::from(format!("{} took {milliseconds} ms", span.name)),
        attributes: span.attributes,
        trace_id: Some(span.trace_id),
        span_id: Some(span.span_id),
        ..LogRecord::default()
    }
}

/// Points by metric: the processors of a cluster, again and again.
fn points(first: u64, end: u64) -> ResourceMetrics {
    let point = |metric: u64, gpu: u64| NumberPoint {
        attributes: vec![
            KeyValue::new("host.name", format!("node-{}", gpu / 8 % 100)),
            KeyValue::new("gpu", (gpu % 8) as i64),
            KeyValue::new("hw.id", format!("GPU-{:08x}", gpu % 800)),
        ],
        time_unix_nano: FIRST_UNIX_NANO + gpu / 800 * 1_000_000_000,
        value: Some(Number::Double((gpu * (metric + 1) % 1000) as f64 / 10.0)),
        ..NumberPoint::default()
    };
    let metric = |metric: u64| Metric {
        name: format!("gpu.metric_{metric}").into(),
        unit: "1".into(),
        data: Some(MetricData::Gauge {
            points: (first / METRICS..end / METRICS)
                .map(|gpu| point(metric, gpu))
                .collect(),
        }),
        ..Metric::default()
    };
    ResourceMetrics {
        resource: Resource {
            attributes: vec![KeyValue::new("service.name", "cluster")],
            ..Resource::default()
        },
        scope_metrics: vec![ScopeMetrics {
            metrics: (0..METRICS).map(metric).collect(),
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }
}
