"""Living together with OpenTelemetry's API and SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter as SdkExporter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from spans import exceptions, is_child, one

from lumitrace import tracing
from lumitrace.tracing import InMemorySpanExporter, StatusCode, TracingContext, get_tracer

tracer = get_tracer("test")


def sdk() -> tuple[trace.Tracer, SdkExporter]:
    exporter = SdkExporter()
    provider = SdkTracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("sdk"), exporter


def test_S36_spans_of_either_side_are_parents_of_the_other(memory: InMemorySpanExporter) -> None:
    theirs, their_exporter = sdk()
    with (
        TracingContext(tracer, "ours"),
        theirs.start_as_current_span("theirs"),
        TracingContext(tracer, "ours again"),
    ):
        pass
    ours, again = one(memory, "ours"), one(memory, "ours again")
    (their_span,) = their_exporter.get_finished_spans()
    assert their_span.parent is not None
    assert their_span.context is not None
    assert their_span.parent.span_id == ours.context.span_id
    assert again.parent is not None
    assert again.parent.span_id == their_span.context.span_id
    assert ours.context.trace_id == their_span.context.trace_id == again.context.trace_id


def test_S36_our_span_is_opentelemetrys_current_span(memory: InMemorySpanExporter) -> None:
    with TracingContext(tracer, "work") as span:
        current: object = trace.get_current_span()
        assert current is span
        assert isinstance(current, trace.Span)
        assert isinstance(current.get_span_context(), trace.SpanContext)
        current.set_attribute("key", "value")
        current.set_status(trace.Status(trace.StatusCode.ERROR, "broken"))
        current.add_event("happened")
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
    work = one(memory, "work")
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert work.attributes == {"key": "value"}
    assert work.status.status_code == StatusCode.ERROR
    assert work.status.description == "broken"
    ids = f"{work.context.trace_id:032x}-{work.context.span_id:016x}"
    assert carrier["traceparent"] == f"00-{ids}-03"


def test_S36_a_remote_parent_and_its_sampling_are_respected(memory: InMemorySpanExporter) -> None:
    ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    for flags, recorded in (("01", True), ("00", False)):
        context = TraceContextTextMapPropagator().extract({"traceparent": f"00-{ids}-{flags}"})
        server = trace.SpanKind.SERVER
        with tracer.start_as_current_span(f"served {flags}", context, server) as span:
            assert span.is_recording() is recorded
            assert f"{span.get_span_context().trace_id:032x}" == ids[:32]
    (served,) = memory.get_finished_spans()
    assert (served.name, served.kind) == ("served 01", "server")
    assert served.parent is not None
    assert f"{served.parent.span_id:016x}" == ids[33:]
    assert served.parent.is_remote


def test_S36_opentelemetrys_tracers_record_through_us_across_set_ups() -> None:
    library = trace.get_tracer("library", "1.2")
    for _ in range(2):
        memory = InMemorySpanExporter()
        tracing.setup_tracing(exporters=[memory])
        with (
            TracingContext(tracer, "ours"),
            library.start_as_current_span(
                "library", kind=trace.SpanKind.CLIENT, attributes={"key": "value"}
            ),
        ):
            pass
        span = one(memory, "library")
        assert is_child(span, one(memory, "ours"))
        assert (span.kind, span.attributes) == ("client", {"key": "value"})
        scope = span.instrumentation_scope
        assert (scope.name, scope.version) == ("library", "1.2")
        tracing.shutdown()


def test_S36_opentelemetrys_use_span_works_with_our_spans(memory: InMemorySpanExporter) -> None:
    with (
        pytest.raises(ValueError, match="wrong"),
        trace.use_span(trace.get_tracer("library").start_span("used"), end_on_exit=True),
    ):
        raise ValueError("wrong")
    used = one(memory, "used")
    assert len(exceptions(used)) == 1
    assert used.status.status_code == StatusCode.ERROR


def test_S36_helpers_accept_a_tracer_of_the_other_side(memory: InMemorySpanExporter) -> None:
    theirs, exporter = sdk()

    @tracing.trace_function(theirs)
    def function() -> int:
        return 1

    @tracing.trace_function(theirs)
    async def coroutine() -> int:
        return 2

    with tracing.trace_training_epoch(theirs, 1, 3) as span:
        span.set_attribute("train_loss", 0.5)
        assert function() + asyncio.run(coroutine()) == 3
    with (
        pytest.raises(ValueError, match="wrong"),
        TracingContext(theirs, "failed", {"key": "value"}),
    ):
        raise ValueError("wrong")
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"function", "coroutine", "training_epoch", "failed"}
    epoch = spans["training_epoch"]
    assert dict(epoch.attributes or {}) == {"epoch": 1, "total_epochs": 3, "train_loss": 0.5}
    assert spans["failed"].status.status_code == trace.StatusCode.ERROR
    assert memory.get_finished_spans() == ()


def test_S36_a_provider_that_the_program_set_stays() -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
trace.set_tracer_provider(provider)
from lumitrace import tracing
tracing.setup_tracing(exporters=["none"])
assert trace.get_tracer_provider() is provider
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_S36_without_the_sdk_its_api_is_served(tmp_path: Path) -> None:
    packages = Path(trace.__file__).parents[2]
    (tmp_path / "opentelemetry").mkdir()
    parts = [part for part in (packages / "opentelemetry").iterdir() if part.name != "sdk"]
    for part in [*parts, packages / "typing_extensions.py", *packages.glob("opentelemetry_api-*")]:
        parent = tmp_path / "opentelemetry" if part in parts else tmp_path
        (parent / part.name).symlink_to(part)
    program = """
