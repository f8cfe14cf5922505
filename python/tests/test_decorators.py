"""The decorators of the documents: what they add to a span of every call."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from spans import exceptions, one

from lumitrace.tracing import (
    InMemorySpanExporter,
    StatusCode,
    get_tracer,
    instrument,
    logged_function,
    trace_async,
    trace_function,
    trace_method,
    trace_operation,
    trace_performance,
)

DECORATORS: dict[str, Any] = {
    "trace_operation": trace_operation,
    "trace_async": trace_async,
    "trace_method": trace_method,
    "trace_performance": trace_performance,
    "instrument": instrument,
    "trace_function": trace_function,
    "logged_function": logged_function,
}
PARENTHESES = [name for name in DECORATORS if name != "logged_function"]


def bare(name: str) -> Callable[[Any], Any]:
    decorator: Callable[[Any], Any] = DECORATORS[name]
    return decorator


@pytest.mark.parametrize("name", DECORATORS)
def test_T22_every_decorator_keeps_name_doc_and_signature(name: str) -> None:
    def function(x: int, *, y: str = "a") -> str:
        """What it does."""
        return y * x

    decorators = [bare(name)]
    if name in PARENTHESES:
        decorators.append(DECORATORS[name]())
    for decorate in decorators:
        decorated = decorate(function)
        assert decorated.__name__ == "function"
        assert decorated.__doc__ == "What it does."
        assert inspect.signature(decorated) == inspect.signature(function)
        assert decorated(2, y="b") == "bb"


@pytest.mark.parametrize("name", DECORATORS)
def test_T22_every_decorator_leaves_kinds_of_functions_what_they_are(name: str) -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    decorate = bare(name)
    assert inspect.iscoroutinefunction(decorate(coroutine))
    assert inspect.isgeneratorfunction(decorate(generator))
    assert inspect.isasyncgenfunction(decorate(async_generator))
    partial = functools.partial(coroutine)
    asyncio.run(decorate(partial)())


def test_C7_an_operation_carries_function_and_duration(memory: InMemorySpanExporter) -> None:
    @trace_operation("expensive_computation")
    def calculate(x: int, y: int) -> int:
        return x + y

    assert calculate(3, 5) == 8
    span = one(memory, "expensive_computation")
    assert set(span.attributes) == {"function", "duration_ms", "result.status"}
    assert span.attributes["function"] == "calculate"
    took_ms = (span.end_time - span.start_time) / 1e6
    assert 0 <= span.attributes["duration_ms"] <= took_ms
    assert span.status.status_code == StatusCode.UNSET


def test_C7_arguments_and_results_are_recorded_where_asked_for(
    memory: InMemorySpanExporter,
) -> None:
    @trace_operation("my_op", include_args=True, include_result=True)
    def func(x: int, password: str, *, flag: bool = False) -> dict[str, Any]:
        return {"doubled": x * 2, "token": "hunter2"}

    func(2, "hunter2", flag=True)
    attributes = one(memory, "my_op").attributes
    assert attributes["args"] == [2, "<redacted>"]
    assert attributes["kwargs"] == {"flag": True}
    assert attributes["result"] == {"doubled": 4, "token": "<redacted>"}


def test_C7_without_arguments_there_are_no_empty_attributes(memory: InMemorySpanExporter) -> None:
    trace_operation("my_op", include_args=True)(lambda: None)()
    attributes = one(memory, "my_op").attributes
    assert "args" not in attributes
    assert "kwargs" not in attributes


def test_T27_an_argument_whose_repr_fails_is_harmless(memory: InMemorySpanExporter) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    @trace_operation("my_op", include_args=True, include_result=True)
    def func(x: Any) -> Any:
        return x

    broken = Broken()
    assert func(broken) is broken
    assert one(memory, "my_op").attributes["args"] == ["<unprintable Broken object>"]


@pytest.mark.parametrize("name", ["trace_operation", "trace_async", "trace_method", "instrument"])
def test_T27_what_is_recorded_is_bounded_in_every_decorator(
    memory: InMemorySpanExporter, name: str
) -> None:
    decorate = DECORATORS[name]

    def func(me: Any, text: str, api_key: str = "") -> str:
        return text

    traced = decorate("my_op", include_args=True, include_result=True)(func)
    traced(None, "x" * 1_000_000, api_key="hunter2")
    attributes = one(memory, "my_op").attributes
    assert len(attributes["args"][-1]) < 1_100
    assert attributes["kwargs"] == {"api_key": "<redacted>"}
    assert len(attributes["result"]) < 1_100


def test_S36_arguments_of_a_span_of_another_implementation_are_text() -> None:
    from lumitrace._decorators import _attribute

    assert _attribute(object(), [1, "a"]) == "[1, 'a']"
    assert _attribute(object(), 3) == 3


def test_C8_a_coroutine_is_timed_over_its_await(memory: InMemorySpanExporter) -> None:
    @trace_async("fetch_data", include_result=True)
    async def get_data(url: str) -> str:
        with get_tracer("test").start_as_current_span("inner"):
            await asyncio.sleep(0.01)
        return url

    assert asyncio.run(get_data("https://api.example.com/data"))
    span, inner = one(memory, "fetch_data"), one(memory, "inner")
    assert inner.parent is not None
    assert inner.parent.span_id == span.context.span_id
    assert span.attributes["duration_ms"] >= 10
    assert span.attributes["result"] == "https://api.example.com/data"


class Processor:
    @trace_method("process_task", include_args=True)
    async def process(self, task_id: str) -> str:
        return task_id

    @trace_method
    def plain(self) -> None: ...

    @trace_method()
    @classmethod
    def of_class(cls) -> None: ...

    @classmethod
    @trace_method("inner_class_method")
    def inner_of_class(cls) -> None: ...

    @trace_method(include_args=True)
    @staticmethod
    def static(x: int) -> int:
        return x

    @staticmethod
    @trace_method("inner_static_method", include_args=True)
    def inner_static(x: int, y: int) -> int:
        return x

    @trace_operation("of_method", include_args=True)
    def operation(self, x: int) -> None: ...


class Heir(Processor): ...


def test_C9_methods_carry_method_and_class(memory: InMemorySpanExporter) -> None:
    assert asyncio.run(Processor().process("task_123")) == "task_123"
    span = one(memory, "process_task")
    assert span.attributes["method"] == "process"
    assert span.attributes["class"] == "Processor"
    assert span.attributes["args"] == ["task_123"]
    assert "duration_ms" in span.attributes
    Heir().plain()
    inherited = one(memory, "Processor.plain")
    assert inherited.attributes["class"] == "Heir"


def test_C9_class_methods_and_static_methods_too(memory: InMemorySpanExporter) -> None:
    Heir.of_class()
    assert one(memory, "Processor.of_class").attributes["class"] == "Heir"
    Heir.inner_of_class()
    assert one(memory, "inner_class_method").attributes["class"] == "Heir"
    assert Processor.static(1) == 1
    static = one(memory, "Processor.static")
    assert static.attributes["class"] == "Processor"
    assert static.attributes["args"] == [1]
    assert Processor.inner_static(1, 2) == 1
    assert one(memory, "inner_static_method").attributes["class"] == "Processor"


def test_C7_the_object_of_a_method_is_no_argument(memory: InMemorySpanExporter) -> None:
    Processor().operation(3)
    assert one(memory, "of_method").attributes["args"] == [3]


def test_C10_a_call_that_takes_too_long_is_told(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    @trace_performance(threshold_ms=0)
    def critical_path() -> int:
        return 1

    assert critical_path() == 1
    span = one(memory, "critical_path_perf")
    assert span.attributes["performance_alert"] is True
    assert span.attributes["duration_ms"] > 0
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, __name__)
    assert "critical_path" in record.message


def test_C10_a_call_that_is_quick_enough_is_not_told(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    trace_performance(threshold_ms=60_000)(lambda: None)()
    span = one(memory, "<lambda>_perf")
    assert "performance_alert" not in span.attributes
    assert caplog.records == []


def test_C10_the_alert_comes_also_when_the_call_raises_and_without_a_recorded_span(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @trace_performance(threshold_ms=0, log_level="error")
    def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fails()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR


@pytest.mark.parametrize(
    ("level", "expected"),
    [("info", logging.INFO), (logging.CRITICAL, logging.CRITICAL), ("unheard of", logging.WARNING)],
)
def test_C10_the_level_of_the_message_can_be_chosen(
    caplog: pytest.LogCaptureFixture, level: str | int, expected: int
) -> None:
    caplog.set_level(logging.DEBUG)
    trace_performance(threshold_ms=0, log_level=level)(lambda: None)()
    assert [record.levelno for record in caplog.records] == [expected]


def test_C10_a_threshold_that_is_no_number_warns_and_the_default_is_used(
    caplog: pytest.LogCaptureFixture, memory: InMemorySpanExporter
) -> None:
    assert trace_performance(threshold_ms="soon")(lambda: 1)() == 1  # type: ignore[call-overload]
    assert "soon" in caplog.text
    assert "performance_alert" not in one(memory, "<lambda>_perf").attributes


def test_T23_the_alert_of_a_coroutine_counts_its_await(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    @trace_performance(threshold_ms=10)
    async def waits() -> None:
        await asyncio.sleep(0.02)

    asyncio.run(waits())
    span = one(memory, "waits_perf")
    assert span.attributes["performance_alert"] is True
    assert span.attributes["duration_ms"] >= 20
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", DECORATORS)
def test_T23_T24_every_decorator_times_coroutines_and_generators_to_their_end(
    memory: InMemorySpanExporter, name: str
) -> None:
    decorate = bare(name)
    tracer = get_tracer("test")

    @decorate
    async def coroutine() -> str:
        await asyncio.sleep(0)
        tracer.start_span("in_coroutine").end()
        return "done"

    @decorate
    def generator() -> Iterator[int]:
        yield 1
        tracer.start_span("in_generator").end()
        yield 2

    assert asyncio.run(coroutine()) == "done"
    assert list(generator()) == [1, 2]
    early = generator()
    next(early)
    early.close()
    spans = memory.get_finished_spans()
    traced = [span for span in spans if "result.status" in span.attributes]
    assert [it.attributes["result.status"] for it in traced] == ["success", "success", "closed"]
    for inner in ("in_coroutine", "in_generator"):
        parent = one(memory, inner).parent
        assert parent is not None
        assert parent.span_id in [it.context.span_id for it in traced]


@pytest.mark.parametrize("name", DECORATORS)
def test_T20_T21_every_decorator_records_a_failure_once(
    memory: InMemorySpanExporter, name: str
) -> None:
    @bare(name)
    def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fails()
    (span,) = memory.get_finished_spans()
    assert span.status.status_code == StatusCode.ERROR
    assert len(exceptions(span)) == 1
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["result.status"] == "error"


@pytest.mark.parametrize("name", DECORATORS)
def test_T3_every_decorator_works_without_set_up(name: str) -> None:
    assert bare(name)(lambda x: x)(3) == 3


def test_T36_success_is_told_after_the_coroutine_was_awaited(
    caplog: pytest.LogCaptureFixture, memory: InMemorySpanExporter
) -> None:
    caplog.set_level(logging.DEBUG)

    @logged_function
    async def your_function(data: str, password: str) -> str:
        logging.getLogger("program").info("working")
        await asyncio.sleep(0)
        return data

    assert asyncio.run(your_function("x" * 10_000, "hunter2")) == "x" * 10_000
    messages = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    assert messages[0].startswith("Calling your_function with args=['xxx")
    assert len(messages[0]) < 1_200
    assert "hunter2" not in caplog.text
    assert messages[1:] == ["working", "your_function returned successfully"]
    assert one(memory, "your_function").attributes["result.status"] == "success"


def test_B19_T36_a_failure_is_told_as_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    @logged_function
    def your_function(data: str) -> None:
        raise ValueError("wrong: password='hunter2'")

    with pytest.raises(ValueError, match="wrong"):
        your_function("data")
    failed = caplog.records[-1]
    assert failed.levelno == logging.ERROR
    assert failed.getMessage().startswith("your_function failed with error: wrong")
    assert "hunter2" not in failed.getMessage()
    assert failed.exc_info
    assert failed.exc_info[0] is ValueError
