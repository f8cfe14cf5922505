"""Lightning: a callback, in every ``Trainer`` that the program makes.

Metrics that the module logs become attributes of batches, validations and epochs. On batches only
those are that lie in the processor's memory: reading one off a device would wait for it every time.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from types import ModuleType
from typing import Any

from lumitrace.auto import _torch
from lumitrace.auto._guard import Integration

_EVENTS = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_exception",
)

_callback_classes: dict[str, type] = {}


def connect(integration: Integration, module: ModuleType) -> None:
    """Have every trainer take our callback."""
    package = module.__name__.removesuffix(".trainer.trainer")
    # The trainer's module has imported the callbacks'.
    base = sys.modules[f"{package}.callbacks.callback"].Callback
    callback_class = _callback_class(integration, package, base)
    _callback_classes[package] = callback_class
    initialise = module.Trainer.__init__

    def add_callback(trainer: Any) -> None:
        # In front: the callbacks that save checkpoints stay last.
        trainer.callbacks.insert(0, callback_class())

    add_callback = integration.guard(add_callback)

    @functools.wraps(initialise)
    def initialise_traced(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        add_callback(self)

    module.Trainer.__init__ = initialise_traced


def _callback_class(integration: Integration, package: str, base: type) -> type:
    def tell(self: Any, event: str, trainer: Any, details: tuple[Any, ...]) -> None:
        self._training.tell(event, trainer, details)

    tell = integration.guard(tell)

    class LumitraceCallback(base):  # type: ignore[misc]
        """Makes spans of what the trainer does."""

        def __init__(self) -> None:
            self._training = _Training()

        def __reduce__(self) -> Any:
            # A trainer may be sent to other processes, which have a callback of their own class.
            return _new_callback, (package,)

    def method(event: str) -> Any:
        def told(self: Any, trainer: Any, pl_module: Any, *details: Any, **named: Any) -> None:
            tell(self, event, trainer, (*details, *named.values()))

        return told

    for event in _EVENTS:
        setattr(LumitraceCallback, event, method(event))
    return LumitraceCallback


def _new_callback(package: str) -> Any:
    callbacks = importlib.import_module(f"{package}.callbacks")
    # Without a class of ours, this process is not traced.
    return _callback_classes.get(package, callbacks.Callback)()


class _Training:
    """What one trainer does. Epochs and batches are counted from 1, as people do."""

    def __init__(self) -> None:
        self._spans = _torch.spans()
        self._waiting_since: int | None = None

    def tell(self, event: str, trainer: Any, details: tuple[Any, ...]) -> None:
        """Something happened."""
        if event == "on_train_start":
            self._spans = _torch.spans()
            self._spans.take_over(self)
        if self._spans.owner is self and not trainer.sanity_checking:
            getattr(self, event)(trainer, details)

    def on_train_start(self, trainer: Any, details: tuple[Any, ...]) -> None:
        self._spans.begin_run(model=type(trainer.lightning_module).__name__)

    def on_train_epoch_start(self, trainer: Any, details: tuple[Any, ...]) -> None:
        total = trainer.max_epochs
        total = total if isinstance(total, int) and total > 0 else None
        self._spans.begin_epoch(trainer.current_epoch + 1, total)
        self._waiting_since = time.time_ns()

    def on_train_batch_start(self, trainer: Any, details: tuple[Any, ...]) -> None:
        batch, index = details[0], details[1]
        now = time.time_ns()
        wait_ms = None if self._waiting_since is None else (now - self._waiting_since) / 1e6
        self._spans.begin_batch(index + 1, _torch.size_of(batch), now, wait_ms)
        self._spans.describe_current(global_step=trainer.global_step + 1)

    def on_train_batch_end(self, trainer: Any, details: tuple[Any, ...]) -> None:
        self._spans.describe_current(**_in_memory(trainer.callback_metrics))
        self._spans.end_current()
        self._waiting_since = time.time_ns()

    def on_validation_start(self, trainer: Any, details: tuple[Any, ...]) -> None:
        self._spans.begin_validation()

    def on_validation_end(self, trainer: Any, details: tuple[Any, ...]) -> None:
        metrics = _read(trainer.callback_metrics)
        self._spans.describe_current(
            **{name: value for name, value in metrics.items() if name.startswith("val")}
        )
        self._spans.end_current()
        self._waiting_since = time.time_ns()

    def on_train_epoch_end(self, trainer: Any, details: tuple[Any, ...]) -> None:
        self._spans.end_epoch(**_read(trainer.callback_metrics))

    def on_train_end(self, trainer: Any, details: tuple[Any, ...]) -> None:
        self._spans.end_run()
        self._spans.owner = None

    def on_exception(self, trainer: Any, details: tuple[Any, ...]) -> None:
        error = details[0] if details else None
        failed = isinstance(error, (Exception, KeyboardInterrupt))
        self._spans.end_run(error if failed else None)
        self._spans.owner = None


def _in_memory(metrics: Any) -> dict[str, float]:
    """The metrics that can be read without waiting for a device."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if not hasattr(value, "device") or value.device.type == "cpu"
    }


def _read(metrics: Any) -> dict[str, float]:
    """All metrics; for the end of a validation or an epoch, where Lightning waits itself."""
    return {name: float(value) for name, value in metrics.items()}
