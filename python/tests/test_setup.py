"""Set-up: settings, their precedence, endpoints, exporters."""

from __future__ import annotations

import inspect
import logging
import os
import queue
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import test_opentelemetry
from collector import PATIENCE_SECONDS, Collector
from spans import one

from lumitrace import tracing
from lumitrace.tracing import (
    ConsoleSpanExporter,
    InMemorySpanExporter,
    get_tracer,
    setup_tracing,
)


def exported_resource(**arguments: Any) -> dict[str, Any]:
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory], **arguments)
    get_tracer("test").start_span("work").end()
    return one(memory, "work").resource.attributes


def send_one(collector: Collector, endpoint: str | None = None, **arguments: Any) -> None:
    if endpoint is not None:
        arguments["otlp_endpoint"] = endpoint
    setup_tracing(**arguments)
    get_tracer("test").start_span("work").end()
    assert tracing.force_flush()


def test_T5_service_and_environment_are_on_the_exported_resource(collector: Collector) -> None:
    send_one(
        collector,
        collector.endpoint,
        service_name="sequence-training",
        environment="staging",
        service_version="1.2.3",
        resource_attributes={"team": "fx", "rank": 0},
    )
    resource = collector.one("work").resource
    assert resource["service.name"] == "sequence-training"
    assert resource["service.version"] == "1.2.3"
    assert resource["deployment.environment.name"] == "staging"
    assert resource["deployment.environment"] == "staging"
    assert resource["team"] == "fx"
    assert resource["rank"] == 0
    assert resource["process.pid"] == os.getpid()
    assert resource["telemetry.sdk.language"] == "python"
    assert resource["service.instance.id"]
    assert collector.one("work").attributes == {}
    assert collector.one("work").scope == "test"


def test_S2_defaults_name_the_service_and_the_environment() -> None:
    resource = exported_resource()
    assert resource["service.name"] == "sequence"
    assert resource["service.version"] == "unknown"
    assert resource["deployment.environment.name"] == "development"


def test_S2_the_version_is_the_arguments_or_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7")
    assert exported_resource()["service.version"] == "7"
    tracing.shutdown()
    assert exported_resource(service_version="1.2")["service.version"] == "1.2"


def test_T7_an_argument_stands_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=from-environment")
    resource = exported_resource(
        service_name="sequence-multitask-training", environment="production"
    )
    assert resource["service.name"] == "sequence-multitask-training"
    assert resource["deployment.environment.name"] == "production"
    assert resource["deployment.environment"] == "production"


def test_T7_an_argument_that_equals_the_default_is_still_an_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    assert exported_resource(service_name="sequence")["service.name"] == "sequence"


def test_S19_the_environment_stands_above_the_defaults(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,team=fx%20desk"
    )
    send_one(collector)
    resource = collector.one("work").resource
    assert resource["service.name"] == "from-environment"
    assert resource["deployment.environment.name"] == "staging"
    assert resource["team"] == "fx desk"


def test_S19_an_endpoint_argument_stands_above_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    send_one(collector, collector.endpoint)
    assert collector.one("work")


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("http://127.0.0.1:{port}", "/v1/traces"),
        ("http://127.0.0.1:{port}/", "/v1/traces"),
        ("http://127.0.0.1:{port}/v1/traces", "/v1/traces"),
        ("http://127.0.0.1:{port}/custom/v1/traces", "/custom/v1/traces"),
        ("127.0.0.1:{port}", "/v1/traces"),
        ("localhost:{port}", "/v1/traces"),
    ],
)
def test_T6_T13_each_form_of_endpoint_posts_to_the_right_path(
    collector: Collector, endpoint: str, path: str
) -> None:
    send_one(collector, endpoint.format(port=collector.port))
    assert [request.path for request in collector.requests] == [path]


def test_headers_and_compression_are_sent(collector: Collector) -> None:
    send_one(collector, collector.endpoint, headers={"x-key": "secret"}, compression="gzip")
    (request,) = collector.requests
    assert request.headers["x-key"] == "secret"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["content-type"] == "application/x-protobuf"