from lumitrace import tracing
memory = tracing.InMemorySpanExporter()
tracing.setup_tracing(exporters=[memory])
from opentelemetry import trace
with trace.get_tracer("library").start_as_current_span("work") as span:
    assert trace.get_current_span() is span
assert [span.name for span in memory.get_finished_spans()] == ["work"]
import sys
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
"""
    ours = Path(tracing.__file__).parents[1]
    # Without the folder of installed packages.
    subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", program],
        env={"PYTHONPATH": f"{tmp_path}:{ours}"},
        check=True,
    )


def test_S36_with_the_sdk_its_provider_is_ours_and_takes_processors() -> None:
    program = """
from lumitrace import tracing
memory = tracing.InMemorySpanExporter()
tracing.setup_tracing(service_name="shop", exporters=[memory])
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
provider = trace.get_tracer_provider()
assert isinstance(provider, TracerProvider)
assert provider.resource.attributes["service.name"] == "shop"
class Naming(SpanProcessor):
    def on_end(self, span):
        span._name = "renamed"
trace.get_tracer("library").start_span("native").end()
provider.add_span_processor(Naming())
with tracing.get_tracer("ours").start_as_current_span("outer"):
    trace.get_tracer("library").start_span("python").end()
assert provider.force_flush()
assert [span.name for span in memory.get_finished_spans()] == ["native", "renamed", "outer"]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_S36_importing_us_imports_no_opentelemetry() -> None:
    program = """
import sys
import lumitrace.tracing
lumitrace.tracing.get_tracer("early")
loaded = [name for name in sys.modules if name.startswith("opentelemetry")]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("serve", [True, False])
def test_T13_opentelemetry_is_served_unless_told_otherwise(serve: bool) -> None:
    program = f"""
from lumitrace import tracing
memory = tracing.InMemorySpanExporter()
tracing.setup_tracing(exporters=[memory], opentelemetry={serve})
from opentelemetry import trace
trace.get_tracer("other").start_span("work").end()
assert len(memory.get_finished_spans()) == {int(serve)}
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "module",
    [
        "raise ImportError('no module')",
        "raise RuntimeError('broken on import')",
        "class Context(dict): pass",
    ],
)
def test_T1_T2_a_missing_or_broken_opentelemetry_costs_only_the_interoperation(
    tmp_path_factory: pytest.TempPathFactory, module: str
) -> None:
    path = tmp_path_factory.mktemp("packages")
    for name in ("opentelemetry", "opentelemetry/trace", "opentelemetry/context"):
        (path / name).mkdir()
        (path / name / "__init__.py").write_text("" if name == "opentelemetry" else module)
    program = """
import logging
from lumitrace import tracing
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
memory = tracing.InMemorySpanExporter()
tracing.setup_tracing(exporters=[memory])
with tracing.get_tracer("test").start_as_current_span("outer"):
    with tracing.get_tracer("test").start_as_current_span("inner"):
        pass
inner, outer = memory.get_finished_spans()
assert inner.parent.span_id == outer.context.span_id
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{path}:{':'.join(sys.path)}"},
    )
    assert result.stderr.count("WARNING lumitrace ") == 1, result.stderr
