"""One side of the comparison of Python SDKs: trace batches, send them over OTLP/HTTP, report cost.

    python batch.py lumitrace|opentelemetry ENDPOINT SPANS

Both sides do the same: a context manager per batch, three attributes set on it, a batch processor
with the default settings, and OTLP over HTTP in protobuf. Process CPU time counts every thread,
from the first span to the end of the last export; set-up and imports are not counted. Spans are
paced in bursts below the queue's size, each followed by a flush, so that neither side drops any.
"""

from __future__ import annotations

import json
import sys
import time

from sides import start, trace_batches

BURST = 1_500


def main() -> None:
    """Trace the batches and print what one cost."""
    side, endpoint, spans = sys.argv[1], sys.argv[2], int(sys.argv[3])
    provider = start(side, endpoint)
    tracer = provider.get_tracer("bench")
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
    calling_thread_ns = thread_seconds / spans * 1e9
    print(json.dumps({"cpu_ns": cpu / spans * 1e9, "calling_thread_ns": calling_thread_ns}))


main()