def test_headers_come_from_the_environment_too(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,x-other=2")
    send_one(collector, collector.endpoint)
    (request,) = collector.requests
    assert (request.headers["x-key"], request.headers["x-other"]) == ("a b", "2")


def test_T8_spans_are_sent_in_batches_of_the_size_that_is_set(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    setup_tracing(otlp_endpoint=collector.endpoint)
    tracer = get_tracer("test")
    for _ in range(25):
        tracer.start_span("work").end()
    # Full batches are on their way without a flush.
    collector.wait_for(lambda collector: len(collector.spans) >= 20)
    assert tracing.force_flush()
    assert len(collector.spans) == 25
    assert max(len(request.span_names) for request in collector.requests) == 10


def test_T8_T13_a_span_is_sent_when_its_time_has_come(collector: Collector) -> None:
    setup_tracing(otlp_endpoint=collector.endpoint, schedule_delay_ms=10)
    get_tracer("test").start_span("work").end()
    collector.wait_for(lambda collector: collector.spans)


def test_T8_T13_the_queue_is_bounded_and_counts_what_it_drops() -> None:
    provider = setup_tracing(
        otlp_endpoint="http://127.0.0.1:9", max_queue_size=100, max_export_batch_size=100
    )
    for _ in range(1_000):
        get_tracer("test").start_span("work").end()
    assert provider.statistics()["queue_full_spans"] >= 700


def test_T12_every_exporter_receives_every_span(
    collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = InMemorySpanExporter(), InMemorySpanExporter()
    setup_tracing(
        otlp_endpoint=collector.endpoint,
        exporters=["otlp", first, second, ConsoleSpanExporter()],
    )
    get_tracer("test").start_span("work").end()
    assert tracing.force_flush()
    assert one(first, "work").context == one(second, "work").context
    assert collector.one("work")
    assert "TRACE: work (" in capfd.readouterr().err


def test_T11_the_in_memory_exporter_returns_finished_spans_and_forgets_them() -> None:
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory])
    span = get_tracer("test").start_span("work")
    assert memory.get_finished_spans() == ()
    span.end()
    assert [span.name for span in memory.get_finished_spans()] == ["work"]
    memory.clear()
    assert memory.get_finished_spans() == ()


def test_T11_a_test_that_asks_for_spans_fails_where_tracing_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory])
    get_tracer("test").start_span("work").end()
    with pytest.raises(AssertionError):
        one(memory, "work")


@pytest.mark.parametrize("pretty", [False, True])
def test_T28_the_console_shows_times_in_seconds(
    capfd: pytest.CaptureFixture[str], pretty: bool
) -> None:
    setup_tracing(exporters=[ConsoleSpanExporter(pretty=pretty)])
    span = get_tracer("test").start_span("work", start_time=1_700_000_000_123_456_789)
    span.set_attribute("loss", 0.25)
    span.end(end_time=1_700_000_001_005_000_000)
    assert tracing.force_flush()
    printed = capfd.readouterr().err
    if pretty:
        assert "loss = 0.25" in printed
        assert "1700000000.123" in printed
    else:
        line = "INFO:root:TRACE: work (1700000000.123-1700000001.005) status=UNSET\n"
        assert printed == line


def test_T13_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="colour"):
        setup_tracing(colour="blue")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        tracing.TracerProvider(colour="blue")  # type: ignore[call-arg]


def test_T13_the_request_timeout_has_an_effect(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        setup_tracing(otlp_endpoint=f"http://127.0.0.1:{port}", timeout_ms=50)
        get_tracer("test").start_span("work").end()
        started = time.monotonic()
        assert not tracing.force_flush()
        assert time.monotonic() - started < 5  # without: 10 s
    assert "cannot send spans" in caplog.text


@pytest.mark.parametrize(
    ("sampler", "argument", "recorded"),
    [
        ("traceidratio", "0", []),
        ("rate_limited", "0", []),
        ("parentbased_rate_limited", "0", []),
        # One at once, and the next one in a day.
        ("rate_limited", "1e-5", [0]),
        ("batch_interval", "2", [0, 1, 2, 4]),
    ],
)
def test_S19_S29_T13_samplers_take_their_argument(
    sampler: str, argument: str, recorded: list[int]
) -> None:
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory], sampler=sampler, sampler_arg=argument)
    for index in range(5):
        with tracing.trace_batch_processing(get_tracer("test"), index, 32):
            pass
    spans = memory.get_finished_spans()
    assert [span.attributes["batch_index"] for span in spans] == recorded


