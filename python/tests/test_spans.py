"""Spans: names, parents, attributes, status, exceptions, life after the end."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import pytest
from spans import all_of, exceptions, is_child, one

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    Span,
    StatusCode,
    TracingContext,
    get_tracer,
    trace_batch_processing,
    trace_data_loading,
    trace_feature_engineering,
    trace_training_epoch,
    trace_validation,
)


def train(epochs: int, batches: int) -> None:
    """The documents' loop."""
    tracer = get_tracer("train")
    with trace_data_loading(tracer, "gbpusd", 1_000):
        pass
    with trace_feature_engineering(tracer, "gbpusd", 32):
        pass
    for epoch in range(1, epochs + 1):
        with trace_training_epoch(tracer, epoch, epochs) as epoch_span:
            for index in range(1, batches + 1):
                with trace_batch_processing(tracer, index, 64) as batch_span:
                    batch_span.set_attribute("loss", 1.0 / index)
                    batch_span.set_attribute("task.direction", 0.25)
            with trace_validation(tracer) as validation_span:
                validation_span.set_attribute("val_loss", 0.6)
                validation_span.set_attribute("val_metric", 0.8)
                validation_span.set_attribute("val.dir_acc", 0.8)
            epoch_span.set_attribute("train_loss", 0.7)
            epoch_span.set_attribute("val_loss", 0.6)
            epoch_span.set_attribute(f"loss_at_step_{batches}", 0.7)


def test_T17_an_epoch_contains_its_batches_and_its_validation(
    memory: InMemorySpanExporter,
) -> None:
    train(epochs=3, batches=4)
    epochs = all_of(memory, "training_epoch")
    batches = all_of(memory, "batch_processing")
    validations = all_of(memory, "validation")
    assert (len(epochs), len(batches), len(validations)) == (3, 12, 3)
    for epoch in epochs:
        assert epoch.parent is None
        assert sum(is_child(batch, epoch) for batch in batches) == 4
        assert sum(is_child(validation, epoch) for validation in validations) == 1


def test_T18_span_names_are_constant_and_numbers_are_typed_attributes(
    memory: InMemorySpanExporter,
) -> None:
    train(epochs=1, batches=1)
    assert {span.name: span.attributes for span in memory.get_finished_spans()} == {
        "data_loading": {"pair": "gbpusd", "num_samples": 1_000},
        "feature_engineering": {"pair": "gbpusd", "feature_count": 32},
        "training_epoch": {
            "epoch": 1,
            "total_epochs": 1,
            "train_loss": 0.7,
            "val_loss": 0.6,
            "loss_at_step_1": 0.7,
        },
        "batch_processing": {
            "batch_index": 1,
            "batch_size": 64,
            "loss": 1.0,
            "task.direction": 0.25,
        },
        "validation": {"epoch": 1, "val_loss": 0.6, "val_metric": 0.8, "val.dir_acc": 0.8},
    }


def test_T19_the_validation_span_covers_the_evaluation(memory: InMemorySpanExporter) -> None:
    with trace_validation(get_tracer("train")) as span:
        # The clock that spans are timed by: an evaluation of as long as it takes to move.
        before = time.perf_counter_ns()
        while (after := time.perf_counter_ns()) == before:
            pass
        span.set_attribute("val_loss", 0.5)
    validation = one(memory, "validation")
    assert validation.end_time - validation.start_time >= after - before > 0


def test_validation_takes_values_at_the_start_and_an_epoch(memory: InMemorySpanExporter) -> None:
    with trace_validation(get_tracer("train"), 0.5, 0.75, epoch=7):
        pass
    assert one(memory, "validation").attributes == {
        "epoch": 7,
        "val_loss": 0.5,
        "val_metric": 0.75,
    }


def test_T16_a_tracing_context_yields_a_span_that_accepts_attributes(
    memory: InMemorySpanExporter,
) -> None:
    with TracingContext(get_tracer("test"), "work", {"key": "value"}) as span:
        assert isinstance(span, Span)
        assert span.is_recording()
        span.set_attribute("result", 1)
    assert one(memory, "work").attributes == {"key": "value", "result": 1}


