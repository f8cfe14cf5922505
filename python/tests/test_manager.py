"""Setting up by a manager: what it is set up with, and what it can do."""

from __future__ import annotations

import asyncio
import inspect
import logging
import subprocess
import sys
from typing import Any

import pytest
from collector import Collector
from spans import exceptions, is_child, one

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    StatusCode,
    TraceExporterType,
    Tracer,
    TracingManager,
    get_tracer,
    health_check,
    initialize_tracing,
    set_tracer,
    setup_tracing,
)


def in_memory(**arguments: Any) -> TracingManager:
    return initialize_tracing(exporter_type="in_memory", **arguments)


def test_C1_T10_the_documented_parameters_and_defaults_are_those_of_the_code() -> None:
    documented = {
        "service_name": "continuum",
        "exporter_type": "console",
        "jaeger_host": "localhost",
        "jaeger_port": 6831,
        "otlp_endpoint": "http://localhost:4317",
        "enabled": True,
    }
    for function in (initialize_tracing, TracingManager):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in documented} == documented
        assert list(parameters)[: len(documented)] == list(documented)


def test_C1_T9_the_initializer_works_awaited_and_plain() -> None:
    plain = in_memory()
    assert isinstance(plain, TracingManager)
    assert get_tracer() is plain

    async def main() -> TracingManager:
        return await initialize_tracing(exporter_type="in_memory")

    awaited = asyncio.run(main())
    assert isinstance(awaited, TracingManager)
    assert get_tracer() is awaited


def test_T5_C30_the_service_and_its_attributes_are_on_every_exported_resource(
    collector: Collector,
) -> None:
    manager = TracingManager(
        service_name="continuum-test",
        exporter_type="otlp",
        otlp_endpoint=collector.endpoint,
        resource_attributes={"team": "research"},
    )
    with manager.trace_operation("op"):
        pass
    assert manager.force_flush()
    resource = collector.one("op").resource
    assert resource["service.name"] == "continuum-test"
    assert resource["team"] == "research"
    assert resource["deployment.environment.name"] == "development"
    assert manager.resource is not None
    assert manager.resource.attributes["team"] == "research"


def test_C30_attributes_of_the_environment_are_on_the_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=research,service.name=named")
    manager = in_memory()
    manager.start_span("op").end()
    resource = one_of(manager, "op").resource.attributes
    assert resource["team"] == "research"
    assert resource["service.name"] == "named"
    assert manager.service_name == "named"


def one_of(manager: TracingManager, name: str) -> tracing.FinishedSpan:
    (span,) = [span for span in manager.get_finished_spans() if span.name == name]
    return span


def test_C2_a_manager_tells_what_it_is() -> None:
    manager = TracingManager("my-service", "in_memory")
    assert manager.tracer is manager
    assert isinstance(manager, Tracer)
    assert manager.service_name == "my-service"
    assert manager.exporter_type is TraceExporterType.IN_MEMORY
    assert manager.enabled
    tracing.shutdown()
    assert not manager.enabled


def test_C3_the_types_of_exporters_are_the_documented_ones() -> None:
    types = {it.value for it in TraceExporterType}
    assert types == {"jaeger", "otlp", "in_memory", "console", "none"}