def test_S19_the_jaeger_remote_sampler_asks_its_server_for_the_service() -> None:
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Strategies(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.put(self.path)
            answer = b'{"probabilisticSampling": {"samplingRate": 1}}'
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Strategies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        memory = InMemorySpanExporter()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        setup_tracing(
            service_name="shop",
            exporters=[memory],
            sampler="parentbased_jaeger_remote",
            sampler_arg=f"endpoint={endpoint},pollingIntervalMs=5,initialSamplingRate=0",
        )
        get_tracer("test").start_span("before").end()
        # When it asks for the second time, the first answer is in force.
        for _ in range(2):
            assert asked.get(timeout=PATIENCE_SECONDS) == "/sampling?service=shop"
        get_tracer("test").start_span("after").end()
        (span,) = memory.get_finished_spans()
        assert span.name == "after"
        assert span.attributes["sampler.type"] == "probabilistic"
        tracing.shutdown()
        server.shutdown()


def test_A4_T13_a_component_that_is_switched_off_is_left_out_of_its_trace() -> None:
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory], switched_off=["websocket_events", "api_requests"])
    tracer = get_tracer("test")
    with (
        tracer.start_as_current_span("root") as root,
        tracer.start_as_current_span("websocket_events.update") as event,
    ):
        assert not event.is_recording()
        tracer.start_span("cost_tracking.record_cost").end()
    cost, exported_root = memory.get_finished_spans()
    assert (cost.name, exported_root.name) == ("cost_tracking.record_cost", "root")
    assert cost.parent is not None
    assert cost.parent.span_id == root.get_span_context().span_id


EFFECTS: dict[str, Any] = {
    "service_name": "other",
    "environment": "staging",
    "service_version": "1.2",
    "resource_attributes": {"team": "fx"},
    "exporters": ["none"],
    "protocol": "grpc",
    "headers": {"x-key": "secret"},
    "compression": "gzip",
    "sampler": "always_off",
    "sampler_ratio": 0.0,
    "switched_off": ["work"],
    "max_export_batch_size": 1,
}
# These change when something is sent, or where to, or what another library does.
EFFECTS_TESTED_ALONE = {
    "otlp_endpoint": test_T6_T13_each_form_of_endpoint_posts_to_the_right_path,
    "timeout_ms": test_T13_the_request_timeout_has_an_effect,
    "sampler_arg": test_S19_S29_T13_samplers_take_their_argument,
    "schedule_delay_ms": test_T8_T13_a_span_is_sent_when_its_time_has_come,
    "max_queue_size": test_T8_T13_the_queue_is_bounded_and_counts_what_it_drops,
    "opentelemetry": test_opentelemetry.test_T13_opentelemetry_is_served_unless_told_otherwise,
}


def what_arrives(**arguments: Any) -> list[Any]:
    """Everything that a collector can tell about three spans, apart from ids and times."""
    collector = Collector()
    try:
        setup_tracing(otlp_endpoint=collector.endpoint, **arguments)
        for _ in range(3):
            get_tracer("test").start_span("work").end()
        tracing.force_flush(timeout_millis=5_000)
        resources = [dict(span.resource) for span in collector.spans]
        headers = [dict(request.headers) for request in collector.requests]
    finally:
        tracing.shutdown(timeout_millis=100)
        collector.close()
    for resource in resources:
        del resource["service.instance.id"]
    for header in headers:
        del header["host"], header["content-length"]
    return [resources, headers]


