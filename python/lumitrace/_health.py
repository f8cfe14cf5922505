"""Whether tracing works."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from lumitrace import _lumitrace
from lumitrace._manager import get_tracer


class Health(dict[str, Any]):
    """What :func:`health_check` found."""

    def __await__(self) -> Generator[None, None, Health]:
        """Nothing to wait for."""
        yield from ()
        return self


def health_check() -> Health:
    """Try tracing out with a span ``health_check``, and tell how it is.

    ``status`` is ``off`` (not set up, or switched off), ``ok``, or ``losing`` once spans were lost:
    the queue was full, or the receiver refused them. ``service_name`` and ``statistics``, those of
    :meth:`TracerProvider.statistics`, say more. May be awaited, and need not be.
    """
    tracer = get_tracer()
    statistics = tracer.statistics()
    lost = ("queue_full_spans", "refused_spans", "unsent_spans")
    if not tracer.enabled:
        status = "off"
    elif any(statistics.get(name, 0) for name in lost):
        status = "losing"
    else:
        status = "ok"
    with tracer.trace_operation("health_check", {"status": status}):
        is_set_up = _lumitrace.get_tracer_provider() is not None
        return Health(
            status=status,
            enabled=tracer.enabled,
            service_name=tracer.service_name if is_set_up else None,
            statistics=statistics,
        )
