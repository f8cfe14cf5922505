"""Exporters to Jaeger, Zipkin and files, by name and by object."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from spans import one

from lumitrace import tracing
from lumitrace.tracing import (
    FileSpanExporter,
    InMemorySpanExporter,
    JaegerSpanExporter,
    ZipkinSpanExporter,
    get_tracer,
    setup_tracing,
)

PATIENCE_SECONDS = 30.0


class Receiver(HTTPServer):
    """Accepts every POST and keeps it: path, content type, body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, self.headers["content-type"], body))
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(PATIENCE_SECONDS)
        yield agent


def record_one() -> None:
    get_tracer("test").start_span("work").end()
    assert tracing.force_flush()


def names_in(path: Path) -> list[str]:
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        span["name"]
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_C22_spans_reach_an_agent_over_udp(agent: socket.socket) -> None:
    setup_tracing(exporters=[JaegerSpanExporter(*agent.getsockname())])
    record_one()
    datagram = agent.recv(65_536)
    assert b"emitBatch" in datagram
    assert b"work" in datagram


def test_A22_spans_reach_a_jaeger_collector_over_http(receiver: Receiver) -> None:
    setup_tracing(exporters=[JaegerSpanExporter(collector_endpoint=receiver.address)])
    record_one()
    ((path, content_type, body),) = receiver.requests
    assert (path, content_type) == ("/api/traces", "application/x-thrift")
    assert b"work" in body


def test_spans_reach_zipkin(receiver: Receiver) -> None:
    setup_tracing(service_name="train", exporters=[ZipkinSpanExporter(receiver.address)])
    record_one()
    ((path, content_type, body),) = receiver.requests
    assert (path, content_type) == ("/api/v2/spans", "application/json")
    (span,) = json.loads(body)
    assert (span["name"], span["localEndpoint"]["serviceName"]) == ("work", "train")


def test_spans_are_written_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "traces.jsonl"
    setup_tracing(exporters=[FileSpanExporter(path, max_file_bytes=1, max_files=2)])
    for _ in range(3):
        record_one()
    assert names_in(path) == ["work"]
    assert names_in(path.with_name("traces.jsonl.1")) == ["work"]
    assert len(list(path.parent.iterdir())) == 2


def test_T12_exporters_by_name_and_by_object_each_get_every_span(
    collector: Collector,
    receiver: Receiver,
    agent: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_JAEGER_AGENT_HOST", "127.0.0.1")
    monkeypatch.setenv("OTEL_EXPORTER_JAEGER_AGENT_PORT", str(agent.getsockname()[1]))
    monkeypatch.setenv("OTEL_EXPORTER_ZIPKIN_ENDPOINT", receiver.address)
    monkeypatch.setenv("LUMITRACE_FILE", str(tmp_path / "spans.jsonl"))
    memory = InMemorySpanExporter()
    setup_tracing(exporters=["otlp", "jaeger", "zipkin", "file", memory])
    record_one()
    assert one(memory, "work")
    assert collector.one("work")
    assert b"work" in agent.recv(65_536)
    assert json.loads(receiver.requests[0][2])[0]["name"] == "work"
    assert names_in(tmp_path / "spans.jsonl") == ["work"]


@pytest.mark.parametrize("endpoint", ["ftp://host", "", "http://host:port"])
def test_an_address_that_is_none_is_refused_where_it_is_written(endpoint: str) -> None:
    with pytest.raises(ValueError, match="no endpoint"):
        ZipkinSpanExporter(endpoint)
    with pytest.raises(ValueError, match="no endpoint"):
        JaegerSpanExporter(collector_endpoint=endpoint)
