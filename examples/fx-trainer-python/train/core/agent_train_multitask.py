"""Multi-task training: every head at once, under a weighted sum of their losses."""

from __future__ import annotations

import torch

from data.prepare_dataset import PreparedDataset
from models.sequence_model import SequenceModel
from train.core.checkpoints import Checkpoints
from train.core.trained_model import ModelCard
from train.core.training_loop import LoopSettings, TrainingLoop, TrainingOutcome


def train_multitask(
    model: SequenceModel,
    dataset: PreparedDataset,
    card: ModelCard,
    settings: LoopSettings,
    checkpoints: Checkpoints,
    device: torch.device,
    resume: bool = False,
) -> TrainingOutcome:
    """Train a model of several tasks; traced with `task.<key>` per batch, `val.<metric>` per epoch.

    Raises FloatingPointError on a loss that is not finite, CheckpointError if resuming fails.
    """
    if len(card.tasks) < 2:
        raise ValueError(f"train_multitask trains several tasks, got {len(card.tasks)}")
    return TrainingLoop(model, dataset, card, settings, checkpoints, device).run(resume)
