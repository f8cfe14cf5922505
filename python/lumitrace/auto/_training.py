"""The spans of a training run, with the names and attributes that the run view knows.

Whoever knows what the training does (a framework's callbacks, or :mod:`lumitrace.auto._loop`, which
watches data loaders and optimizers) says here what begins and ends. Above everything is the span
``training_run``, unless the program has a span of its own around its training. Batches and
validations are current while they last, so that what happens in them belongs to them; epochs and
the run are only parents, for they outlast the functions in which they begin.

All times are in nanoseconds since the Unix epoch.
"""

from __future__ import annotations

import re
import time
from typing import Any

from lumitrace._lumitrace import _start_training_run, current_span, get_tracer, use_span

EPOCH = "training_epoch"
BATCH = "batch_processing"
VALIDATION = "validation"
CHECKPOINT = "checkpoint"

# Names that programs give their own spans of training, with or without a number at the end.
_PROGRAMS_BATCH = re.compile(r"(batch(_processing)?|(train(ing)?_)?step)([_ ]?\d+)?", re.IGNORECASE)
_PROGRAMS_EPOCH = re.compile(r"(train(ing)?_)?epoch([_ ]?\d+)?", re.IGNORECASE)
_PROGRAMS_CHECKPOINT = re.compile(r"checkpoint|save", re.IGNORECASE)
_MAX_LEFT_CURRENT = 7


