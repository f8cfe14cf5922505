//! The training loop: epochs of batches, a validation and a checkpoint each, an early stop.
//!
//! Each epoch is a `training_epoch` span that holds its `batch_processing` spans and its
//! `validation`.

pub mod multitask;
pub mod single;

use std::time::Instant;

use anyhow::Result;
use candle_core::Var;
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use lumitrace::{
    Span, Tracer,
    training::{TrainingSpan, batch_processing, training_epoch, validation},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::{
    checkpoint::Checkpoints,
    evaluation::{self, Metrics},
    losses::{Losses, clip_gradients, weighted_sum},
    model::{ForecastModel, Mode, shuffled},
    progress::say,
    spans::in_span,
    windows::{Batch, Dataset},
};

/// How to train.
#[derive(Debug, Clone, Copy)]
pub struct TrainSettings {
    /// Windows per batch.
    pub batch_size: usize,
    /// Passes over the training part, at most.
    pub epochs: usize,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; 0 lets them be.
    pub grad_clip: f64,
    /// Batches from one report of the running loss to the next.
    pub log_every: usize,
    /// Epochs without a better validation loss after which to stop; 0 never stops.
    pub patience: usize,
    /// Seed of parameters, order and dropout.
    pub seed: u64,
    /// Batches per epoch at most, for quick trials.
    pub max_batches: Option<usize>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            batch_size: 64,
            epochs: 20,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            grad_clip: 1.0,
            log_every: 50,
            patience: 3,
            seed: 7,
            max_batches: None,
        }
    }
}

/// The loss is no number to learn from.
#[derive(Debug, Clone, PartialEq, Error)]
#[error(
    "the loss became {loss} in epoch {epoch}, batch {batch_index}; try a smaller --learning-rate \
     (now {learning_rate:e}) or look at the bars"
)]
pub struct NonFiniteLoss {
    /// NaN or an infinity.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The batch in the epoch, from 1.
    pub batch_index: usize,
    /// The learning rate.
    pub learning_rate: f64,
}

/// What a training came to: one loss per epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingOutcome {
    /// By sample, over the epoch.
    pub train_losses: Vec<f64>,
    /// By sample, over the validation part.
    pub val_losses: Vec<f64>,
    /// Whether the validation loss had stopped getting better.
    pub stopped_early: bool,
}

/// What is trained, on what, and how.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// Traces the training.
    pub tracer: &'a Tracer,
    /// What learns.
    pub model: &'a ForecastModel,
    /// What it learns from.
    pub dataset: &'a Dataset,
    /// The weight of each head's loss.
    pub weights: &'a [f64],
    /// How it learns.
    pub settings: &'a TrainSettings,
}

/// The state of a training.
struct TrainingLoop<'a> {
    training: Training<'a>,
    optimizer: AdamW,
    vars: Vec<Var>,
    random: ChaCha8Rng,
    global_step: usize,
}

/// Trains to the last epoch, or until the validation stops getting better. The model then holds
/// the best epoch's parameters.
fn run(training: Training<'_>, checkpoints: &mut Checkpoints) -> Result<TrainingOutcome> {
    let settings = training.settings;
    let vars = training.model.parameters().all_vars();
    let rates = ParamsAdamW {
        lr: settings.learning_rate,
        weight_decay: settings.weight_decay,
        ..Default::default()
    };
    let mut state = TrainingLoop {
        training,
        optimizer: AdamW::new(vars.clone(), rates)?,
        vars,
        random: ChaCha8Rng::seed_from_u64(settings.seed),
        global_step: 0,
    };
    let mut outcome = TrainingOutcome::default();
    for epoch in 1..=settings.epochs {
        let (train_loss, val_loss) = state.epoch(epoch)?;
        outcome.train_losses.push(train_loss);
        outcome.val_losses.push(val_loss);
        save(&training, checkpoints, epoch, val_loss)?;
        let without_gain = epochs_without_gain(&outcome.val_losses);
        if settings.patience > 0 && without_gain >= settings.patience && epoch < settings.epochs {
            outcome.stopped_early = true;
            say(format_args!(
                "stopped early: no better validation loss in {without_gain} epochs"
            ));
            break;
        }
    }
    checkpoints.restore_best(training.model)?;
    Ok(outcome)
}

/// How many epochs have passed since the best one. A NaN is no gain.
fn epochs_without_gain(val_losses: &[f64]) -> usize {
    let mut best = f64::INFINITY;
    let mut best_epoch = 0;
    for (index, &loss) in val_losses.iter().enumerate() {
        if loss < best {
            (best, best_epoch) = (loss, index + 1);
        }
    }
    val_losses.len() - best_epoch
}

fn save(
    training: &Training<'_>,
    checkpoints: &mut Checkpoints,
    epoch: usize,
    val_loss: f64,
) -> Result<()> {
    let span = training.tracer.span("checkpoint_save");
    let span = span
        .attribute("epoch", epoch)
        .attribute("val_loss", val_loss);
    in_span(span, |span| {
        let saved = checkpoints.save(training.model, epoch, val_loss)?;
        span.set_attribute("checkpoint.path", saved.path.display().to_string());
        span.set_attribute("checkpoint.size_bytes", saved.size_bytes);
        span.set_attribute("checkpoint.is_best", saved.is_best);
        Ok(())
    })
}

