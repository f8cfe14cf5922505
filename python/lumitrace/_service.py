"""Spans of a platform that runs models and GPUs, by the family that each belongs to."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar

from lumitrace._functions import outcome_of
from lumitrace._health import Health, health_check
from lumitrace._lumitrace import Span, StatusCode, Tracer, extract, get_tracer, use_span

_LOGGER = logging.getLogger("lumitrace")
_Result = TypeVar("_Result")

FAMILIES = (
    "gpu_scheduling",
    "model_serving",
    "metrics_collection",
    "cost_tracking",
    "api_requests",
    "websocket_events",
)
"""The families of spans, which are what their names begin with."""

_HTTP_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
_VERSION = re.compile(r"v\d+")


class Operation:
    """One operation of a :class:`TracingService`, begun when it was asked for.

    As a context manager it is current within the block, records an exception that leaves it, and
    ends; asynchronously too. Without a block, :meth:`end` ends it, and it is passed on as
    ``parent`` to what belongs to it.

    When it ends, its span gets ``operation.duration_ms`` and ``operation.status`` (``success`` or
    ``error``), beside ``operation.start_time`` in unix nanoseconds.
    """

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._begun = time.perf_counter()
        self._status = "success"
        self._description: str | None = None
        self._current: use_span | None = None
        self._has_ended = False
        self.set_attribute("operation.start_time", time.time_ns())

    @property
    def span(self) -> Span | None:
        """Its span; ``None`` where its family is switched off."""
        return self._span

    def get_span_context(self) -> Any:
        """The ids of its span."""
        return None if self._span is None else self._span.get_span_context()

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute."""
        if self._span is not None:
            self._span.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Add something that happened now."""
        if self._span is not None:
            self._span.add_event(name, attributes)

    def record_error(self, error: BaseException) -> None:
        """Mark it as failed by ``error``, which is recorded once."""
        self._status = "error"
        if self._span is not None:
            self._span.record_error(error)
            if self._description is not None:
                self._span.set_status(StatusCode.ERROR, self._description)

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Declare the outcome: a :class:`StatusCode` or its name. A description stays, whatever is
        recorded later.
        """
        if str(getattr(status, "name", status)).upper() == "ERROR":
            self._status, self._description = "error", description
        if self._span is not None:
            self._span.set_status(status, description)

    def end(self) -> None:
        """End it; only the first call counts."""
        if self._span is not None and not self._has_ended:
            self._has_ended = True
            duration_ms = (time.perf_counter() - self._begun) * 1_000
            self._span.set_attribute("operation.duration_ms", duration_ms)
            self._span.set_attribute("operation.status", self._status)
            self._span.end()

    def __enter__(self) -> Operation:
        if self._span is not None:
            self._current = use_span(self._span)
            self._current.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        current, self._current = self._current, None
        if current is not None:
            current.__exit__(exc_type, exc, traceback)
        if exc is not None and outcome_of(exc) == "error":
            self.record_error(exc)
        self.end()
        return False

    async def __aenter__(self) -> Operation:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        return self.__exit__(exc_type, exc, traceback)


