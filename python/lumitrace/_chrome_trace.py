"""Traces in the Trace Event Format, which Perfetto and ``chrome://tracing`` open (Google, "Trace
Event Format").
"""

from __future__ import annotations

from typing import Any

from lumitrace._otlp import Span, attributes_of, spans_of


def chrome_trace(trace: dict[str, Any]) -> dict[str, Any]:
    """A trace in OTLP/JSON as a JSON Object Format trace.

    Each service is a process. Its spans lie on as many threads as it takes for those of one thread
    to contain each other or to come one after the other, as the format asks.
    """
    spans = sorted(spans_of(trace), key=lambda it: (it.start_unix_nano, -it.end_unix_nano))
    processes: dict[str, _Process] = {}
    events: list[dict[str, Any]] = []
    for it in spans:
        service = str(it.resource.get("service.name", "unknown_service"))
        if service not in processes:
            processes[service] = _Process(len(processes) + 1)
            name = {"name": "process_name", "ph": "M", "args": {"name": service}}
            events.append({**name, "pid": processes[service].id, "tid": 0})
        process = processes[service]
        events.extend(_events_of(it, {"pid": process.id, "tid": process.thread_for(it)}))
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _events_of(it: Span, place: dict[str, int]) -> list[dict[str, Any]]:
    span = it.span
    ids = {key: span[key] for key in ("traceId", "spanId", "parentSpanId") if key in span}
    whole = {
        "name": span.get("name", ""),
        "cat": it.scope_name or "span",
        "ph": "X",
        "ts": it.start_unix_nano / 1_000,
        "dur": (it.end_unix_nano - it.start_unix_nano) / 1_000,
        "args": attributes_of(span) | ids,
        **place,
    }
    moments = [
        {
            "name": event.get("name", ""),
            "cat": "event",
            "ph": "i",
            "s": "t",
            "ts": int(event.get("timeUnixNano", 0)) / 1_000,
            "args": attributes_of(event),
            **place,
        }
        for event in span.get("events", [])
    ]
    return [whole, *moments]


class _Process:
    """The threads of one process, each with the ends of the spans that are open on it."""

    def __init__(self, id: int) -> None:  # noqa: A002
        self.id = id
        self._open_until: list[list[int]] = []
        self._thread_of: dict[str, int] = {}

    def thread_for(self, it: Span) -> int:
        """The thread of a span's parent if it fits in there, or else the first in which it does."""
        parent = self._thread_of.get(it.span.get("parentSpanId", ""))
        others = (thread for thread in range(len(self._open_until)) if thread != parent)
        for thread in [*([] if parent is None else [parent]), *others]:
            if self._fits(thread, it):
                break
        else:
            thread = len(self._open_until)
            self._open_until.append([])
        self._open_until[thread].append(it.end_unix_nano)
        self._thread_of[it.span.get("spanId", "")] = thread
        return thread

    def _fits(self, thread: int, it: Span) -> bool:
        open_until = self._open_until[thread]
        while open_until and open_until[-1] <= it.start_unix_nano:
            open_until.pop()
        return not open_until or it.end_unix_nano <= open_until[-1]
