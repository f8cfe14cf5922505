//! Every so many batches of a training.

use std::num::NonZeroU32;

use lumitrace_model::{Value, names};

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use crate::training::BATCH_INDEX;

/// Records of a training's batches only every so many, for trainings with more batches than anyone wants
/// to look at. Epochs, validations and all else are decided by another sampler, as are the batches that are
/// not left out.
///
/// The index of the batch decides (`batch_index`, see [`training`](crate::training)), so that all
/// processes of a distributed training record the same ones: of an interval of 100 those with the indices
/// 0, 1, 100, 200 and so on. What a batch that is left out consists of is left out with it.
///
/// ```
/// use std::num::NonZeroU32;
/// use lumitrace::sampler::{AlwaysOn, BatchInterval, ParentBased};
/// let hundred = NonZeroU32::new(100).unwrap();
/// let sampler = BatchInterval::new(hundred, ParentBased::new(AlwaysOn));
/// # let _unused = sampler;
/// ```
#[derive(Debug)]
pub struct BatchInterval<S> {
    batches: NonZeroU32,
    other: S,
}

impl<S: Sampler> BatchInterval<S> {
    /// Asks `other` for one of each so many `batches`, and for what is no batch.
    pub fn new(batches: NonZeroU32, other: S) -> Self {
        Self { batches, other }
    }

    fn leaves_out(&self, parameters: &SamplingParameters<'_>) -> bool {
        if parameters.name != names::BATCH_PROCESSING {
            return false;
        }
        let mut attributes = parameters.attributes.iter();
        let index = attributes.find(|attribute| attribute.key == BATCH_INDEX);
        let Some(Value::Int(index)) = index.map(|attribute| &attribute.value) else {
            return false;
        };
        // Programs count batches from 0 or from 1, and want to see the first.
        *index != 1 && index % i64::from(self.batches.get()) != 0
    }
}

impl<S: Sampler> Sampler for BatchInterval<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        match self.leaves_out(parameters) {
            true => SamplingDecision::Drop.into(),
            false => self.other.should_sample(parameters),
        }
    }

    fn shutdown(&self) {
        self.other.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use lumitrace_model::KeyValue;

    use super::super::testing::{root, samples};
    use super::super::{AlwaysOff, AlwaysOn};
    use super::*;

    fn batch(sampler: &dyn Sampler, index: impl Into<Value>) -> bool {
        let attributes = [KeyValue::new(BATCH_INDEX, index.into())];
        samples(
            sampler,
            SamplingParameters {
                attributes: &attributes,
                ..root(names::BATCH_PROCESSING)
            },
        )
    }

    #[test]
    fn s29_of_so_many_batches_one_is_recorded_and_the_first_is_among_them() {
        for (batches, from_one, from_zero) in [
            (1, vec![1, 2, 3, 4, 5, 6, 7], vec![0, 1, 2, 3, 4, 5, 6]),
            (3, vec![1, 3, 6], vec![0, 1, 3, 6]),
            (100, vec![1], vec![0, 1]),
        ] {
            let sampler = BatchInterval::new(NonZeroU32::new(batches).unwrap(), AlwaysOn);
            let recorded = |indices: std::ops::Range<i64>| {
                indices
                    .filter(|index| batch(&sampler, *index))
                    .collect::<Vec<_>>()
            };
            assert_eq!(recorded(1..8), from_one);
            assert_eq!(recorded(0..7), from_zero);
        }
    }

    #[test]
    fn s29_what_is_no_batch_or_has_no_index_is_decided_by_the_other_sampler() {
        let hundred = NonZeroU32::new(100).unwrap();
        let on = BatchInterval::new(hundred, AlwaysOn);
        assert!(samples(&on, root(names::VALIDATION)));
        assert!(samples(&on, root(names::BATCH_PROCESSING)));
        assert!(batch(&on, "17"));
        assert!(!batch(&BatchInterval::new(hundred, AlwaysOff), 1));
    }
}
