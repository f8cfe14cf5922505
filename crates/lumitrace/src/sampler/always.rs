//! The same decision for every span.

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};

/// Records every span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlwaysOn;

impl Sampler for AlwaysOn {
    fn should_sample(&self, _: &SamplingParameters<'_>) -> SamplingResult {
        SamplingDecision::RecordAndSample.into()
    }

    fn reads_attributes(&self) -> bool {
        false
    }
}

/// Records no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlwaysOff;

impl Sampler for AlwaysOff {
    fn should_sample(&self, _: &SamplingParameters<'_>) -> SamplingResult {
        SamplingDecision::Drop.into()
    }

    fn reads_attributes(&self) -> bool {
        false
    }
}
