//! What of a span travels: its ids and flags.

use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

/// The part of a span that other spans, threads and processes refer to (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpanContext {
    trace_id: TraceId,
    span_id: SpanId,
    trace_flags: u8,
    is_remote: bool,
    trace_state: Option<Arc<str>>,
}

/// W3C: the caller records this trace.
const SAMPLED: u8 = 1;

impl SpanContext {
    /// A context of this process; `trace_flags` as W3C Trace Context defines them (bit 0: sampled).
    pub fn new(trace_id: TraceId, span_id: SpanId, trace_flags: u8) -> Self {
        Self {
            trace_id,
            span_id,
            trace_flags,
            is_remote: false,
            trace_state: None,
        }
    }

    /// The same context, as received from another process.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.is_remote = true;
        self
    }

    /// The same context with a W3C `tracestate`; empty means none.
    #[must_use]
    pub fn with_trace_state(mut self, trace_state: &str) -> Self {
        self.trace_state = (!trace_state.is_empty()).then(|| trace_state.into());
        self
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The W3C trace flags.
    pub fn trace_flags(&self) -> u8 {
        self.trace_flags
    }

    /// Whether the trace is recorded, as far as its caller is concerned.
    pub fn is_sampled(&self) -> bool {
        self.trace_flags & SAMPLED != 0
    }

    /// Whether it came from another process.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// The W3C `tracestate`, or empty.
    pub fn trace_state(&self) -> &str {
        self.trace_state.as_deref().unwrap_or_default()
    }

    /// Whether both ids are set; the context of a span that nobody records may be invalid.
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }

    /// The context of a new span of the same trace, below this one.
    pub(crate) fn child(&self, span_id: SpanId, sampled: bool) -> Self {
        let trace_flags = self.trace_flags & !SAMPLED | u8::from(sampled);
        Self {
            span_id,
            trace_flags,
            is_remote: false,
            ..self.clone()
        }
    }

    /// The context of the first span of a new trace.
    pub(crate) fn root(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        Self::new(trace_id, span_id, u8::from(sampled))
    }
}
