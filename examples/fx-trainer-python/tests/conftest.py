"""What the tests share: the example on the path, small data, and exporters to look into."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EXAMPLE_FOLDER))

from data.bars import Bars
from data.synthetic_bars import generate_bars

# As the programs do: the models are tiny.
torch.set_num_threads(1)


@pytest.fixture
def bars() -> Bars:
    """Three hundred synthetic bars."""
    return generate_bars("gbpusd", 2024, 300, seed=3)


@pytest.fixture
def make_bars() -> Callable[..., Bars]:
    """Make bars from columns; what is not given equals the close."""

    def make(close: list[float], **columns: list[float]) -> Bars:
        prices = np.array(close, dtype=np.float64)
        time = np.datetime64("2024-01-02T00:00:00") + np.arange(len(close)) * np.timedelta64(60)
        given = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
        every = {name: given.get(name, prices) for name in ("open", "high", "low", "volume")}
        return Bars(time=time, close=prices, **every)

    return make


@pytest.fixture
def exported_spans() -> Iterator[Any]:
    """Set tracing up in memory, and yield a function that returns the spans that have ended."""
    from lumitrace.tracing import InMemorySpanExporter, setup_tracing, shutdown

    exporter = InMemorySpanExporter()
    provider = setup_tracing(service_name="fx-tests", exporters=[exporter])

    def finished() -> list[Any]:
        provider.force_flush()
        return list(exporter.get_finished_spans())

    yield finished
    shutdown()
