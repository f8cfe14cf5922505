"""Things that happened at one moment: on the current span or, where there is none, on their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

from lumitrace._lumitrace import StatusCode, current_span, get_tracer

_TRACER = get_tracer("lumitrace.tracing")
_LOGGER = logging.getLogger("lumitrace.events")

Kind = Literal["internal", "server", "client"]


def log_event(name: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Note that something happened: an event on the current span, and outside of spans a message
    at the level INFO in the log ``lumitrace.events``, with ``event_name`` and
    ``event_attributes`` on its record.

    :param name: what happened, as a constant: ``model_loaded``.
    :param attributes: more about it; values keep their types.
    """
    span = current_span()
    if span.is_recording():
        span.add_event(name, attributes)
        return
    known = pairs_of(attributes)
    message = " ".join([name, *(f"{key}={value}" for key, value in known.items())])
    _LOGGER.info("%s", message, extra={"event_name": name, "event_attributes": known})


def record_event(
    name: str,
    attributes: Mapping[str, Any],
    *,
    span_name: str | None = None,
    kind: Kind = "internal",
    duration_ms: float | None = None,
    error: str | None = None,
) -> None:
    """Add an event to the current span. Without one, make a span for it, so that nothing is lost.

    :param attributes: those that are ``None`` are left out.
    :param span_name: the name of that span; the event's own by default.
    :param kind: the kind of that span.
    :param duration_ms: how long that span took until now, in milliseconds.
    :param error: why that span failed, if it did.
    """
    known = {key: value for key, value in attributes.items() if value is not None}
    span = current_span()
    if span.is_recording():
        span.add_event(name, known)
        return
    start_time = _time_before_now(duration_ms)
    span = _TRACER.start_span(span_name or name, kind=kind, attributes=known, start_time=start_time)
    span.add_event(name, known)
    if error is not None:
        span.set_status(StatusCode.ERROR, error)
    span.end()


def pairs_of(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary of ours. What is none is kept as one attribute, so that the
    mistake is seen.
    """
    if attributes is None:
        return {}
    return dict(attributes) if isinstance(attributes, Mapping) else {"attributes": attributes}


def _time_before_now(duration_ms: Any) -> int | None:
    try:
        return None if duration_ms is None else time.time_ns() - int(duration_ms * 1_000_000)
    except (TypeError, ValueError, OverflowError):  # no number, or none that is finite
        return None
