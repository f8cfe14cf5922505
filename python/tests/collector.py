"""A collector in the test's own process: receives OTLP over HTTP on a free port and decodes it with
OpenTelemetry's own protobuf classes.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

PATIENCE_SECONDS = 30.0


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(element) for element in value.array_value.values]
    if kind == "kvlist_value":
        return {entry.key: value_of(entry.value) for entry in value.kvlist_value.values}
    return getattr(value, kind)


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in pairs}


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire."""

    proto: ProtoSpan
    resource: dict[str, Any]
    scope: str
    request: int

    @property
    def name(self) -> str:
        return self.proto.name

    @property
    def attributes(self) -> dict[str, Any]:
        return attributes_of(self.proto.attributes)

    @property
    def span_id(self) -> str:
        return self.proto.span_id.hex()

    @property
    def trace_id(self) -> str:
        return self.proto.trace_id.hex()

    @property
    def parent_id(self) -> str | None:
        return self.proto.parent_span_id.hex() or None


@dataclass(frozen=True)
class Request:
    """One POST."""

    path: str
    headers: dict[str, str]
    span_names: list[str]


@dataclass
class Collector:
    """Receives spans until closed."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Dies: open connections break, and new ones are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # the other side was quicker
                connection.shutdown(socket.SHUT_RDWR)

    def named(self, name: str) -> list[ReceivedSpan]:
        with self._changed:
            return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReceivedSpan:
        (span,) = self.named(name)
        return span

    def wait_for(self, condition: Callable[[Collector], object]) -> None:
        """Returns once ``condition`` holds; checked whenever spans arrive."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), PATIENCE_SECONDS):
                names = [span.name for span in self.spans]
                raise AssertionError(f"still not so after {PATIENCE_SECONDS} s; spans: {names}")

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            spans = list(_spans_of(message, len(self.requests)))
            self.requests.append(Request(path, headers, [span.name for span in spans]))
            self.spans.extend(spans)
            self._changed.notify_all()


def _spans_of(message: ExportTraceServiceRequest, request: int) -> Iterator[ReceivedSpan]:
    for resource_spans in message.resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield ReceivedSpan(span, resource, scope_spans.scope.name, request)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            collector.connections.append(self.connection)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.receive(self.path, headers, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
