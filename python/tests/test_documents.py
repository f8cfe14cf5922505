"""The snippets of the tracing guides run as they stand, apart from the import root, and export the
spans that they promise.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from collector import Collector
from spans import is_child, one

from lumitrace import metrics, tracing
from lumitrace.tracing import InMemorySpanExporter, StatusCode, TraceCollector, TracingManager


def run(snippet: str, **names: Any) -> dict[str, Any]:
    """Run a snippet, with ``await`` outside of functions as a notebook allows it."""
    scope: dict[str, Any] = {"__name__": "snippet", **names}
    code = compile(snippet, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, scope)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    return scope


def test_T14_C1_the_quick_start_of_continuum(capfd: pytest.CaptureFixture[str]) -> None:
    run(
        """
from lumitrace.tracing import initialize_tracing, trace_operation
import asyncio

async def main():
    # Initialize tracing
    tracer = await initialize_tracing(
        service_name="continuum",
        exporter_type="console",
        enabled=True
    )

    # Trace operations
    @trace_operation("my_operation")
    def my_function():
        return "result"

    result = my_function()
    print(result)

asyncio.run(main())
"""
    )
    assert tracing.force_flush()
    printed = capfd.readouterr()
    assert printed.out == "result\n"
    assert printed.err.startswith("INFO:root:TRACE: my_operation (")
    assert printed.err.endswith(") status=UNSET\n")


JAEGER = """
from lumitrace.tracing import initialize_tracing, trace_operation
import asyncio

async def main():
    await initialize_tracing(
        service_name="continuum",
        exporter_type="jaeger",
        jaeger_host="localhost",
        jaeger_port=6831,
        enabled=True
    )

    @trace_operation("search_concept")
    def search(concept: str):
        return f"results for {concept}"

    result = search("machine learning")

asyncio.run(main())
"""


def test_T14_C22_the_jaeger_example_runs_to_its_end() -> None:
    # What arrives at an agent is tested with the exporter itself.
    run(JAEGER)
    assert tracing.get_tracer().exporter_type == "jaeger"
    assert tracing.get_tracer().service_name == "continuum"


def test_T14_C24_the_otlp_example_sends_to_its_endpoint(collector: Collector) -> None:
    snippet = """
from lumitrace.tracing import initialize_tracing
await initialize_tracing(
    service_name="continuum",
    exporter_type="otlp",
    otlp_endpoint="http://localhost:4317",
    enabled=True
)
"""
    run(snippet.replace("http://localhost:4317", collector.endpoint))
    with tracing.get_tracer().trace_operation("my_op"):
        pass
    assert tracing.force_flush()
    assert collector.one("my_op").resource["service.name"] == "continuum"


@pytest.fixture
def tracer() -> TracingManager:
    return tracing.initialize_tracing(exporter_type="in_memory", enabled=True)


def spans(name: str) -> list[tracing.FinishedSpan]:
    finished = tracing.get_tracer().get_finished_spans()
    return [span for span in finished if span.name == name]


def the(name: str) -> tracing.FinishedSpan:
    (span,) = spans(name)
    return span


@pytest.mark.usefixtures("tracer")
def test_T14_C7_the_decorator_for_functions() -> None:
    scope = run(
        """
from lumitrace.tracing import trace_operation

@trace_operation("expensive_computation")
def calculate(x: int, y: int) -> int:
    # Automatically traced
    return x + y

result = calculate(3, 5)
"""
    )
    assert scope["result"] == 8
    span = the("expensive_computation")
    assert span.attributes["function"] == "calculate"
    assert span.parent is None
    assert span.end_time >= span.start_time
    assert span.resource.attributes["service.name"] == "continuum"


@pytest.mark.usefixtures("tracer")
def test_T14_C8_the_decorator_for_coroutines() -> None:
    class Client:
        async def get(self, url: str) -> str:
            await asyncio.sleep(0.005)
            return f"data of {url}"

    scope = run(
        """
from lumitrace.tracing import trace_async

@trace_async("fetch_data")
async def get_data(url: str):
    # Automatically traced
    return await http_client.get(url)