def test_C3_an_unknown_exporter_warns_and_the_program_works(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = initialize_tracing(exporter_type="carrier_pigeon")
    with manager.trace_operation("op"):
        pass
    assert manager.force_flush()
    assert "TRACE: op (" in capfd.readouterr().err
    (record,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert "carrier_pigeon" in record.message


def test_C3_a_member_of_the_enumeration_and_its_name_mean_the_same() -> None:
    assert initialize_tracing(exporter_type=TraceExporterType.NONE).exporter_type == "none"


def test_C25_the_console_is_the_default_and_prints_the_documented_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    manager = initialize_tracing()
    span = manager.start_span("my_operation", start_time=1_234_567_890_123_000_000)
    span.end(1_234_567_891_456_000_000)
    assert manager.force_flush()
    line = "INFO:root:TRACE: my_operation (1234567890.123-1234567891.456) status=UNSET\n"
    assert capfd.readouterr().err == line
    assert manager.exporter_type == "console"
    assert manager.service_name == "continuum"


def test_C24_otlp_to_the_documented_port_speaks_grpc(caplog: pytest.LogCaptureFixture) -> None:
    manager = initialize_tracing(exporter_type="otlp", otlp_endpoint="http://127.0.0.1:4317")
    manager.start_span("op").end()
    manager.force_flush(2_000)
    tracing.shutdown(100)
    assert all("127.0.0.1:4317" in it.message for it in caplog.records if "send" in it.message)


def test_C1_an_endpoint_alone_means_otlp(collector: Collector) -> None:
    manager = initialize_tracing(otlp_endpoint=collector.endpoint)
    manager.start_span("op").end()
    assert manager.force_flush()
    assert collector.one("op")
    assert manager.exporter_type is TraceExporterType.OTLP


def test_C1_the_environment_stands_above_the_defaults_and_below_arguments(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    manager = initialize_tracing()
    manager.start_span("op").end()
    assert manager.force_flush()
    assert collector.one("op").resource["service.name"] == "from-environment"
    tracing.shutdown()
    manager = initialize_tracing(service_name="continuum", exporter_type="in_memory")
    manager.start_span("op").end()
    assert one_of(manager, "op").resource.attributes["service.name"] == "continuum"


def test_C21_the_exporter_of_the_environment_may_be_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACING_EXPORTER", "in_memory")
    manager = initialize_tracing()
    manager.start_span("op").end()
    assert one_of(manager, "op")
    assert manager.exporter_type == "in_memory"


def test_C26_T11_memory_returns_finished_spans_and_forgets_them() -> None:
    manager = in_memory()
    with manager.trace_operation("op"):
        assert manager.get_finished_spans() == ()
    assert [span.name for span in manager.get_finished_spans()] == ["op"]
    manager.clear()
    assert manager.get_finished_spans() == ()


def test_C26_T11_each_fixture_that_asks_for_memory_begins_with_an_empty_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_memory().start_span("of_another_test").end()
    manager = in_memory()
    manager.start_span("op").end()
    assert [span.name for span in manager.get_finished_spans()] == ["op"]
    assert caplog.records == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"exporter_type": "none"},
        {"enabled": False},
        {"exporter_type": "in_memory", "enabled": False},
    ],
)
def test_C27_T11_switched_off_nothing_is_recorded_and_the_api_stays(
    arguments: dict[str, Any],
) -> None:
    manager = initialize_tracing(**arguments)
    with manager.trace_operation("op", {"key": "value"}) as span:
        assert not span.is_recording()
        manager.add_trace_event("event", {"key": "value"})
        manager.set_trace_attribute("key", "value")
        manager.record_exception(ValueError("wrong"))
    assert not manager.enabled
    assert manager.get_finished_spans() == ()
    assert health_check()["status"] == "off"


def test_C27_either_switch_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    manager = in_memory(enabled=True)
    manager.start_span("op").end()
    assert manager.get_finished_spans() == ()
    assert not manager.enabled


def test_C4_without_a_name_the_tracer_is_a_manager_that_is_made_when_asked_for(
    collector: Collector,
) -> None:
    manager = get_tracer()
    assert isinstance(manager, TracingManager)
    assert get_tracer() is manager
    assert manager.exporter_type is None
    assert manager.statistics() == {}
    with manager.trace_operation("before"):
        pass
    setup_tracing(otlp_endpoint=collector.endpoint, service_name="later")
    with manager.trace_operation("after"):
        pass
    assert tracing.force_flush()
    assert [span.name for span in collector.spans] == ["after"]
    assert manager.service_name == "later"


