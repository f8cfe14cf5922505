//! What of a span travels: its ids and flags.

use std::sync::Arc;

use lumitrace_model::{SpanId, TraceId};

/// The part of a span that other spans, threads and processes refer to (W3C Trace Context).
#[derive(Debug, PartialEq, Eq, Default)]
// In this order a move, which goes by 16 bytes, cuts no field: a processor cannot hand on a value that
// is read in other pieces than it was just written in, and waits a dozen cycles.
#[repr(C)]
pub struct SpanContext {
    trace_id: TraceId,
    span_id: SpanId,
    /// Boxed once more: a pointer of one word, as hardly any context has one.
    trace_state: Option<Arc<Box<str>>>,
    trace_flags: u8,
    is_remote: bool,
    is_sampling_deferred: bool,
}

impl Clone for SpanContext {
    fn clone(&self) -> Self {
        Self {
            trace_id: self.trace_id,
            span_id: self.span_id,
            trace_state: self.trace_state.clone(),
            trace_flags: self.trace_flags,
            is_remote: self.is_remote,
            is_sampling_deferred: self.is_sampling_deferred,
        }
    }

    /// Field by field, in place.
    #[inline]
    fn clone_from(&mut self, other: &Self) {
        self.trace_id = other.trace_id;
        self.span_id = other.span_id;
        self.trace_flags = other.trace_flags;
        self.is_remote = other.is_remote;
        self.is_sampling_deferred = other.is_sampling_deferred;
        if self.trace_state.is_some() || other.trace_state.is_some() {
            self.trace_state.clone_from(&other.trace_state);
        }
    }
}

/// W3C: the caller records this trace.
const SAMPLED: u8 = 1;
/// W3C, level 2: the last 56 bits of the trace id are random.
const RANDOM: u8 = 2;

impl SpanContext {
    /// A context of this process; `trace_flags` as W3C Trace Context defines them (bit 0: sampled).
    pub fn new(trace_id: TraceId, span_id: SpanId, trace_flags: u8) -> Self {
        Self {
            trace_id,
            span_id,
            trace_state: None,
            trace_flags,
            is_remote: false,
            is_sampling_deferred: false,
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
        self.trace_state = (!trace_state.is_empty()).then(|| Arc::new(trace_state.into()));
        self
    }

    /// The same context, whose sender leaves it to the receiver whether the trace is recorded: B3 without
    /// a sampling state, X-Ray with `Sampled=?`. It is not sampled.
    #[must_use]
    pub fn with_deferred_sampling(mut self) -> Self {
        self.trace_flags &= !SAMPLED;
        self.is_sampling_deferred = true;
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

    /// Whether the decision to record the trace is left to who receives it; see
    /// [`with_deferred_sampling`](SpanContext::with_deferred_sampling).
    pub fn is_sampling_deferred(&self) -> bool {
        self.is_sampling_deferred
    }

    /// Whether it came from another process.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// The W3C `tracestate`, or empty.
    pub fn trace_state(&self) -> &str {
        self.trace_state.as_deref().map_or("", |state| state)
    }

    /// The flags of a link to this span in OTLP: W3C's, and whether it is in another process (bit 8:
    /// known, bit 9: it is).
    pub fn link_flags(&self) -> u32 {
        u32::from(self.trace_flags) | 0x100 | if self.is_remote { 0x200 } else { 0 }
    }

    /// Whether both ids are set; the context of a span that nobody records may be invalid.
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }

    /// The context of a new span of the same trace, below this one.
    pub(crate) fn child(&self, span_id: SpanId, sampled: bool) -> Self {
        let trace_flags = self.trace_flags & !SAMPLED | u8::from(sampled);
        Self {
            trace_id: self.trace_id,
            span_id,
            trace_state: self.trace_state.clone(),
            trace_flags,
            is_remote: false,
            is_sampling_deferred: false,
        }
    }

    /// The context of the first span of a new trace, whose id is one of ours: random.
    pub(crate) fn root(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        Self::new(trace_id, span_id, RANDOM | u8::from(sampled))
    }
}