result = await get_data("https://api.example.com/data")
""",
        http_client=Client(),
    )
    assert scope["result"] == "data of https://api.example.com/data"
    span = the("fetch_data")
    assert span.end_time - span.start_time >= 5_000_000


@pytest.mark.usefixtures("tracer")
def test_T14_C9_the_decorator_for_methods() -> None:
    scope = run(
        """
from lumitrace.tracing import trace_method

class DataProcessor:
    @trace_method("process_task")
    async def process(self, task_id: str):
        # Automatically traced with class context
        return await self._do_work(task_id)

    async def _do_work(self, task_id):
        return f"did {task_id}"

processor = DataProcessor()
result = await processor.process("task_123")
"""
    )
    assert scope["result"] == "did task_123"
    attributes = the("process_task").attributes
    assert (attributes["class"], attributes["method"]) == ("DataProcessor", "process")


@pytest.mark.usefixtures("tracer")
def test_T14_C7_the_options_of_the_decorators() -> None:
    scope = run(
        """
from lumitrace.tracing import trace_operation

# Include arguments in trace
@trace_operation("my_op", include_args=True)
def func(x: int, y: str):
    pass
func(1, y="a")

# Include result in trace
@trace_operation("my_op", include_result=True)
def func() -> str:
    return "result"
func()

# Both
@trace_operation("my_op", include_args=True, include_result=True)
def func(x: int) -> int:
    return x * 2
"""
    )
    assert scope["func"](2) == 4
    first, second, third = (span.attributes for span in spans("my_op"))
    assert (first["args"], first["kwargs"]) == ([1], {"y": "a"})
    assert "result" not in first
    assert second["result"] == "result"
    assert "args" not in second
    assert (third["args"], third["result"]) == ([2], 4)


@pytest.mark.usefixtures("tracer")
def test_T14_C5_C6_the_block_with_a_checkpoint() -> None:
    done: list[Any] = []
    run(
        """
from lumitrace.tracing import get_tracer
import time

tracer = get_tracer()

# Trace a block of code
with tracer.trace_operation(
    "batch_processing",
    attributes={"batch_size": 100}
):
    # Do work
    process_batch(items)

    # Add events during execution
    tracer.add_trace_event(
        "batch_checkpoint",
        {"processed": 50}
    )
""",
        process_batch=done.append,
        items=[1, 2],
    )
    assert done == [[1, 2]]
    span = the("batch_processing")
    assert span.attributes == {"batch_size": 100}
    (event,) = span.events
    assert (event.name, event.attributes) == ("batch_checkpoint", {"processed": 50})


@pytest.mark.usefixtures("tracer")
def test_T14_C11_C12_the_instrumentation_of_the_orchestrator() -> None:
    run(
        """
from lumitrace.tracing import OrchestratorInstrumentation

# Trace exploration submission
OrchestratorInstrumentation.trace_exploration_submission(
    concept="artificial intelligence",
    exploration_id="exp_123"
)

# Trace task processing
OrchestratorInstrumentation.trace_task_processing(
    task_id="task_1",
    task_type="research",
    agent_name="ResearchAgent",
    success=True
)
"""
    )
    assert the("exploration_submitted").attributes["concept"] == "artificial intelligence"
    assert the("task_processed").attributes["agent"] == "ResearchAgent"


@pytest.mark.usefixtures("tracer")
def test_T14_C10_the_alert_for_slow_functions(caplog: pytest.LogCaptureFixture) -> None:
    import time

    scope = run(
        """
from lumitrace.tracing import trace_performance

# Alert if operation takes >100ms
@trace_performance(threshold_ms=100)
def critical_path():
    # Must complete in <100ms
    perform_calculation()
""",
        perform_calculation=lambda: time.sleep(0.11),
    )
    scope["critical_path"]()
    span = the("critical_path_perf")
    assert span.attributes["performance_alert"] is True
    assert span.attributes["duration_ms"] > 100
    assert "critical_path took" in caplog.text


class DefaultConceptOrchestrator:
    def submit_exploration_request(self, concept: str) -> str:
        return f"exp_{concept}"


class SmartResearchAgent:
    def process_task(self, task: Any) -> Any:
        return SimpleNamespace(success=True, confidence=0.9)


class InMemoryKnowledgeGraphEngine:
    def add_node(self, node: Any) -> bool:
        return True


@pytest.mark.usefixtures("tracer")
def test_T14_C36_the_integration_of_components() -> None:
    run(
        """
