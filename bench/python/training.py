"""What tracing adds to a real training: batches take turns in being traced, and are compared.

    PYTHONPATH=examples/fx-trainer-python \
        python bench/python/training.py lumitrace|opentelemetry ENDPOINT EPOCHS

The FX trainer's own loop trains its own model from a fixed seed. Two whole trainings, one traced
and one not, differ by several per cent by chance, far more than tracing costs. So the batches of
one training take turns: one goes to a tracer that is on, its neighbour, on the same model a few
milliseconds away, to one that `OTEL_SDK_DISABLED=true` switched off, in the order on, off, off, on.

Two parts are added up: by how much the CPU time of the training's thread is larger over a traced
batch than over its neighbour (the median of all pairs), and the CPU time of all other threads,
which gather, encode and send over OTLP/HTTP with default batching, until the last export is over.
PyTorch has one thread, so nothing but tracing runs there.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from data.prepare_dataset import prepare_dataset
from data.windows import Batch
from models.sequence_model import SequenceModel
from models.tasks import task_by_key
from train.arguments import read_training_arguments, training_parser
from train.core.checkpoints import Checkpoints
from train.core.trained_model import ModelCard
from train.core.training_loop import TrainingLoop

from sides import start, start_disabled

PAIR = "gbpusd"
TASK = "direction"
FLAGS = f"--pairs {PAIR} --patience 0 --bars 30000 --batch-size 32 --device cpu --threads 1 --quiet"


class Cost(NamedTuple):
    """What one batch took."""

    cpu_ns: int
    wall_ns: int


class AlternatingLoop(TrainingLoop):
    """The trainer's loop, whose batches take turns in being traced."""

    traced: list[Cost]
    untraced: list[Cost]

    def use_tracers(self, on: Any, off: Any) -> None:
        """Trace with `on`, and every other batch with `off`. To be called before the run."""
        self._tracer, self._on, self._off = on, on, off
        self.traced, self.untraced = [], []

    def _train_batch(self, epoch: int, batch_index: int, batch: Batch) -> float:
        if len(batch[0]) < self._settings.batch_size:
            # The rest of an epoch has no neighbour of its size.
            return super()._train_batch(epoch, batch_index, batch)
        is_traced = batch_index % 4 in (0, 1)
        self._tracer = self._on if is_traced else self._off
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        loss = super()._train_batch(epoch, batch_index, batch)
        cost = Cost(time.thread_time_ns() - cpu, time.perf_counter_ns() - wall)
        (self.traced if is_traced else self.untraced).append(cost)
        self._tracer = self._on
        return loss


def prepare(folder: str, epochs: str) -> AlternatingLoop:
    """Do what the trainer does before its loop."""
    places = ["--input-root", f"{folder}/bars", "--checkpoint-path", f"{folder}/model"]
    parser = training_parser("", "", 1)
    training = read_training_arguments(parser, [*FLAGS.split(), "--epochs", epochs, *places])
    task = task_by_key(TASK, training.dataset.labels.top_k)
    dataset = prepare_dataset(PAIR, (task,), training.dataset)
    features = dataset.feature_names
    card = ModelCard(PAIR, (task,), {}, features, dataset.scaling, training.dataset)
    torch.manual_seed(training.loop.seed)
    model = SequenceModel(len(features), (task,))
    checkpoints = Checkpoints(Path(training.given.checkpoint_path), 1)
    return AlternatingLoop(model, dataset, card, training.loop, checkpoints, torch.device("cpu"))


def other_threads_ns() -> int:
    """Return the CPU time that all threads but this one have taken."""
    return time.process_time_ns() - time.thread_time_ns()


def added_per_cent(traced: list[int], untraced: list[int]) -> float:
    """Return by how much traced batches cost more than their neighbours."""
    ratios = [one / other for one, other in zip(traced, untraced, strict=True)]
    return 100.0 * (median(ratios) - 1.0)


def report(loop: AlternatingLoop, others_ns: int) -> dict[str, float]:
    """Return the shares that tracing added, and what a batch costs without it."""
    pairs = min(len(loop.traced), len(loop.untraced))
    traced, untraced = loop.traced[:pairs], loop.untraced[:pairs]
    batch_cpu_ns = median(cost.cpu_ns for cost in untraced)
    training_thread = added_per_cent(
        [cost.cpu_ns for cost in traced], [cost.cpu_ns for cost in untraced]
    )
    other_threads = 100.0 * others_ns / len(loop.traced) / batch_cpu_ns
    return {
        "cpu_per_cent": training_thread + other_threads,
        "other_threads_per_cent": other_threads,
        "wall_per_cent": added_per_cent(
            [cost.wall_ns for cost in traced], [cost.wall_ns for cost in untraced]
        ),
        "batch_cpu_ms": batch_cpu_ns / 1e6,
        "pairs": pairs,
    }


def main() -> None:
    """Train and print what tracing added."""
    side, endpoint, epochs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        loop = prepare(folder, epochs)
        provider, disabled = start(side, endpoint), start_disabled(side)
        loop.use_tracers(provider.get_tracer("bench"), disabled.get_tracer("bench"))
        others_ns = other_threads_ns()
        loop.run()
        provider.force_flush()
        others_ns = other_threads_ns() - others_ns
    if side == "lumitrace" and provider.statistics()["exported_spans"] < len(loop.traced):
        raise SystemExit(f"not every span was sent: {provider.statistics()}")
    provider.shutdown()
    print(json.dumps(report(loop, others_ns)))


main()
