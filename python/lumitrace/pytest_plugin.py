"""A fixture for the tests of traced programs; pytest finds it by itself where the package is
installed.

    def test_operation_is_traced(lumitrace_spans):
        operation()
        assert [span.name for span in lumitrace_spans.get_finished_spans()] == ["operation"]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lumitrace.tracing import InMemorySpanExporter


@pytest.fixture
def lumitrace_spans() -> Iterator[InMemorySpanExporter]:
    """Tracing set up for one test, with the spans kept in memory and sent nowhere."""
    # Here and not above: pytest imports the module in every session.
    from lumitrace import tracing

    tracing.shutdown()
    memory = tracing.InMemorySpanExporter()
    tracing.setup_tracing(exporters=[memory])
    yield memory
    tracing.shutdown()
