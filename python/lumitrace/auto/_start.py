"""What happens as a program begins that is traced as it is."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from lumitrace import _opentelemetry, _process, _setup
from lumitrace.auto import _integrations, _switches
from lumitrace.auto._guard import Integration
from lumitrace.auto._imports import when_imported

_LOGGER = logging.getLogger("lumitrace")

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]

_started: dict[str, Integration] | None = None


def start(service_name: str | None = None) -> None:
    """Trace this program from now on, as far as the environment does not switch it off.

    Sets tracing up from the environment, unless the program has done so; what the program sets up
    itself later takes its place. Does nothing when called again, and never raises.

    :param service_name: the service's name where the environment gives none; the script's name by
        default.
    """
    global _started
    if _started is not None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    _started = {}
    try:
        _setup.set_up_automatically(service_name or program_name(sys.orig_argv))
        switches = _switches.read(os.environ)
        for name in switches.unknown(_integrations.KNOWN):
            _LOGGER.warning("%s names %s, which is no integration", _switches.ONLY, name)
        _started = _integrations.install(switches)
        when_imported("opentelemetry.trace", _connect_opentelemetry)
        _end_with_the_process()
    except Exception as problem:
        _LOGGER.warning("the program is not traced: %s: %s", type(problem).__name__, problem)


def state() -> dict[str, str]:
    """How each integration is: ``waiting`` for the program to import its library, ``active``,
    ``off`` by a switch, ``not installed`` (an instrumentation of OpenTelemetry's), or ``failed``
    and why. Empty where nothing was started.
    """
    return {name: integration.state for name, integration in (_started or {}).items()}


def program_name(command: list[str]) -> str:
    """The name of what ``python`` was started with: of a script without its ending, or of a module.

    >>> program_name(["python", "-u", "train/run_training.py", "--epochs", "3"])
    'run_training'
    >>> program_name(["python", "-m", "torch.distributed.run", "train.py"])
    'torch.distributed.run'
    """
    takes_value = {"-W", "-X", "--check-hash-based-pycs"}
    arguments = iter(command[1:])
    for argument in arguments:
        if argument in takes_value:
            next(arguments, None)
        elif argument == "-m":
            return next(arguments, "python")
        elif argument == "-c":
            return "python"
        elif not argument.startswith("-"):
            return os.path.splitext(os.path.basename(argument.rstrip("/")))[0] or "python"
    return "python"


def _connect_opentelemetry(module: ModuleType) -> None:
    # Importing OpenTelemetry's API takes longer than all of this, and most programs need it not.
    _opentelemetry.connect(register_provider=True)


def _end_with_the_process() -> None:
    _process.before_last_flush(_end_runs)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_runs)
    sys.excepthook = _ending_runs(sys.excepthook)


def _end_runs(error: BaseException | None = None) -> None:
    torch = sys.modules.get("lumitrace.auto._torch")  # not there where nothing trains
    try:
        if torch is not None:
            torch.end_runs(error)
    except Exception as problem:
        _LOGGER.warning("open spans were not ended: %s: %s", type(problem).__name__, problem)


def _forget_runs() -> None:
    torch = sys.modules.get("lumitrace.auto._torch")
    if torch is not None:
        torch.forget_runs()


def _ending_runs(previous: ExceptHook) -> ExceptHook:
    @functools.wraps(previous)
    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, (Exception, KeyboardInterrupt)):  # but no SystemExit
            _end_runs(error)
        previous(kind, error, traceback)

    return excepthook
