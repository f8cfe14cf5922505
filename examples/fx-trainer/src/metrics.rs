//! Metrics, aggregated by sample: a short last batch counts for its samples, and an RMSE is the
//! root of all squared errors, never a mean of RMSEs.

use anyhow::Result;
use candle_core::{D, Tensor};

use crate::{
    losses::weighted_sum,
    tasks::{Head, Kind},
};

/// What one batch says about one head.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// The mean loss of the batch.
    pub loss: f64,
    /// How many windows were classified rightly.
    pub correct: u64,
    /// The sum of squared errors, in the scale of the targets.
    pub squared_error: f64,
    /// How many numbers were predicted: windows times outputs.
    pub elements: u64,
}

/// Compares the outputs of a head with its targets.
///
/// # Errors
/// Those of candle.
pub fn outcome(head: &Head, loss: f64, output: &Tensor, target: &Tensor) -> Result<Outcome> {
    let mut outcome = Outcome {
        loss,
        ..Default::default()
    };
    match head.kind {
        Kind::Classes(_) => {
            let hits = output.argmax(D::Minus1)?.eq(target)?;
            outcome.correct = count_ones(&hits)?;
        }
        Kind::Binary => {
            let hits = output.gt(0f32)?.eq(&target.gt(0.5f32)?)?;
            outcome.correct = count_ones(&hits.flatten_all()?)?;
        }
        Kind::Regression(_) => {
            let errors = (output - target)?.flatten_all()?.to_vec1::<f32>()?;
            outcome.squared_error = errors.iter().map(|&error| f64::from(error).powi(2)).sum();
            outcome.elements = errors.len() as u64;
        }
    }
    Ok(outcome)
}

fn count_ones(hits: &Tensor) -> Result<u64> {
    Ok(hits
        .to_vec1::<u8>()?
        .iter()
        .map(|&hit| u64::from(hit))
        .sum())
}

/// Sums over batches, from which the metrics of all their samples follow.
#[derive(Debug, Clone)]
pub struct Aggregate {
    heads: Vec<Head>,
    samples: u64,
    /// Per head, with the loss summed by sample.
    sums: Vec<Outcome>,
}

impl Aggregate {
    /// Nothing yet.
    pub fn new(heads: &[Head]) -> Self {
        Self {
            heads: heads.to_vec(),
            samples: 0,
            sums: vec![Outcome::default(); heads.len()],
        }
    }

    /// Adds a batch of `samples` windows, with one outcome per head.
    pub fn add(&mut self, samples: usize, outcomes: &[Outcome]) {
        self.samples += samples as u64;
        for (sum, outcome) in self.sums.iter_mut().zip(outcomes) {
            sum.loss += samples as f64 * outcome.loss;
            sum.correct += outcome.correct;
            sum.squared_error += outcome.squared_error;
            sum.elements += outcome.elements;
        }
    }

    /// How many windows were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The weighted sum of the heads' mean losses; NaN before the first batch.
    pub fn loss(&self, weights: &[f64]) -> f64 {
        let means: Vec<f64> = self
            .sums
            .iter()
            .map(|sum| sum.loss / self.samples as f64)
            .collect();
        weighted_sum(&means, weights)
    }

