"""One trace over several services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lumitrace._lumitrace import Tracer, TracingContext, extract, get_tracer, inject
from lumitrace._setup import setup_tracing


class DistributedTracer:
    """Traces the part that this service has in traces of many.

    What the caller sent along is the parent, and what is called gets the ids in its headers: W3C
    Trace Context, or the formats that ``OTEL_PROPAGATORS`` names.

    Sets tracing up as :func:`setup_tracing` does, unless that is done.

    :param service_name: the name of this service, ``service.name`` of the resource.
    """

    def __init__(self, service_name: str) -> None:
        self.service_name = service_name
        setup_tracing(service_name=service_name)
        self._tracer = get_tracer(service_name)

    @property
    def tracer(self) -> Tracer:
        """The tracer of this service."""
        return self._tracer

    def trace(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        headers: Any = None,
    ) -> TracingContext:
        """A span around a block.

        :param headers: those of the request that is being answered, as a mapping or as pairs: the
            span is a child of the caller's, and of kind ``server``.
        """
        if headers is None:
            return self._tracer.start_as_current_span(name, attributes=attributes)
        caller = extract(headers)
        return self._tracer.start_as_current_span(
            name, context=caller, kind="server", attributes=attributes
        )

    def inject(self, headers: Any = None) -> Any:
        """Write the current span's ids into the headers of a request that is about to be sent, and
        return those; a new dictionary by default.
        """
        return inject(headers)
