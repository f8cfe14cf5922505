"""Traces over several services, and into programs that are started."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from collector import Collector
from spans import is_child, one

from lumitrace import tracing
from lumitrace.tracing import (
    DistributedTracer,
    InMemorySpanExporter,
    extract,
    get_tracer,
    inject,
    instrument_system,
    setup_tracing,
)


class Service(BaseHTTPRequestHandler):
    """Another service: answers within a span of its own."""

    def do_GET(self) -> None:
        with DistributedTracer("answering").trace("answer", headers=self.headers):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None: ...


class Running:
    """The service, on a thread of its own and a free port."""

    def __init__(self) -> None:
        self._server = HTTPServer(("127.0.0.1", 0), Service)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def stop(self) -> None:
        """Returns once the request that is being answered is done, its span included."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


def test_B24_a_trace_goes_on_in_the_service_that_is_called(
    memory: InMemorySpanExporter, service: Running
) -> None:
    tracer = DistributedTracer("asking")
    with tracer.trace("distributed_operation", {"key": "value"}) as span:
        request = urllib.request.Request(service.url, headers=tracer.inject())
        urllib.request.urlopen(request).read()
        assert span.is_recording()
    service.stop()
    asking, answering = one(memory, "distributed_operation"), one(memory, "answer")
    assert is_child(answering, asking)
    assert answering.parent is not None
    assert answering.parent.is_remote
    assert (asking.kind, answering.kind) == ("internal", "server")
    assert asking.attributes == {"key": "value"}
    assert asking.instrumentation_scope.name == "asking"


