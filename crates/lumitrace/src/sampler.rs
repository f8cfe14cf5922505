//! Which traces are recorded.

use lumitrace_model::{KeyValue, Link, SpanKind, TraceId};

use crate::SpanContext;

/// What a sampler knows of a span that is about to start.
#[derive(Debug)]
pub struct SamplingParameters<'a> {
    /// The parent, if the span has one.
    pub parent: Option<&'a SpanContext>,
    /// The trace it belongs to; new if it has no parent.
    pub trace_id: TraceId,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: SpanKind,
    /// The attributes given before the start.
    pub attributes: &'a [KeyValue],
    /// The links given before the start.
    pub links: &'a [Link],
}

/// Whether a span is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingDecision {
    /// Not recorded; children are told so.
    Drop,
    /// Recorded and exported.
    RecordAndSample,
}

/// Decides, when a span starts, whether it is recorded.
///
/// Called on the thread of the traced program: it must be quick and must not block.
pub trait Sampler: Send + Sync {
    /// The decision for one span.
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingDecision;
}

/// Records every span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlwaysOn;

impl Sampler for AlwaysOn {
    fn should_sample(&self, _: &SamplingParameters<'_>) -> SamplingDecision {
        SamplingDecision::RecordAndSample
    }
}

/// Records no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlwaysOff;

impl Sampler for AlwaysOff {
    fn should_sample(&self, _: &SamplingParameters<'_>) -> SamplingDecision {
        SamplingDecision::Drop
    }
}

/// Records a share of the traces, chosen by their id, so that every process that sees a trace
/// decides alike.
///
/// The rule is OpenTelemetry's for consistent probability sampling: the last 56 bits of the trace
/// id are compared with a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceIdRatio {
    /// The 56-bit number from which on a trace is recorded.
    threshold: u64,
}

const RANDOM_BITS: u32 = 56;

impl TraceIdRatio {
    /// Records `ratio` of the traces; values below 0 and NaN mean none, above 1 all.
    ///
    /// ```
    /// use lumitrace::sampler::TraceIdRatio;
    /// let half = TraceIdRatio::new(0.5);
    /// assert!(half.records("ffffffffffffffffffffffffffffffff".parse()?));
    /// assert!(!half.records("ffffffffffffffffff00000000000001".parse()?));
    /// # Ok::<(), lumitrace::model::ParseIdError>(())
    /// ```
    pub fn new(ratio: f64) -> Self {
        let ratio = if ratio.is_nan() {
            0.0
        } else {
            ratio.clamp(0.0, 1.0)
        };
        let threshold = ((1.0 - ratio) * (1_u64 << RANDOM_BITS) as f64).round();
        Self {
            threshold: threshold as u64,
        }
    }

    /// Whether the trace is recorded.
    pub fn records(&self, trace_id: TraceId) -> bool {
        let random = u128::from_be_bytes(trace_id.to_bytes()) as u64 & ((1 << RANDOM_BITS) - 1);
        random >= self.threshold
    }
}

impl Sampler for TraceIdRatio {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingDecision {
        if self.records(parameters.trace_id) {
            SamplingDecision::RecordAndSample
        } else {
            SamplingDecision::Drop
        }
    }
}

/// Does what the parent did; a span without parent is decided by another sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParentBased<S> {
    root: S,
}

impl<S: Sampler> ParentBased<S> {
    /// Asks `root` for spans without a parent.
    pub fn new(root: S) -> Self {
        Self { root }
    }
}

impl<S: Sampler> Sampler for ParentBased<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingDecision {
        match parameters.parent {
            Some(parent) if parent.is_sampled() => SamplingDecision::RecordAndSample,
            Some(_) => SamplingDecision::Drop,
            None => self.root.should_sample(parameters),
        }
    }
}

impl<S: Sampler + ?Sized> Sampler for Box<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingDecision {
        (**self).should_sample(parameters)
    }
}

/// The sampler with this name of `OTEL_TRACES_SAMPLER`, or `None` where the name is not known.
pub(crate) fn by_name(name: &str, ratio: f64) -> Option<Box<dyn Sampler>> {
    Some(match name {
        "always_on" => Box::new(AlwaysOn),
        "always_off" => Box::new(AlwaysOff),
        "traceidratio" => Box::new(TraceIdRatio::new(ratio)),
        "parentbased_always_on" => Box::new(ParentBased::new(AlwaysOn)),
        "parentbased_always_off" => Box::new(ParentBased::new(AlwaysOff)),
        "parentbased_traceidratio" => Box::new(ParentBased::new(TraceIdRatio::new(ratio))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use lumitrace_model::SpanId;
    use proptest::prelude::*;

    use super::*;

    fn decide(sampler: &dyn Sampler, trace_id: TraceId, parent: Option<u8>) -> bool {
        let span_id = SpanId::from_bytes([1; 8]);
        let parent = parent.map(|flags| SpanContext::new(trace_id, span_id, flags));
        let parameters = SamplingParameters {
            parent: parent.as_ref(),
            trace_id,
            name: "work",
            kind: SpanKind::Internal,
            attributes: &[],
            links: &[],
        };
        sampler.should_sample(&parameters) == SamplingDecision::RecordAndSample
    }

    #[test]
    fn every_name_of_the_specification_that_needs_no_server_is_known() {
        let id = TraceId::from_bytes([0x80; 16]);
        for (name, without_parent, below_sampled, below_dropped) in [
            ("always_on", true, true, true),
            ("always_off", false, false, false),
            ("parentbased_always_on", true, true, false),
            ("parentbased_always_off", false, true, false),
            ("parentbased_traceidratio", true, true, false),
            ("traceidratio", true, true, true),
        ] {
            let sampler = by_name(name, 0.75).unwrap();
            assert_eq!(decide(&sampler, id, None), without_parent, "{name}");
            assert_eq!(decide(&sampler, id, Some(1)), below_sampled, "{name}");
            assert_eq!(decide(&sampler, id, Some(0)), below_dropped, "{name}");
        }
        assert!(by_name("sometimes", 1.0).is_none());
    }

    proptest! {
        #[test]
        fn a_ratio_records_its_share_and_a_larger_one_records_at_least_the_same(
            ratio in 0.0..=1.0_f64, larger in 0.0..=1.0_f64, id: [u8; 16],
        ) {
            let (ratio, larger) = (ratio.min(larger), ratio.max(larger));
            let id = TraceId::from_bytes(id);
            let by_ratio = TraceIdRatio::new(ratio).records(id);
            prop_assert!(!by_ratio || TraceIdRatio::new(larger).records(id));
            // The model: the fraction that the last seven bytes spell.
            let digits = id.as_bytes()[9..].iter();
            let fraction = digits.rev().fold(0.0, |tail, byte| (tail + f64::from(*byte)) / 256.0);
            if (fraction - (1.0 - ratio)).abs() > 1e-12 {
                prop_assert_eq!(by_ratio, fraction > 1.0 - ratio);
            }
        }
    }

    #[test]
    fn ratios_outside_zero_and_one_mean_none_or_all() {
        let (lowest, highest) = (
            TraceId::from_bytes([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            TraceId::from_bytes([0xff; 16]),
        );
        for none in [-1.0, 0.0, f64::NAN] {
            assert!(!TraceIdRatio::new(none).records(highest), "{none}");
        }
        for all in [1.0, 7.0] {
            assert!(TraceIdRatio::new(all).records(lowest), "{all}");
        }
    }
}
