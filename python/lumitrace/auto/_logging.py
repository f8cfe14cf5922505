"""``logging``: trace and span ids in every record, and errors as events of the span in which they
are logged.

A record has the attributes ``trace_id`` and ``span_id``, and those that OpenTelemetry's
instrumentation gives it (``otelTraceID``, ``otelSpanID``, ``otelTraceSampled``,
``otelServiceName``), so that formats may name them. Where there is no span, ids are ``0``.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

from lumitrace import _lumitrace
from lumitrace.auto._guard import Integration

_OWN_LOGGER = "lumitrace"
NO_ID = "0"


def connect(integration: Integration, module: ModuleType) -> None:
    """Give records their ids."""
    # Not the record factory: programs replace that one, and keep this.
    make = logging.Logger.makeRecord
    complete = integration.guard(_complete)

    @functools.wraps(make)
    def makeRecord(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802
        record = make(self, *args, **kwargs)
        complete(record)
        return record

    logging.Logger.makeRecord = makeRecord  # type: ignore[method-assign]


def _complete(record: logging.LogRecord) -> None:
    span = _lumitrace.current_span()
    trace_id, span_id, is_sampled = ids_of(span)
    fields = record.__dict__
    fields.setdefault("trace_id", trace_id)
    fields.setdefault("span_id", span_id)
    fields.setdefault("otelTraceID", trace_id)
    fields.setdefault("otelSpanID", span_id)
    fields.setdefault("otelTraceSampled", is_sampled)
    fields.setdefault("otelServiceName", _service_name())
    if record.levelno >= logging.ERROR and span.is_recording() and not _is_our_own(record.name):
        add_event(span, record.levelname, record.name, _message_of(record), _error_of(record))


def ids_of(span: Any) -> tuple[str, str, bool]:
    """Trace id and span id in hexadecimal, and whether the trace is recorded."""
    context = span.get_span_context()
    if not context.is_valid:
        return NO_ID, NO_ID, False
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags & 1)


def add_event(
    span: Any, level: str, logger: str, message: str, error: BaseException | None
) -> None:
    """Add what was logged to the span. It is no ``exception`` event: that one belongs to the span
    which an exception leaves, and whoever logs an exception has caught it.
    """
    attributes = {"level": level, "logger": logger, "message": message}
    if error is not None:
        attributes["exception.type"] = type(error).__qualname__
        attributes["exception.message"] = _text_of(error)
    span.add_event("log", attributes)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit the format: `logging` itself will say so
        return _text_of(record.msg)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if isinstance(record.exc_info, tuple) else None


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _is_our_own(logger: str) -> bool:
    return logger == _OWN_LOGGER or logger.startswith(_OWN_LOGGER + ".")


_service: tuple[Any, str] = (None, "")


def _service_name() -> str:
    """The name of the service; asked for again only when tracing was set up anew."""
    global _service
    provider = _lumitrace.get_tracer_provider()
    known, name = _service
    if provider is not known:
        name = "" if provider is None else provider.resource.attributes.get("service.name", "")
        _service = (provider, name)
    return name
