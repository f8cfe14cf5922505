"""The loop that both trainings share: epochs of batches, a validation each, checkpoints, a stop.

Each epoch is a `training_epoch` span that holds its `batch_processing` spans and its `validation`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from data.prepare_dataset import PreparedDataset
from data.windows import Batch, batches_in_order, shuffled_batches
from eval.metrics import Metrics, measure, task_losses, weights_of
from models.sequence_model import SequenceModel
from tracing import (
    TracingContext,
    get_tracer,
    trace_batch_processing,
    trace_training_epoch,
    trace_validation,
)
from train.core.checkpoints import CheckpointError, Checkpoints, State, load_checkpoint
from train.core.early_stopping import EarlyStopping
from train.core.trained_model import ModelCard

# Keeps the orders of neighbouring seeds apart for any number of epochs that is trained in practice.
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class LoopSettings:
    """How to train; the defaults are the reference workload's. `patience` 0 never stops early."""

    batch_size: int = 64
    epochs: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    log_every: int = 50
    patience: int = 3
    seed: int = 7
    max_batches: int | None = None


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training came to; losses are one per epoch, from the first epoch on."""

    train_losses: list[float]
    val_losses: list[float]
    stopped_early: bool


class TrainingLoop:
    """One training of one model on one pair."""

    def __init__(
        self,
        model: SequenceModel,
        dataset: PreparedDataset,
        card: ModelCard,
        settings: LoopSettings,
        checkpoints: Checkpoints,
        device: torch.device,
    ) -> None:
        self._model = model.to(device)
        self._dataset = dataset
        self._card = card
        self._settings = settings
        self._checkpoints = checkpoints
        self._device = device
        self._weights = weights_of(card.tasks, card.weights, device)
        self._tracer = get_tracer(__name__)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._stopping = EarlyStopping(settings.patience)
        self._train_losses: list[float] = []
        self._val_losses: list[float] = []
        self._global_step = 0

    def run(self, resume: bool = False) -> TrainingOutcome:
        """Train to the last epoch, or until validation has stopped getting better.

        The model then holds the best epoch's weights. Raises FloatingPointError on a loss that is
        not finite, and CheckpointError if there is nothing fitting to resume from.
        """
        if resume:
            self._restore(self._checkpoints.load_newest())
        elif removed := self._checkpoints.clear():
            print(f"replacing {removed} checkpoints of an earlier training")
        for epoch in range(len(self._val_losses) + 1, self._settings.epochs + 1):
            if self._stopping.should_stop:
                patience = self._settings.patience
                print(f"stopped early: no better validation loss in {patience} epochs")
                break
            self._run_epoch(epoch)
            self._save(epoch)
        best = load_checkpoint(self._checkpoints.path)
        self._model.load_state_dict(best["model"])
        return TrainingOutcome(self._train_losses, self._val_losses, self._stopping.should_stop)

    def _run_epoch(self, epoch: int) -> None:
        started = time.monotonic()
        total_epochs = self._settings.epochs
        with trace_training_epoch(self._tracer, epoch, total_epochs) as span:
            train_loss = self._train(epoch, span)
            span.set_attribute("train_loss", train_loss)
            metrics = self._validate(epoch)
            span.set_attribute("val_loss", metrics.loss)
            span.set_attribute("val_metric", metrics.primary)
        self._train_losses.append(train_loss)
        self._val_losses.append(metrics.loss)
        self._stopping.take(metrics.loss)
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.values.items())
        print(
            f"epoch {epoch}/{total_epochs}  train_loss {train_loss:.4f}  "
            f"val_loss {metrics.loss:.4f}  {values}  {time.monotonic() - started:.1f} s",
            flush=True,
        )

    def _train(self, epoch: int, epoch_span: Any) -> float:
        """Train on every batch and return the loss over the epoch's samples."""
        settings = self._settings
        self._model.train()
        order_seed = settings.seed * _SEED_STRIDE + epoch
        batches = shuffled_batches(self._dataset.train, settings.batch_size, order_seed)
        loss_sum, samples = 0.0, 0
        for batch_index, batch in enumerate(islice(batches, settings.max_batches), start=1):
            self._global_step += 1
            size = len(batch[0])
            loss_sum += self._train_batch(epoch, batch_index, batch) * size
            samples += size
            if self._global_step % settings.log_every == 0:
                mean_loss = loss_sum / samples
                epoch_span.set_attribute(f"loss_at_step_{self._global_step}", mean_loss)
                print(f"  batch {batch_index}/{len(batches)}  loss {mean_loss:.4f}", flush=True)
        return loss_sum / samples

    def _train_batch(self, epoch: int, batch_index: int, batch: Batch) -> float:
        with trace_batch_processing(self._tracer, batch_index, len(batch[0])) as span:
            loss, task_values = self._step(batch)
            span.set_attribute("global_step", self._global_step)
            span.set_attribute("loss", loss)
            if len(self._card.tasks) > 1:
                for task, value in zip(self._card.tasks, task_values, strict=True):
                    span.set_attribute(f"task.{task.key}", value)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} in epoch {epoch}, batch {batch_index}; try a smaller "
                    f"--learning-rate (now {self._settings.learning_rate:g}) or look at the bars"
                )
            return loss

    def _step(self, batch: Batch) -> tuple[float, list[float]]:
        """Take one optimiser step; return the weighted loss and the loss of each task."""
        windows, targets = batch
        outputs = self._model(windows.to(self._device))
        on_device = {key: target.to(self._device) for key, target in targets.items()}
        losses = task_losses(outputs, on_device, self._card.tasks)
        loss: Tensor = (self._weights * losses).sum()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._settings.grad_clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.grad_clip)
        self._optimizer.step()
        # The only read from the device in a batch: everything that is reported, at once.
        total, *task_values = torch.cat([loss.detach()[None], losses.detach()]).tolist()
        return total, task_values

    def _validate(self, epoch: int) -> Metrics:
        # The values are known only when the evaluation, which the span covers, is over.
        with trace_validation(self._tracer, epoch=epoch) as span:
            batches = batches_in_order(self._dataset.val, self._settings.batch_size)
            metrics = measure(self._model, batches, self._card, self._device)
            span.set_attribute("val_loss", metrics.loss)
            span.set_attribute("val_metric", metrics.primary)
            if len(self._card.tasks) > 1:
                for name, value in metrics.values.items():
                    span.set_attribute(f"val.{name}", value)
            return metrics

    def _save(self, epoch: int) -> None:
        attributes = {"epoch": epoch, "val_loss": self._val_losses[-1]}
        with TracingContext(self._tracer, "checkpoint_save", attributes) as span:
            path = self._checkpoints.save(epoch, self._state(), self._val_losses)
            span.set_attribute("checkpoint.path", str(path))
            span.set_attribute("checkpoint.size_bytes", path.stat().st_size)

    def _state(self) -> State:
        return {
            **self._card.to_state(),
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "train_losses": self._train_losses,
            "val_losses": self._val_losses,
            "global_step": self._global_step,
            "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        }

    def _restore(self, state: State) -> None:
        """Take up a training where its checkpoint left it, down to the random numbers."""
        saved = ModelCard.from_state(state)
        for name in ("pair", "tasks", "feature_names"):
            theirs, ours = getattr(saved, name), getattr(self._card, name)
            if theirs != ours:
                raise CheckpointError(
                    f"--resume: the checkpoint's {name} are {theirs}, this training's are {ours}"
                )
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._train_losses = state["train_losses"]
        self._val_losses = state["val_losses"]
        self._global_step = state["global_step"]
        for val_loss in self._val_losses:
            self._stopping.take(val_loss)
        torch.set_rng_state(state["random"]["cpu"])
        if len(state["random"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        print(f"resuming after epoch {len(self._val_losses)}")
