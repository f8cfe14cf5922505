"""Attribute values: what becomes of each kind of object."""

from __future__ import annotations

import enum
import math
import pathlib
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from spans import one

from lumitrace import tracing
from lumitrace.tracing import InMemorySpanExporter, TracingContext


def recorded(memory: InMemorySpanExporter, value: Any) -> Any:
    memory.clear()
    with TracingContext(None, "work") as span:
        span.set_attribute("value", value)
    return one(memory, "work").attributes["value"]


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: float


class Tensor:
    """Counts how often its one element is read from the device."""

    def __init__(self, element: Any, shape: tuple[int, ...] = ()) -> None:
        self.element = element
        self.shape = shape
        self.reads = 0

    def item(self) -> Any:
        self.reads += 1
        return self.element

    def __str__(self) -> str:
        return "tensor"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (3, 3),
        (-(2**63), -(2**63)),
        (2**63, str(2**63)),
        (0.5, 0.5),
        (math.inf, math.inf),
        ("text", "text"),
        ("a\ud800b", "a\ufffd\ufffd\ufffdb"),
        ("", ""),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (None, None),
        ([1, 2.5, "x", None, [True]], [1, 2.5, "x", None, [True]]),
        ((1, 2), [1, 2]),
        (Point(1, 0.5), [1, 0.5]),
        ({1}, [1]),
        ({"a": {"b": [1]}, 2: "x"}, {"a": {"b": [1]}, "2": "x"}),
        (Level.HIGH, 3),
        (Colour.RED, "Colour.RED"),
        (Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("/data"), "/data"),
        (Unprintable(), "<unprintable Unprintable object>"),
        ([Unprintable()], ["<unprintable Unprintable object>"]),
    ],
)
def test_S33_each_kind_of_value_keeps_its_type_or_becomes_text(
    memory: InMemorySpanExporter, value: Any, expected: Any
) -> None:
    result = recorded(memory, value)
    assert result == expected
    assert type(result) is type(expected)


def test_S33_not_a_number_is_kept(memory: InMemorySpanExporter) -> None:
    assert math.isnan(recorded(memory, math.nan))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_S33_a_device_value_of_one_element_becomes_a_number_and_is_read_once(
    memory: InMemorySpanExporter, shape: tuple[int, ...]
) -> None:
    tensor = Tensor(0.25, shape)
    assert recorded(memory, tensor) == 0.25
    assert tensor.reads == 1


@pytest.mark.parametrize("off", ["disabled", "not sampled", "ended"])
def test_S33_a_device_value_that_nobody_records_is_not_read(
    monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    if off == "disabled":
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    sampler = "always_on" if off == "ended" else "always_off"
    provider = tracing.setup_tracing(exporters=[InMemorySpanExporter()], sampler=sampler)
    tracer = tracing.get_tracer("test")
    values: list[Any] = [Tensor(0.25) for _ in range(10)]
    unread = iter(values)
    if off != "ended":
        helpers = [
            tracing.trace_training_epoch(tracer, next(unread), next(unread)),
            tracing.trace_validation(tracer, next(unread), next(unread)),
            TracingContext(tracer, "work", {"value": next(unread)}),
        ]
        for helper in helpers:
            with helper:
                pass
        tracer.start_span("work", attributes={"value": next(unread)}).end()
    span = tracer.start_span("work")
    if off == "ended":
        span.end()
    span.set_attribute("value", next(unread))
    span.set_attributes({"value": next(unread)})
    span.add_event("event", {"value": next(unread)})
    assert [value.reads for value in values] == [0] * 10
    assert provider.statistics()["late_changes"] == (3 if off == "ended" else 0)


def test_S33_a_tensor_of_several_elements_becomes_text_unread(
    memory: InMemorySpanExporter,
) -> None:
    tensor = Tensor(0.25, (2, 3))
    assert recorded(memory, tensor) == "tensor"
    assert tensor.reads == 0


def test_S33_numpy_scalars_become_numbers(memory: InMemorySpanExporter) -> None:
    import numpy

    for value, expected in (
        (numpy.float32(0.5), 0.5),
        (numpy.float64(0.25), 0.25),
        (numpy.int64(-3), -3),
        (numpy.uint8(7), 7),
        (numpy.bool_(True), True),
        (numpy.array(1.5), 1.5),
        (numpy.str_("x"), "x"),
        (numpy.array([1, 2]), "[1 2]"),
    ):
        result = recorded(memory, value)
        assert result == expected
        assert type(result) is type(expected), value
    assert len(recorded(memory, numpy.zeros(100_000))) < 5_000


def test_S33_tensors_of_one_element_become_numbers(memory: InMemorySpanExporter) -> None:
    import torch  # here: importing it takes seconds

    assert recorded(memory, torch.tensor(0.5, requires_grad=True)) == 0.5
    assert recorded(memory, torch.tensor(3)) == 3
    assert recorded(memory, torch.tensor([0.5])) == 0.5
    assert recorded(memory, {"loss": torch.tensor(0.5)}) == {"loss": 0.5}
    assert isinstance(recorded(memory, torch.tensor(0.5, device="meta")), str)
    assert len(recorded(memory, torch.zeros(100_000))) < 5_000


def test_S33_large_deep_and_endless_values_are_bounded(memory: InMemorySpanExporter) -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "[[" in repr(recorded(memory, endless))
    many = recorded(memory, list(range(1_000_000)))
    assert len(many) == 10_001
    assert many[-1] == "… (990000 more)"

    class Long:
        def __str__(self) -> str:
            return "ä" * 1_000_000

    text = recorded(memory, Long())
    assert text.endswith("…")
    assert len(text.encode()) < 5_000
    assert isinstance(recorded(memory, 10**10_000), (str, float))


def test_S33_an_interrupt_while_a_value_is_read_reaches_the_program(
    memory: InMemorySpanExporter,
) -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with TracingContext(None, "work") as span, pytest.raises(KeyboardInterrupt):
        span.set_attribute("value", Interrupted())


def test_S33_odd_keys_and_attributes_are_kept_as_text(memory: InMemorySpanExporter) -> None:
    class Evil(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise RuntimeError("no items")

    with TracingContext(None, "work", {1: "one"}) as span:  # type: ignore[dict-item]
        span.set_attribute(2, "two")  # type: ignore[arg-type]
        span.set_attributes("no mapping")  # type: ignore[arg-type]
        span.add_event("event", Evil(a=1))
    attributes = one(memory, "work").attributes
    assert attributes == {"1": "one", "2": "two", "attributes": "no mapping"}


def test_long_text_of_the_program_is_not_cut(memory: InMemorySpanExporter) -> None:
    prompt = "word " * 1_000_000
    assert recorded(memory, prompt) == prompt


def test_the_value_length_limit_of_the_environment_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    memory = InMemorySpanExporter()
    tracing.setup_tracing(exporters=[memory])
    assert recorded(memory, "abcdef") == "abc"
