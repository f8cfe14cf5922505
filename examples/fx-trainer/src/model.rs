//! The network: a convolution and an LSTM side by side, attention over time, one head per task.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    Conv1d, Conv1dConfig, LSTM, Linear, RNN, VarBuilder, VarMap, conv1d, linear, linear_no_bias,
    lstm, ops::softmax,
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::tasks::Head;

const CONV_CHANNELS: usize = 32;
const CONV_KERNEL: usize = 3;
const LSTM_UNITS: usize = 64;
const ATTENTION_UNITS: usize = 64;
const DROPOUT: f64 = 0.1;

/// The network with its parameters.
pub struct ForecastModel {
    parameters: VarMap,
    convolution: Conv1d,
    lstm: LSTM,
    attention: Linear,
    attention_score: Linear,
    heads: Vec<Linear>,
}

/// Whether a pass is for learning.
pub enum Mode<'a> {
    /// Dropout is on, drawn from this generator.
    Train(&'a mut ChaCha8Rng),
    /// The network as it is.
    Evaluate,
}

impl ForecastModel {
    /// A network for windows of `feature_count` features with these heads. The same seed makes the
    /// same parameters.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(feature_count: usize, heads: &[Head], seed: u64) -> Result<Self> {
        let parameters = VarMap::new();
        let builder = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
        let padded = Conv1dConfig {
            padding: CONV_KERNEL / 2,
            ..Default::default()
        };
        let channels = CONV_CHANNELS + LSTM_UNITS;
        let convolution = conv1d(
            feature_count,
            CONV_CHANNELS,
            CONV_KERNEL,
            padded,
            builder.pp("convolution"),
        )?;
        let recurrent = lstm(
            feature_count,
            LSTM_UNITS,
            Default::default(),
            builder.pp("lstm"),
        )?;
        let attention = linear(channels, ATTENTION_UNITS, builder.pp("attention"))?;
        let attention_score = linear_no_bias(ATTENTION_UNITS, 1, builder.pp("attention_score"))?;
        let heads = heads.iter().map(|head| {
            linear(
                channels,
                head.kind.outputs(),
                builder.pp(format!("head_{}", head.task.key())),
            )
        });
        let heads = heads.collect::<Result<_>>()?;
        initialise(&parameters, seed)?;
        Ok(Self {
            parameters,
            convolution,
            lstm: recurrent,
            attention,
            attention_score,
            heads,
        })
    }

    /// The raw outputs of every head, (window, outputs), for inputs (window, bar, feature).
    ///
    /// # Errors
    /// Those of candle.
    pub fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> Result<Vec<Tensor>> {
        let by_channel = inputs.transpose(1, 2)?.contiguous()?;
        let convolved = self
            .convolution
            .forward(&by_channel)?
            .relu()?
            .transpose(1, 2)?;
        let recurrent = self.lstm.states_to_tensor(&self.lstm.seq(inputs)?)?;
        let steps = Tensor::cat(&[&convolved.contiguous()?, &recurrent], 2)?;
        let scores = self
            .attention_score
            .forward(&self.attention.forward(&steps)?.tanh()?)?;
        let mut summary = steps.broadcast_mul(&softmax(&scores, 1)?)?.sum(1)?;
        if let Mode::Train(random) = mode {
            summary = (&summary * dropout_mask(summary.dims2()?, random)?)?;
        }
        self.heads
            .iter()
            .map(|head| head.forward(&summary))
            .collect()
    }

    /// What is learned, by name.
    pub fn parameters(&self) -> &VarMap {
        &self.parameters
    }

    /// How many numbers are learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters
            .all_vars()
            .iter()
            .map(|var| var.elem_count())
            .sum()
    }
}

/// Draws every parameter uniformly within 1 / sqrt(fan-in), as PyTorch does. candle's own
/// initialisation cannot be seeded on the CPU.
fn initialise(parameters: &VarMap, seed: u64) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut named: Vec<_> = match parameters.data().lock() {
        Ok(data) => data
            .iter()
            .map(|(name, var)| (name.clone(), var.clone()))
            .collect(),
        Err(_) => candle_core::bail!("another thread panicked while it held the parameters"),
    };
    named.sort_by(|left, right| left.0.cmp(&right.0));
    for (_, var) in named {
        // A bias has no fan-in of its own; all layers here are about as wide as the LSTM.
        let fan_in = match var.dims() {
            [_, inputs @ ..] if !inputs.is_empty() => inputs.iter().product::<usize>(),
            _ => LSTM_UNITS,
        };
        let bound = 1.0 / (fan_in as f32).sqrt();
        let values: Vec<f32> = (0..var.elem_count())
            .map(|_| random.random_range(-bound..bound))
            .collect();
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
    }
    Ok(())
}

/// Zeros in place of a share of the values, and the others raised so that the sum stays.
fn dropout_mask(shape: (usize, usize), random: &mut ChaCha8Rng) -> Result<Tensor> {
    let kept = (1.0 / (1.0 - DROPOUT)) as f32;
    let mask: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| {
            if random.random_bool(DROPOUT) {
                0.0
            } else {
                kept
            }
        })
        .collect();
    Tensor::from_vec(mask, shape, &Device::Cpu)
}

/// The numbers 0 to `count` in an order drawn from `random`.
pub fn shuffled(count: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(random);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{self, Task};

    fn inputs() -> Tensor {
        let values: Vec<f32> = (0..2 * 12 * 5)
            .map(|index| (index as f32 * 0.7).sin())
            .collect();
        Tensor::from_vec(values, (2, 12, 5), &Device::Cpu).unwrap()
    }

    fn model(seed: u64) -> ForecastModel {
        ForecastModel::new(5, &tasks::heads(&Task::ALL, 3), seed).unwrap()
    }

    fn outputs(model: &ForecastModel, mode: Mode<'_>) -> Vec<Vec<Vec<f32>>> {
        let outputs = model.forward(&inputs(), mode).unwrap();
        outputs
            .iter()
            .map(|output| output.to_vec2().unwrap())
            .collect()
    }

    #[test]
    fn every_head_has_as_many_outputs_as_its_task_needs() {
        let widths: Vec<usize> = outputs(&model(1), Mode::Evaluate)
            .iter()
            .map(|output| output[0].len())
            .collect();
        assert_eq!(widths, [3, 2, 3, 3, 4, 1, 1, 1, 3, 3, 1]);
    }

    #[test]
    fn the_seed_decides_the_parameters_and_the_dropout() {
        let first = outputs(&model(1), Mode::Evaluate);
        assert_eq!(first, outputs(&model(1), Mode::Evaluate));
        assert_ne!(first, outputs(&model(2), Mode::Evaluate));
        let dropped = |seed| outputs(&model(1), Mode::Train(&mut ChaCha8Rng::seed_from_u64(seed)));
        assert_eq!(dropped(1), dropped(1));
        assert_ne!(dropped(1), dropped(2));
        assert_ne!(dropped(1), first);
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        let model = model(1);
        let outputs = model.forward(&inputs(), Mode::Evaluate).unwrap();
        let sums: Vec<Tensor> = outputs
            .iter()
            .map(|output| output.sqr().unwrap().sum_all().unwrap())
            .collect();
        let gradients = Tensor::stack(&sums, 0)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        for (name, var) in model.parameters().data().lock().unwrap().iter() {
            let gradient = gradients
                .get(var)
                .unwrap_or_else(|| panic!("{name} has none"));
            let size = gradient
                .abs()
                .unwrap()
                .sum_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!(size > 0.0, "{name} has a gradient of zero");
        }
    }
}