from lumitrace.tracing import OrchestratorInstrumentation

orchestrator = DefaultConceptOrchestrator()

# Traces automatically recorded
exploration_id = orchestrator.submit_exploration_request("AI")
OrchestratorInstrumentation.trace_exploration_submission(
    concept="AI",
    exploration_id=exploration_id
)

from lumitrace.tracing import AgentInstrumentation

agent = SmartResearchAgent()
response = agent.process_task(task)

AgentInstrumentation.trace_agent_execution(
    agent_name="ResearchAgent",
    task_id=task.id,
    success=response.success,
    confidence=response.confidence
)

from lumitrace.tracing import KnowledgeGraphInstrumentation

engine = InMemoryKnowledgeGraphEngine()
success = engine.add_node(node)

KnowledgeGraphInstrumentation.trace_node_operation(
    operation="add",
    node_id=node.id,
    concept=node.concept,
    success=success
)
""",
        DefaultConceptOrchestrator=DefaultConceptOrchestrator,
        SmartResearchAgent=SmartResearchAgent,
        InMemoryKnowledgeGraphEngine=InMemoryKnowledgeGraphEngine,
        task=SimpleNamespace(id="task_1"),
        node=SimpleNamespace(id="n1", concept="AI"),
    )
    assert the("exploration_submitted").attributes["exploration.id"] == "exp_AI"
    assert the("agent_executed").attributes["confidence"] == 0.9
    assert the("graph_node_add").attributes["success"] is True


def test_T14_C30_a_manager_with_service_attributes() -> None:
    run(
        """
from lumitrace.tracing import TracingManager

tracer = TracingManager(
    service_name="continuum",
    exporter_type="jaeger"
)

# Resource contains service metadata
# Available in all traces
"""
    )
    manager = tracing.get_tracer()
    assert manager.resource is not None
    assert manager.resource.attributes["service.name"] == "continuum"


@pytest.mark.usefixtures("tracer")
def test_T14_C33_the_health_check() -> None:
    scope = run(
        """
from lumitrace.tracing import get_tracer

async def health_check():
    tracer = get_tracer()
    # Check if tracer is functional
    with tracer.trace_operation("health_check"):
        pass
"""
    )
    asyncio.run(scope["health_check"]())
    assert the("health_check").status.status_code == StatusCode.UNSET


def test_T14_C40_many_attributes_at_once(tracer: TracingManager) -> None:
    run(
        """
# Explicitly add attributes
with tracer.trace_operation("op") as span:
    span.set_attributes({
        "user_id": user_id,
        "request_id": request_id,
    })
""",
        tracer=tracer,
        user_id="u1",
        request_id=7,
    )
    assert the("op").attributes == {"user_id": "u1", "request_id": 7}


def test_T14_C29_sampling_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.1")
    tracer = tracing.initialize_tracing(exporter_type="in_memory")
    for _ in range(1_000):
        with tracer.trace_operation("parent"), tracer.trace_operation("child"):
            pass
    # Binomial: outside of this range once in 10^10 runs.
    assert 45 < len(spans("parent")) < 170
    assert len(spans("parent")) == len(spans("child"))


UNIT_TEST = """
import pytest
from lumitrace.tracing import trace_operation, initialize_tracing

@pytest.fixture
def tracer():
    return initialize_tracing(
        exporter_type="in_memory",
        enabled=True
    )

def test_operation_traced(tracer):
    @trace_operation("test_op")
    def my_func():
        return "result"

    result = my_func()
    assert result == "result"
    assert [span.name for span in tracer.get_finished_spans()] == ["test_op"]

def test_spans_of_other_tests_are_gone(tracer):
    assert tracer.get_finished_spans() == ()

