"""Each pair's training, in a `training_run` span: data, features, model, training, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from data.prepare_dataset import prepare_dataset
from eval.run_evaluation import evaluate
from models.sequence_model import SequenceModel
from models.tasks import Task
from train.arguments import TrainingArguments
from train.core.checkpoints import Checkpoints
from train.core.trained_model import ModelCard
from train.core.training_loop import TrainingOutcome
from train.program import checkpoint_path, run_for_pairs


def train_pairs(
    tasks: tuple[Task, ...],
    weights: dict[str, float],
    attributes: Mapping[str, Any],
    training: TrainingArguments,
    train: Callable[..., TrainingOutcome],
) -> int:
    """Train, keep and evaluate a model of every pair; return the program's exit status.

    `attributes` are the program's own, beside those that every training has.
    """
    return run_for_pairs(
        "training_run",
        training.pairs,
        {**attributes, **training.attributes()},
        lambda pair: _train_pair(pair, tasks, weights, training, train),
        quiet=training.given.quiet,
    )


def _train_pair(
    pair: str,
    tasks: tuple[Task, ...],
    weights: dict[str, float],
    training: TrainingArguments,
    train: Callable[..., TrainingOutcome],
) -> None:
    """Train, keep and evaluate a pair's model; the same arguments and seed give the same model.

    Raises DataError, CheckpointError or FloatingPointError with a message for the user.
    """
    given = training.given
    device = torch.device(given.device)
    torch.manual_seed(training.loop.seed)
    dataset = prepare_dataset(pair, tasks, training.dataset)
    card = ModelCard(pair, tasks, weights, dataset.feature_names, dataset.scaling, training.dataset)
    model = SequenceModel(len(dataset.feature_names), tasks)
    checkpoints = Checkpoints(checkpoint_path(given, pair), given.top_n_checkpoints)
    parts = f"{len(dataset.train)} / {len(dataset.val)} / {len(dataset.test)}"
    print(f"{pair}: {len(dataset.feature_names)} features, {parts} windows to train/validate/test")
    train(model, dataset, card, training.loop, checkpoints, device, training.resume)
    print(f"{pair}: best model in {checkpoints.path}")
    evaluate(model, dataset, card, given.batch_size, device, not given.disable_risk)
