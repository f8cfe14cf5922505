//! Multi-task training: every head at once, under a weighted sum of their losses.

use anyhow::{Result, ensure};

use super::{Training, TrainingOutcome, run};
use crate::checkpoint::Checkpoints;

/// Trains a model of several tasks. Traced as a single one, with `task.<key>` per batch and
/// `val.<metric>` per validation.
///
/// # Errors
/// A loss that is not finite, a checkpoint that cannot be written, and candle's own.
pub fn train_multitask(
    training: Training<'_>,
    checkpoints: &mut Checkpoints,
) -> Result<TrainingOutcome> {
    let count = training.dataset.heads.len();
    ensure!(
        count > 1,
        "train_multitask trains several tasks, got {count}"
    );
    run(training, checkpoints)
}
