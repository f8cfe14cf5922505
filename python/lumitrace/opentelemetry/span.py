"""Spans that are spans of OpenTelemetry's SDK, recorded in the native half.

A span stays native until somebody asks for what only the SDK's spans have, such as ``attributes``
or ``_status``. Then it moves to Python: it gets the state of the SDK's span, and its class becomes
:class:`PythonSpan`, which is recorded by the SDK's own code from there on. So the way that nearly
all spans take has no question to ask, and the rest is what it would be with the SDK.
"""

from __future__ import annotations

import threading
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.util import BoundedList

from lumitrace import _lumitrace

# OpenTelemetry's kinds by the native half's words for them.
KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}

# One span moves at a time; a destructor that runs meanwhile may move another.
_moving = threading.RLock()

# What the SDK's code keeps in its spans.
_STATE = (
    "_attributes",
    "_context",
    "_end_time",
    "_events",
    "_instrumentation_info",
    "_instrumentation_scope",
    "_kind",
    "_limits",
    "_links",
    "_lock",
    "_name",
    "_parent",
    "_record_end_metrics",
    "_record_exception",
    "_resource",
    "_sampler",
    "_set_status_on_exception",
    "_span_processor",
    "_start_time",
    "_status",
    "_trace_config",
)


def _state(name: str) -> Any:
    """The property ``name`` of a native span; reading or setting it moves the span to Python."""

    def read(span: Span) -> Any:
        move_to_python(span)
        return span.__dict__[name]

    def write(span: Span, value: Any) -> None:
        move_to_python(span)
        span.__dict__[name] = value

    return property(read, write)


class Span(_lumitrace.Span, sdk.Span):  # type: ignore[misc]
    """A span that is recorded in the native half."""

    @property
    def kind(self) -> trace.SpanKind:
        return KINDS.get(_lumitrace.Span.kind.__get__(self), trace.SpanKind.INTERNAL)

    def _move(self) -> None:
        move_to_python(self)


for _name in _STATE:
    setattr(Span, _name, _state(_name))


class PythonSpan(sdk.Span, _lumitrace.Span):  # type: ignore[misc]
    """A span that began in the native half and is recorded by the SDK's code now."""

    def end(self, end_time: int | None = None) -> None:
        # The SDK's code fails on attributes that a program has replaced by others.
        if not isinstance(self._attributes, BoundedAttributes):
            limits = self._limits
            self._attributes = _attributes(
                dict(self._attributes or {}),
                limits.max_span_attributes,
                limits.max_span_attribute_length,
            )
        super().end(end_time)

    def record_error(self, exception: BaseException) -> None:
        fail(self, exception, True, True)


def fail(span: trace.Span, exception: BaseException, record: bool, set_status: bool) -> None:
    """Mark a span that Python records as failed, as OpenTelemetry's ``use_span`` does."""
    if not span.is_recording():
        return
    if record:
        span.record_exception(exception)
    if set_status:
        description = f"{type(exception).__name__}: {exception}"
        span.set_status(trace.Status(trace.StatusCode.ERROR, description))


def move_to_python(span: Span) -> None:
    """Give a native span the state of the SDK's spans, and let the SDK's code record the rest."""
    with _moving:
        if "_name" in span.__dict__:
            return
        recorded = span._move_to_python()
        span.__dict__.update(_state_of(span, recorded))
        if recorded is not None:
            span.__class__ = PythonSpan  # type: ignore[assignment]


def _state_of(span: Span, recorded: _lumitrace.FinishedSpan | None) -> dict[str, Any]:
    """What the SDK's span would hold. Of one that has ended or that records nothing there are no
    more than its name, kind, ids and times.
    """
    tracer = span._tracer
    limits = tracer._span_limits
    record_exception, set_status_on_exception = span._on_exception
    start_time, end_time = span._times or (recorded and recorded.start_time, None)
    state = {
        "_name": _lumitrace.Span.name.__get__(span),
        "_context": span.get_span_context(),
        "_kind": span.kind,
        "_parent": recorded and recorded.parent,
        "_start_time": start_time,
        "_end_time": end_time,
        "_attributes": _attributes(
            recorded.attributes if recorded else {},
            limits.max_span_attributes,
            limits.max_span_attribute_length,
            immutable=recorded is None,
        ),
        "_events": BoundedList(limits.max_events),
        "_links": BoundedList(limits.max_links),
        "_status": trace.Status(),
        "_resource": tracer.resource,
        "_instrumentation_info": tracer.instrumentation_info,
        "_instrumentation_scope": tracer._instrumentation_scope,
        "_limits": limits,
        "_lock": threading.Lock(),
        "_record_end_metrics": None,
        "_record_exception": record_exception,
        "_set_status_on_exception": set_status_on_exception,
        "_sampler": tracer.sampler,
        "_span_processor": tracer.span_processor,
        "_trace_config": None,
    }
    if recorded is not None:
        _fill(state, recorded, limits)
    return state


def _fill(state: dict[str, Any], recorded: _lumitrace.FinishedSpan, limits: sdk.SpanLimits) -> None:
    length = limits.max_attribute_length
    for event in recorded.events:
        attributes = _attributes(event.attributes, limits.max_event_attributes, length)
        state["_events"].append(sdk.Event(event.name, attributes, event.timestamp))
    for link in recorded.links:
        attributes = _attributes(link.attributes, limits.max_link_attributes, length)
        state["_links"].append(trace.Link(cast("trace.SpanContext", link.context), attributes))
    state["_attributes"].dropped = recorded.dropped_attributes
    state["_events"].dropped = recorded.dropped_events
    state["_links"].dropped = recorded.dropped_links
    code = trace.StatusCode[recorded.status.status_code.name]
    state["_status"] = trace.Status(code, recorded.status.description)


def _attributes(
    attributes: dict[str, Any],
    count: int | None,
    length: int | None,
    *,
    immutable: bool = True,
) -> BoundedAttributes:
    return BoundedAttributes(count, attributes, immutable=immutable, max_value_len=length)