def test_T16_a_tracing_context_without_tracer_works(memory: InMemorySpanExporter) -> None:
    with TracingContext(None, "work") as span:
        span.set_attribute("result", 1)
    assert one(memory, "work").attributes == {"result": 1}


def test_T16_a_tracing_context_works_asynchronously(memory: InMemorySpanExporter) -> None:
    async def main() -> None:
        async with TracingContext(get_tracer("test"), "outer") as outer:
            outer.set_attribute("result", 1)
            await asyncio.sleep(0)
            async with get_tracer("test").start_as_current_span("inner"):
                await asyncio.sleep(0)

    asyncio.run(main())
    assert one(memory, "outer").attributes == {"result": 1}
    assert is_child(one(memory, "inner"), one(memory, "outer"))


@pytest.mark.parametrize("enabled", [True, False])
def test_T3_every_method_exists_with_and_without_set_up(enabled: bool) -> None:
    if enabled:
        tracing.setup_tracing(exporters=[InMemorySpanExporter()])
    tracer = get_tracer("test")
    with tracer.start_span("other") as other:
        pass
    with tracer.start_as_current_span(
        "work",
        kind="server",
        attributes={"a": 1},
        links=[other.get_span_context()],
        start_time=time.time_ns(),
    ) as span:
        assert span.is_recording() is enabled
        assert span.get_span_context().is_valid is enabled
        assert span.name == ("work" if enabled else "")
        assert tracing.current_span().get_span_context() == span.get_span_context()
        span.set_attribute("b", 2)
        span.set_attributes({"c": 3})
        span.add_event("happened", {"d": 4}, timestamp=time.time_ns())
        span.add_link(other.get_span_context(), {"e": 5})
        span.update_name("renamed")
        span.set_status(StatusCode.OK)
        span.record_exception(ValueError("handled"))
        span.record_error(ValueError("failed"))
        span.end()
    with tracing.use_span(tracer.start_span("used")):
        pass


def test_names_events_links_kind_and_times_arrive_as_given(memory: InMemorySpanExporter) -> None:
    tracer = get_tracer("test")
    with tracer.start_span("linked") as linked:
        pass
    span = tracer.start_span("work", kind="client", links=[linked.context], start_time=1_000)
    span.add_event("happened", {"answer": 42}, timestamp=1_500)
    span.add_link(linked.context, {"why": "because"})
    span.update_name("renamed")
    span.end(end_time=2_000)
    work = one(memory, "renamed")
    assert (work.kind, work.start_time, work.end_time) == ("client", 1_000, 2_000)
    (event,) = work.events
    assert (event.name, event.timestamp, event.attributes) == ("happened", 1_500, {"answer": 42})
    assert [link.context.span_id for link in work.links] == [linked.context.span_id] * 2
    assert [link.attributes for link in work.links] == [{}, {"why": "because"}]


def test_T20_an_error_gives_status_one_exception_event_and_error_attributes(
    memory: InMemorySpanExporter,
) -> None:
    with pytest.raises(ZeroDivisionError), TracingContext(get_tracer("test"), "work"):
        _ = 1 / 0
    work = one(memory, "work")
    assert work.status.status_code == StatusCode.ERROR
    assert work.status.description == "ZeroDivisionError: division by zero"
    assert work.attributes == {
        "error.type": "ZeroDivisionError",
        "error.message": "division by zero",
    }
    (exception,) = exceptions(work)
    assert exception["exception.type"] == "ZeroDivisionError"
    assert exception["exception.message"] == "division by zero"
    assert "Traceback (most recent call last)" in exception["exception.stacktrace"]
    assert "_ = 1 / 0" in exception["exception.stacktrace"]


def test_T21_a_parent_that_handled_the_error_has_none(memory: InMemorySpanExporter) -> None:
    tracer = get_tracer("test")
    with TracingContext(tracer, "parent"):
        try:
            with TracingContext(tracer, "child"):
                raise ValueError("wrong")
        except ValueError:
            pass
    parent, child = one(memory, "parent"), one(memory, "child")
    assert len(exceptions(child)) == 1
    assert exceptions(parent) == []
    assert parent.status.status_code == StatusCode.UNSET
    assert "error.type" not in parent.attributes