impl TrainingLoop<'_> {
    /// Trains and validates an epoch, and returns its two losses.
    fn epoch(&mut self, epoch: usize) -> Result<(f64, f64)> {
        let started = Instant::now();
        let Training {
            tracer, settings, ..
        } = self.training;
        let span = training_epoch(tracer, epoch, settings.epochs);
        let (train_loss, metrics) = in_span(span, |span| {
            let train_loss = self.train(epoch, span)?;
            let metrics = self.validate()?;
            span.record_epoch(train_loss, Some(metrics.loss), Some(metrics.primary()));
            Ok((train_loss, metrics))
        })?;
        say(format_args!(
            "epoch {epoch}/{}  train_loss {train_loss:.4}  val_loss {:.4}  {metrics}  {:.1} s",
            settings.epochs,
            metrics.loss,
            started.elapsed().as_secs_f64(),
        ));
        Ok((train_loss, metrics.loss))
    }

    /// Trains on every batch and returns the loss over the epoch's samples.
    fn train(&mut self, epoch: usize, epoch_span: &Span) -> Result<f64> {
        let Training {
            dataset, settings, ..
        } = self.training;
        let order = shuffled(dataset.train.ends.len(), &mut self.random);
        let batch_count = order.len().div_ceil(settings.batch_size);
        let (mut loss_sum, mut sample_count) = (0.0, 0);
        for (index, samples) in order.chunks(settings.batch_size).enumerate() {
            let batch_index = index + 1;
            if settings.max_batches.is_some_and(|most| batch_index > most) {
                break;
            }
            self.global_step += 1;
            let batch = dataset.batch(&dataset.train, samples)?;
            loss_sum += samples.len() as f64 * self.train_batch(epoch, batch_index, &batch)?;
            sample_count += samples.len();
            if self.global_step.is_multiple_of(settings.log_every) {
                let mean_loss = loss_sum / sample_count as f64;
                epoch_span.record_step_loss(self.global_step, mean_loss);
                say(format_args!(
                    "  batch {batch_index}/{batch_count}  loss {mean_loss:.4}"
                ));
            }
        }
        Ok(loss_sum / sample_count as f64)
    }

    fn train_batch(&mut self, epoch: usize, batch_index: usize, batch: &Batch) -> Result<f64> {
        let Training {
            tracer,
            dataset,
            weights,
            settings,
            ..
        } = self.training;
        let span = batch_processing(tracer, batch_index, batch.size);
        in_span(span, |span| {
            let losses = self.losses(batch)?;
            let loss = weighted_sum(&losses.values, weights);
            span.set_attribute("global_step", self.global_step);
            span.record_loss(loss);
            if dataset.heads.len() > 1 {
                for (head, value) in dataset.heads.iter().zip(&losses.values) {
                    span.record_task_loss(head.task.key(), *value);
                }
            }
            if !loss.is_finite() {
                let learning_rate = settings.learning_rate;
                return Err(NonFiniteLoss {
                    loss,
                    epoch,
                    batch_index,
                    learning_rate,
                }
                .into());
            }
            self.step(&losses)?;
            Ok(loss)
        })
    }

    fn losses(&mut self, batch: &Batch) -> Result<Losses> {
        let Training { model, dataset, .. } = self.training;
        let outputs = model.forward(&batch.inputs, Mode::Train(&mut self.random))?;
        Losses::new(&dataset.heads, &outputs, &batch.targets)
    }

    fn step(&mut self, losses: &Losses) -> Result<()> {
        let Training {
            weights, settings, ..
        } = self.training;
        let mut gradients = losses.total(weights)?.backward()?;
        clip_gradients(&mut gradients, &self.vars, settings.grad_clip)?;
        Ok(self.optimizer.step(&gradients)?)
    }

    fn validate(&self) -> Result<Metrics> {
        let Training {
            tracer,
            model,
            dataset,
            weights,
            settings,
        } = self.training;
        // Its values are known only when the evaluation, which the span covers, is over.
        in_span(validation(tracer), |span| {
            let measure = evaluation::Measurement {
                model,
                dataset,
                weights,
            };
            let metrics = measure.of(&dataset.validation, settings.batch_size, |_| Ok(()))?;
            span.record_validation(metrics.loss, Some(metrics.primary()));
            if dataset.heads.len() > 1 {
                for (name, value) in &metrics.values {
                    span.record_validation_metric(name, *value);
                }
            }
            Ok(metrics)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_the_epochs_since_the_best_one() {
        assert_eq!(epochs_without_gain(&[0.5, 0.4, 0.3]), 0);
        assert_eq!(epochs_without_gain(&[0.5, 0.4, 0.4, 0.5]), 2);
        assert_eq!(epochs_without_gain(&[0.5, f64::NAN, f64::NAN]), 2);
        assert_eq!(epochs_without_gain(&[f64::NAN]), 1);
    }
}
