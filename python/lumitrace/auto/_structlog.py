"""structlog: ``trace_id`` and ``span_id`` in what is logged within a span, and errors as events of
the span.

Works below the processors, so that it does not matter how and when the program configures them.
What is handed on to ``logging`` gets its span event there.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

from lumitrace import _lumitrace
from lumitrace.auto._guard import Integration
from lumitrace.auto._logging import add_event, ids_of

_ERRORS = frozenset({"error", "critical", "exception", "fatal"})


def connect(integration: Integration, module: ModuleType) -> None:
    """Give what is logged its ids."""
    logger_class = module.BoundLoggerBase
    process = logger_class._process_event
    complete = integration.guard(_complete)

    @functools.wraps(process)
    def _process_event(self: Any, method_name: str, event: Any, event_kw: dict[str, Any]) -> Any:
        complete(self, method_name, event, event_kw)
        return process(self, method_name, event, event_kw)

    logger_class._process_event = _process_event


def _complete(logger: Any, method_name: str, event: Any, event_kw: dict[str, Any]) -> None:
    span = _lumitrace.current_span()
    trace_id, span_id, _ = ids_of(span)
    if not span.get_span_context().is_valid:
        return
    event_kw.setdefault("trace_id", trace_id)
    event_kw.setdefault("span_id", span_id)
    if method_name in _ERRORS and span.is_recording():
        target = logger._logger
        if not isinstance(target, logging.Logger):
            add_event(span, method_name.upper(), "structlog", str(event), _error_of(event_kw))


def _error_of(event_kw: dict[str, Any]) -> BaseException | None:
    given = event_kw.get("exc_info")
    if isinstance(given, BaseException):
        return given
    if given:
        import sys

        return sys.exc_info()[1]
    return None
