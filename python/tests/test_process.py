"""The life of the process: collectors that are away, forks, spawned children, the end."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from collector import Collector

from lumitrace import tracing
from lumitrace.tracing import TracingContext, get_tracer, setup_tracing

LOOP = """
import logging, sys
from lumitrace import tracing
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
tracing.setup_tracing(service_name="sequence-training", otlp_endpoint=sys.argv[1])
tracer = tracing.get_tracer("train")
for epoch in range(1, 4):
    with tracing.trace_training_epoch(tracer, epoch, 3) as epoch_span:
        for batch in range(1, 11):
            with tracing.trace_batch_processing(tracer, batch, 32) as span:
                span.set_attribute("loss", 1 / batch)
        with tracing.trace_validation(tracer) as span:
            span.set_attribute("val_loss", 0.5)
        epoch_span.set_attribute("train_loss", 0.5)
print("trained")
"""


def python(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTEL_")
    }
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment, **variables},
    )
    assert result.returncode == 0, result.stderr
    return result


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_T4_the_loop_sends_everything_at_the_end_of_the_program(collector: Collector) -> None:
    result = python(LOOP, collector.endpoint)
    assert result.stdout == "trained\n"
    assert result.stderr == ""
    names = [span.name for span in collector.spans]
    assert names.count("training_epoch") == 3
    assert names.count("batch_processing") == 30
    assert names.count("validation") == 3
    ids = {span.span_id: span for span in collector.spans}
    assert len(ids) == 36
    for span in collector.spans:
        if span.name == "training_epoch":
            assert span.parent_id is None
        else:
            assert span.parent_id is not None
            assert ids[span.parent_id].name == "training_epoch"


def test_T4_the_loop_runs_to_the_end_without_a_collector_with_one_warning() -> None:
    started = time.monotonic()
    result = python(LOOP, f"http://127.0.0.1:{closed_port()}")
    assert result.stdout == "trained\n"
    # Two seconds for the last attempt, and the start of an interpreter on a busy machine.
    assert time.monotonic() - started < 10
    (line,) = result.stderr.splitlines()
    assert line.startswith("WARNING lumitrace ")
    assert "cannot send spans" in line


def test_S24_what_was_lost_is_information_at_the_end() -> None:
    told = "logging.getLogger('lumitrace').setLevel(logging.INFO)\n"
    result = python("import logging\n" + told + LOOP, f"http://127.0.0.1:{closed_port()}")
    warning, account = result.stderr.splitlines()
    assert warning.startswith("WARNING lumitrace ")
    assert account.startswith("INFO lumitrace ")
    assert "lost 36 spans" in account


def test_S24_without_exporters_nothing_is_lost_and_nothing_said() -> None:
    result = python(LOOP.replace(", otlp_endpoint=sys.argv[1]", ""), OTEL_TRACES_EXPORTER="none")
    assert (result.stdout, result.stderr) == ("trained\n", "")
    provider = setup_tracing(exporters=["none"])
    for _ in range(5_000):
        get_tracer("test").start_span("work").end()
    assert provider.force_flush()
    counts = provider.statistics()
    assert (counts.pop("started_spans"), counts.pop("ended_spans")) == (5_000, 5_000)
    assert set(counts.values()) == {0}


def test_T4_the_end_is_bounded_with_a_collector_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        result = python(LOOP, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert result.stdout == "trained\n"
        assert time.monotonic() - started < 10


def test_T4_the_loop_runs_to_the_end_with_tracing_switched_off(collector: Collector) -> None:
    result = python(LOOP, collector.endpoint, OTEL_SDK_DISABLED="true")
    assert (result.stdout, result.stderr) == ("trained\n", "")
    assert collector.requests == []


def test_T4_the_loop_runs_to_the_end_without_opentelemetry(
    collector: Collector, tmp_path: Path
) -> None:
    hide = "import sys; sys.modules['opentelemetry'] = None\n"
    result = python(hide + LOOP, collector.endpoint)
    assert (result.stdout, result.stderr) == ("trained\n", "")
    assert len(collector.spans) == 36


def test_S24_a_collector_that_dies_costs_one_warning_and_the_program_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector()
    provider = setup_tracing(
        otlp_endpoint=collector.endpoint, schedule_delay_ms=1, max_queue_size=64
    )
    tracer = get_tracer("test")
    tracer.start_span("before").end()
    collector.wait_for(lambda collector: collector.spans)
    collector.close()
    for _ in range(1_000):
        with TracingContext(tracer, "after"):
            pass
    tracing.force_flush(timeout_millis=200)
    assert provider.statistics()["failed_exports"] >= 1
    assert provider.statistics()["queue_full_spans"] >= 1
    warnings = [record for record in caplog.records if "cannot send spans" in record.message]
    assert len(warnings) == 1


def test_set_up_does_not_wait_for_a_collector() -> None:
    # A documentation address (RFC 5737): packets to it vanish.
    started = time.monotonic()
    setup_tracing(otlp_endpoint="http://192.0.2.1:4318")
    get_tracer("test").start_span("work").end()
    assert time.monotonic() - started < 1
    tracing.shutdown(timeout_millis=100)
    assert time.monotonic() - started < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_sends_its_own_spans_once(collector: Collector) -> None:
    program = """
