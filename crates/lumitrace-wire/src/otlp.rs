//! OTLP, OpenTelemetry's protocol (opentelemetry-proto 1.x, `docs/specification.md`): its three
//! stable signals in [`protobuf`] and in [`json`], and the answers to them ([`response`]).
//!
//! Spans without valid ids are rejected and counted ([`DecodedTraces`]). Of logs and metrics
//! nothing is: what is incomplete there is still true, and whether to keep it is not the codec's
//! question.

pub mod json;
pub mod protobuf;
pub mod response;
#[cfg(test)]
pub(crate) mod samples;

use lumitrace_model::{ResourceSpans, Span, Value, names};

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics and their points.
    Metrics,
}

/// A decoded export request of spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecodedTraces {
    /// Everything acceptable, in the sender's grouping.
    pub resource_spans: Vec<ResourceSpans>,
    /// How many spans were left out because their trace or span id is invalid.
    pub rejected_spans: u64,
    /// Why, for the sender's eyes.
    pub rejection: Option<String>,
}

impl DecodedTraces {
    /// How many spans were accepted.
    pub fn span_count(&self) -> usize {
        let scopes = self
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }

    fn reject(&mut self, reason: &str) {
        self.rejected_spans += 1;
        self.rejection.get_or_insert_with(|| reason.to_owned());
    }
}

const INVALID_IDS: &str =
    "trace ids must have 16 bytes, span ids 8 bytes, and neither may be all zero";

/// The one rule for which decoded spans are kept.
fn has_valid_ids(span: &Span) -> bool {
    span.trace_id.is_valid() && span.span_id.is_valid()
}

/// Turns the marker attribute of an announced span into [`Span::pending`].
fn take_pending_marker(span: &mut Span) {
    let marker = span.attributes.iter().position(|attribute| {
        attribute.key == names::PENDING_ATTRIBUTE && attribute.value == Value::Bool(true)
    });
    if let Some(index) = marker {
        span.attributes.remove(index);
        span.pending = true;
    }
}
