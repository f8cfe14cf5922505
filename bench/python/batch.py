"""One side of the comparison of Python SDKs: trace batches, send them over OTLP/HTTP, report cost.

    python batch.py lumitrace|opentelemetry ENDPOINT SPANS

Both sides do the same: a context manager per batch, three attributes set on it, a batch processor
with the default settings, and OTLP over HTTP in protobuf. Process CPU time counts every thread,
from the first span to the end of the last export; set-up and imports are not counted. Spans are
paced in bursts below the queue's size, each followed by a flush, so that neither side drops any.
"""

import json
import sys
import time

BURST = 1_500


def start_lumitrace(endpoint):
    from lumitrace.tracing import get_tracer, setup_tracing

    provider = setup_tracing("bench", endpoint, "benchmark")
    return provider, get_tracer("bench")


def start_opentelemetry(endpoint):
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, provider.get_tracer("bench")


def trace_batches(tracer, count):
    for index in range(count):
        with tracer.start_as_current_span("batch_processing") as span:
            span.set_attribute("batch_index", index)
            span.set_attribute("batch_size", 32)
            span.set_attribute("loss", 0.5)


def main():
    side, endpoint, spans = sys.argv[1], sys.argv[2], int(sys.argv[3])
    start = {"lumitrace": start_lumitrace, "opentelemetry": start_opentelemetry}[side]
    provider, tracer = start(endpoint)
    trace_batches(tracer, 200)
    provider.force_flush()

    thread_seconds = 0.0
    cpu = time.process_time()
    for first in range(0, spans, BURST):
        calling = time.thread_time()
        trace_batches(tracer, min(BURST, spans - first))
        thread_seconds += time.thread_time() - calling
        provider.force_flush()
    cpu = time.process_time() - cpu
    provider.shutdown()
    print(json.dumps({"cpu_ns": cpu / spans * 1e9, "calling_thread_ns": thread_seconds / spans * 1e9}))


main()
