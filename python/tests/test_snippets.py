"""The snippets of the documentation run as they stand, apart from the import root."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from spans import one

from lumitrace import tracing
from lumitrace.tracing import InMemorySpanExporter

MANUAL_TRACING = """
from lumitrace.tracing import get_tracer, TracingContext

tracer = get_tracer(__name__)

# Simple span
with TracingContext(tracer, "operation_name", {"key": "value"}) as span:
    result = expensive_operation()
    span.set_attribute("result", result)

# Decorator
from lumitrace.tracing import trace_function

@trace_function(tracer, func_name="my_op")
def my_function(x, y):
    return x + y
"""

CONFIGURATION = """
from lumitrace.tracing import setup_tracing

setup_tracing(
    service_name="my-service",
    otlp_endpoint="http://localhost:4318",
    environment="production"
)
"""

MANUAL_TRACING_IN_YOUR_CODE = """
from lumitrace.tracing import get_tracer, TracingContext

tracer = get_tracer(__name__)

with TracingContext(tracer, "my_operation", {"pair": "gbpusd"}) as span:
    # Your code here
    span.set_attribute("result", value)
"""


def run(snippet: str, **names: Any) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "snippet", **names}
    exec(compile(snippet, "snippet", "exec"), scope)
    return scope


def test_T14_the_manual_tracing_snippet_exports_its_spans(memory: InMemorySpanExporter) -> None:
    scope = run(MANUAL_TRACING, expensive_operation=lambda: 42)
    assert scope["my_function"](1, 2) == 3
    operation = one(memory, "operation_name")
    assert operation.attributes == {"key": "value", "result": 42}
    assert operation.instrumentation_scope.name == "snippet"
    function = one(memory, "my_op")
    assert function.attributes == {"function": "my_function", "result.status": "success"}
    assert function.parent is None


def test_T14_the_snippet_of_the_summary_exports_its_span(memory: InMemorySpanExporter) -> None:
    run(MANUAL_TRACING_IN_YOUR_CODE, value=0.5)
    assert one(memory, "my_operation").attributes == {"pair": "gbpusd", "result": 0.5}


def test_T14_the_snippets_run_before_and_without_set_up() -> None:
    scope = run(MANUAL_TRACING, expensive_operation=lambda: 42)
    assert scope["my_function"](1, 2) == 3


def test_T14_the_configuration_snippet_sets_resource_and_endpoint(collector: Collector) -> None:
    run(CONFIGURATION.replace("http://localhost:4318", collector.endpoint))
    with tracing.get_tracer("test").start_as_current_span("work"):
        pass
    assert tracing.force_flush()
    resource = collector.one("work").resource
    assert resource["service.name"] == "my-service"
    assert resource["deployment.environment.name"] == "production"
    assert resource["deployment.environment"] == "production"
    assert [request.path for request in collector.requests] == ["/v1/traces"]


def test_T14_the_documented_variables_change_endpoint_and_sampling(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    tracing.setup_tracing()
    tracer = tracing.get_tracer("test")
    for _ in range(1_000):
        with tracer.start_as_current_span("work"):
            pass
    assert tracing.force_flush()
    # Binomial: outside of this range once in 10^15 runs.
    assert 370 < len(collector.named("work")) < 630


PYTHON = Path(__file__).parent.parent
README = PYTHON / "README.md"
ROOT_README = PYTHON.parent / "README.md"
GUIDE = PYTHON.parent / "docs" / "tracing.md"
UI_EXAMPLE = PYTHON.parent / "ui" / "src" / "examples" / "training_loop.py"

# An installed package has no documents: the tests may run apart from the source.
needs_documents = pytest.mark.skipif(not GUIDE.exists(), reason="tests run apart from the source")


def blocks_of(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)


@needs_documents
def test_T14_the_snippets_of_the_readme_run(collector: Collector) -> None:
    loop, other_work, memory = blocks_of(README)
    names = {
        "num_epochs": 2,
        "loader": [[1, 2], [3]],
        "train_step": lambda batch: 0.5,
        "validate": lambda: 0.25,
        "expensive_operation": lambda: 42,
    }
    here = f"setup_tracing(otlp_endpoint={collector.endpoint!r}, "
    scope = run(loop.replace("setup_tracing(", here), **names)
    scope = run(other_work, **scope)
    assert scope["my_function"](1, 2) == 3
    assert tracing.shutdown()
    batches = collector.named("batch_processing")
    assert [batch.attributes["batch_size"] for batch in batches] == [2, 1, 2, 1]
    assert [span.attributes["epoch"] for span in collector.named("validation")] == [1, 2]
    assert collector.one("operation_name").attributes == {"key": "value", "result": 42}
    assert collector.one("my_op")
    run(memory)


@needs_documents
def test_T14_the_loop_of_the_projects_readme_sends_its_spans(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    (loop,) = blocks_of(ROOT_README)
    run(loop, batches=[[1, 2], [3]], train=lambda batch: 0.5, evaluate=lambda: 0.25)
    assert tracing.shutdown()
    assert collector.spans[0].resource["service.name"] == "my-training"
    assert len(collector.named("training_epoch")) == 3
    losses = [batch.attributes["loss"] for batch in collector.named("batch_processing")]
    assert losses == [0.5] * 6
    assert [span.attributes["val_loss"] for span in collector.named("validation")] == [0.25] * 3


@needs_documents
def test_T14_the_program_that_the_web_interface_shows_runs(collector: Collector) -> None:
    program = UI_EXAMPLE.read_text()
    assert "http://localhost:4318" in program
    run(program.replace("http://localhost:4318", collector.endpoint))
    assert tracing.shutdown()
    assert len(collector.named("training_epoch")) == 3
    assert len(collector.named("batch_processing")) == 60
    assert all("val_loss" in span.attributes for span in collector.named("validation"))


@needs_documents
def test_T14_the_snippets_of_the_guide_run(memory: InMemorySpanExporter) -> None:
    by_hand, decorator = blocks_of(GUIDE)
    names = {name: getattr(tracing, name) for name in tracing.__all__}
    tracer = tracing.get_tracer("guide")
    run(by_hand, tracer=tracer, expensive_operation=lambda: 42, **names)
    scope = run(decorator, tracer=tracer, **names)
    assert scope["my_function"](1, 2) == 3
    assert one(memory, "operation_name").attributes == {"key": "value", "result": 42}
    assert one(memory, "my_op")


def rows_of(document: Path) -> list[list[str]]:
    """The cells of the rows whose first cell is code."""
    lines = document.read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`(.+?)`", cell)


def documented_defaults(document: Path) -> dict[str, str]:
    return {name: row[1].strip(" `") for row in rows_of(document) for name in names_in(row[0])}


@needs_documents
def test_T10_the_defaults_in_the_readme_are_those_of_the_code() -> None:
    documented = documented_defaults(README)
    parameters = inspect.signature(tracing.setup_tracing).parameters
    for name in ("service_name", "otlp_endpoint", "environment", "opentelemetry"):
        assert str(parameters[name].default) == documented[name]
    assert set(documented) == set(parameters)


@needs_documents
def test_T10_the_defaults_in_the_readme_are_those_of_the_guide() -> None:
    """The guide's are compared with the code by the SDK's own tests."""
    of_variables = documented_defaults(GUIDE)
    in_guide = {
        "protocol": "OTEL_EXPORTER_OTLP_PROTOCOL",
        "compression": "OTEL_EXPORTER_OTLP_COMPRESSION",
        "timeout_ms": "OTEL_EXPORTER_OTLP_TIMEOUT",
        "schedule_delay_ms": "OTEL_BSP_SCHEDULE_DELAY",
        "max_queue_size": "OTEL_BSP_MAX_QUEUE_SIZE",
        "max_export_batch_size": "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    }
    of_arguments = documented_defaults(README)
    for argument, variable in in_guide.items():
        assert of_arguments[argument] == of_variables[variable], argument
    sampler = of_variables["OTEL_TRACES_SAMPLER"], of_variables["OTEL_TRACES_SAMPLER_ARG"]
    assert of_arguments["sampler"] == "{}`, {}".format(*sampler)


@needs_documents
def test_T10_the_documented_sizes_are_those_in_force(collector: Collector) -> None:
    assert documented_defaults(README)["max_export_batch_size"] == "512"
    assert documented_defaults(README)["max_queue_size"] == "2048"
    tracing.setup_tracing(otlp_endpoint=collector.endpoint)
    for _ in range(2_000):
        tracing.get_tracer("test").start_span("work").end()
    assert tracing.shutdown()
    assert max(len(request.span_names) for request in collector.requests) == 512
    collector.close()
    provider = tracing.setup_tracing(otlp_endpoint=collector.endpoint)
    tracing.get_tracer("test").start_span("first").end()
    assert not tracing.force_flush()
    for _ in range(3_000):
        tracing.get_tracer("test").start_span("work").end()
    assert provider.statistics()["waiting_spans"] == 2048


SIGNATURES = {
    "setup_tracing": ["service_name", "otlp_endpoint", "environment"],
    "get_tracer": ["module_name"],
    "TracingContext": ["tracer", "span_name", "attributes"],
    "trace_function": ["tracer", "func_name"],
    "trace_training_epoch": ["tracer", "epoch", "num_epochs"],
    "trace_batch_processing": ["tracer", "batch_idx", "batch_size"],
    "trace_validation": ["tracer", "val_loss", "val_metric"],
    "trace_data_loading": ["tracer", "pair", "num_samples"],
    "trace_feature_engineering": ["tracer", "pair", "feature_count"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_T15_every_documented_name_exists_with_its_parameters(name: str) -> None:
    parameters = list(inspect.signature(getattr(tracing, name)).parameters)
    assert parameters[: len(SIGNATURES[name])] == SIGNATURES[name]
    assert name in tracing.__all__


def test_T10_the_documented_defaults_are_those_of_the_signature() -> None:
    parameters = inspect.signature(tracing.setup_tracing).parameters
    assert parameters["service_name"].default == "sequence"
    assert parameters["otlp_endpoint"].default == "http://localhost:4318"
    assert parameters["environment"].default == "development"