def test_B24_the_service_is_on_the_resource(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    with DistributedTracer(service_name="model_service").trace("distributed_operation"):
        pass
    assert tracing.force_flush()
    assert collector.one("distributed_operation").resource["service.name"] == "model_service"


def test_B24_headers_of_nobody_make_a_root(memory: InMemorySpanExporter) -> None:
    tracer = DistributedTracer("service")
    for headers in ({}, {"traceparent": "nonsense"}, [("accept", "*/*")], 3, [3]):
        with tracer.trace("op", headers=headers):
            pass
    assert [span.parent for span in memory.get_finished_spans()] == [None] * 5


def test_B24_the_callers_sampling_counts(memory: InMemorySpanExporter) -> None:
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    for flags in ("00", "01"):
        headers = {"Traceparent": f"00-{trace_id}-{span_id}-{flags}"}
        with DistributedTracer("service").trace(f"op_{flags}", headers=headers):
            pass
    assert [span.name for span in memory.get_finished_spans()] == ["op_01"]
    assert f"{one(memory, 'op_01').context.trace_id:032x}" == trace_id


def test_B24_headers_may_be_bytes_in_pairs_as_servers_pass_them() -> None:
    headers = [
        (b"accept", b"*/*"),
        (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ]
    caller = extract(headers)
    assert caller is not None
    assert f"{caller.span_id:016x}" == "b" * 16
    assert caller.is_remote
    assert extract({}) is None


def test_B24_ids_are_written_into_what_is_given(memory: InMemorySpanExporter) -> None:
    assert inject() == {}
    with get_tracer("test").start_as_current_span("op") as span:
        headers = {"accept": "*/*"}
        assert inject(headers) is headers
        other = get_tracer("test").start_span("other")
        elsewhere = inject(span=other)
    context = span.get_span_context()
    expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert headers["traceparent"].startswith(expected)
    assert headers["accept"] == "*/*"
    assert f"{other.get_span_context().span_id:016x}" in elsewhere["traceparent"]


def test_B24_a_carrier_that_takes_nothing_is_no_harm(memory: InMemorySpanExporter) -> None:
    with get_tracer("test").start_as_current_span("op"):
        assert inject(()) == ()


def test_B24_the_formats_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", "b3")
    try:
        setup_tracing(exporters=[InMemorySpanExporter()])
        with get_tracer("test").start_as_current_span("op"):
            headers = inject()
        assert list(headers) == ["b3"]
        assert extract(headers) is not None
    finally:
        tracing.shutdown()
        monkeypatch.setenv("OTEL_PROPAGATORS", "tracecontext,baggage")
        setup_tracing(exporters=["none"])


def test_B24_a_program_that_is_started_goes_on_with_the_trace(collector: Collector) -> None:
    program = """
import sys
from lumitrace.tracing import DistributedTracer, setup_tracing
setup_tracing("started", otlp_endpoint=sys.argv[1])
with DistributedTracer("started").trace("child", headers={"traceparent": sys.argv[2]}):
    pass
"""
    setup_tracing("starting", otlp_endpoint=collector.endpoint)
    with get_tracer("test").start_as_current_span("parent"):
        ids = inject()["traceparent"]
        subprocess.run([sys.executable, "-c", program, collector.endpoint, ids], check=True)
    assert tracing.force_flush()
    child, parent = collector.one("child"), collector.one("parent")
    assert child.parent_id == parent.span_id
    assert child.trace_id == parent.trace_id
    assert (child.resource["service.name"], parent.resource["service.name"]) == (
        "started",
        "starting",
    )


def test_C4_T1_libraries_that_are_missing_are_told_of_and_nothing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = instrument_system(["library_that_nobody_has", "numpy"])
    assert outcomes["library_that_nobody_has"] == "not installed"
    assert "opentelemetry-instrumentation-numpy" in outcomes["numpy"]
    (record,) = caplog.records
    assert "numpy" in record.message


def test_C4_T2_an_instrumentation_that_breaks_costs_its_own_spans_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumitrace import _instrumentation

    class Broken:
        is_instrumented_by_opentelemetry = False

        def instrument(self) -> None:
            raise ImportError("a name that has moved")

    class Working:
        is_instrumented_by_opentelemetry = False

        def instrument(self) -> None:
            self.is_instrumented_by_opentelemetry = True

    instrumentors = {"json": Broken(), "wave": Working()}
    monkeypatch.setattr(_instrumentation, "_instrumentor", instrumentors.get)
    outcomes = instrument_system(["json", "wave"])
    assert outcomes == {
        "json": "ImportError: a name that has moved",
        "wave": "instrumented",
    }
    assert "a name that has moved" in caplog.text


def uninstrument(library: str) -> None:
    from lumitrace._instrumentation import _instrumentor

    _instrumentor(library).uninstrument()


def instrumented(library: str) -> Any:
    """The library, with what instruments it; the test is skipped where one of them is missing."""
    pytest.importorskip(f"opentelemetry.instrumentation.{library}")
    module = pytest.importorskip(library)
    assert instrument_system([library]) == {library: "instrumented"}
    return module


def test_C4_T26_a_request_of_urllib_yields_a_span_without_other_code(
    memory: InMemorySpanExporter, service: Running
) -> None:
    instrumented("urllib")
    try:
        urllib.request.urlopen(service.url).read()
    finally:
        uninstrument("urllib")
    service.stop()
    request, answer = one(memory, "GET"), one(memory, "answer")
    assert request.kind == "client"
    assert is_child(answer, request)


def test_C4_T26_a_request_of_httpx_yields_a_span_without_other_code(
    memory: InMemorySpanExporter, service: Running
) -> None:
    httpx = instrumented("httpx")
    try:
        with get_tracer("test").start_as_current_span("caller"):
            httpx.get(service.url)
    finally:
        uninstrument("httpx")
    service.stop()
    request = one(memory, "GET")
    assert is_child(request, one(memory, "caller"))
    assert is_child(one(memory, "answer"), request)


def test_C4_T26_a_query_of_sqlalchemy_yields_a_span_without_other_code(
    memory: InMemorySpanExporter,
) -> None:
    sqlalchemy = instrumented("sqlalchemy")
    try:
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT 7")).scalar() == 7
        engine.dispose()
    finally:
        uninstrument("sqlalchemy")
    queries = [span for span in memory.get_finished_spans() if span.name.startswith("SELECT")]
    assert [span.kind for span in queries] == ["client"]


@pytest.mark.skipif(
    not hasattr(tracing.Span, "kind"), reason="FastAPI's instrumentation asks spans for their kind"
)
def test_C4_T26_a_request_to_fastapi_yields_a_span_without_other_code(
    memory: InMemorySpanExporter,
) -> None:
    fastapi = instrumented("fastapi")
    httpx = pytest.importorskip("httpx")
    try:
        app = fastapi.FastAPI()

        async def job(job_id: int) -> int:
            return job_id

        app.get("/jobs/{job_id}")(job)

        async def main() -> int:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return int((await client.get("/jobs/7")).text)

        assert asyncio.run(main()) == 7
    finally:
        uninstrument("fastapi")
    assert one(memory, "GET /jobs/{job_id}").kind == "server"