def test_T21_one_exception_event_even_where_the_error_passes_several_spans(
    memory: InMemorySpanExporter,
) -> None:
    tracer = get_tracer("test")
    with (
        pytest.raises(ValueError, match="wrong"),
        TracingContext(tracer, "top"),
        TracingContext(tracer, "middle"),
        TracingContext(tracer, "bottom"),
    ):
        raise ValueError("wrong")
    assert len(exceptions(one(memory, "bottom"))) == 1
    for name in ("middle", "top"):
        span = one(memory, name)
        assert exceptions(span) == []
        assert span.status.status_code == StatusCode.ERROR
        assert span.attributes["error.type"] == "ValueError"


def test_T21_an_error_that_was_recorded_by_hand_is_not_recorded_again(
    memory: InMemorySpanExporter,
) -> None:
    with (
        pytest.raises(ValueError, match="wrong"),
        TracingContext(get_tracer("test"), "work") as span,
    ):
        error = ValueError("wrong")
        span.record_exception(error)
        raise error
    assert len(exceptions(one(memory, "work"))) == 1


def test_T21_an_error_that_is_raised_again_elsewhere_is_recorded_there(
    memory: InMemorySpanExporter,
) -> None:
    error = ValueError("wrong")
    for name in ("first", "second"):
        with pytest.raises(ValueError, match="wrong"), TracingContext(get_tracer("test"), name):
            raise error
    assert len(exceptions(one(memory, "first"))) == 1
    assert len(exceptions(one(memory, "second"))) == 1


def test_leaving_is_no_error_and_an_interrupt_is_one(memory: InMemorySpanExporter) -> None:
    for exception in (SystemExit, GeneratorExit, asyncio.CancelledError, KeyboardInterrupt):
        with pytest.raises(exception), TracingContext(None, exception.__name__):
            raise exception
    failed = {
        span.name
        for span in memory.get_finished_spans()
        if span.status.status_code == StatusCode.ERROR
    }
    assert failed == {"KeyboardInterrupt"}


def test_an_explicit_ok_is_not_overruled_by_later_unset(memory: InMemorySpanExporter) -> None:
    with TracingContext(None, "work") as span:
        span.set_status(StatusCode.OK)
        span.set_status("unset")
    assert one(memory, "work").status.status_code == StatusCode.OK


def test_S40_late_attributes_count_until_the_end_and_are_ignored_after_it(
    memory: InMemorySpanExporter,
) -> None:
    provider = tracing.setup_tracing()
    with trace_training_epoch(get_tracer("train"), 1, 1) as epoch:
        with trace_batch_processing(get_tracer("train"), 1, 64) as batch:
            pass
        epoch.set_attribute("train_loss", 0.5)
        batch.set_attribute("loss", 0.25)
    epoch.set_attribute("val_loss", 0.5)
    assert one(memory, "training_epoch").attributes["train_loss"] == 0.5
    assert "val_loss" not in one(memory, "training_epoch").attributes
    assert "loss" not in one(memory, "batch_processing").attributes
    assert provider.statistics()["late_changes"] == 2


def test_ending_twice_exports_once(memory: InMemorySpanExporter) -> None:
    with TracingContext(None, "work") as span:
        span.end()
        span.end()
    assert len(memory.get_finished_spans()) == 1


def test_the_decorator_form_starts_a_span_per_call(memory: InMemorySpanExporter) -> None:
    tracer = get_tracer("test")

    @tracer.start_as_current_span("called")
    def function(value: int) -> int:
        """Doubles."""
        return 2 * value

    @tracer.start_as_current_span("awaited")
    async def coroutine(value: int) -> int:
        await asyncio.sleep(0)
        return 2 * value

    assert all_of(memory, "called") == []
    assert [function(1), function(2)] == [2, 4]
    assert asyncio.run(coroutine(3)) == 6
    assert inspect.iscoroutinefunction(coroutine)
    assert function.__doc__ == "Doubles."
    assert len(all_of(memory, "called")) == 2
    assert len(all_of(memory, "awaited")) == 1


def test_ids_do_not_depend_on_the_programs_seed(memory: InMemorySpanExporter) -> None:
    import random

    contexts: set[Any] = set()
    for _ in range(2):
        random.seed(7)
        with TracingContext(None, "work") as span:
            contexts.add((span.context.trace_id, span.context.span_id))
    assert len(contexts) == 2
