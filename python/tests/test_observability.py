"""Tracing a platform: configuration, spans by family, wrapped components."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import pytest
from collector import Collector
from spans import exceptions, is_child, one

from lumitrace import observability, tracing
from lumitrace._service import route_of
from lumitrace.observability import (
    FAMILIES,
    Operation,
    TracingConfig,
    TracingIntegration,
    TracingService,
    new_tracing_integration,
)
from lumitrace.tracing import InMemorySpanExporter, StatusCode, get_tracer


@pytest.fixture
def service(memory: InMemorySpanExporter) -> TracingService:
    return TracingService()


OPERATION = {"operation.start_time", "operation.duration_ms", "operation.status"}


def own_attributes(span: tracing.FinishedSpan) -> dict[str, Any]:
    assert set(span.attributes) >= OPERATION
    return {key: value for key, value in span.attributes.items() if key not in OPERATION}


def test_A5_gpu_scheduling(memory: InMemorySpanExporter, service: TracingService) -> None:
    with service.trace_gpu_scheduling("schedule_llm_training", "gpu-001"):
        pass
    span = one(memory, "gpu_scheduling.schedule_llm_training")
    assert span.kind == "internal"
    assert own_attributes(span) == {"operation": "schedule_llm_training", "gpu.id": "gpu-001"}


def test_A5_an_empty_id_is_left_out(memory: InMemorySpanExporter, service: TracingService) -> None:
    service.trace_gpu_scheduling("operation", "").end()
    assert own_attributes(one(memory, "gpu_scheduling.operation")) == {"operation": "operation"}


def test_A6_model_serving(memory: InMemorySpanExporter, service: TracingService) -> None:
    with service.trace_model_serving("generate", "llama"):
        pass
    span = one(memory, "model_serving.generate")
    assert span.kind == "server"
    assert own_attributes(span) == {
        "operation": "generate",
        "model.name": "llama",
        "model.id": "llama",
        "gen_ai.request.model": "llama",
        "gen_ai.operation.name": "generate",
    }


def test_A7_A9_A10_the_other_families(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    service.trace_metrics_collection("collect", 4).end()
    service.trace_websocket_event("metrics_update", "c1").end()
    service.trace_cost_calculation("training", 2.5).end()
    collect = own_attributes(one(memory, "metrics_collection.collect"))
    assert collect == {"operation": "collect", "metrics.count": 4}
    update = own_attributes(one(memory, "websocket_events.metrics_update"))
    assert update == {"websocket.event": "metrics_update", "connection.id": "c1"}
    cost = own_attributes(one(memory, "cost_tracking.training"))
    assert cost == {"cost.operation": "training", "cost.gpu_hours": 2.5}


def test_A8_A35_a_request_by_operation_and_by_method(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    service.trace_api_request("gpu_status", "/api/gpu/status").end()
    service.trace_api_request("GET", "/api/gpu/gpu-001/status?token=hunter2").end()
    by_operation = one(memory, "api_requests.gpu_status")
    assert by_operation.kind == "server"
    assert own_attributes(by_operation) == {
        "operation": "gpu_status",
        "http.route": "/api/gpu/status",
        "url.path": "/api/gpu/status",
    }
    by_method = one(memory, "api_requests.GET /api/gpu/{id}/status")
    assert own_attributes(by_method) == {
        "http.request.method": "GET",
        "http.route": "/api/gpu/{id}/status",
        "url.path": "/api/gpu/gpu-001/status",
    }


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/users/42", "/api/v1/users/{id}"),
        ("/files/550e8400-e29b-41d4-a716-446655440000", "/files/{id}"),
        ("/", "/"),
        ("", ""),
        ("/health?full=1", "/health"),
    ],
)
def test_A8_routes_are_few(path: str, route: str) -> None:
    assert route_of(path) == route


def test_A20_T29_duration_start_and_status_are_set_by_the_end(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    before = time.time_ns()
    with service.start_span("works"):
        pass
    with pytest.raises(ValueError, match="wrong"), service.start_span("fails"):
        raise ValueError("wrong")
    works, fails = one(memory, "works"), one(memory, "fails")
    assert before <= works.attributes["operation.start_time"] <= time.time_ns()
    took_ms = (works.end_time - works.start_time) / 1e6
    assert 0 <= works.attributes["operation.duration_ms"] <= took_ms + 1
    assert works.attributes["operation.status"] == "success"
    assert fails.attributes["operation.status"] == "error"
    assert len(exceptions(fails)) == 1


def test_A11_A21_attributes_and_events_are_added(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    with service.trace_model_serving("load", "gpt-3.5-turbo") as operation:
        attributes = {"model.name": "gpt-3.5-turbo", "batch.size": 32, "user.id": "u1"}
        service.add_span_attributes(operation, attributes)
        model = {"model.path": "/models/a", "model.size_mb": 512}
        service.add_span_event(operation, "model.loaded", model)
    span = one(memory, "model_serving.load")
    assert own_attributes(span).items() >= attributes.items()
    (event,) = span.events
    assert (event.name, event.attributes) == ("model.loaded", model)


def test_A11_everything_takes_a_plain_span_too(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    span = service.get_tracer().start_span("plain")
    service.add_span_attributes(span, {"key": "value"})
    service.add_span_event(span, "event")
    service.record_error(span, ValueError("wrong"))
    service.set_span_status(span, StatusCode.ERROR, "Failed to load model")
    span.end()
    finished = one(memory, "plain")
    assert finished.status.description == "Failed to load model"
    assert [event.name for event in finished.events] == ["event", "exception"]


@pytest.mark.parametrize("goes_on", [False, True])
def test_A36_T21_an_error_with_a_description_is_one_event_and_keeps_the_description(
    memory: InMemorySpanExporter, service: TracingService, goes_on: bool
) -> None:
    def work() -> None:
        with service.trace_model_serving("load", "m") as operation:
            try:
                raise ValueError("no such file")
            except ValueError as error:
                service.record_error(operation, error)
                service.set_span_status(operation, StatusCode.ERROR, "Failed to load model")
                if goes_on:
                    raise

    if goes_on:
        with pytest.raises(ValueError, match="no such file"):
            work()
    else:
        work()
    span = one(memory, "model_serving.load")
    assert len(exceptions(span)) == 1
    assert span.status.status_code == StatusCode.ERROR
    assert span.status.description == "Failed to load model"
    assert span.attributes["operation.status"] == "error"
    assert span.attributes["error.type"] == "ValueError"


def test_A31_an_operation_is_a_block_or_ends_by_hand(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    with service.start_span("block"):
        service.start_span("within").end()
    by_hand = service.start_span("by_hand")
    service.start_span("beside").end()
    service.start_span("below", parent=by_hand).end()
    by_hand.end()
    by_hand.end()
    service.start_span("late_child", parent=by_hand).end()
    assert is_child(one(memory, "within"), one(memory, "block"))
    assert one(memory, "beside").parent is None
    assert is_child(one(memory, "below"), one(memory, "by_hand"))
    assert is_child(one(memory, "late_child"), one(memory, "by_hand"))


def test_A37_one_trace_goes_from_the_request_through_scheduling_to_the_cost(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    with (
        service.trace_api_request("POST", "/api/jobs"),
        service.trace_gpu_scheduling("schedule", "gpu-001"),
        service.trace_cost_calculation("training", 2.5),
    ):
        pass
    request = one(memory, "api_requests.POST /api/jobs")
    schedule = one(memory, "gpu_scheduling.schedule")
    assert is_child(schedule, request)
    assert is_child(one(memory, "cost_tracking.training"), schedule)


def test_A11_functions_are_called_in_spans(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    async def coroutine() -> int:
        async with service.start_span("inner"):
            await asyncio.sleep(0)
        return 2

    assert service.trace_function("function", lambda: 1) == 1
    assert asyncio.run(service.trace_async("coroutine", coroutine)) == 2
    assert one(memory, "function")
    assert is_child(one(memory, "inner"), one(memory, "coroutine"))


def test_A11_the_service_tells_how_tracing_is(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    assert service.is_enabled()
    assert service.tracing_health_check()["status"] == "ok"
    tracing.shutdown()
    assert not service.is_enabled()


@pytest.mark.parametrize("family", FAMILIES)
def test_A4_a_family_that_is_switched_off_is_passed_through(
    memory: InMemorySpanExporter, family: str
) -> None:
    def operations(service: TracingService) -> dict[str, Operation]:
        return {
            "gpu_scheduling": service.trace_gpu_scheduling("op"),
            "model_serving": service.trace_model_serving("op", "m"),
            "metrics_collection": service.trace_metrics_collection("op", 1),
            "cost_tracking": service.trace_cost_calculation("op", 1.0),
            "api_requests": service.trace_api_request("op", "/"),
            "websocket_events": service.trace_websocket_event("op"),
        }

    service = TracingService([it for it in FAMILIES if it != family])
    with service.start_span("outer"):
        for operation in operations(service).values():
            with operation:
                operation.set_attribute("key", "value")
                operation.add_event("event")
                operation.record_error(ValueError("wrong"))
                operation.set_status("ERROR", "text")
                service.start_span("inner").end()
    names = {span.name for span in memory.get_finished_spans()}
    assert names == {"outer", "inner"} | {f"{it}.op" for it in FAMILIES if it != family}
    outer = one(memory, "outer")
    inner = [span for span in memory.get_finished_spans() if span.name == "inner"]
    assert sum(is_child(span, outer) for span in inner) == 1


def test_A1_a_configuration_that_makes_no_sense_warns_and_never_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = TracingConfig(exporter_type=3, attributes=3, enabled_spans="api_requests")  # type: ignore[arg-type]
    service = TracingIntegration(config).get_tracing_service()
    with service.trace_api_request(3, 4):  # type: ignore[arg-type]
        pass
    assert [record for record in caplog.records if record.levelno == logging.WARNING]


def test_A4_an_unknown_family_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    TracingService(["gpu_scheduling", "gpu_schedulling"])
    assert "gpu_schedulling" in caplog.text


def sent_by(collector: Collector, config: TracingConfig) -> dict[str, Any]:
    integration = TracingIntegration(config)
    integration.get_tracing_service().start_span("op").end()
    assert tracing.force_flush()
    return collector.one("op").resource


def test_A1_A2_T5_the_configuration_is_on_the_resource(collector: Collector) -> None:
    resource = sent_by(
        collector,
        TracingConfig(
            service_name="agentaflow-test",
            service_version="0.1.0",
            environment="production",
            otlp_endpoint=collector.endpoint,
            attributes={"region": "eu"},
        ),
    )
    assert resource["service.name"] == "agentaflow-test"
    assert resource["service.version"] == "0.1.0"
    assert resource["deployment.environment.name"] == "production"
    assert resource["region"] == "eu"


def test_A2_T12_several_exporters_at_once_get_every_span(
    collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    sent_by(collector, TracingConfig(otlp_endpoint=collector.endpoint, enable_stdout=True))
    assert "TRACE: op (" in capfd.readouterr().err


def test_A30_without_configuration_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    integration = new_tracing_integration()
    assert isinstance(integration, TracingIntegration)
    assert integration.health_check()["service_name"] == "agentaflow-sro"
    assert integration.shutdown()
    assert integration.health_check()["status"] == "off"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TracingConfig(), None),
        (TracingConfig(enable_jaeger=True), ["jaeger"]),
        (TracingConfig(enable_jaeger=True, enable_stdout=True), ["jaeger", "console"]),
        (TracingConfig(enable_jaeger=False), []),
        (TracingConfig(enable_stdout=True), ["console"]),
        (TracingConfig(exporter_type="none"), []),
        (TracingConfig(exporter_type="OTLP"), ["otlp"]),
        (TracingConfig(exporter_type="stdout", enable_stdout=True), ["console"]),
        (TracingConfig(otlp_endpoint="http://localhost:4318"), ["otlp"]),
        (TracingConfig(exporter_type="carrier_pigeon"), None),
    ],
)
def test_A2_exporters_are_those_that_are_named(
    config: TracingConfig, expected: list[str] | None
) -> None:
    assert config.exporters() == expected


def test_A2_both_spellings_of_the_ratio_count(caplog: pytest.LogCaptureFixture) -> None:
    assert TracingConfig(sampling_ratio=0.1).ratio() == 0.1
    assert TracingConfig(sample_rate=0.1).ratio() == 0.1
    assert TracingConfig(sampling_ratio=0.1, sample_rate=0.1).ratio() == 0.1
    assert caplog.records == []
    assert TracingConfig(sampling_ratio=0.1, sample_rate=0.2).ratio() == 0.1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "sampling_ratio" in record.message


@pytest.mark.parametrize("spelling", ["sampling_ratio", "sample_rate"])
def test_A2_T13_the_ratio_acts(collector: Collector, spelling: str) -> None:
    config = TracingConfig(otlp_endpoint=collector.endpoint)
    setattr(config, spelling, 0.0)
    TracingIntegration(config).get_tracing_service().start_span("op").end()
    assert tracing.force_flush()
    assert collector.spans == []


def test_A2_T13_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        TracingConfig(colour="blue")  # type: ignore[call-arg]


def test_A2_T13_enabled_spans_act(memory: InMemorySpanExporter) -> None:
    config = TracingConfig(enable_stdout=True, enabled_spans=["model_serving"])
    service = TracingIntegration(config).get_tracing_service()
    service.trace_gpu_scheduling("op").end()
    service.trace_model_serving("op", "m").end()
    assert [span.name for span in memory.get_finished_spans()] == ["model_serving.op"]


@dataclass
class GPU:
    id: str
    name: str
    memory_total: int = 81_920
    available: bool = True


class Scheduler:
    """A double of a scheduler: it has the methods, and nothing else in common with any."""

    def __init__(self) -> None:
        self.gpus: dict[str, GPU] = {}
        self.queue: list[Any] = []
        self.version = "7"

    def register_gpu(self, gpu: GPU) -> str:
        self.gpus[gpu.id] = gpu
        return gpu.id

    def submit_workload(self, workload: Any) -> None:
        self.queue.append(workload)

    def schedule(self) -> list[dict[str, str]]:
        taken, self.queue = self.queue, []
        decisions = []
        for workload, gpu in zip(taken, self.gpus.values(), strict=False):
            gpu.available = False
            decisions.append({"workload_id": workload["id"], "gpu_id": gpu.id, "reason": "fits"})
        return decisions

    def get_gpu_utilization(self) -> dict[str, float]:
        return dict.fromkeys(self.gpus, 50.0)


def test_A1_T30_a_double_of_a_scheduler_can_be_traced(memory: InMemorySpanExporter) -> None:
    scheduler = TracingIntegration().wrap_gpu_scheduler(Scheduler())
    assert scheduler.register_gpu(GPU("gpu-001", "NVIDIA A100")) == "gpu-001"
    workload = {"id": "w1", "name": "train", "priority": 5, "memory_required": 4_096}
    scheduler.submit_workload(workload)
    assert len(scheduler.schedule()) == 1
    assert scheduler.get_gpu_utilization() == {"gpu-001": 50.0}
    assert scheduler.version == "7"
    with pytest.raises(AttributeError):
        scheduler.no_such_thing  # noqa: B018

    registered = one(memory, "gpu_scheduling.register_gpu")
    assert own_attributes(registered) == {
        "operation": "register_gpu",
        "gpu.id": "gpu-001",
        "gpu.name": "NVIDIA A100",
        "gpu.memory_total": 81_920,
        "gpu.available": True,
    }
    assert [event.name for event in registered.events] == ["gpu.registered"]
    submitted = own_attributes(one(memory, "gpu_scheduling.submit_workload"))
    assert submitted == {
        "operation": "submit_workload",
        "workload.id": "w1",
        "workload.name": "train",
        "workload.priority": 5,
        "workload.memory_required": 4_096,
        "scheduler.queue_size": 1,
        "scheduler.total_gpus": 1,
        "scheduler.available_gpus": 1,
    }
    schedule = one(memory, "gpu_scheduling.schedule")
    assert own_attributes(schedule)["scheduler.scheduled_count"] == 1
    decision, completed = schedule.events
    assert decision.attributes == {"workload.id": "w1", "gpu.id": "gpu-001", "reason": "fits"}
    assert (completed.name, completed.attributes) == (
        "scheduling.completed",
        {"workloads.scheduled": 1},
    )
    (utilization,) = one(memory, "gpu_scheduling.get_gpu_utilization").events
    assert utilization.attributes == {"gpu.id": "gpu-001", "gpu.utilization": 50.0}


def test_A1_T30_a_double_of_a_collector_can_be_traced(memory: InMemorySpanExporter) -> None:
    class MetricsCollector:
        def start(self) -> None: ...

        def collect_metrics(self) -> dict[str, dict[str, float]]:
            return {
                "gpu-001": {"utilization": 50.0, "temperature": 60.0},
                "gpu-002": {"memory_used": 1_024},
            }

        get_latest_metrics = collect_metrics

    collector = TracingIntegration().wrap_metrics_collector(MetricsCollector())
    collector.start()
    assert len(collector.collect_metrics()) == 2
    assert len(collector.get_latest_metrics()) == 2
    started = one(memory, "metrics_collection.start")
    assert [event.name for event in started.events] == ["collector.started"]
    cycle = one(memory, "metrics_collection.collect_metrics")
    assert cycle.attributes["metrics.count"] == 2
    assert [event.attributes for event in cycle.events] == [
        {"gpu.id": "gpu-001", "gpu.utilization": 50.0, "gpu.temperature": 60.0},
        {"gpu.id": "gpu-002", "gpu.memory_used": 1_024},
        {"metrics.count": 2},
    ]


def test_A1_T30_a_double_of_a_monitoring_service_can_be_traced(
    memory: InMemorySpanExporter,
) -> None:
    class Monitoring:
        def record_cost(self, entry: dict[str, Any]) -> None: ...

        def get_cost_summary(self, start: str, end: str) -> dict[str, float]:
            return {"total_cost": 12.5, "gpu_hours": 2.5}

    monitoring = TracingIntegration().wrap_monitoring_service(Monitoring())
    entry = {"operation": "LLM Training", "gpu_hours": 2.5, "tokens_used": 1_500_000, "cost": 12.5}
    monitoring.record_cost(entry)
    assert monitoring.get_cost_summary("2026-01-01", "2026-02-01")["total_cost"] == 12.5
    recorded = one(memory, "cost_tracking.record_cost")
    expected = {
        "cost.operation": "LLM Training",
        "cost.gpu_hours": 2.5,
        "cost.tokens_used": 1_500_000,
        "cost.amount": 12.5,
        "cost.currency": "USD",
    }
    assert own_attributes(recorded) == expected
    assert [(event.name, event.attributes) for event in recorded.events] == [
        ("cost.recorded", expected)
    ]
    summary = own_attributes(one(memory, "cost_tracking.get_cost_summary"))
    assert summary["cost.total"] == 12.5
    assert summary["cost.start_time"] == "2026-01-01"
    assert summary["cost.end_time"] == "2026-02-01"


def test_A1_what_a_component_raises_reaches_the_program_and_is_recorded(
    memory: InMemorySpanExporter,
) -> None:
    class Broken(Scheduler):
        @property
        def gpus(self) -> Any:
            raise RuntimeError("not ready")

        @gpus.setter
        def gpus(self, value: Any) -> None: ...

        def schedule(self) -> Any:
            raise ValueError("no GPU fits")

    scheduler = TracingIntegration().wrap_gpu_scheduler(Broken())
    with pytest.raises(ValueError, match="no GPU fits"):
        scheduler.schedule()
    span = one(memory, "gpu_scheduling.schedule")
    assert len(exceptions(span)) == 1
    assert span.attributes["operation.status"] == "error"


def answer(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What an ASGI application sends."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def replying(status: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        get_tracer("app").start_span("inner").end()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    return app


@pytest.mark.parametrize(("status", "fails"), [(200, False), (404, False), (503, True)])
def test_A11_T31_the_middleware_makes_a_span_of_each_request(
    memory: InMemorySpanExporter, service: TracingService, status: int, fails: bool
) -> None:
    ids = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = [(b"traceparent", f"00-{ids[0]}-{ids[1]}-01".encode())]
    scope = {"type": "http", "method": "GET", "path": "/jobs/42", "headers": headers}
    sent = answer(service.trace_middleware(replying(status)), scope)
    assert [message.get("body") for message in sent] == [None, b"a", b"b"]
    span = one(memory, "api_requests.GET /jobs/{id}")
    assert span.attributes["http.response.status_code"] == status
    assert (span.status.status_code == StatusCode.ERROR) is fails
    assert f"{span.context.trace_id:032x}" == ids[0]
    assert span.parent is not None
    assert span.parent.is_remote
    assert is_child(one(memory, "inner"), span)


def test_A11_T32_the_middleware_leaves_websockets_and_lifespans_alone(
    memory: InMemorySpanExporter, service: TracingService
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"{scope['type']}.accept"})

    traced = service.trace_middleware(app)
    assert answer(traced, {"type": "websocket", "path": "/ws"}) == [{"type": "websocket.accept"}]
    assert answer(traced, {"type": "lifespan"}) == [{"type": "lifespan.accept"}]
    (span,) = memory.get_finished_spans()
    assert span.name == "websocket_events.connection"
    assert span.attributes["url.path"] == "/ws"


def test_T15_every_name_of_the_module_is_there() -> None:
    for name in observability.__all__:
        assert getattr(observability, name) is not None
