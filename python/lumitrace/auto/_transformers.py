"""Hugging Face's ``Trainer``: a callback, in every trainer that the program makes.

What the trainer logs (loss, gradient norm, learning rate) are numbers already, which it has read
off the device itself, and become attributes of the step that they are logged after.
"""

from __future__ import annotations

import importlib
import math
import numbers
import time
from types import ModuleType
from typing import Any

from lumitrace.auto import _torch
from lumitrace.auto._guard import Integration

_EVENTS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_step_end",
    "on_log",
    "on_prediction_step",
    "on_evaluate",
    "on_save",
    "on_epoch_end",
    "on_train_end",
)


def connect(integration: Integration, module: ModuleType) -> None:
    """Have every trainer take our callback."""
    module.DEFAULT_CALLBACKS.append(_callback_class(integration, module.TrainerCallback))


def _callback_class(integration: Integration, base: type) -> type:
    def tell(self: Any, event: str, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._training.tell(event, args, state, details)

    tell = integration.guard(tell)

    class LumitraceCallback(base):  # type: ignore[misc]
        """Makes spans of what the trainer does."""

        def __init__(self) -> None:
            self._training = _Training()

        def __reduce__(self) -> Any:
            # A trainer may be sent to other processes, which have a callback of their own class.
            return _new_callback, ()

    def method(event: str) -> Any:
        def told(self: Any, args: Any, state: Any, control: Any, **details: Any) -> None:
            tell(self, event, args, state, details)

        return told

    for event in _EVENTS:
        setattr(LumitraceCallback, event, method(event))
    return LumitraceCallback


def _new_callback() -> Any:
    trainer = importlib.import_module("transformers.trainer")
    for known in trainer.DEFAULT_CALLBACKS:
        if known.__name__ == "LumitraceCallback":
            return known()
    return trainer.TrainerCallback()  # not traced in this process


class _Training:
    """What one trainer does."""

    def __init__(self) -> None:
        self._spans = _torch.spans()
        self._previous_event: int | None = None
        self._steps_in_epoch = 0
        self._is_evaluating = False

    def tell(self, event: str, args: Any, state: Any, details: dict[str, Any]) -> None:
        """Something happened."""
        now = time.time_ns()
        if event == "on_train_begin":
            self._spans = _torch.spans()
            self._spans.take_over(self)
        if self._spans.owner is self:
            getattr(self, event)(args, state, details)
        self._previous_event = now

    def on_train_begin(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        model = type(details.get("model")).__name__
        self._spans.begin_run(model=model, max_steps=state.max_steps)

    def on_epoch_begin(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._steps_in_epoch = 0
        total = math.ceil(args.num_train_epochs) if args.max_steps <= 0 else None
        # An almost whole number is one: it is a sum of fractions.
        self._spans.begin_epoch(math.floor((state.epoch or 0) + 1e-6) + 1, total)

    def on_step_begin(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._steps_in_epoch += 1
        size = args.train_batch_size * args.gradient_accumulation_steps
        self._spans.begin_batch(self._steps_in_epoch, size)
        self._spans.describe_current(global_step=state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._spans.current_is_done()

    def on_log(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        logs = _numbers(details.get("logs") or {})
        if self._is_evaluating:
            return  # `on_evaluate` has them too
        if self._spans.has_current:
            logs.pop("epoch", None)  # a fraction here; the batch has its number
            self._spans.describe_current(**logs)
        else:
            self._spans.describe_run(**logs)

    def on_prediction_step(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        if not self._is_evaluating:
            self._is_evaluating = True
            # The first batch is done when this is told.
            self._spans.begin_validation(self._previous_event)

    def on_evaluate(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._is_evaluating = False
        metrics = _numbers(details.get("metrics") or {})
        metrics.pop("epoch", None)
        self._spans.describe_current(
            **{_validation_name(name): value for name, value in metrics.items()}
        )
        self._spans.end_current()

    def on_save(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._spans.end_current()
        span = self._spans.checkpoint({"path": str(args.output_dir)}, self._previous_event)
        self._spans.end_checkpoint(span)

    def on_epoch_end(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._spans.current_is_done()

    def on_train_end(self, args: Any, state: Any, details: dict[str, Any]) -> None:
        self._spans.end_run()
        self._spans.owner = None


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """The numbers among them. Tensors are left out: reading one off its device waits for it."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, numbers.Real) and not isinstance(value, bool)
    }


def _validation_name(name: str) -> str:
    if name == "eval_loss":
        return "val_loss"
    return "val." + name.removeprefix("eval_") if name.startswith("eval_") else name
