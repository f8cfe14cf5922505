"""Asking finished spans what tests want to know."""

from __future__ import annotations

from typing import Any

from lumitrace.tracing import FinishedSpan, InMemorySpanExporter


def one(exporter: InMemorySpanExporter, name: str) -> FinishedSpan:
    """The only span of that name."""
    named = all_of(exporter, name)
    assert len(named) == 1, [span.name for span in exporter.get_finished_spans()]
    return named[0]


def all_of(exporter: InMemorySpanExporter, name: str) -> list[FinishedSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def is_child(child: FinishedSpan, parent: FinishedSpan) -> bool:
    return (
        child.parent is not None
        and child.parent.span_id == parent.context.span_id
        and child.context.trace_id == parent.context.trace_id
    )


def exceptions(span: FinishedSpan) -> list[dict[str, Any]]:
    return [event.attributes for event in span.events if event.name == "exception"]
