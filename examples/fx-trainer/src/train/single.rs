//! Single-task training: one head, one loss, one metric.

use anyhow::{Result, ensure};

use super::{Training, TrainingOutcome, run};
use crate::checkpoint::Checkpoints;

/// Trains a model of one task. Batches are traced with `loss`, epochs with the task's metric.
///
/// # Errors
/// A loss that is not finite, a checkpoint that cannot be written, and candle's own.
pub fn train_model(
    training: Training<'_>,
    checkpoints: &mut Checkpoints,
) -> Result<TrainingOutcome> {
    let count = training.dataset.heads.len();
    ensure!(count == 1, "train_model trains one task, got {count}");
    run(training, checkpoints)
}