import os, sys
from lumitrace import tracing
tracing.setup_tracing(otlp_endpoint=sys.argv[1])
tracer = tracing.get_tracer("test")
tracer.start_span("before").end()
with tracing.TracingContext(tracer, "parent"):
    child = os.fork()
    with tracing.TracingContext(tracer, "child" if child == 0 else "after"):
        pass
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    python(program, collector.endpoint)
    names = sorted(span.name for span in collector.spans)
    assert names == ["after", "before", "child", "parent"]
    parent, child = collector.one("parent"), collector.one("child")
    assert child.parent_id == parent.span_id
    assert len({span.span_id for span in collector.spans}) == 4
    assert child.resource["process.pid"] != parent.resource["process.pid"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_many_forks_while_spans_are_sent_neither_hang_nor_lose(collector: Collector) -> None:
    program = """
import os, sys
from lumitrace import tracing
tracing.setup_tracing(otlp_endpoint=sys.argv[1], max_export_batch_size=4)
tracer = tracing.get_tracer("test")
for number in range(30):
    tracer.start_span("parent").end()
    child = os.fork()
    if child == 0:
        tracer.start_span("child").end()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""
    python(program, collector.endpoint)
    assert len(collector.named("parent")) == 30
    assert len(collector.named("child")) == 30
    assert len({span.span_id for span in collector.spans}) == 60


def _work(endpoint: str, name: str) -> None:
    setup_tracing(otlp_endpoint=endpoint)
    with TracingContext(get_tracer("test"), name):
        pass


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize("parent_traces", [True, False])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_multiprocessing_sends_its_spans_when_it_ends(
    collector: Collector, method: str, parent_traces: bool
) -> None:
    if parent_traces:
        setup_tracing(otlp_endpoint=collector.endpoint)
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=_work, args=(collector.endpoint, method))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert collector.one(method).resource["process.pid"] == child.pid


def test_spans_that_end_in_atexit_handlers_are_sent(collector: Collector) -> None:
    program = """
import atexit, sys
from lumitrace import tracing
tracing.setup_tracing(otlp_endpoint=sys.argv[1])
atexit.register(lambda: tracing.get_tracer("test").start_span("last").end())
"""
    python(program, collector.endpoint)
    assert collector.one("last")


def test_an_exception_that_ends_the_program_is_exported(collector: Collector) -> None:
    program = """
import sys
from lumitrace import tracing
tracing.setup_tracing(otlp_endpoint=sys.argv[1])
with tracing.TracingContext(None, "work"):
    raise SystemExit if len(sys.argv) > 2 else ValueError("wrong")
"""
    result = subprocess.run(
        [sys.executable, "-c", program, collector.endpoint], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ValueError: wrong"
    span = collector.one("work")
    assert span.attributes == {"error.type": "ValueError", "error.message": "wrong"}


def test_S20_the_exporter_speaks_grpc_too() -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services

    received: list[Any] = []

    class Service(services.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.append(request)
            return messages.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    services.add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        setup_tracing(protocol="grpc", otlp_endpoint=f"http://127.0.0.1:{port}")
        get_tracer("test").start_span("work").end()
        assert tracing.force_flush()
    finally:
        server.stop(None)
    (request,) = received
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "work"
