"""The decorators that make a span of every call, with more to say about it than its outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, overload

from lumitrace import _redaction
from lumitrace._functions import Details, Function, is_function, name_of, parameters_of, traced
from lumitrace._lumitrace import Span

DEFAULT_THRESHOLD_MS = 100
"""How long a call may take before :func:`trace_performance` tells, in milliseconds."""


@overload
def trace_operation(name: Function) -> Function: ...
@overload
def trace_operation(
    name: str | None = None, include_args: bool = False, include_result: bool = False
) -> Callable[[Function], Function]: ...
def trace_operation(
    name: Any = None, include_args: bool = False, include_result: bool = False
) -> Any:
    """Decorate a function so that each call is a span with ``function`` and ``duration_ms``.

    Works for functions, coroutine functions, generators and asynchronous generators, and records
    outcomes and exceptions, as :func:`trace_function` does.

    Arguments and results are recorded only when asked for, and never in full: texts are cut,
    collections end after some elements, of arrays and tensors only the shape is kept, and what is
    named like a secret (``password``, ``api_key``) or looks like one is left out.

    :param name: the span's name; the function's own by default.
    :param include_args: record ``args`` and ``kwargs``; without ``self``.
    :param include_result: record ``result``.
    """
    return _decorator(
        name, lambda function, name: _operation(function, name, include_args, include_result)
    )


trace_async = trace_operation
"""The same as :func:`trace_operation`, by the name that coroutine functions are documented with."""

instrument = trace_operation
"""The same as :func:`trace_operation`."""


@overload
def trace_method(name: Function) -> Function: ...
@overload
def trace_method(
    name: str | None = None, include_args: bool = False, include_result: bool = False
) -> Callable[[Function], Function]: ...
def trace_method(name: Any = None, include_args: bool = False, include_result: bool = False) -> Any:
    """Decorate a method so that each call is a span with ``method``, ``class`` and ``duration_ms``.

    Works for methods, class methods and static methods, asynchronous or not; otherwise as
    :func:`trace_operation`.

    :param name: the span's name; ``Class.method``, of the class that defines it, by default.
    """
    return _decorator(
        name, lambda function, name: _method(function, name, include_args, include_result)
    )


@overload
def trace_performance(threshold_ms: Function) -> Function: ...
@overload
def trace_performance(
    threshold_ms: float = DEFAULT_THRESHOLD_MS, log_level: str | int = "warning"
) -> Callable[[Function], Function]: ...
def trace_performance(
    threshold_ms: Any = DEFAULT_THRESHOLD_MS, log_level: str | int = "warning"
) -> Any:
    """Decorate a function so that a call which takes too long is told.

    Each call is a span ``{function}_perf`` with ``duration_ms``, over the await of a coroutine and
    the iteration of a generator. One that takes longer than the threshold, whether it returns or
    raises, gets ``performance_alert``, and a message in the log of the function's module.

    :param threshold_ms: how long a call may take, in milliseconds.
    :param log_level: the level of the message, as a name or a number of ``logging``.
    """
    if is_function(threshold_ms):
        return trace_performance()(threshold_ms)
    level, threshold = _level(log_level), _threshold(threshold_ms)
    return lambda function: _performance(function, threshold, level)


def _decorator(name: Any, decorate: Callable[[Any, str | None], Any]) -> Any:
    if is_function(name):  # without parentheses
        return decorate(name, None)
    return lambda function: decorate(function, name)


def _operation(function: Any, name: str | None, include_args: bool, include_result: bool) -> Any:
    parameters = parameters_of(function)
    # The object of a method is no argument that tells anything.
    skipped = 1 if parameters[:1] in (["self"], ["cls"]) else 0
    details = _Operation(
        parameters=parameters[skipped:] if include_args else None,
        skipped=skipped,
        include_result=include_result,
    )
    return traced(function, name=name, details=details)


def _method(function: Any, name: str | None, include_args: bool, include_result: bool) -> Any:
    is_static = isinstance(function, staticmethod)
    inner = getattr(function, "__func__", function)
    method = name_of(inner)
    qualified = getattr(inner, "__qualname__", method).rpartition("<locals>.")[2]
    owner = qualified.rpartition(".")[0]
    skipped = 0 if is_static else 1
    details = _Method(
        parameters=parameters_of(inner)[skipped:] if include_args else None,
        skipped=skipped,
        include_result=include_result,
        owner=owner.rpartition(".")[2],
    )
    attributes = {"method": method, "class": details.owner}
    return traced(function, name=name or qualified, attributes=attributes, details=details)


def _performance(function: Any, threshold_ms: float, level: int) -> Any:
    function_name = name_of(getattr(function, "__func__", function))
    details = _Performance(
        function_name, threshold_ms, level, logging.getLogger(getattr(function, "__module__", None))
    )
    return traced(function, name=f"{function_name}_perf", details=details)


def _threshold(threshold_ms: Any) -> float:
    try:
        return float(threshold_ms)
    except (TypeError, ValueError):
        logging.getLogger("lumitrace").warning(
            "threshold_ms=%r is not used: it is a number of milliseconds; %s is used",
            threshold_ms,
            DEFAULT_THRESHOLD_MS,
        )
        return DEFAULT_THRESHOLD_MS


def _level(level: str | int) -> int:
    known = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    return known if isinstance(known, int) else logging.WARNING


class _Operation(Details):
    """``duration_ms``, and where asked for, arguments and result."""

    def __init__(self, *, parameters: list[str] | None, skipped: int, include_result: bool) -> None:
        self._parameters = parameters
        self._skipped = skipped
        self._include_result = include_result

    def begin(self, span: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        if self._parameters is not None and span.is_recording():
            shown = _redaction.shown_arguments(self._parameters, args[self._skipped :], kwargs)
            for key, value in zip(("args", "kwargs"), shown, strict=True):
                if value:
                    span.set_attribute(key, _attribute(span, value))
        return time.perf_counter()

    def end(
        self, span: Any, begun: float, outcome: str, result: Any, error: BaseException | None
    ) -> None:
        span.set_attribute("duration_ms", _milliseconds_since(begun))
        if self._include_result and outcome == "success" and span.is_recording():
            span.set_attribute("result", _attribute(span, _redaction.shown(result)))


class _Method(_Operation):
    """The same for methods, and the class that the method was called on."""

    def __init__(self, *, owner: str, **others: Any) -> None:
        super().__init__(**others)
        self.owner = owner

    def begin(self, span: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        if self._skipped and args:
            receiver = args[0]
            called_on = receiver if isinstance(receiver, type) else type(receiver)
            if called_on.__name__ != self.owner and self._is_heir(called_on):
                span.set_attribute("class", called_on.__name__)
        return super().begin(span, args, kwargs)

    def _is_heir(self, called_on: type) -> bool:
        # The first argument of a function below `@staticmethod` is no object of the class.
        return any(base.__name__ == self.owner for base in called_on.__mro__)


class _Performance(Details):
    """``duration_ms``, and an alert when that is too long."""

    def __init__(
        self, function_name: str, threshold_ms: float, level: int, logger: logging.Logger
    ) -> None:
        self._function_name = function_name
        self._threshold_ms = threshold_ms
        self._level = level
        self._logger = logger

    def begin(self, span: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        return time.perf_counter()

    def end(
        self, span: Any, begun: float, outcome: str, result: Any, error: BaseException | None
    ) -> None:
        duration_ms = _milliseconds_since(begun)
        span.set_attribute("duration_ms", duration_ms)
        if duration_ms > self._threshold_ms:
            span.set_attribute("performance_alert", True)
            span.set_attribute("threshold_ms", self._threshold_ms)
            self._logger.log(
                self._level,
                "%s took %.1f ms, more than the threshold of %s ms",
                self._function_name,
                duration_ms,
                self._threshold_ms,
            )


def _milliseconds_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1_000


def _attribute(span: Any, value: Any) -> Any:
    # Other implementations take no lists of different things, and no dictionaries.
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return value if is_plain or isinstance(span, Span) else str(value)
