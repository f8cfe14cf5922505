//! The loss of every head, their weighted sum, and the clipping of gradients.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var, backprop::GradStore};
use candle_nn::loss::{cross_entropy, mse};

use crate::tasks::{Head, Kind};

/// The losses of a batch.
pub struct Losses {
    /// The mean over the batch, per head, as a tensor to differentiate.
    pub tensors: Vec<Tensor>,
    /// The same as numbers.
    pub values: Vec<f64>,
}

impl Losses {
    /// Computes the loss of each head from its outputs and targets.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(heads: &[Head], outputs: &[Tensor], targets: &[Tensor]) -> Result<Self> {
        let tensors = heads
            .iter()
            .zip(outputs)
            .zip(targets)
            .map(|((head, output), target)| match head.kind {
                Kind::Classes(_) => cross_entropy(output, target),
                Kind::Regression(_) => mse(output, target),
                Kind::Binary => binary_cross_entropy(output, target),
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        let values = tensors
            .iter()
            .map(|tensor| Ok(f64::from(tensor.to_scalar::<f32>()?)))
            .collect::<Result<_>>()?;
        Ok(Self { tensors, values })
    }

    /// The weighted sum, as a tensor to differentiate.
    ///
    /// # Errors
    /// Those of candle; no head at all.
    pub fn total(&self, weights: &[f64]) -> Result<Tensor> {
        ensure!(!self.tensors.is_empty(), "there is no task to learn");
        let mut total = (&self.tensors[0] * weights[0])?;
        for (tensor, weight) in self.tensors.iter().zip(weights).skip(1) {
            total = (total + (tensor * *weight)?)?;
        }
        Ok(total)
    }
}

/// The weighted sum of per-head values.
pub fn weighted_sum(values: &[f64], weights: &[f64]) -> f64 {
    values
        .iter()
        .zip(weights)
        .map(|(value, weight)| value * weight)
        .sum()
}

/// max(x, 0) - x y + ln(1 + exp(-|x|)): the logarithm of a sigmoid would be infinite for large x.
fn binary_cross_entropy(logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    ((logits.relu()? - (logits * targets)?)? + tail)?.mean_all()
}

/// Scales all gradients down so that their common norm is at most `max_norm`; 0 switches it off.
///
/// # Errors
/// Those of candle.
pub fn clip_gradients(gradients: &mut GradStore, vars: &[Var], max_norm: f64) -> Result<()> {
    if max_norm == 0.0 {
        return Ok(());
    }
    let mut squares = 0.0;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm <= max_norm {
        return Ok(());
    }
    for var in vars {
        if let Some(gradient) = gradients.remove(var) {
            gradients.insert(var, (gradient * (max_norm / norm))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Task, heads};
    use candle_core::Device;

    fn tensor<const N: usize>(values: &[[f32; 1]; N]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn binary_cross_entropy_is_right_and_finite_for_large_logits() {
        let loss = |logit: f32, target: f32| {
            let loss = binary_cross_entropy(&tensor(&[[logit]]), &tensor(&[[target]])).unwrap();
            loss.to_scalar::<f32>().unwrap()
        };
        let sigmoid = 1.0 / (1.0 + (-0.5f32).exp());
        assert!((loss(0.5, 1.0) + sigmoid.ln()).abs() < 1e-6);
        assert!((loss(0.5, 0.0) + (1.0 - sigmoid).ln()).abs() < 1e-6);
        assert_eq!((loss(200.0, 0.0), loss(200.0, 1.0)), (200.0, 0.0));
        assert_eq!((loss(-200.0, 1.0), loss(-200.0, 0.0)), (200.0, 0.0));
    }

    #[test]
    fn the_total_is_the_weighted_sum_of_the_task_losses() {
        let heads = heads(&[Task::Return, Task::MaxReturn], 3);
        let outputs = [tensor(&[[1.0], [3.0]]), tensor(&[[2.0], [2.0]])];
        let targets = [tensor(&[[0.0], [0.0]]), tensor(&[[0.0], [1.0]])];
        let losses = Losses::new(&heads, &outputs, &targets).unwrap();
        assert_eq!(losses.values, [5.0, 2.5]);
        let total = losses
            .total(&[2.0, 0.5])
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert_eq!(f64::from(total), weighted_sum(&losses.values, &[2.0, 0.5]));
    }

    #[test]
    fn gradients_are_clipped_to_the_norm_and_small_ones_left_alone() {
        let var = Var::new(&[3f32, 4.0], &Device::Cpu).unwrap();
        let clipped = |max_norm| {
            let loss = (var.as_tensor().sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
            let mut gradients = loss.backward().unwrap();
            clip_gradients(&mut gradients, std::slice::from_ref(&var), max_norm).unwrap();
            gradients.get(&var).unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(clipped(10.0), [3.0, 4.0]);
        assert_eq!(clipped(0.0), [3.0, 4.0]);
        let small = clipped(1.0);
        assert!((small[0] - 0.6).abs() < 1e-6 && (small[1] - 0.8).abs() < 1e-6);
    }
}
