"""Functions and blocks that tell the log what they do, and are spans as well."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any, Literal

from lumitrace import _redaction
from lumitrace._functions import Details, Function, name_of, outcome_of, parameters_of, traced
from lumitrace._lumitrace import Span, TracingContext


def logged_function(function: Function) -> Function:
    """Decorate a function so that each call is told to the log of its module, and is a span.

    Its beginning and its success are told at the level DEBUG, its failure at ERROR with the stack
    trace. A coroutine has succeeded once it was awaited to its end. Arguments are told bounded and
    without secrets, as :func:`trace_operation` records them.
    """
    inner = getattr(function, "__func__", function)
    logger = logging.getLogger(getattr(function, "__module__", None))
    decorated: Function = traced(
        function, details=_Logged(name_of(inner), parameters_of(inner), logger)
    )
    return decorated


class _Logged(Details):
    def __init__(self, name: str, parameters: list[str], logger: logging.Logger) -> None:
        self._name = name
        self._parameters = parameters
        self._logger = logger

    def begin(self, span: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        if self._logger.isEnabledFor(logging.DEBUG):
            shown = _redaction.shown_arguments(self._parameters, args, kwargs)
            self._logger.debug("Calling %s with args=%s, kwargs=%s", self._name, *shown)
        return 0.0

    def end(
        self, span: Any, begun: float, outcome: str, result: Any, error: BaseException | None
    ) -> None:
        if outcome == "error":
            shown = _redaction.shown(str(error))
            self._logger.error("%s failed with error: %s", self._name, shown, exc_info=error)
        elif outcome == "success":
            self._logger.debug("%s returned successfully", self._name)
        else:
            self._logger.debug("%s was %s", self._name, outcome)


class execution_context:  # noqa: N801 (a function to its users)
    """A block that tells the log when it begins and how it ends, and is a span.

    The span is named ``operation_name`` and carries the metadata and ``elapsed_seconds``. The log
    is told ``Starting …`` and then ``Completed …``, or ``Failed …`` at the level ERROR with the
    exception, which goes on.

    ``with`` and ``async with`` both work. Messages go to a logger of ``logging``, with the metadata
    in the text and as ``context`` on the record, or to any logger that takes keywords, as
    structlog's do.

    :param operation_name: what is done, as a constant.
    :param logger: whom to tell; the log ``lumitrace.execution`` by default.
    :param metadata: what it is done with.
    """

    def __init__(self, operation_name: str, /, logger: Any = None, **metadata: Any) -> None:
        self._name = operation_name
        self._logger = logging.getLogger("lumitrace.execution") if logger is None else logger
        self._metadata = metadata
        self._context = TracingContext(None, operation_name, metadata)
        self._span: Span | None = None
        self._begun = 0.0

    def __enter__(self) -> Span:
        self._tell("info", "Starting", self._metadata)
        self._span = self._context.__enter__()
        self._begun = time.perf_counter()
        return self._span

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        elapsed_seconds = time.perf_counter() - self._begun
        if self._span is not None:
            self._span.set_attribute("elapsed_seconds", elapsed_seconds)
        self._context.__exit__(exc_type, exc, traceback)
        known = {"elapsed_seconds": elapsed_seconds, **self._metadata}
        if exc is None:
            self._tell("info", "Completed", known)
        elif outcome_of(exc) == "error":
            shown = _redaction.shown(str(exc))
            failed = {**known, "error_type": type(exc).__name__, "error_message": shown}
            self._tell("error", "Failed", failed, exc)
        else:
            self._tell("info", "Left", known)
        return False

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        return self.__exit__(exc_type, exc, traceback)

    def _tell(
        self,
        level: str,
        what: str,
        known: dict[str, Any],
        error: BaseException | None = None,
    ) -> None:
        tell = getattr(self._logger, level)
        about_error = {} if error is None else {"exc_info": error}
        try:
            if isinstance(self._logger, (logging.Logger, logging.LoggerAdapter)):
                pairs = " ".join(f"{key}={value}" for key, value in known.items())
                extra = {"operation": self._name, "context": known}
                tell("%s %s %s", what, self._name, pairs, extra=extra, **about_error)
            else:
                tell(f"{what} {self._name}", **known, **about_error)
        except Exception as problem:  # metadata by a name that the logger keeps for itself
            logging.getLogger("lumitrace").warning(
                "cannot log that %s is %s: %s", self._name, what.lower(), problem
            )