def test_with_the_fixture_of_the_package(lumitrace_spans):
    @trace_operation("test_op")
    def my_func():
        return "result"

    my_func()
    assert [span.name for span in lumitrace_spans.get_finished_spans()] == ["test_op"]
"""


def test_T14_T9_C26_C39_the_unit_tests_of_the_guide_pass_and_assert_spans(tmp_path: Path) -> None:
    import subprocess
    import sys
    from importlib.metadata import entry_points

    (tmp_path / "test_guide.py").write_text(UNIT_TEST)
    options = ["-q", "-p", "no:cacheprovider"]
    if not entry_points(group="pytest11", name="lumitrace"):  # the package is not installed
        options += ["-p", "lumitrace.pytest_plugin"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "3 passed" in result.stdout, result.stdout + result.stderr


def test_T14_C39_the_integration_test_of_the_guide_asserts_spans() -> None:
    async def run_orchestration(concept: str) -> Any:
        with tracing.get_tracer().trace_operation("run_orchestration", {"concept": concept}):
            tracing.OrchestratorInstrumentation.trace_exploration_submission(concept, "exp_1")
        return SimpleNamespace(success=True)

    scope = run(
        """
from lumitrace.tracing import initialize_tracing

async def test_full_flow():
    tracer = await initialize_tracing(
        exporter_type="in_memory",
        enabled=True
    )

    # Run full system
    result = await run_orchestration("test_concept")

    # Verify tracing occurred
    assert result.success
""",
        run_orchestration=run_orchestration,
    )
    asyncio.run(scope["test_full_flow"]())
    span = the("run_orchestration")
    assert span.attributes == {"concept": "test_concept"}
    assert [event.name for event in span.events] == ["exploration_submitted"]


class Model:
    """Anything with run() and predict()."""

    name = "gpt-4"

    def run(self, data: Any) -> str:
        logging.getLogger("model").warning("running")
        return "result"

    predict = run


def test_T14_B1_enabling_tracing(memory: InMemorySpanExporter) -> None:
    factory = logging.getLogRecordFactory()
    try:
        scope = run(
            """
import logging
from lumitrace.tracing import enable_tracing, create_span

# Enable all tracing
enable_tracing(level=logging.DEBUG)

# Run your model
with create_span("model_inference"):
    result = model.run(input_data)
""",
            model=Model(),
            input_data="data",
        )
    finally:
        logging.setLogRecordFactory(factory)
    assert scope["result"] == "result"
    (event,) = one(memory, "model_inference").events
    assert event.attributes["log.message"] == "running"


def test_T14_B3_B4_B5_B7_B25_the_collector_from_start_to_page(
    memory: InMemorySpanExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent: list[dict[str, Any]] = []
    run(
        """
from lumitrace.tracing import TraceCollector

collector = TraceCollector()
collector.start()

# Your code here
from lumitrace.tracing import create_span

with create_span("model_inference") as span:
    span.set_attribute("model_name", "gpt-4")
    span.set_attribute("input_size", len(input_data))
    result = model.predict(input_data)
    span.set_attribute("output_size", len(result))

    from lumitrace.tracing import log_event

    log_event("model_loaded", {
        "model_type": "transformer",
        "parameters": 7e9,
        "device": "cuda:0"
    })

trace_data = collector.get_trace()
collector.save_trace('trace.json')

from lumitrace.tracing import visualize_trace

trace_data = collector.get_trace()
visualize_trace(trace_data, output_file='trace_visualization.html')

from lumitrace.tracing import TraceExporter

class CustomExporter(TraceExporter):
    def export(self, trace_data):
        # Custom export logic
        send_to_monitoring_system(trace_data)

collector.add_exporter(CustomExporter())
collector.stop()
""",
        model=Model(),
        input_data="data",
        send_to_monitoring_system=sent.append,
    )
    span = one(memory, "model_inference")
    assert span.attributes == {"model_name": "gpt-4", "input_size": 4, "output_size": 6}
    (event,) = span.events
    assert event.attributes == {
        "model_type": "transformer",
        "parameters": 7e9,
        "device": "cuda:0",
    }
    assert "model_inference" in Path("trace.json").read_text()
    assert "model_inference" in Path("trace_visualization.html").read_text()
    assert [list(trace) for trace in sent] == [["resourceSpans"]]


def test_T14_B4_custom_spans(memory: InMemorySpanExporter) -> None:
    scope = run(
        """
