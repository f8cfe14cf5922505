"""Log records as events of the spans in which they were logged."""

from __future__ import annotations

import logging
import os
from typing import Any

from lumitrace import _redaction
from lumitrace._lumitrace import TracerProvider, current_span
from lumitrace._setup import at_shutdown, setup_tracing

_LOGGER = logging.getLogger("lumitrace")

_level: int | None = None
_make_record: Any = None


def enable_tracing(level: int | str | None = None) -> TracerProvider:
    """Turn tracing and log capture on, in one call, and return the provider.

    Sets tracing up as :func:`setup_tracing` does without arguments, unless that is done. From then
    on each log record of the program at ``level`` or above is an event ``log`` on the span in which
    it was logged, with ``log.severity``, ``log.logger`` and ``log.message``, the latter cut and
    without secrets.

    No logger, handler or level is changed: what the program's logging leaves out is not captured
    either. A second call changes the level.

    :param level: a number or a name of ``logging``; by default what ``TRACE_LEVEL`` says, or else
        ``DEBUG``.
    """
    provider = setup_tracing()
    at_shutdown(_release)
    asked = os.environ.get("TRACE_LEVEL") or "DEBUG" if level is None else level
    _capture(_number_of(asked))
    return provider


def _release() -> None:
    global _level
    _level = None


def _number_of(level: int | str) -> int:
    number = logging.getLevelName(level.strip().upper()) if isinstance(level, str) else level
    if isinstance(number, int):
        return number
    _LOGGER.warning(
        "the level %r is not used: it is DEBUG, INFO, WARNING, ERROR or CRITICAL; DEBUG is used",
        level,
    )
    return logging.DEBUG


def _capture(level: int) -> None:
    # A factory sees every record that a logger lets through, and leaves handlers alone: a handler
    # of ours at the root would keep a later `logging.basicConfig` from having an effect.
    global _level, _make_record
    _level = level
    if logging.getLogRecordFactory() is not _captured_record:
        _make_record = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_captured_record)


def _captured_record(name: str, level: int, *args: Any, **kwargs: Any) -> logging.LogRecord:
    record: logging.LogRecord = _make_record(name, level, *args, **kwargs)
    if _level is not None and level >= _level and not name.startswith("lumitrace"):
        span = current_span()
        if span.is_recording():
            span.add_event("log", _attributes_of(record))
    return record


def _attributes_of(record: logging.LogRecord) -> dict[str, Any]:
    try:
        message = record.getMessage()
    except Exception:  # arguments that do not fit the message; logging itself will complain
        message = str(record.msg)
    attributes = {
        "log.severity": record.levelname,
        "log.logger": record.name,
        "log.message": _redaction.text(message),
    }
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        attributes["error.type"] = type(error).__name__
        attributes["error.message"] = str(_redaction.shown(str(error)))
    return attributes
