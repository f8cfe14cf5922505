//! A share of the traces.

use lumitrace_model::TraceId;

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};

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
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        match self.records(parameters.trace_id) {
            true => SamplingDecision::RecordAndSample.into(),
            false => SamplingDecision::Drop.into(),
        }
    }

    fn reads_attributes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