from lumitrace.tracing import create_span

def custom_processing(data):
    with create_span("data_preprocessing") as span:
        span.set_attribute("data_type", type(data).__name__)
        span.set_attribute("data_size", len(data))

        # Processing code
        processed_data = preprocess(data)

        span.set_attribute("processed_size", len(processed_data))
        return processed_data
""",
        preprocess=lambda data: data[:1],
    )
    assert scope["custom_processing"]([1, 2, 3]) == [1]
    attributes = one(memory, "data_preprocessing").attributes
    assert attributes == {"data_type": "list", "data_size": 3, "processed_size": 1}


def test_T14_B9_metrics(memory: InMemorySpanExporter) -> None:
    run(
        """
from lumitrace.metrics import record_metric

record_metric("model_latency", latency_ms, tags={"model": "gpt-4"})
record_metric("token_count", token_count, tags={"model": "gpt-4"})
record_metric("error_rate", error_rate, tags={"model": "gpt-4"})
""",
        latency_ms=1250,
        token_count=350,
        error_rate=0.01,
    )
    spans = memory.get_finished_spans()
    recorded = {span.attributes["metric.name"]: span.attributes for span in spans}
    assert recorded["model_latency"]["metric.value"] == 1250
    assert recorded["token_count"]["metric.instrument"] == "counter"
    assert recorded["error_rate"]["tag.model"] == "gpt-4"


def test_T14_B10_custom_instrumentation_points(memory: InMemorySpanExporter) -> None:
    scope = run(
        '''
from lumitrace.tracing import instrument

@instrument(name="prediction_pipeline")
def predict_with_tracing(model, input_data):
    """Automatically traced prediction function."""
    return model.predict(input_data)
'''
    )
    function = scope["predict_with_tracing"]
    assert function(Model(), "data") == "result"
    assert function.__doc__ == "Automatically traced prediction function."
    attributes = one(memory, "prediction_pipeline").attributes
    assert attributes["function"] == "predict_with_tracing"


def test_T14_B24_a_distributed_operation(memory: InMemorySpanExporter) -> None:
    def call_external_service() -> str:
        # What a client sends along.
        return str(tracing.inject()["traceparent"])

    scope = run(
        """
from lumitrace.tracing import DistributedTracer

tracer = DistributedTracer(service_name="model_service")

with tracer.trace("distributed_operation") as span:
    # Trace will be visible across multiple services
    result = call_external_service()
""",
        call_external_service=call_external_service,
    )
    span = one(memory, "distributed_operation")
    assert f"{span.context.trace_id:032x}-{span.context.span_id:016x}" in scope["result"]
    with scope["tracer"].trace("inference_pipeline", headers={"traceparent": scope["result"]}):
        pass
    assert is_child(one(memory, "inference_pipeline"), span)


def test_T14_B19_the_practices_are_library_functions(memory: InMemorySpanExporter) -> None:
    scope = run(
        """
from lumitrace.tracing import execution_context, logged_function

@logged_function
def your_function(data):
    return process(data)

with execution_context("prediction", model="gpt-4"):
    result = your_function("data")
""",
        process=str.upper,
    )
    assert scope["result"] == "DATA"
    assert is_child(one(memory, "your_function"), one(memory, "prediction"))


AGENTAFLOW = """
from lumitrace.observability import TracingConfig, new_tracing_integration

# Initialize tracing
config = TracingConfig(
    service_name="agentaflow-sro",
    service_version="0.1.0",
    environment="production",
    jaeger_endpoint="http://localhost:14268/api/traces",
    sampling_ratio=1.0,
    enable_jaeger=True,
)
tracing_integration = new_tracing_integration(config)

