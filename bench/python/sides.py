"""The two sides of every comparison of Python SDKs, set up alike, and the work that both do.

Each has a batch processor with the settings of the environment (`OTEL_BSP_*`), and sends OTLP over
HTTP in protobuf.
"""

from __future__ import annotations

import os
from typing import Any


def start(side: str, endpoint: str) -> Any:
    """Set up `lumitrace` or `opentelemetry`; return its tracer provider."""
    if side == "lumitrace":
        from lumitrace.tracing import setup_tracing

        return setup_tracing("bench", endpoint, "benchmark")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def start_disabled(side: str) -> Any:
    """Return a second tracer provider of the same library, switched off as a user would do it."""
    os.environ["OTEL_SDK_DISABLED"] = "true"
    try:
        if side == "lumitrace":
            from lumitrace.tracing import TracerProvider

            return TracerProvider()
        from opentelemetry.sdk.trace import TracerProvider as OpenTelemetryProvider

        return OpenTelemetryProvider()
    finally:
        del os.environ["OTEL_SDK_DISABLED"]


def trace_batches(tracer: Any, count: int) -> None:
    """Trace so many training batches in which nothing is done."""
    for index in range(count):
        with tracer.start_as_current_span("batch_processing") as span:
            span.set_attribute("batch_index", index)
            span.set_attribute("batch_size", 32)
            span.set_attribute("loss", 0.5)
