"""Losses of the tasks, and metrics that are aggregated by sample.

The mean of batch means would give the samples of a short last batch too much weight, and the mean
of root mean squares is none: totals are summed over the samples and divided once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from data.windows import Batch
from models.sequence_model import SequenceModel
from models.tasks import Kind, Task
from train.core.trained_model import ModelCard

Outputs = dict[str, Tensor]


def task_losses(outputs: Outputs, targets: Outputs, tasks: tuple[Task, ...]) -> Tensor:
    """Return the batch's mean loss of every task, in the order of the tasks."""
    return torch.stack([_loss(task, outputs[task.key], targets[task.key]) for task in tasks])


def weights_of(tasks: tuple[Task, ...], weights: dict[str, float], device: torch.device) -> Tensor:
    """Return the weights of the losses in the order of the tasks; 1.0 where none is given."""
    return torch.tensor([weights.get(task.key, 1.0) for task in tasks], device=device)


def _loss(task: Task, output: Tensor, target: Tensor) -> Tensor:
    if task.kind is Kind.CLASS:
        return functional.cross_entropy(output, target)
    if task.kind is Kind.BINARY:
        return functional.binary_cross_entropy_with_logits(output.squeeze(1), target.float())
    return functional.mse_loss(output, target)


def _score(task: Task, output: Tensor, target: Tensor) -> Tensor:
    """Return the number of hits, or the sum of squared errors."""
    if task.kind is Kind.CLASS:
        return (output.argmax(dim=1) == target).sum()
    if task.kind is Kind.BINARY:
        return ((output.squeeze(1) > 0.0) == target.bool()).sum()
    return (output - target).square().sum()


@dataclass(frozen=True)
class Metrics:
    """Results over all samples: the weighted loss, each task's loss, each task's metric.

    `primary` is the metric of the first task. RMSEs are in the target's natural unit.
    """

    loss: float
    task_losses: dict[str, float]
    values: dict[str, float]
    primary: float


class MetricTotals:
    """Sums over the samples of any number of batches, kept on the device until they are read."""

    def __init__(
        self, tasks: tuple[Task, ...], weights: Tensor, target_std: dict[str, float]
    ) -> None:
        self._tasks = tasks
        self._weights = weights.tolist()
        self._target_std = target_std
        self._samples = 0
        shape = (2, len(tasks))
        self._totals = torch.zeros(shape, dtype=torch.float64, device=weights.device)

    def add(self, outputs: Outputs, targets: Outputs, losses: Tensor) -> None:
        """Add a batch; `losses` are its means per task, as `task_losses` returns them."""
        samples = len(next(iter(targets.values())))
        scores = [_score(task, outputs[task.key], targets[task.key]) for task in self._tasks]
        self._totals[0] += losses.detach().double() * samples
        self._totals[1] += torch.stack(scores).detach().double()
        self._samples += samples

    def result(self) -> Metrics:
        """Return the metrics of all samples added; this is the one read from the device."""
        if self._samples == 0:
            raise ValueError("no batch was added, so there is nothing to measure")
        loss_sums, scores = self._totals.tolist()
        losses = [loss_sum / self._samples for loss_sum in loss_sums]
        values = {
            task.metric: self._metric(task, score)
            for task, score in zip(self._tasks, scores, strict=True)
        }
        return Metrics(
            loss=sum(weight * loss for weight, loss in zip(self._weights, losses, strict=True)),
            task_losses={task.key: loss for task, loss in zip(self._tasks, losses, strict=True)},
            values=values,
            primary=values[self._tasks[0].metric],
        )

    def _metric(self, task: Task, score: float) -> float:
        if task.kind is Kind.REGRESSION:
            elements = self._samples * task.outputs
            return math.sqrt(score / elements) * self._target_std[task.key]
        return score / self._samples


def measure(
    model: SequenceModel,
    batches: Iterable[Batch],
    card: ModelCard,
    device: torch.device,
    see_outputs: Callable[[Outputs], None] | None = None,
) -> Metrics:
    """Return the metrics over all samples of the batches; `see_outputs` gets each batch's outputs.

    Leaves the model in evaluation mode.
    """
    weights = weights_of(card.tasks, card.weights, device)
    totals = MetricTotals(card.tasks, weights, card.scaling.target_std)
    model.eval()
    with torch.inference_mode():
        for windows, targets in batches:
            outputs = model(windows.to(device))
            on_device = {key: target.to(device) for key, target in targets.items()}
            totals.add(outputs, on_device, task_losses(outputs, on_device, card.tasks))
            if see_outputs:
                see_outputs(outputs)
    return totals.result()