# Wrap your components with tracing
traced_scheduler = tracing_integration.wrap_gpu_scheduler(scheduler)
traced_collector = tracing_integration.wrap_metrics_collector(collector)
traced_monitoring = tracing_integration.wrap_monitoring_service(monitoring)

# Your application logic with automatic tracing
traced_scheduler.register_gpu(gpu)
traced_scheduler.submit_workload(workload)
traced_scheduler.schedule()
utilization = traced_scheduler.get_gpu_utilization()

traced_collector.start()
metrics = traced_collector.collect_metrics()
latest = traced_collector.get_latest_metrics()

traced_monitoring.record_cost({
    "operation": "LLM Training",
    "gpu_hours": 2.5,
    "tokens_used": 1_500_000,
    "cost": 12.50,
})

tracing_service = tracing_integration.get_tracing_service()

# Trace API requests
span = tracing_service.trace_api_request("gpu_status", "/api/gpu/status")
# Trace WebSocket events
event = tracing_service.trace_websocket_event("metrics_update", parent=span)
event.end()
span.end()

# Good
span = tracing_service.trace_gpu_scheduling("schedule_llm_training", gpu["id"])
tracing_service.add_span_attributes(span, {
    "model.name": "gpt-3.5-turbo",
    "batch.size": 32,
    "user.id": user_id,
})
tracing_service.add_span_event(span, "model.loaded", {
    "model.path": model_path,
    "model.size_mb": model_size_mb,
})
tracing_service.record_error(span, error)
tracing_service.set_span_status(span, "ERROR", "Failed to load model")
span.end()

health = tracing_integration.health_check()
"""


def test_T14_A1_A26_the_examples_of_agentaflow(memory: InMemorySpanExporter) -> None:
    """The guide's examples are in Go; these are the same in Python."""
    sample = {"utilization": 50.0, "temperature": 60.0, "memory_used": 1_024}
    scope = run(
        AGENTAFLOW,
        scheduler=SimpleNamespace(
            gpus=[{"available": True}],
            queue=[],
            register_gpu=lambda gpu: None,
            submit_workload=lambda workload: None,
            schedule=lambda: 1,
            get_gpu_utilization=lambda: 50.0,
        ),
        collector=SimpleNamespace(
            start=lambda: None,
            collect_metrics=lambda: {"gpu-001": sample},
            get_latest_metrics=lambda: {"gpu-001": sample},
        ),
        monitoring=SimpleNamespace(record_cost=lambda entry: None),
        gpu={"id": "gpu-001", "name": "NVIDIA A100"},
        workload={"id": "w1"},
        user_id="u1",
        model_path="/models/a",
        model_size_mb=512,
        error=ValueError("no such file"),
    )
    assert scope["utilization"] == 50.0
    assert scope["health"]["status"] == "ok"
    names = [span.name for span in memory.get_finished_spans()]
    assert names == [
        "gpu_scheduling.register_gpu",
        "gpu_scheduling.submit_workload",
        "gpu_scheduling.schedule",
        "gpu_scheduling.get_gpu_utilization",
        "metrics_collection.start",
        "metrics_collection.collect_metrics",
        "metrics_collection.get_latest_metrics",
        "cost_tracking.record_cost",
        "websocket_events.metrics_update",
        "api_requests.gpu_status",
        "gpu_scheduling.schedule_llm_training",
        "health_check",
    ]
    schedule = one(memory, "gpu_scheduling.schedule")
    assert schedule.attributes["scheduler.scheduled_count"] == 1
    assert schedule.attributes["scheduler.available_gpus"] == 1
    training = one(memory, "gpu_scheduling.schedule_llm_training")
    assert training.attributes["model.name"] == "gpt-3.5-turbo"
    assert [event.name for event in training.events] == ["model.loaded", "exception"]
    assert training.status.description == "Failed to load model"
    assert is_child(one(memory, "websocket_events.metrics_update"), one(memory, names[9]))


