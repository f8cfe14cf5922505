//! Measures a model: for the validation of an epoch, and on the test part at the end.

use std::fmt;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::ops::softmax;
use lumitrace::{Span, Tracer};

use crate::{
    bars::Bar,
    features::indicators::{deviation, log_returns},
    losses::Losses,
    metrics::{self, Aggregate},
    model::{ForecastModel, Mode},
    progress::say,
    risk::{Moment, RiskGate, summarise_trading},
    spans::in_span,
    tasks::Task,
    windows::{Dataset, Part},
};

/// Results over all samples of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The weighted loss.
    pub loss: f64,
    /// The metric of each head, by its name.
    pub values: Vec<(&'static str, f64)>,
}

impl Metrics {
    /// The metric of the first head.
    pub fn primary(&self) -> f64 {
        self.values.first().map_or(f64::NAN, |(_, value)| *value)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.values.iter().enumerate() {
            let gap = if index > 0 { "  " } else { "" };
            let value = *value;
            // RMSEs of returns are small, accuracies are not.
            if value != 0.0 && value.abs() < 0.01 {
                write!(out, "{gap}{name} {value:.2e}")?;
            } else {
                write!(out, "{gap}{name} {value:.4}")?;
            }
        }
        Ok(())
    }
}

/// What is measured.
#[derive(Clone, Copy)]
pub struct Measurement<'a> {
    /// The model.
    pub model: &'a ForecastModel,
    /// Where its windows come from.
    pub dataset: &'a Dataset,
    /// The weight of each head's loss.
    pub weights: &'a [f64],
}

impl Measurement<'_> {
    /// The metrics over all samples of `part`; `see_outputs` gets the outputs of each batch.
    ///
    /// # Errors
    /// Those of candle.
    pub fn of(
        &self,
        part: &Part,
        batch_size: usize,
        mut see_outputs: impl FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<Metrics> {
        let heads = &self.dataset.heads;
        let mut aggregate = Aggregate::new(heads);
        let samples: Vec<usize> = (0..part.ends.len()).collect();
        for samples in samples.chunks(batch_size) {
            let batch = self.dataset.batch(part, samples)?;
            let outputs = self.model.forward(&batch.inputs, Mode::Evaluate)?;
            let losses = Losses::new(heads, &outputs, &batch.targets)?.values;
            let outcomes = heads
                .iter()
                .enumerate()
                .map(|(i, head)| metrics::outcome(head, losses[i], &outputs[i], &batch.targets[i]))
                .collect::<Result<Vec<_>>>()?;
            aggregate.add(batch.size, &outcomes);
            see_outputs(&outputs)?;
        }
        Ok(Metrics {
            loss: aggregate.loss(self.weights),
            values: aggregate.metrics(&self.dataset.target_scales),
        })
    }
}

/// How to evaluate at the end.
pub struct EvaluationSettings<'a> {
    /// The name of the pair.
    pub pair: &'a str,
    /// All its bars.
    pub bars: &'a [Bar],
    /// Bars to the horizon.
    pub t_out: usize,
    /// Windows per batch.
    pub batch_size: usize,
    /// Whether the risk gate may keep out of positions.
    pub use_risk_gate: bool,
}

/// Measures the model on the test part inside an `evaluation` span. A model that predicts
/// directions is also judged by what they would have earned.
///
/// # Errors
/// Those of candle.
pub fn evaluate(
    tracer: &Tracer,
    measurement: Measurement<'_>,
    settings: &EvaluationSettings<'_>,
) -> Result<Metrics> {
    let dataset = measurement.dataset;
    let span = tracer
        .span("evaluation")
        .attribute("pair", settings.pair.to_owned())
        .attribute("num_samples", dataset.test.ends.len());
    in_span(span, |span| {
        let direction = dataset
            .heads
            .iter()
            .position(|head| head.task == Task::Direction);
        let mut probabilities = Vec::new();
        let metrics = measurement.of(&dataset.test, settings.batch_size, |outputs| {
            if let Some(index) = direction {
                probabilities.extend(softmax(&outputs[index], 1)?.to_vec2::<f32>()?);
            }
            Ok(())
        })?;
        span.set_attribute("test_loss", metrics.loss);
        span.set_attribute("test_metric", metrics.primary());
        for (name, value) in &metrics.values {
            span.set_attribute(format!("test.{name}"), *value);
        }
        say(format_args!(
            "{}: test_loss {:.4}  {metrics}",
            settings.pair, metrics.loss
        ));
        if direction.is_some() {
            judge_trading(span, dataset, &probabilities, settings);
        }
        Ok(metrics)
    })
}

fn judge_trading(
    span: &Span,
    dataset: &Dataset,
    probabilities: &[Vec<f32>],
    settings: &EvaluationSettings<'_>,
) {
    let EvaluationSettings {
        pair, bars, t_out, ..
    } = settings;
    let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
    let returns = log_returns(&closes);
    let volatility = |end: usize| deviation(&returns[end + 1 - t_out..=end]);
    let gate = RiskGate::from_training(
        dataset
            .train
            .ends
            .iter()
            .map(|&end| volatility(end))
            .collect(),
    );
    let moments: Vec<Moment> = dataset
        .test
        .ends
        .iter()
        .zip(probabilities)
        .map(|(&end, row)| Moment {
            probabilities: [row[0], row[1], row[2]].map(f64::from),
            volatility: volatility(end),
            future_return: (closes[end + t_out] / closes[end]).ln(),
        })
        .collect();
    let summary = summarise_trading(&moments, settings.use_risk_gate.then_some(&gate));
    span.set_attribute("trading.positions", summary.positions);
    span.set_attribute("trading.blocked", summary.blocked);
    span.set_attribute("trading.mean_return", summary.mean_return);
    say(format_args!(
        "{pair}: {} positions, {} blocked by the risk gate, mean return {:.2e} before costs",
        summary.positions, summary.blocked, summary.mean_return
    ));
}