class TracingService:
    """Makes the spans of a platform, each named ``{family}.{operation}``.

    Every ``trace_…`` method begins an :class:`Operation`. Its parent is the current span, or
    ``parent``: another operation, a span, or the ids of one.

    :param enabled_spans: the :data:`FAMILIES` that are recorded; all by default. What is not
        recorded is passed through: spans within it belong to what is around it.
    """

    def __init__(self, enabled_spans: Iterable[str] | None = None) -> None:
        self._tracer = get_tracer("lumitrace.observability")
        asked = [enabled_spans] if isinstance(enabled_spans, str) else enabled_spans
        self._enabled = frozenset(FAMILIES if asked is None else map(str, asked))
        unknown = sorted(self._enabled.difference(FAMILIES))
        if unknown:
            _LOGGER.warning(
                "enabled_spans: %s is not used: the families are %s",
                ", ".join(unknown),
                ", ".join(FAMILIES),
            )

    def trace_gpu_scheduling(
        self, operation: str, gpu_id: str = "", *, parent: Any = None
    ) -> Operation:
        """Work of the GPU scheduler."""
        attributes = {"operation": operation, **({"gpu.id": gpu_id} if gpu_id else {})}
        return self._begin("gpu_scheduling", operation, attributes, parent=parent)

    def trace_model_serving(
        self, operation: str, model_name: str, *, parent: Any = None
    ) -> Operation:
        """A request that a model answers."""
        attributes = {
            "operation": operation,
            "model.name": model_name,
            "model.id": model_name,
            "gen_ai.request.model": model_name,
            "gen_ai.operation.name": operation,
        }
        return self._begin("model_serving", operation, attributes, kind="server", parent=parent)

    def trace_metrics_collection(
        self, operation: str, gpu_count: int | None = None, *, parent: Any = None
    ) -> Operation:
        """A cycle of collecting measurements, of so many GPUs where that is known."""
        count = {} if gpu_count is None else {"metrics.count": gpu_count}
        attributes = {"operation": operation, **count}
        return self._begin("metrics_collection", operation, attributes, parent=parent)

    def trace_cost_calculation(
        self, operation: str, gpu_hours: float | None = None, *, parent: Any = None
    ) -> Operation:
        """A calculation of costs, over so many GPU hours where that is known."""
        hours = {} if gpu_hours is None else {"cost.gpu_hours": gpu_hours}
        attributes = {"cost.operation": operation, **hours}
        return self._begin("cost_tracking", operation, attributes, parent=parent)

    def trace_api_request(
        self,
        operation: str,
        endpoint: str = "",
        *,
        headers: Any = None,
        parent: Any = None,
    ) -> Operation:
        """A request to this program: ``("gpu_status", "/api/gpu/status")`` or, with the method
        in the place of the operation, ``("GET", "/api/gpu/status")``.

        :param endpoint: the path. In the name of the span, parts of it that are ids are ``{id}``.
        :param headers: those of the request: the caller's span in them is the parent.
        """
        path, operation = str(endpoint).partition("?")[0], str(operation)
        route = route_of(path)
        attributes = {"http.route": route, "url.path": path} if path else {}
        if operation.upper() in _HTTP_METHODS:
            attributes["http.request.method"] = operation.upper()
            name = f"{operation.upper()} {route}".rstrip()
        else:
            attributes["operation"] = name = operation
        caller = extract(headers) if headers is not None else None
        return self._begin("api_requests", name, attributes, kind="server", parent=parent or caller)

    def trace_websocket_event(
        self, event: str, connection_id: str = "", *, parent: Any = None
    ) -> Operation:
        """Something that happened on a WebSocket."""
        connection = {"connection.id": connection_id} if connection_id else {}
        attributes = {"websocket.event": event, **connection}
        return self._begin("websocket_events", event, attributes, parent=parent)

    def start_span(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, parent: Any = None
    ) -> Operation:
        """Any other operation; named ``name`` alone, and always recorded."""
        return Operation(self._start(name, "internal", attributes, parent))

    def trace_function(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Call ``function`` in a span."""
        with self.start_span(name):
            return function()

    async def trace_async(self, name: str, function: Callable[[], Awaitable[_Result]]) -> _Result:
        """Call a coroutine function in a span, and await it."""
        with self.start_span(name):
            return await function()

    def trace_middleware(self, app: Any) -> Any:
        """An ASGI application around ``app`` that makes every request a span."""
        from lumitrace._asgi import TracingMiddleware

        return TracingMiddleware(app, self)

    def add_span_attributes(self, span: Any, attributes: Mapping[str, Any]) -> None:
        """Set attributes of a span or an operation."""
        span.set_attributes(attributes)

    def add_span_event(
        self, span: Any, name: str, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Add an event to a span or an operation."""
        span.add_event(name, attributes)

    def record_error(self, span: Any, error: BaseException) -> None:
        """Mark a span or an operation as failed by ``error``, which is recorded once."""
        span.record_error(error)

    def set_span_status(self, span: Any, status: Any, description: str | None = None) -> None:
        """Declare the outcome of a span or an operation."""
        span.set_status(status, description)

    def is_enabled(self) -> bool:
        """Whether spans are recorded."""
        return self._tracer.is_enabled()

    def get_tracer(self) -> Tracer:
        """The tracer."""
        return self._tracer

    def tracing_health_check(self) -> Health:
        """How tracing is; see :func:`lumitrace.tracing.health_check`."""
        return health_check()

    def _begin(
        self,
        family: str,
        operation: str,
        attributes: Mapping[str, Any],
        *,
        kind: str = "internal",
        parent: Any = None,
    ) -> Operation:
        if family not in self._enabled:
            return Operation(None)
        return Operation(self._start(f"{family}.{operation}", kind, attributes, parent))

    def _start(
        self, name: str, kind: str, attributes: Mapping[str, Any] | None, parent: Any
    ) -> Span:
        context = parent.get_span_context() if isinstance(parent, Operation) else parent
        return self._tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def route_of(path: str) -> str:
    """A path with ``{id}`` in the place of ids, so that there are few of them: what has a digit in
    it is one, unless it is a version.
    """
    parts = path.partition("?")[0].split("/")
    return "/".join(
        "{id}" if any(map(str.isdigit, part)) and not _VERSION.fullmatch(part) else part
        for part in parts
    )
