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
    /// The W3C flags in the lowest byte, and ours above. A whole word, for the same reason.
    flags: u64,
}

impl Clone for SpanContext {
    fn clone(&self) -> Self {
        Self {
            trace_id: self.trace_id,
            span_id: self.span_id,
            trace_state: self.trace_state.clone(),
            flags: self.flags,
        }
    }

    /// Field by field, in place.
    #[inline]
    fn clone_from(&mut self, other: &Self) {
        self.trace_id = other.trace_id;
        self.span_id = other.span_id;
        self.flags = other.flags;
        if self.trace_state.is_some() || other.trace_state.is_some() {
            self.trace_state.clone_from(&other.trace_state);
        }
    }
}

/// W3C: the caller records this trace.
const SAMPLED: u64 = 1;
/// W3C, level 2: the last 56 bits of the trace id are random.
const RANDOM: u64 = 2;
/// It came from another process.
const REMOTE: u64 = 1 << 8;
/// Whoever receives it decides whether the trace is recorded.
const SAMPLING_DEFERRED: u64 = 1 << 9;

impl SpanContext {
    /// A context of this process; `trace_flags` as W3C Trace Context defines them (bit 0: sampled).
    pub fn new(trace_id: TraceId, span_id: SpanId, trace_flags: u8) -> Self {
        Self {
            trace_id,
            span_id,
            trace_state: None,
            flags: trace_flags.into(),
        }
    }

    /// The same context, as received from another process.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.flags |= REMOTE;
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
        self.flags = self.flags & !SAMPLED | SAMPLING_DEFERRED;
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
        self.flags as u8
    }

    /// Whether the trace is recorded, as far as its caller is concerned.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the decision to record the trace is left to who receives it; see
    /// [`with_deferred_sampling`](SpanContext::with_deferred_sampling).
    pub fn is_sampling_deferred(&self) -> bool {
        self.flags & SAMPLING_DEFERRED != 0
    }

    /// Whether it came from another process.
    pub fn is_remote(&self) -> bool {
        self.flags & REMOTE != 0
    }

    /// The W3C `tracestate`, or empty.
    pub fn trace_state(&self) -> &str {
        self.trace_state.as_deref().map_or("", |state| state)
    }

    /// The flags of a link to this span in OTLP: W3C's, and whether it is in another process (bit 8:
    /// known, bit 9: it is).
    pub fn link_flags(&self) -> u32 {
        u32::from(self.trace_flags()) | 0x100 | if self.is_remote() { 0x200 } else { 0 }
    }

    /// Whether both ids are set; the context of a span that nobody records may be invalid.
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }

    /// Becomes the context of a new span below `parent`, or else of the first one of the trace, whose id is
    /// one of ours then: random. In place: see [`SpanContext`].
    #[inline]
    pub(crate) fn begin(
        &mut self,
        trace_id: TraceId,
        span_id: SpanId,
        parent: Option<&Self>,
        is_sampled: bool,
    ) {
        self.trace_id = trace_id;
        self.span_id = span_id;
        let inherited = parent.map_or(RANDOM, |parent| parent.flags & 0xff & !SAMPLED);
        self.flags = inherited | u64::from(is_sampled);
        if let Some(state) = parent.and_then(|parent| parent.trace_state.as_ref()) {
            self.trace_state = Some(Arc::clone(state));
        }
    }
}