    /// The metric of every head, by its name: accuracies, and RMSEs in the unit of the task, for
    /// which `target_scales` holds the factor of each head.
    pub fn metrics(&self, target_scales: &[f64]) -> Vec<(&'static str, f64)> {
        let values = self.heads.iter().zip(&self.sums).zip(target_scales);
        values
            .map(|((head, sum), scale)| {
                let value = match head.kind {
                    Kind::Regression(_) => (sum.squared_error / sum.elements as f64).sqrt() * scale,
                    Kind::Classes(_) | Kind::Binary => sum.correct as f64 / self.samples as f64,
                };
                (head.task.metric(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Task, heads};
    use candle_core::Device;
    use proptest::prelude::*;

    /// Per sample: loss, whether it was right, and the errors of a head of three numbers.
    type Sample = (f64, bool, [f64; 3]);

    fn aggregate(samples: &[Sample], batch_size: usize) -> Aggregate {
        let heads = heads(&[Task::Direction, Task::TopkReturns], 3);
        let mut aggregate = Aggregate::new(&heads);
        for batch in samples.chunks(batch_size) {
            let loss = batch.iter().map(|sample| sample.0).sum::<f64>() / batch.len() as f64;
            let correct = batch.iter().filter(|sample| sample.1).count() as u64;
            let squared_error = batch
                .iter()
                .flat_map(|sample| sample.2)
                .map(|e| e * e)
                .sum();
            let elements = 3 * batch.len() as u64;
            let classes = Outcome {
                loss,
                correct,
                ..Default::default()
            };
            let numbers = Outcome {
                loss: 2.0 * loss,
                squared_error,
                elements,
                correct: 0,
            };
            aggregate.add(batch.len(), &[classes, numbers]);
        }
        aggregate
    }

    proptest! {
        #[test]
        fn t35_every_batch_size_gives_the_same_metrics(
            samples in proptest::collection::vec(
                (0.0..9.0f64, any::<bool>(), proptest::array::uniform3(-5.0..5.0f64)), 1..40),
            batch_size in 1usize..45,
        ) {
            let whole = aggregate(&samples, samples.len());
            let parts = aggregate(&samples, batch_size);
            // A last batch of one, too.
            let uneven = aggregate(&samples, (samples.len() - 1).max(1));
            for other in [parts, uneven] {
                let weights = [1.0, 0.5];
                prop_assert!((whole.loss(&weights) - other.loss(&weights)).abs() < 1e-9);
                for (one, two) in whole.metrics(&[1.0, 2.0]).iter().zip(other.metrics(&[1.0, 2.0])) {
                    prop_assert!((one.1 - two.1).abs() < 1e-9, "{one:?} {two:?}");
                }
            }
        }
    }

    #[test]
    fn t35_a_short_last_batch_counts_for_its_samples_only() {
        let sample = |loss, right, error| (loss, right, [error; 3]);
        let samples = [
            sample(1.0, true, 0.0),
            sample(1.0, true, 0.0),
            sample(1.0, true, 0.0),
            sample(9.0, false, 4.0),
        ];
        let aggregate = aggregate(&samples, 3);
        assert_eq!(aggregate.loss(&[1.0, 0.0]), 3.0, "not the mean of 1 and 9");
        let metrics = aggregate.metrics(&[1.0, 10.0]);
        assert_eq!(metrics, [("dir_acc", 0.75), ("topk_ret_rmse", 20.0)]);
    }

    #[test]
    fn outcomes_count_hits_and_square_errors() {
        let device = &Device::Cpu;
        let [classes, yes_no, numbers] =
            [Task::Trend, Task::SellNow, Task::TopkPrices].map(|task| Head {
                task,
                kind: task.kind(2),
            });
        let output = Tensor::new(&[[0f32, 2.0, 1.0], [5.0, 0.0, 0.0]], device).unwrap();
        let target = Tensor::new(&[1u32, 2], device).unwrap();
        assert_eq!(outcome(&classes, 0.5, &output, &target).unwrap().correct, 1);
        let output = Tensor::new(&[[2f32], [-1.0], [-1.0]], device).unwrap();
        let target = Tensor::new(&[[1f32], [1.0], [0.0]], device).unwrap();
        assert_eq!(outcome(&yes_no, 0.5, &output, &target).unwrap().correct, 2);
        let output = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], device).unwrap();
        let target = Tensor::new(&[[1f32, 0.0], [0.0, 4.0]], device).unwrap();
        let outcome = outcome(&numbers, 0.5, &output, &target).unwrap();
        assert_eq!((outcome.squared_error, outcome.elements), (13.0, 4));
    }
}
