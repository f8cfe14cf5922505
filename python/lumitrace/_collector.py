"""Collecting the spans of this process, to look at them, keep them or hand them on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from os import PathLike
from types import TracebackType
from typing import Any, Literal

from lumitrace import _lumitrace, _setup
from lumitrace._lumitrace import FinishedSpan

_LOGGER = logging.getLogger("lumitrace")

TraceData = dict[str, Any]
"""Spans as an OTLP request in JSON: ``resourceSpans`` of ``scopeSpans`` of ``spans``
(opentelemetry-proto, "JSON Protobuf Encoding"). Times are texts of unix nanoseconds.
"""

FLUSH_TIMEOUT_MS = 2_000
"""How long :meth:`TraceCollector.get_trace` waits at most for spans that are on their way."""


class TraceExporter:
    """Derive from this to send traces anywhere; see :meth:`TraceCollector.add_exporter`."""

    def export(self, trace_data: TraceData) -> None:
        """Take some spans that have ended. Called on a thread of its own, one call at a time; what
        it raises is told once in a warning, and concerns neither the program nor others.
        """
        raise NotImplementedError


class TraceCollector:
    """Collects the spans that end between :meth:`start` and :meth:`stop`, wherever else they go.

    Where tracing is not set up, starting a collector has spans recorded for collectors alone; a
    set-up that comes later takes over.

        with TraceCollector() as collector:
            work()
        collector.save_trace("trace.json")

    :param max_spans: how many spans are kept; further ones are counted in ``dropped_spans``.
    """

    def __init__(self, *, max_spans: int = 100_000) -> None:
        self._max_spans = max_spans
        self._lock = threading.Lock()
        self._spans: list[FinishedSpan] = []
        self._exporters: list[_Isolated] = []
        self._listener: Any = None
        self.dropped_spans = 0

    def start(self) -> None:
        """Begin with an empty trace. Does nothing where it has begun already."""
        if self._listener is not None:
            return
        with self._lock:
            self._spans = []
            self.dropped_spans = 0
        _setup.set_up_for_listeners()
        # Spans that ended before are on their way, and are none of ours.
        _setup.force_flush(FLUSH_TIMEOUT_MS)
        self._listener = self._receive
        _lumitrace._listen(self._listener)

    def stop(self) -> None:
        """Collect no more; what was collected stays."""
        if self._listener is not None:
            _setup.force_flush(FLUSH_TIMEOUT_MS)
            _lumitrace._stop_listening(self._listener)
            self._listener = None

    def get_trace(self) -> TraceData:
        """What was collected so far."""
        return _trace_of(self.get_finished_spans())

    def get_finished_spans(self) -> tuple[FinishedSpan, ...]:
        """The same as objects, in the order in which the spans ended."""
        if self._listener is not None:
            _setup.force_flush(FLUSH_TIMEOUT_MS)
        with self._lock:
            return tuple(self._spans)

    def save_trace(
        self,
        path: str | PathLike[str],
        *,
        format: Literal["otlp", "chrome"] = "otlp",  # noqa: A002
    ) -> None:
        """Write what was collected so far into a file.

        :param format: ``otlp`` for OTLP/JSON, which Lumitrace and other collectors read, or
            ``chrome`` for the Trace Event Format of Perfetto and ``chrome://tracing``.
        :raises OSError: when the file cannot be written.
        :raises ValueError: for another format.
        """
        import json

        if format == "otlp":
            text = json.dumps(self.get_trace())
        elif format == "chrome":
            from lumitrace._chrome_trace import chrome_trace

            text = json.dumps(chrome_trace(self.get_trace()))
        else:
            raise ValueError(f"the format {format!r} is neither 'otlp' nor 'chrome'")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def add_exporter(self, exporter: TraceExporter) -> None:
        """Give ``exporter`` what was collected so far, and from then on every batch of spans."""
        isolated = _Isolated(exporter)
        with self._lock:
            self._exporters.append(isolated)
            collected = tuple(self._spans)
        if collected:
            isolated.export(_trace_of(collected))

    def _receive(self, spans: tuple[FinishedSpan, ...]) -> None:
        with self._lock:
            kept = spans[: max(self._max_spans - len(self._spans), 0)]
            self._spans.extend(kept)
            self.dropped_spans += len(spans) - len(kept)
            exporters = tuple(self._exporters)
        if exporters:
            trace = _trace_of(spans)
            for exporter in exporters:
                exporter.export(trace)

    def __enter__(self) -> TraceCollector:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Isolated:
    """An exporter whose exceptions concern nobody else."""

    def __init__(self, exporter: TraceExporter) -> None:
        self._exporter = exporter
        self._has_warned = False

    def export(self, trace: TraceData) -> None:
        try:
            self._exporter.export(trace)
        except Exception as problem:  # the program's own code, whatever it raises
            if not self._has_warned:
                self._has_warned = True
                _LOGGER.warning(
                    "%s does not take spans (%s: %s); this is told once",
                    type(self._exporter).__name__,
                    type(problem).__name__,
                    problem,
                )


def _trace_of(spans: Iterable[FinishedSpan]) -> TraceData:
    import json

    trace: TraceData = json.loads(_lumitrace._otlp_json(list(spans)))
    return trace