def test_T13_every_keyword_is_listed_here() -> None:
    parameters = inspect.signature(setup_tracing).parameters
    assert set(parameters) == {*EFFECTS, *EFFECTS_TESTED_ALONE}


@pytest.mark.parametrize("keyword", EFFECTS)
def test_T13_each_keyword_has_an_effect(keyword: str) -> None:
    assert what_arrives() == what_arrives()
    assert what_arrives(**{keyword: EFFECTS[keyword]}) != what_arrives()


def test_S2_a_second_set_up_returns_the_first_provider_and_says_so_if_it_differs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = InMemorySpanExporter()
    first = setup_tracing(service_name="one", exporters=[memory])
    assert setup_tracing() is first
    assert setup_tracing(service_name="one") is first
    assert caplog.records == []
    assert setup_tracing(service_name="two") is first
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("lumitrace", logging.WARNING)
    assert "service_name" in record.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"protocol": "carrier pigeon"},
        {"sampler": "unheard_of"},
        {"sampler": "xray"},
        {"sampler": "parentbased_rate_limited", "sampler_arg": "many"},
        {"sampler": "traceidratio", "sampler_ratio": 0.5, "sampler_arg": "0.5"},
        {"switched_off": 3},
        {"compression": "zip"},
        {"exporters": ["unheard_of"]},
        {"otlp_endpoint": "not a url at all"},
        {"max_queue_size": -1},
        {"resource_attributes": 3},
        {"headers": 3},
        {"service_name": 3},
    ],
)
def test_S2_a_setting_that_makes_no_sense_warns_and_never_raises(
    caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]
) -> None:
    setup_tracing(**arguments)
    with get_tracer("test").start_as_current_span("work") as span:
        span.set_attribute("key", "value")
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "unheard_of"),
        ("OTEL_TRACES_SAMPLER_ARG", "a lot"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "unheard_of"),
    ],
)
def test_a_variable_that_makes_no_sense_warns_and_is_ignored(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv(name, value)
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory])
    get_tracer("test").start_span("work").end()
    assert one(memory, "work")
    assert name in caplog.text


@pytest.mark.parametrize(
    ("settings", "recorded"),
    [
        ({"sampler": "always_off"}, 0),
        ({"sampler": "always_on"}, 10),
        ({"sampler": "traceidratio", "sampler_ratio": 0.0}, 0),
        ({"sampler": "parentbased_traceidratio", "sampler_ratio": 1.0}, 10),
        ({"sampler_ratio": 0.0}, 0),
    ],
)
def test_samplers_decide_and_children_follow(settings: dict[str, Any], recorded: int) -> None:
    memory = InMemorySpanExporter()
    setup_tracing(exporters=[memory], **settings)
    tracer = get_tracer("test")
    for _ in range(5):
        with tracer.start_as_current_span("parent") as parent:
            assert parent.get_span_context().is_valid
            with tracer.start_as_current_span("child") as child:
                trace_ids = {span.get_span_context().trace_id for span in (parent, child)}
                assert len(trace_ids) == 1
    assert len(memory.get_finished_spans()) == recorded


def test_S24_tracing_that_is_switched_off_costs_no_thread_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    memory = InMemorySpanExporter()
    provider = setup_tracing(exporters=[memory])
    assert setup_tracing() is provider
    with get_tracer("test").start_as_current_span("work") as span:
        assert not span.is_recording()
    assert tracing.force_flush()
    assert memory.get_finished_spans() == ()


def test_the_provider_tells_its_resource_and_statistics() -> None:
    memory = InMemorySpanExporter()
    provider = setup_tracing(service_name="sequence-training", exporters=[memory])
    assert provider.resource.attributes["service.name"] == "sequence-training"
    provider.get_tracer("test", "1.0").start_span("work").end()
    assert provider.force_flush()
    statistics = provider.statistics()
    assert statistics["exported_spans"] == 1
    assert statistics["queue_full_spans"] == 0
    assert one(memory, "work").instrumentation_scope.version == "1.0"
