"""Reading spans in OTLP/JSON, as :class:`TraceCollector` gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Span(NamedTuple):
    """A span with everything it belongs to."""

    span: dict[str, Any]
    scope_name: str
    resource: dict[str, Any]

    @property
    def start_unix_nano(self) -> int:
        return int(self.span.get("startTimeUnixNano", 0))

    @property
    def end_unix_nano(self) -> int:
        return int(self.span.get("endTimeUnixNano", 0))


def spans_of(trace: Any) -> Iterator[Span]:
    """The spans of a trace.

    :raises ValueError: when it is no OTLP/JSON.
    """
    if not isinstance(trace, dict) or "resourceSpans" not in trace:
        raise ValueError(
            "this is no trace: it is a dictionary with resourceSpans, as TraceCollector.get_trace "
            f"returns it, and not {type(trace).__name__}"
        )
    for group in trace["resourceSpans"]:
        resource = attributes_of(group.get("resource", {}))
        for scope in group.get("scopeSpans", []):
            name = scope.get("scope", {}).get("name", "")
            for span in scope.get("spans", []):
                yield Span(span, name, resource)


def attributes_of(thing: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, an event or a resource, as Python's values."""
    return {it["key"]: value_of(it.get("value", {})) for it in thing.get("attributes", [])}


def value_of(value: dict[str, Any]) -> Any:
    """A value of OTLP/JSON as Python's; bytes stay text in base64."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "doubleValue":
            return float(content)
        if kind == "arrayValue":
            return [value_of(element) for element in content.get("values", [])]
        if kind == "kvlistValue":
            return {it["key"]: value_of(it.get("value", {})) for it in content.get("values", [])}
        return content
    return None