def test_C4_with_a_name_the_tracer_is_of_that_module_and_can_do_the_same(
    memory: InMemorySpanExporter,
) -> None:
    tracer = get_tracer("my.module", "1.2")
    with tracer.trace_operation("op"):
        tracer.add_trace_event("event")
    span = one(memory, "op")
    assert span.instrumentation_scope.name == "my.module"
    assert span.instrumentation_scope.version == "1.2"
    assert [event.name for event in span.events] == ["event"]


def test_C4_a_manager_can_be_put_in_the_place_of_another() -> None:
    first = in_memory()
    other = TracingManager.following()
    set_tracer(other)
    assert get_tracer() is other
    set_tracer(first)
    assert get_tracer() is first


def test_C5_a_traced_operation_yields_the_span_with_attributes_and_events() -> None:
    tracer = in_memory()
    events = {"started": {"by": "test"}, "checked": None}
    with tracer.trace_operation("batch_processing", {"batch_size": 100}, events) as span:
        span.set_attribute("key", "value")
    span_ = one_of(tracer, "batch_processing")
    assert (span_.kind, span_.attributes) == ("internal", {"batch_size": 100, "key": "value"})
    told = [(event.name, event.attributes) for event in span_.events]
    assert told == [("started", {"by": "test"}), ("checked", {})]


def test_C5_events_that_are_none_are_no_harm() -> None:
    tracer = in_memory()
    with tracer.trace_operation("op", events=3):  # type: ignore[arg-type]
        pass
    assert one_of(tracer, "op").events == []


def test_C5_T21_a_failed_operation_has_one_exception_event() -> None:
    tracer = in_memory()
    with (
        pytest.raises(ValueError, match="wrong"),
        tracer.trace_operation("outer"),
        tracer.trace_operation("inner"),
    ):
        raise ValueError("wrong")
    outer, inner = one_of(tracer, "outer"), one_of(tracer, "inner")
    assert (len(exceptions(inner)), len(exceptions(outer))) == (1, 0)
    assert inner.status.status_code == StatusCode.ERROR
    assert is_child(inner, outer)


def test_C6_methods_of_the_tracer_act_on_the_current_span() -> None:
    tracer = in_memory()
    with tracer.trace_operation("op"):
        tracer.add_trace_event("batch_checkpoint", {"processed": 50})
        tracer.set_trace_attribute("key", "value")
        tracer.record_exception(ValueError("handled"), {"attempt": 1})
        assert tracer.current_span().name == "op"
    span = one_of(tracer, "op")
    checkpoint, exception = span.events
    assert (checkpoint.name, checkpoint.attributes) == ("batch_checkpoint", {"processed": 50})
    assert exception.name == "exception"
    assert exception.attributes["attempt"] == 1
    assert span.attributes == {"key": "value"}
    assert span.status.status_code == StatusCode.UNSET


def test_C6_without_a_current_span_they_do_nothing() -> None:
    tracer = in_memory()
    tracer.add_trace_event("event")
    tracer.set_trace_attribute("key", "value")
    tracer.record_exception(ValueError("handled"))
    assert tracer.get_finished_spans() == ()


def test_C6_start_span_honours_its_attributes_in_either_place() -> None:
    tracer = in_memory()
    with tracer.trace_operation("parent"):
        tracer.start_span("second", {"key": "value"}).end()
        tracer.start_span("named", attributes={"key": "value"}).end()
    for name in ("second", "named"):
        span = one_of(tracer, name)
        assert span.attributes == {"key": "value"}
        assert is_child(span, one_of(tracer, "parent"))


def test_C6_a_context_of_opentelemetry_in_the_second_place_is_still_a_context() -> None:
    from opentelemetry import context, trace

    tracer = in_memory()
    parent = tracer.start_span("parent")
    below = trace.set_span_in_context(parent)  # type: ignore[arg-type]
    tracer.start_span("child", below).end()
    tracer.start_span("root", context.Context()).end()
    parent.end()
    assert is_child(one_of(tracer, "child"), one_of(tracer, "parent"))
    assert one_of(tracer, "root").parent is None