SIGNATURES = {
    "initialize_tracing": [
        "service_name",
        "exporter_type",
        "jaeger_host",
        "jaeger_port",
        "otlp_endpoint",
        "enabled",
    ],
    "TracingManager": ["service_name", "exporter_type"],
    "get_tracer": ["module_name"],
    "trace_operation": ["name", "include_args", "include_result"],
    "trace_async": ["name", "include_args", "include_result"],
    "trace_method": ["name", "include_args", "include_result"],
    "instrument": ["name", "include_args", "include_result"],
    "trace_performance": ["threshold_ms", "log_level"],
    "enable_tracing": ["level"],
    "create_span": ["name"],
    "log_event": ["name", "attributes"],
    "visualize_trace": ["trace_data", "output_file"],
    "DistributedTracer": ["service_name"],
    "TraceCollector": ["max_spans"],
    "logged_function": ["function"],
    "execution_context": ["operation_name"],
    "health_check": [],
    "instrument_system": [],
    "set_tracer": [],
    "OrchestratorInstrumentation": [],
    "AgentInstrumentation": [],
    "KnowledgeGraphInstrumentation": [],
    "APIInstrumentation": [],
    "CacheInstrumentation": [],
    "DatabaseInstrumentation": [],
    "ExternalServiceInstrumentation": [],
    "TraceExporter": [],
    "TraceExporterType": [],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_T15_C48_every_documented_name_exists_with_its_parameters(name: str) -> None:
    assert name in tracing.__all__
    expected = SIGNATURES[name]
    if expected:
        parameters = list(inspect.signature(getattr(tracing, name)).parameters)
        assert parameters[: len(expected)] == expected


def test_T15_methods_of_documented_classes_exist() -> None:
    for name in ("start", "stop", "get_trace", "save_trace", "add_exporter"):
        assert callable(getattr(TraceCollector, name))
    for name in ("trace_operation", "add_trace_event", "start_span", "record_exception"):
        assert callable(getattr(TracingManager, name))
    assert list(inspect.signature(metrics.record_metric).parameters) == ["name", "value", "tags"]


def blocks_of(document: Path) -> list[str]:
    blocks: list[str] = []
    inside: list[str] | None = None
    for line in document.read_text().splitlines():
        if line.strip() == "```python":
            inside = []
        elif line.strip() == "```" and inside is not None:
            blocks.append(textwrap.dedent("\n".join(inside)))
            inside = None
        elif inside is not None:
            inside.append(line)
    return blocks


GUIDE = Path(__file__).parent.parent.parent / "docs" / "python.md"
# An installed package has no documents: the tests may run apart from the source.
needs_guide = pytest.mark.skipif(not GUIDE.exists(), reason="tests run apart from the source")


@pytest.fixture
def guide_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    factory = logging.getLogRecordFactory()
    yield tmp_path
    logging.setLogRecordFactory(factory)


@needs_guide
@pytest.mark.parametrize("block", blocks_of(GUIDE) if GUIDE.exists() else [])
def test_T14_every_example_of_the_guide_runs(block: str, guide_directory: Path) -> None:
    run(block)


def defaults_in(document: Path, heading: str) -> dict[str, str]:
    lines = document.read_text().splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"| {heading}"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[begin + 2 :])
    cells = [row.strip("| ").split(" | ") for row in rows]
    return {row[0].strip("`"): row[1].strip("`") for row in cells}


@needs_guide
def test_T10_the_defaults_in_the_guide_are_those_of_the_code() -> None:
    documented = defaults_in(GUIDE, "parameter of `initialize_tracing`")
    parameters = inspect.signature(tracing.initialize_tracing).parameters
    assert {name: str(it.default) for name, it in parameters.items()} == documented


@needs_guide
def test_T13_the_guide_has_every_field_of_the_configuration() -> None:
    from dataclasses import fields

    from lumitrace.observability import TracingConfig

    rows = defaults_in(GUIDE, "field of `TracingConfig`")
    documented = {name for row in rows for name in row.split("`, `")}
    assert documented == {field.name for field in fields(TracingConfig)}


@needs_guide
def test_T15_the_guide_names_everything_public() -> None:
    from lumitrace import observability

    text = GUIDE.read_text()
    public = {*tracing.__all__, *observability.__all__, *metrics.__all__}
    assert sorted(name for name in public if f"`{name}" not in text) == []
