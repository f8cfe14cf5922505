"""Single-task training: one head, one loss, one metric."""

from __future__ import annotations

import torch

from data.prepare_dataset import PreparedDataset
from models.sequence_model import SequenceModel
from train.core.checkpoints import Checkpoints
from train.core.trained_model import ModelCard
from train.core.training_loop import LoopSettings, TrainingLoop, TrainingOutcome


def train_model(
    model: SequenceModel,
    dataset: PreparedDataset,
    card: ModelCard,
    settings: LoopSettings,
    checkpoints: Checkpoints,
    device: torch.device,
    resume: bool = False,
) -> TrainingOutcome:
    """Train a model of one task; batches are traced with `loss`, epochs with the task's metric.

    Raises FloatingPointError on a loss that is not finite, CheckpointError if resuming fails.
    """
    if len(card.tasks) != 1:
        raise ValueError(f"train_model trains one task, got {len(card.tasks)}")
    return TrainingLoop(model, dataset, card, settings, checkpoints, device).run(resume)
