from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from collector import Collector

from lumitrace import tracing
from lumitrace.tracing import InMemorySpanExporter


@pytest.fixture(autouse=True)
def _fresh_tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test sets tracing up by itself, in an environment without settings."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "LUMITRACE_", "TRACE_", "TRACING_")):
            monkeypatch.delenv(name)
    yield
    tracing.shutdown()
    tracing.set_tracer(None)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """Tracing set up with an exporter that keeps the spans."""
    exporter = InMemorySpanExporter()
    tracing.setup_tracing(exporters=[exporter])
    return exporter
