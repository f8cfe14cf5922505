//! What a request holds: spans, log records or metrics.

use lumitrace_model::{Metric, ResourceLogs, ResourceMetrics, ResourceSpans};
use lumitrace_wire::otlp::{Signal, json, protobuf};
use lumitrace_wire::{DecodeError, DecodeLimits};

/// The records of a request, by resource and scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Batch {
    Spans(Vec<ResourceSpans>),
    Logs(Vec<ResourceLogs>),
    Metrics(Vec<ResourceMetrics>),
}

/// A request that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) batch: Batch,
    /// How many spans were left out because their ids are invalid.
    pub(crate) rejected: u64,
    /// Why.
    pub(crate) rejection: Option<String>,
}

impl Batch {
    pub(crate) fn signal(&self) -> Signal {
        match self {
            Self::Spans(_) => Signal::Traces,
            Self::Logs(_) => Signal::Logs,
            Self::Metrics(_) => Signal::Metrics,
        }
    }

    /// How many spans, log records or points it holds.
    pub(crate) fn record_count(&self) -> usize {
        match self {
            Self::Spans(groups) => {
                let scopes = groups.iter().flat_map(|group| &group.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
            Self::Logs(groups) => {
                let scopes = groups.iter().flat_map(|group| &group.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Self::Metrics(groups) => {
                let scopes = groups.iter().flat_map(|group| &group.scope_metrics);
                let metrics = scopes.flat_map(|scope| &scope.metrics);
                metrics.map(Metric::point_count).sum()
            }
        }
    }

    pub(crate) fn encode_json(&self) -> Vec<u8> {
        match self {
            Self::Spans(groups) => json::encode_traces(groups),
            Self::Logs(groups) => json::encode_logs(groups),
            Self::Metrics(groups) => json::encode_metrics(groups),
        }
    }

    pub(crate) fn encode_protobuf(&self) -> Vec<u8> {
        match self {
            Self::Spans(groups) => protobuf::encode_traces(groups),
            Self::Logs(groups) => protobuf::encode_logs(groups),
            Self::Metrics(groups) => protobuf::encode_metrics(groups),
        }
    }
}

impl Decoded {
    /// Reads a request in JSON.
    pub(crate) fn from_json(
        signal: Signal,
        bytes: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Traces => json::decode_traces(bytes, limits)?.into(),
            Signal::Logs => Batch::Logs(json::decode_logs(bytes, limits)?).into(),
            Signal::Metrics => Batch::Metrics(json::decode_metrics(bytes, limits)?).into(),
        })
    }

    /// Reads a request in protobuf.
    pub(crate) fn from_protobuf(
        signal: Signal,
        bytes: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Traces => protobuf::decode_traces(bytes, limits)?.into(),
            Signal::Logs => Batch::Logs(protobuf::decode_logs(bytes, limits)?).into(),
            Signal::Metrics => Batch::Metrics(protobuf::decode_metrics(bytes, limits)?).into(),
        })
    }
}

impl From<Batch> for Decoded {
    fn from(batch: Batch) -> Self {
        Self {
            batch,
            rejected: 0,
            rejection: None,
        }
    }
}

impl From<lumitrace_wire::DecodedTraces> for Decoded {
    fn from(decoded: lumitrace_wire::DecodedTraces) -> Self {
        Self {
            batch: Batch::Spans(decoded.resource_spans),
            rejected: decoded.rejected_spans,
            rejection: decoded.rejection,
        }
    }
}

/// What records of a signal are called: one of them, and many.
pub(crate) fn nouns(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Traces => ("span", "spans"),
        Signal::Logs => ("log record", "log records"),
        Signal::Metrics => ("point", "points"),
    }
}
