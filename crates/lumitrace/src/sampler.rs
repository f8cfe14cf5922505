//! Which spans are recorded.
//!
//! A sampler is asked once for each span, before the span starts. Samplers are put together: one that
//! asks another is made with it.
//!
//! ```
//! use lumitrace::SpanKind;
//! use lumitrace::sampler::{
//!     AlwaysOff, ParentBased, RateLimited, Rule, RuleBased, TraceIdRatio,
//! };
//! // A tenth of the traces, no health checks, and ten logins a second at most.
//! let roots = RuleBased::new(TraceIdRatio::new(0.1))
//!     .rule(Rule::new().name("*/healthz"), AlwaysOff)
//!     .rule(
//!         Rule::new().kind(SpanKind::Server).attribute("http.route", "/login"),
//!         RateLimited::per_second(10.0),
//!     );
//! let provider = lumitrace::TracerProvider::builder()
//!     .sampler(ParentBased::new(roots))
//!     .build();
//! # let _unused = provider;
//! ```
//!
//! Modules in reading order: `always`, `trace_id_ratio` and `rate_limited` decide by themselves;
//! `parent_based`, `rule_based` (with `pattern`), `batch_interval` and `component_switches` ask others;
//! `jaeger_remote` does what a server says; `named` knows them by the names of `OTEL_TRACES_SAMPLER`.

mod always;
mod batch_interval;
mod component_switches;
mod jaeger_remote;
mod named;
mod parent_based;
mod pattern;
mod rate_limited;
mod rule_based;
mod trace_id_ratio;

use lumitrace_model::{KeyValue, Link, Scope, SpanKind, Text, TraceId, Value};

use crate::SpanContext;

pub use always::{AlwaysOff, AlwaysOn};
pub use batch_interval::BatchInterval;
pub use component_switches::{COMPONENT_SWITCHES, ComponentSwitches, SPAN_FAMILIES, span_prefixes};
pub use jaeger_remote::{JaegerRemote, JaegerRemoteSettings};
pub use named::{NamedSampler, SamplerNameError};
pub use parent_based::ParentBased;
pub use rate_limited::RateLimited;
pub use rule_based::{Rule, RuleBased};
pub use trace_id_ratio::TraceIdRatio;

/// What a sampler knows of a span that is about to start.
#[derive(Debug, Clone, Copy)]
pub struct SamplingParameters<'a> {
    /// The parent, if the span has one.
    pub parent: Option<&'a SpanContext>,
    /// The trace it belongs to; new if it has no parent.
    pub trace_id: TraceId,
    /// The library or module that starts it.
    pub scope: &'a Scope,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: SpanKind,
    /// The attributes given before the start.
    pub attributes: &'a [KeyValue],
    /// The links given before the start.
    pub links: &'a [Link],
}

/// Whether a span is recorded (specification, "Sampler", `Decision`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingDecision {
    /// Not recorded; children are told so.
    Drop,
    /// Recorded for the program, which sees it in [`Span::snapshot`](crate::Span::snapshot), but not
    /// exported; children are told that it is not.
    RecordOnly,
    /// Recorded and exported.
    RecordAndSample,
    /// Not recorded and left out of the trace: spans started in it become children of its parent, and
    /// without a parent they are roots. Not in the specification.
    PassThrough,
}

/// What a sampler answers (specification, "Sampler", `SamplingResult`). A decision becomes one by
/// `into()`, and may come with attributes and a trace state.
///
/// ```
/// use lumitrace::sampler::{SamplingDecision, SamplingResult};
/// let plain: SamplingResult = SamplingDecision::Drop.into();
/// let noted = SamplingResult::from(SamplingDecision::RecordAndSample)
///     .with_attribute("sampler.type", "canary");
/// assert_eq!(noted.attributes().len(), 1);
/// # let _unused = plain;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingResult {
    decision: SamplingDecision,
    /// Boxed, so that a result without is handed over in registers.
    additions: Option<Box<Additions>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Additions {
    attributes: Vec<KeyValue>,
    trace_state: Option<String>,
}

impl From<SamplingDecision> for SamplingResult {
    fn from(decision: SamplingDecision) -> Self {
        Self {
            decision,
            additions: None,
        }
    }
}

impl SamplingResult {
    /// The same, and an attribute for the span, beside those that it starts with; of the same key, this one
    /// counts.
    #[must_use]
    pub fn with_attribute(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        let additions = self.additions.get_or_insert_default();
        additions.attributes.push(KeyValue::new(key, value));
        self
    }

    /// The same, and a W3C `tracestate` for the span instead of its parent's; empty means none.
    #[must_use]
    pub fn with_trace_state(mut self, trace_state: impl Into<String>) -> Self {
        self.additions.get_or_insert_default().trace_state = Some(trace_state.into());
        self
    }

    /// Whether the span is recorded.
    pub fn decision(&self) -> SamplingDecision {
        self.decision
    }

    /// The attributes for the span.
    pub fn attributes(&self) -> &[KeyValue] {
        let additions = self.additions.as_ref();
        additions.map_or(&[], |additions| &additions.attributes)
    }

    /// The `tracestate` for the span; none where it is its parent's.
    pub fn trace_state(&self) -> Option<&str> {
        self.additions.as_ref()?.trace_state.as_deref()
    }
}

/// Decides, when a span starts, whether it is recorded.
///
/// Called on the thread of the traced program: it must be quick and must not block.
pub trait Sampler: Send + Sync {
    /// The decision for one span.
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult;

    /// Whether decisions depend on the attributes that spans start with. Where they do not, callers that
    /// have to make them first (Python's) give attributes only to spans that are recorded.
    fn reads_attributes(&self) -> bool {
        true
    }

    /// Told when the provider is shut down: a sampler ends its threads, one that asks others tells them.
    /// Must not block.
    fn shutdown(&self) {}
}

impl<S: Sampler + ?Sized> Sampler for Box<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        (**self).should_sample(parameters)
    }

    fn reads_attributes(&self) -> bool {
        (**self).reads_attributes()
    }

    fn shutdown(&self) {
        (**self).shutdown();
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Spans that are about to start, for the tests of all samplers.

    use lumitrace_model::SpanId;

    use super::*;

    static SCOPE: Scope = Scope {
        name: std::borrow::Cow::Borrowed("test"),
        version: std::borrow::Cow::Borrowed(""),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
    };

    /// A root span named `name`.
    pub(crate) fn root(name: &str) -> SamplingParameters<'_> {
        SamplingParameters {
            parent: None,
            trace_id: TraceId::from_bytes([0x80; 16]),
            scope: &SCOPE,
            name,
            kind: SpanKind::Internal,
            attributes: &[],
            links: &[],
        }
    }

    /// The context of a parent with these flags.
    pub(crate) fn parent(trace_flags: u8) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes([0x80; 16]),
            SpanId::from_bytes([1; 8]),
            trace_flags,
        )
    }

    /// Whether the span is exported.
    pub(crate) fn samples(sampler: &dyn Sampler, parameters: SamplingParameters<'_>) -> bool {
        sampler.should_sample(&parameters).decision() == SamplingDecision::RecordAndSample
    }
}