class TrainingSpans:
    """The open spans of the training in this process."""

    def __init__(self) -> None:
        self.owner: object = None
        """Who knows the training best, once somebody knows it better than :mod:`_loop`: a
        framework's callback, or ``"program"``."""
        self.epochs_begun = 0
        self.tracer = get_tracer("lumitrace.auto")
        self._run: Any = None
        self._run_attributes: dict[str, Any] = {}
        self._is_below_program = False  # it has a span of its own around its training
        self._epoch: Any = None
        self._epoch_number: int | None = None
        self._epoch_active_until = 0
        self._current: Any = None  # the batch or the validation that is open
        self._current_done_at: int | None = None
        self._attached: use_span | None = None
        # Ended while the program had a span of its own current above them, newest last.
        self._left_current: list[tuple[Any, use_span]] = []

    @property
    def has_begun(self) -> bool:
        """Whether a training has been seen in this process."""
        return self._run is not None or self._is_below_program

    @property
    def has_current(self) -> bool:
        """Whether a batch or a validation is open."""
        return self._current is not None

    def take_over(self, owner: object) -> None:
        """From now on ``owner`` tells what the training does. What another one began, and left
        without an end, ends.
        """
        if self.owner is not None or self.has_begun:
            self.end_run()
        self.owner = owner

    def describe_run(self, **attributes: Any) -> None:
        """Set attributes on the run, now or once it begins."""
        if self._run is not None:
            self._run.set_attributes(attributes)
        else:
            self._run_attributes.update(attributes)

    def begin_run(self, start_time: int | None = None, **attributes: Any) -> None:
        """Begin the run, unless it has begun or the program has a span around its training."""
        if self._run is not None:
            self._run.set_attributes(attributes)
        elif self._programs_span() is not None:
            self._is_below_program = True
        else:
            known = {**self._run_attributes, **attributes}
            # In a job of several processes, all of them have theirs in one trace.
            self._run = _start_training_run(
                self.tracer, start_time, known.get("rank"), known.get("world_size")
            )
            self._run.set_attributes(known)

    def end_run(self, error: BaseException | None = None) -> None:
        """End everything that is open; what comes later begins another run."""
        now = time.time_ns()
        opened = [span for span in (self._current, self._epoch, self._run) if span is not None]
        if error is not None:
            for span in opened:
                span.record_error(error)
        self.end_current(now)
        if self._epoch is not None:
            self._epoch.end(now if error is not None else self._epoch_active_until or now)
        if self._run is not None:
            self._run.end(now)
        self._epoch = self._run = None
        self._is_below_program = False
        self.epochs_begun = 0

    def begin_epoch(
        self,
        epoch: int | None = None,
        total_epochs: int | None = None,
        start_time: int | None = None,
    ) -> None:
        """Begin an epoch and end the one before, at the last thing that happened in it. Begins none
        within an epoch of the program's own.
        """
        now = start_time or time.time_ns()
        self.end_epoch()
        if _PROGRAMS_EPOCH.fullmatch(_name_of(self._programs_span())):
            return
        self.begin_run(now)
        self.epochs_begun += 1
        self._epoch_number = epoch if epoch is not None else self.epochs_begun
        attributes = {"epoch": self._epoch_number}
        if total_epochs is not None:
            attributes["total_epochs"] = total_epochs
        self._epoch = self._start(EPOCH, self._programs_span() or self._run, attributes, now)
        self._epoch_active_until = now

    def end_epoch(self, **attributes: Any) -> None:
        """End the open epoch, if there is one."""
        self.end_current()
        if self._epoch is not None:
            self._epoch.set_attributes(attributes)
            self._epoch.end(self._epoch_active_until)
            self._epoch = None

    def begin_batch(
        self,
        batch_index: int,
        batch_size: int | None = None,
        start_time: int | None = None,
        data_wait_ms: float | None = None,
    ) -> None:
        """Begin a batch, which is current from now on."""
        attributes: dict[str, Any] = {"batch_index": batch_index}
        if batch_size is not None:
            attributes["batch_size"] = batch_size
        if self._epoch is not None:
            attributes["epoch"] = self._epoch_number
        if data_wait_ms is not None:
            attributes["data_wait_ms"] = data_wait_ms
        self._begin_current(BATCH, attributes, start_time)

    def begin_validation(self, start_time: int | None = None) -> None:
        """Begin an evaluation on other data, which is current from now on."""
        attributes = {} if self._epoch is None else {"epoch": self._epoch_number}
        self._begin_current(VALIDATION, attributes, start_time)

    def describe_current(self, **attributes: Any) -> None:
        """Set attributes on the open batch or validation."""
        if self._current is not None:
            self._current.set_attributes(attributes)

    def current_is_done(self) -> None:
        """The batch or validation is over, but what was measured in it may still be told: it ends,
        with this time, when something else begins.
        """
        if self._current is not None and self._current_done_at is None:
            self._current_done_at = time.time_ns()

    def end_current(self, end_time: int | None = None) -> None:
        """End the open batch or validation, if there is one."""
        span, self._current = self._current, None
        if span is None:
            return
        end = self._current_done_at or end_time or time.time_ns()
        self._current_done_at = None
        self._epoch_active_until = max(self._epoch_active_until, end)
        attached, self._attached = self._attached, None
        if attached is not None:
            self._left_current.append((span, attached))
            self._detach_what_ended()
        span.end(end)

    def checkpoint(self, attributes: dict[str, Any], start_time: int | None = None) -> Any:
        """A span of saving a checkpoint; the caller ends it with :meth:`end_checkpoint`."""
        parent = self._current or self._epoch or self._programs_span() or self._run
        return self._start(CHECKPOINT, parent, attributes, start_time or time.time_ns())

    def end_checkpoint(self, span: Any) -> None:
        """End a span of :meth:`checkpoint`."""
        end = time.time_ns()
        span.end(end)
        self._epoch_active_until = max(self._epoch_active_until, end)

    def program_traces_batches(self) -> bool:
        """Whether the current span is a batch of the program's own."""
        return _PROGRAMS_BATCH.fullmatch(_name_of(self._programs_span())) is not None

    def program_traces_saving(self) -> bool:
        """Whether the current span is the program's own around saving a checkpoint."""
        return _PROGRAMS_CHECKPOINT.search(_name_of(self._programs_span())) is not None

    def _detach_what_ended(self) -> None:
        """Make spans of ours that have ended current no more, unless the program has made one of
        its own current above them and still has: putting back what was before would take that away.
        """
        while self._left_current and current_span() is self._left_current[-1][0]:
            _, attached = self._left_current.pop()
            attached.__exit__(None, None, None)
        del self._left_current[:-_MAX_LEFT_CURRENT]

    def _programs_span(self) -> Any:
        """The current span, if there is one, and it is no batch or validation of ours."""
        self._detach_what_ended()
        span = current_span()
        is_ours = span is self._current or any(span is left for left, _ in self._left_current)
        return span if not is_ours and span.get_span_context().is_valid else None

    def _begin_current(self, name: str, attributes: dict[str, Any], start_time: int | None) -> None:
        self.end_current(start_time)
        start = start_time or time.time_ns()
        if self._run is None:
            self.begin_run(start)
        parent = self._epoch or self._programs_span() or self._run
        self._current = self._start(name, parent, attributes, start)
        attached = use_span(self._current)
        attached.__enter__()
        self._attached = attached

    def _start(self, name: str, parent: Any, attributes: dict[str, Any], start_time: int) -> Any:
        return self.tracer.start_span(
            name, context=parent, attributes=attributes, start_time=start_time
        )


def _name_of(span: Any) -> str:
    name = getattr(span, "name", "")
    return name if isinstance(name, str) else ""
