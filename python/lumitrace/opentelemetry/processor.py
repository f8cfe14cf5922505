"""Span processors: those written in Python, and the way into the native half.

Programs read and change ``provider._active_span_processor._span_processors``. There, the native
half is one processor of several; while it is the only one, spans never come to Python.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)

from lumitrace import _lumitrace, _process
from lumitrace.opentelemetry.failure import tell_once

if TYPE_CHECKING:
    from lumitrace.opentelemetry.tracer import Tracer


class NativeSpanProcessor(SpanProcessor):
    """Hands spans that Python recorded to Lumitrace's Rust core, which exports them."""

    def __init__(self, provider: _lumitrace.TracerProvider | None) -> None:
        self._provider = provider

    def on_end(self, span: ReadableSpan) -> None:
        _lumitrace._record_ended(self._provider, span)

    def shutdown(self) -> None:
        if provider := self._native():
            provider.shutdown(_process.EXIT_TIMEOUT_MS)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        provider = self._native()
        return provider is None or provider.force_flush(timeout_millis)

    def _native(self) -> _lumitrace.TracerProvider | None:
        return self._provider or _lumitrace.get_tracer_provider()


class SpanProcessors(SynchronousMultiSpanProcessor):
    """The processors of a provider, called one after the other, the native half last: what others
    change in a span that has ended is exported as they leave it.

    An exception in one is told once and reaches neither the program nor the other processors.
    """

    def __init__(self) -> None:
        self._processors: tuple[SpanProcessor, ...] = ()
        # The same in the order in which they are called, and those written in Python.
        self._in_order: tuple[SpanProcessor, ...] = ()
        self._in_python: tuple[SpanProcessor, ...] = ()
        self._tracers: weakref.WeakSet[Tracer] = weakref.WeakSet()
        self._tracers_lock = threading.Lock()
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return self._processors

    @_span_processors.setter
    def _span_processors(self, processors: Iterable[SpanProcessor]) -> None:
        self._processors = tuple(processors)
        native = [it for it in self._processors if isinstance(it, NativeSpanProcessor)]
        others = [it for it in self._processors if not isinstance(it, NativeSpanProcessor)]
        self._in_python, self._in_order = tuple(others), (*others, *native)
        with self._tracers_lock:
            tracers = tuple(self._tracers)
        for tracer in tracers:
            tracer._choose_path()

    def watch(self, tracer: Tracer) -> None:
        """Tells ``tracer`` when other processors are there."""
        with self._tracers_lock:
            self._tracers.add(tracer)

    def are_native(self) -> bool:
        """Whether nothing but the native half processes spans."""
        return bool(self._processors) and not self._in_python

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for processor in self._in_python:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception as problem:
                tell_once(processor, "on_start", problem)

    def _on_ending(self, span: Span) -> None:
        for processor in self._in_python:
            # One that does not derive from the SDK's class has none.
            on_ending = getattr(processor, "_on_ending", None)
            try:
                if on_ending is not None:
                    on_ending(span)
            except Exception as problem:
                tell_once(processor, "_on_ending", problem)

    def on_end(self, span: ReadableSpan) -> None:
        for processor in self._in_order:
            try:
                processor.on_end(span)
            except Exception as problem:
                tell_once(processor, "on_end", problem)

    def shutdown(self) -> None:
        for processor in self._in_order:
            try:
                processor.shutdown()
            except Exception as problem:
                tell_once(processor, "shutdown", problem)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        deadline = monotonic() + timeout_millis / 1000
        all_flushed = True
        for processor in self._in_order:
            left_millis = int((deadline - monotonic()) * 1000)
            if left_millis <= 0:
                return False
            try:
                # Processors that do not say are taken to have done it, as the SDK does.
                all_flushed &= processor.force_flush(left_millis) is not False
            except Exception as problem:
                all_flushed = False
                tell_once(processor, "force_flush", problem)
        return all_flushed
