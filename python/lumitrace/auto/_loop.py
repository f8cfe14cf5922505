"""What a plain training loop does, told from its data loaders and optimizers.

A pass over a data loader is *training* once an optimizer steps in it, and an *evaluation* where
gradients are off after a training has begun. Until the first step nobody knows, so what happened is
remembered and becomes spans then, at the times at which it was: looking at one batch, or counting
labels, makes no epoch.

- An epoch is a pass that trains. It ends when the next one begins, at the last thing that happened
  in it, so that the validation after its batches belongs to it.
- A batch lasts from the moment at which the loader hands it out to the moment at which it is asked
  for the next one; a validation, or a checkpoint after the optimizer's step, ends it earlier.
  Between two batches there is the wait for data.
- Without a data loader, a batch lasts from the end of one step to the end of the next.

Knows nothing of PyTorch but the order of these events, each of which :mod:`lumitrace.auto._torch`
tells it.
"""

from __future__ import annotations

import time
import weakref
from typing import Any

from lumitrace.auto._training import TrainingSpans

_MAX_REMEMBERED_BATCHES = 1024
"""More batches than anybody accumulates gradients over. Earlier ones are forgotten."""

_UNKNOWN, _TRAINING, _EVALUATION, _IGNORED = range(4)


class Pass:
    """One pass over a data loader. Lives as long as the loader's iterator."""

    __slots__ = (
        "__weakref__",
        "batches",
        "has_stepped",
        "kind",
        "remembered",
        "samples",
        "started",
        "waiting_since",
    )

    def __init__(self, kind: int, started: int) -> None:
        self.kind = kind
        self.started = started
        self.waiting_since = started
        self.batches = 0
        self.samples = 0
        self.has_stepped = False
        self.remembered: list[_Batch] = []


class _Batch:
    """A batch that was handed out."""

    __slots__ = ("end", "index", "size", "start", "wait_ms")

    def __init__(self, index: int, size: int | None, start: int, wait_ms: float) -> None:
        self.index = index
        self.size = size
        self.start = start
        self.end: int | None = None
        self.wait_ms = wait_ms


class TrainingLoop:
    """Makes spans of what one thread does."""

    def __init__(self, spans: TrainingSpans) -> None:
        self.spans = spans
        self._training: weakref.ref[Pass] | None = None  # or it may turn out to be
        self._evaluation: weakref.ref[Pass] | None = None
        self._without_loader = _StepsWithoutLoader(spans)

    def pass_started(self, started: int, gradients: bool) -> Pass:
        """The program began to iterate over a loader; ``gradients`` are on or off."""
        if self.spans.owner is not None:
            return Pass(_IGNORED, started)
        if gradients or not self.spans.has_begun:
            return Pass(_UNKNOWN, started)
        evaluation = Pass(_EVALUATION, started)
        self.spans.begin_validation(started)
        self._evaluation = weakref.ref(evaluation, self._left)
        return evaluation

    def wait_started(self, at: Pass) -> None:
        """The program asks for the next batch."""
        at.waiting_since = time.time_ns()
        at.has_stepped = False
        if at.kind == _TRAINING:
            self.spans.end_current(at.waiting_since)
        elif at.kind == _UNKNOWN and at.remembered:
            at.remembered[-1].end = at.waiting_since

    def batch_ready(self, at: Pass, size: int | None) -> None:
        """The program got a batch of ``size`` samples."""
        now = time.time_ns()
        at.batches += 1
        at.samples += size or 0
        if at.kind not in (_UNKNOWN, _TRAINING):
            return
        batch = _Batch(at.batches, size, now, (now - at.waiting_since) / 1e6)
        if at.kind == _TRAINING:
            self._begin(batch)
        else:
            at.remembered.append(batch)
            del at.remembered[:-_MAX_REMEMBERED_BATCHES]
        if self._training is None or self._training() is not at:
            self._training = weakref.ref(at, self._left)

    def exhausted(self, at: Pass) -> None:
        """There is no further batch."""
        if at.kind == _EVALUATION:
            self.spans.describe_current(num_batches=at.batches, num_samples=at.samples)
            self.spans.end_current()
        at.kind = _IGNORED

    def step_started(self, optimizer: Any) -> None:
        """An optimizer is about to step."""
        if self.spans.owner is not None:
            return
        at = self._training_pass()
        if at is not None and at.kind == _TRAINING:
            return
        if self.spans.program_traces_batches():
            self.spans.owner = "program"
        elif at is None:
            self._without_loader.started(optimizer)
        else:
            self._recognise(at)

    def step_ended(self, optimizer: Any) -> None:
        """The optimizer has stepped."""
        if self.spans.owner is not None:
            return
        at = self._training_pass()
        if at is None:
            self._without_loader.ended(optimizer)
        else:
            at.has_stepped = True

    def saving(self) -> None:
        """The program begins to save a checkpoint."""
        at = self._training_pass()
        if self.spans.owner is None and at is not None and at.has_stepped:
            self.spans.end_current()

    def _training_pass(self) -> Pass | None:
        at = None if self._training is None else self._training()
        return at if at is not None and at.kind in (_UNKNOWN, _TRAINING) else None

    def _left(self, _: object) -> None:
        # The iterator is gone: its batches are exhausted, or the loop was left early.
        if self.spans.owner is None:
            self.spans.end_current()

    def _recognise(self, at: Pass) -> None:
        """A pass turns out to train."""
        at.kind = _TRAINING
        self.spans.begin_epoch(start_time=at.started)
        remembered, at.remembered = at.remembered, []
        for batch in remembered:
            self._begin(batch)
            if batch.end is not None:
                self.spans.end_current(batch.end)

    def _begin(self, batch: _Batch) -> None:
        self.spans.begin_batch(batch.index, batch.size, batch.start, batch.wait_ms)


class _StepsWithoutLoader:
    """Batches of a loop that has its data from elsewhere: one for each step of one optimizer."""

    def __init__(self, spans: TrainingSpans) -> None:
        self._spans = spans
        self._optimizer: weakref.ref[Any] | None = None
        self._other: weakref.ref[Any] | None = None
        self._batch_started = 0
        self._batches = 0

    def started(self, optimizer: Any) -> None:
        known = None if self._optimizer is None else self._optimizer()
        other = None if self._other is None else self._other()
        if known is None or other is optimizer:
            # The first one; or another one steps again, and the one before does no more.
            self._optimizer = weakref.ref(optimizer)
            self._batch_started = time.time_ns()
            self._spans.begin_run(self._batch_started)
            self._other = None
        elif known is not optimizer:
            self._other = weakref.ref(optimizer)
        else:
            self._other = None

    def ended(self, optimizer: Any) -> None:
        if self._optimizer is None or self._optimizer() is not optimizer:
            return
        now = time.time_ns()
        self._batches += 1
        self._spans.begin_batch(self._batches, start_time=self._batch_started)
        self._spans.end_current(now)
        self._batch_started = now
