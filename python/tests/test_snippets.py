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


README = Path(__file__).parent.parent / "README.md"


def blocks_of_the_readme() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.skipif(not README.exists(), reason="tests run apart from the source")
def test_T14_the_snippets_of_the_readme_run(collector: Collector) -> None:
    loop, other_work, memory = blocks_of_the_readme()
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


@pytest.mark.skipif(not README.exists(), reason="tests run apart from the source")
def test_T10_the_defaults_in_the_readme_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.*?) ?\|", README.read_text(), re.MULTILINE)
    documented = {name: default.strip("`") for name, default in rows}
    parameters = inspect.signature(tracing.setup_tracing).parameters
    for name in ("service_name", "otlp_endpoint", "environment"):
        assert parameters[name].default == documented[name]
    named = {name for names in documented for name in names.split("`, `")}
    assert named < set(parameters)


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
