"""The decorator."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest
from spans import exceptions, is_child, one

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    StatusCode,
    TracingContext,
    get_tracer,
    trace_function,
)

tracer = get_tracer("test")


@pytest.mark.parametrize("given", [None, tracer])
def test_T22_name_doc_and_signature_survive_with_any_tracer(
    memory: InMemorySpanExporter, given: tracing.Tracer | None
) -> None:
    @trace_function(given)
    def scale(value: int, factor: int = 2) -> int:
        """Scales a value."""
        return value * factor

    assert scale(2, factor=3) == 6
    assert scale.__name__ == "scale"
    assert scale.__doc__ == "Scales a value."
    assert list(inspect.signature(scale).parameters) == ["value", "factor"]
    span = one(memory, "scale")
    assert span.attributes == {"function": "scale", "result.status": "success"}
    assert span.instrumentation_scope.name == ("test" if given else __name__)


def test_T22_kinds_of_functions_stay_what_they_are() -> None:
    @trace_function()
    async def coroutine() -> None: ...

    @trace_function()
    def generator() -> Generator[int]:
        yield 1

    @trace_function()
    async def async_generator() -> AsyncGenerator[int]:
        yield 1

    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)


def test_the_decorator_works_without_parentheses_and_on_methods(
    memory: InMemorySpanExporter,
) -> None:
    class Model:
        @trace_function
        def forward(self) -> str:
            return "forward"

        @trace_function(tracer)
        @staticmethod
        def static() -> str:
            return "static"

        @classmethod
        @trace_function(tracer)
        def make(cls) -> str:
            return cls.__name__

    assert (Model().forward(), Model.static(), Model.make()) == ("forward", "static", "Model")
    assert [span.name for span in memory.get_finished_spans()] == ["forward", "static", "make"]


def test_T20_a_function_that_fails_says_so(memory: InMemorySpanExporter) -> None:
    @trace_function(tracer, func_name="my_op")
    def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    span = one(memory, "my_op")
    assert span.attributes == {
        "function": "fail",
        "result.status": "error",
        "error.type": "RuntimeError",
        "error.message": "broken",
    }
    assert span.status.status_code == StatusCode.ERROR
    assert len(exceptions(span)) == 1


def test_T23_the_span_of_a_coroutine_is_open_over_its_await(memory: InMemorySpanExporter) -> None:
    @trace_function(tracer)
    async def work() -> str:
        with TracingContext(tracer, "inner"):
            await asyncio.sleep(0)
        tracing.current_span().add_event("awaited")
        return "done"

    coroutine = work()
    assert memory.get_finished_spans() == ()
    assert asyncio.run(coroutine) == "done"
    span = one(memory, "work")
    assert [event.name for event in span.events] == ["awaited"]
    assert is_child(one(memory, "inner"), span)
    assert span.attributes["result.status"] == "success"


def test_T23_a_cancelled_coroutine_ends_its_span_without_error(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = one(memory, "wait_for_ever")
    assert span.attributes["result.status"] == "cancelled"
    assert span.status.status_code == StatusCode.UNSET


def test_T24_the_span_of_a_generator_is_open_over_its_iteration(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    def batches() -> Generator[int, None, str]:
        for index in range(3):
            with TracingContext(tracer, f"load_{index}"):
                pass
            yield index
        tracing.current_span().add_event("exhausted")
        return "all"

    iterator = batches()
    assert memory.get_finished_spans() == ()
    for index in iterator:
        assert tracing.current_span().get_span_context().is_valid is False
        with TracingContext(tracer, f"train_{index}"):
            pass
    span = one(memory, "batches")
    assert [event.name for event in span.events] == ["exhausted"]
    assert span.attributes == {"function": "batches", "result.status": "success"}
    assert is_child(one(memory, "load_2"), span)
    assert one(memory, "train_1").parent is None


@pytest.mark.parametrize("leave", ["close", "forget"])
def test_T24_leaving_a_generator_early_ends_its_span(
    memory: InMemorySpanExporter, leave: str
) -> None:
    cleaned = []

    @trace_function(tracer)
    def numbers() -> Generator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(True)

    iterator = numbers()
    next(iterator)
    assert memory.get_finished_spans() == ()
    if leave == "close":
        iterator.close()
    del iterator
    gc.collect()
    span = one(memory, "numbers")
    assert span.attributes["result.status"] == "closed"
    assert span.status.status_code == StatusCode.UNSET
    assert cleaned == [True]


def test_T24_a_traced_generator_passes_on_values_exceptions_and_its_result(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    def echo() -> Generator[Any, Any, str]:
        received: Any = "ready"
        while received != "stop":
            try:
                received = yield received
            except KeyError as error:
                received = error.args[0]
        return "result"

    def outer() -> Generator[Any, Any, str]:
        return (yield from echo())

    generator = outer()
    assert next(generator) == "ready"
    assert generator.send("a") == "a"
    assert generator.throw(KeyError("b")) == "b"
    with pytest.raises(StopIteration) as stop:
        generator.send("stop")
    assert stop.value.value == "result"
    assert one(memory, "echo").attributes["result.status"] == "success"


def test_T24_a_generator_that_fails_says_so(memory: InMemorySpanExporter) -> None:
    @trace_function(tracer)
    def broken() -> Generator[int]:
        yield 1
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(broken())
    span = one(memory, "broken")
    assert span.attributes["result.status"] == "error"
    assert span.attributes["error.type"] == "RuntimeError"
    assert span.status.status_code == StatusCode.ERROR
    assert len(exceptions(span)) == 1


def test_T24_the_span_of_an_async_generator_is_open_over_its_iteration(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    async def batches() -> AsyncGenerator[int, str]:
        for index in range(3):
            with TracingContext(tracer, f"load_{index}"):
                await asyncio.sleep(0)
            yield index
        tracing.current_span().add_event("exhausted")

    async def main() -> list[int]:
        items = []
        async for item in batches():
            assert tracing.current_span().get_span_context().is_valid is False
            items.append(item)
        return items

    assert asyncio.run(main()) == [0, 1, 2]
    span = one(memory, "batches")
    assert [event.name for event in span.events] == ["exhausted"]
    assert span.attributes["result.status"] == "success"
    assert is_child(one(memory, "load_1"), span)


def test_T24_leaving_an_async_generator_early_ends_its_span(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    async def numbers() -> AsyncGenerator[int]:
        yield 1
        yield 2

    async def abandoned() -> None:
        async for _ in numbers():
            break  # the event loop closes the generator in a task of its own, or cancels that

    async def closed() -> None:
        iterator = numbers()
        await anext(iterator)
        await iterator.aclose()

    for leave, outcomes in ((abandoned, {"closed", "cancelled"}), (closed, {"closed"})):
        asyncio.run(leave())
        span = one(memory, "numbers")
        assert span.attributes["result.status"] in outcomes
        assert span.status.status_code == StatusCode.UNSET
        memory.clear()


def test_T24_an_async_generator_passes_on_values_and_exceptions(
    memory: InMemorySpanExporter,
) -> None:
    @trace_function(tracer)
    async def echo() -> AsyncGenerator[Any, Any]:
        received: Any = "ready"
        while received != "stop":
            try:
                received = yield received
            except KeyError as error:
                received = error.args[0]

    async def main() -> None:
        generator = echo()
        assert await anext(generator) == "ready"
        assert await generator.asend("a") == "a"
        assert await generator.athrow(KeyError("b")) == "b"
        with pytest.raises(StopAsyncIteration):
            await generator.asend("stop")

    asyncio.run(main())
    assert one(memory, "echo").attributes["result.status"] == "success"


@pytest.mark.parametrize("decorate", [lambda function: trace_function()(function), trace_function])
def test_T27_arguments_and_results_are_not_recorded(
    memory: InMemorySpanExporter, decorate: Callable[[Any], Any]
) -> None:
    @decorate
    def log_in(password: str) -> str:
        return password

    log_in("secret")
    assert "secret" not in repr(one(memory, "log_in").attributes)