def test_C33_the_health_check_is_a_span_and_tells_how_tracing_is() -> None:
    tracer = in_memory(service_name="continuum")
    health = health_check()
    assert health["status"] == "ok"
    assert health["enabled"] is True
    assert health["service_name"] == "continuum"
    assert one_of(tracer, "health_check").attributes == {"status": "ok"}

    async def awaited() -> Any:
        return await health_check()

    assert asyncio.run(awaited())["status"] == "ok"


def test_C33_the_health_check_tells_of_losses() -> None:
    initialize_tracing(exporter_type="otlp", otlp_endpoint="http://127.0.0.1:9")
    assert health_check()["status"] == "ok"
    for _ in range(5_000):
        get_tracer().start_span("op").end()
    assert health_check()["status"] == "losing"
    tracing.shutdown(100)


def test_C33_the_health_check_before_the_set_up_says_so() -> None:
    assert health_check() == {
        "status": "off",
        "enabled": False,
        "service_name": None,
        "statistics": {},
    }


def test_C42_the_tracer_counts(collector: Collector) -> None:
    tracer = initialize_tracing(otlp_endpoint=collector.endpoint)
    for _ in range(3):
        tracer.start_span("op").end()
    late = tracer.start_span("late")
    late.end()
    late.set_attribute("key", "value")
    still_open = tracer.start_span("open")
    assert tracer.force_flush()
    statistics = tracer.statistics()
    still_open.end()
    assert statistics["started_spans"] == 5
    assert statistics["ended_spans"] == 4
    assert statistics["exported_spans"] == 4
    assert statistics["late_changes"] == 1
    assert statistics["waiting_spans"] == 0
    assert statistics["queue_full_spans"] == 0


def test_C40_many_attributes_are_set_at_once_with_their_types() -> None:
    tracer = in_memory()
    with tracer.trace_operation("op") as span:
        span.set_attributes({"user_id": 7, "request_id": "r-1", "ratio": 0.5, "ok": True})
    attributes = one_of(tracer, "op").attributes
    assert attributes == {"user_id": 7, "request_id": "r-1", "ratio": 0.5, "ok": True}
    assert [type(value) for value in attributes.values()] == [int, str, float, bool]


def test_S2_a_second_manager_changes_nothing_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = in_memory(service_name="one")
    second = TracingManager("two", "in_memory")
    assert second.service_name == "one"
    assert "service_name" in caplog.text
    second.start_span("op").end()
    assert one_of(first, "op")


@pytest.mark.parametrize(
    "arguments",
    [
        {"service_name": 3},
        {"exporter_type": 3},
        {"jaeger_port": "many", "exporter_type": "jaeger"},
        {"otlp_endpoint": "not a url", "exporter_type": "otlp"},
        {"resource_attributes": 3},
    ],
)
def test_C3_arguments_that_make_no_sense_warn_and_never_raise(
    caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]
) -> None:
    manager = initialize_tracing(**arguments)
    with manager.trace_operation("op") as span:
        span.set_attribute("key", "value")
    assert [it for it in caplog.records if it.levelno == logging.WARNING]


def test_C37_context_is_carried_over_await_tasks_threads_and_executors() -> None:
    tracer = in_memory()

    async def step(name: str) -> None:
        with tracer.trace_operation(name):
            await asyncio.sleep(0)

    def in_thread() -> None:
        with tracer.trace_operation("thread"):
            pass

    async def main() -> None:
        with tracer.trace_operation("request"):
            await step("awaited")
            await asyncio.gather(step("task"), asyncio.create_task(step("created")))
            await asyncio.to_thread(in_thread)

    asyncio.run(main())
    request = one_of(tracer, "request")
    for name in ("awaited", "task", "created", "thread"):
        assert is_child(one_of(tracer, name), request), name


def test_importing_stays_cheap() -> None:
    """What takes long to import is imported where it is needed."""
    program = """
import sys
before = set(sys.modules)
import lumitrace.tracing
heavy = {"asyncio", "inspect", "json", "dataclasses", "pathlib", "importlib.metadata",
    "http.client", "email", "multiprocessing", "concurrent.futures", "opentelemetry"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
