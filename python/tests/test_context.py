"""Which span is current: across threads, tasks and generators."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from spans import exceptions, is_child, one

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    TracingContext,
    current_span,
    get_tracer,
    use_span,
)

tracer = get_tracer("test")


def test_T17_a_span_started_without_context_takes_the_current_one(
    memory: InMemorySpanExporter,
) -> None:
    with TracingContext(tracer, "parent") as parent:
        assert current_span() is parent
        tracer.start_span("child").end()
        assert current_span() is parent
    assert not current_span().is_recording()
    tracer.start_span("root").end()
    assert is_child(one(memory, "child"), one(memory, "parent"))
    assert one(memory, "root").parent is None


def test_threads_take_the_current_span_along_where_the_context_is_copied(
    memory: InMemorySpanExporter,
) -> None:
    def work(name: str) -> None:
        with TracingContext(tracer, name):
            pass

    with TracingContext(tracer, "parent"):
        copied = contextvars.copy_context()
        carried = threading.Thread(target=copied.run, args=(work, "carried"))
        alone = threading.Thread(target=contextvars.Context().run, args=(work, "alone"))
        for thread in (carried, alone):
            thread.start()
            thread.join()
    assert is_child(one(memory, "carried"), one(memory, "parent"))
    assert one(memory, "alone").parent is None


def test_many_threads_at_once_keep_their_spans_apart(memory: InMemorySpanExporter) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            with TracingContext(tracer, f"outer_{number}"), TracingContext(tracer, "inner"):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    spans = memory.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans}
    assert len(by_id) == 320
    for span in spans:
        if span.name == "inner":
            assert span.parent is not None
            assert by_id[span.parent.span_id].name.startswith("outer_")


def test_tasks_keep_their_spans_apart(memory: InMemorySpanExporter) -> None:
    async def work(number: int) -> None:
        async with TracingContext(tracer, f"task_{number}"):
            for _ in range(3):  # the tasks take turns
                await asyncio.sleep(0)
            async with TracingContext(tracer, f"inner_{number}"):
                await asyncio.sleep(0)

    async def main() -> None:
        async with TracingContext(tracer, "main"):
            await asyncio.gather(*(work(number) for number in range(3)))

    asyncio.run(main())
    for number in range(3):
        task = one(memory, f"task_{number}")
        assert is_child(task, one(memory, "main"))
        assert is_child(one(memory, f"inner_{number}"), task)


def test_a_block_that_is_left_in_another_context_ends_quietly(
    memory: InMemorySpanExporter,
) -> None:
    def items() -> Generator[int]:
        with TracingContext(tracer, "items"):
            yield 1

    iterator = contextvars.copy_context().run(lambda: (generator := items(), next(generator))[0])
    iterator.close()
    assert one(memory, "items")
    assert not current_span().is_recording()


def test_use_span_makes_a_span_current_and_leaves_it_open(memory: InMemorySpanExporter) -> None:
    span = tracer.start_span("parent")
    with use_span(span) as used:
        assert used is span
        tracer.start_span("child").end()
    assert span.is_recording()
    span.end()
    assert is_child(one(memory, "child"), one(memory, "parent"))


def test_an_explicit_context_stands_above_the_current_span(memory: InMemorySpanExporter) -> None:
    with tracer.start_span("other") as other, TracingContext(tracer, "current"):
        tracer.start_span("child", context=other).end()
    assert is_child(one(memory, "child"), one(memory, "other"))


def test_an_error_of_a_worker_thread_is_recorded_once(memory: InMemorySpanExporter) -> None:
    def work() -> None:
        with TracingContext(tracer, "child"):
            raise ValueError("wrong")

    try:
        with TracingContext(tracer, "parent"), ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, work).result()
    except ValueError:
        pass
    assert len(exceptions(one(memory, "child"))) == 1
    assert exceptions(one(memory, "parent")) == []
    assert one(memory, "parent").attributes["error.type"] == "ValueError"


def test_T3_a_tracer_made_before_set_up_records_afterwards_and_after_another_set_up() -> None:
    early = get_tracer("early")
    with early.start_as_current_span("too early") as span:
        assert not span.is_recording()
    for _ in range(2):
        memory = InMemorySpanExporter()
        tracing.setup_tracing(exporters=[memory])
        with early.start_as_current_span("work"):
            pass
        assert [span.name for span in memory.get_finished_spans()] == ["work"]
        assert tracing.shutdown()
    with early.start_as_current_span("too late") as span:
        assert not span.is_recording()
